"""Traces of runs for a collector: followed in the store by a process of their own, so that nothing else ever waits for one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice, takewhile
from pathlib import Path
from threading import Event

from legato.kernel import events as ev
from legato.ports.spans import Collector, Span
from legato.ports.store import Run, Store
from legato.service.logbook import AttemptRecord, Logbook
from legato.terms.errors import LegatoError, Unreachable
from legato.terms.instant import Instant, after

MOST_BEHIND = 100_000
"""So many events a slow collector may be behind; then the older ones are left out, and it is said how many."""
_PAGE, _MOST_SPANS, _MOST_BOOKS, _MOST_NEW = 500, 500, 100, 1_000
_LOOK_EVERY_S, _LONGEST_PAUSE_S = 1.0, 60.0

Tell = Callable[[str], None]


class Tracer:
    """Follows the store's events, and sends a span for each attempt and each run that ends.

    The store is the queue: where the collector is slow or away, spans wait there. `mark` is a file that says up to which event
    they were sent, so another process goes on from there: what was sent while one died may be sent again, under the same ids.
    Where nobody has followed yet, it begins with the runs that were accepted from `since` on.
    """

    def __init__(self, open_reader: Callable[[], Store], collector: Collector, mark: Path, tell: Tell, since: Instant) -> None:
        self._open_reader, self._collector, self._mark, self._tell = open_reader, collector, mark, tell
        self._since = since
        self._books: OrderedDict[str, Logbook] = OrderedDict()
        self._after: int | None = None

    def run(self, stop: Event) -> None:
        """Follow until told to stop."""
        pause_s, is_away = _LOOK_EVERY_S, False
        store: Store | None = None
        while not stop.is_set():
            try:
                store = store or self._open_reader()
                moved = self.step(store)
                pause_s, is_away = 0.0 if moved else _LOOK_EVERY_S, False
            except Unreachable as error:
                pause_s = min(_LONGEST_PAUSE_S, max(_LOOK_EVERY_S, pause_s * 2))
                if not is_away and error.code == "traces":
                    self._tell(f"{error.what}: {error.why}; spans wait in the store")
                is_away = True
            except LegatoError:  # there is no store yet
                pause_s = _LOOK_EVERY_S
            stop.wait(pause_s)
        if store is not None:
            store.close()

    def step(self, store: Store) -> bool:
        """Send the spans of one page of events; whether there was any."""
        number = self._begin(store)
        page = store.changes(number, _PAGE)
        if not page:
            return False
        spans = [span for run, ended in _touched(page).items() for span in self._spans(store, run, ended)]
        for first in range(0, len(spans), _MOST_SPANS):
            self._send(spans[first : first + _MOST_SPANS])
        self._after = page[-1][0]
        self._note(self._after)
        return True

    def _begin(self, store: Store) -> int:
        """From which event on: where somebody stopped, but not from too far behind."""
        newest = store.newest_change()
        if self._after is None:
            try:
                self._after = min(int(self._mark.read_text()), newest)
            except (OSError, ValueError):  # nobody has followed yet
                self._after = self._before_first(store, newest)
                self._note(self._after)
        behind = newest - self._after
        if behind > MOST_BEHIND:
            left_out = behind - MOST_BEHIND
            self._tell(f"{left_out:,} events are left out of the traces: the collector was too slow, or away for too long")
            self._after = newest - MOST_BEHIND
        return self._after

    def _before_first(self, store: Store, newest: int) -> int:
        """The event before the first of the runs that are new."""
        new = takewhile(lambda run: run.at >= self._since, store.runs(limit=_MOST_NEW))
        return min((number - 1 for run in new for number, _ in islice(store.events(run.id), 1)), default=newest)

    def _note(self, number: int) -> None:
        fresh = self._mark.with_name(f"{self._mark.name}.new")
        fresh.write_text(str(number))
        fresh.replace(self._mark)

    def _send(self, spans: Sequence[Span]) -> None:
        try:
            self._collector.send(spans)
        except Unreachable:
            self._books.clear()  # what they have read is to be read again
            raise
        except LegatoError as error:
            self._tell(f"{len(spans)} spans are left out: {error.what}, {error.why}")

    def _spans(self, store: Store, run_id: str, ended: bool) -> Iterator[Span]:
        run = store.run(run_id)
        if run is None:  # it is no longer kept
            return
        book = self._books.pop(run_id, None) or Logbook(store, run_id)
        self._books[run_id] = book
        while len(self._books) > _MOST_BOOKS:
            self._books.popitem(last=False)
        for attempt in book.read(store):
            if attempt.outcome:
                yield attempt_span(run, book, attempt)
        if ended and run.ended is not None:
            yield run_span(run)
            self._books.pop(run_id, None)


def _touched(page: Sequence[tuple[int, str, bytes]]) -> dict[str, bool]:
    """The runs that the events are of, each with whether it ended."""
    found: dict[str, bool] = {}
    for _, run, body in page:
        found[run] = found.get(run, False) or isinstance(ev.decode(body), ev.RunEnded)
    return found


def run_span(run: Run) -> Span:
    """The span of a run that ended: the trace itself."""
    failed = run.state not in ("succeeded", "cancelled")
    attributes: dict[str, str | int | float | bool] = {
        "legato.run": run.id, "legato.actor": run.actor, "legato.project": run.project, "legato.state": run.state,
        **{f"legato.steps.{name.replace(' ', '_')}": count for name, count in run.counts.items()},
    }  # fmt: skip
    return Span(
        trace=trace_of(run.id), id=span_of(run.id), name=run.request or "run", began=run.at, ended=run.ended or run.at,
        attributes=attributes, error=f"the run {run.state.replace('_', ' ')}" if failed else "",
    )  # fmt: skip


def attempt_span(run: Run, book: Logbook, attempt: AttemptRecord) -> Span:
    """The span of an attempt that ended. Its error is told without its trace, as it is on record: with secrets hidden."""
    error = attempt.error
    attributes: dict[str, str | int | float | bool] = {
        "legato.run": run.id, "legato.node": attempt.node, "legato.partition": attempt.partition, "legato.try": attempt.number,
        "legato.mode": attempt.mode, "legato.outcome": attempt.outcome, "legato.token": attempt.token,
    }  # fmt: skip
    if error is not None and error.types:
        attributes["exception.type"] = error.types[0]
    return Span(
        trace=trace_of(run.id), id=span_of(run.id, attempt.token), parent=span_of(run.id), name=book.title(attempt),
        began=attempt.started, ended=after(attempt.started, attempt.seconds), attributes=attributes,
        error=error.message if error is not None and not attempt.is_expected else "",
    )  # fmt: skip


def trace_of(run_id: str) -> str:
    """The trace of a run, the same whenever it is asked for."""
    return blake2b(run_id.encode(), digest_size=16, person=b"trace").hexdigest()


def span_of(run_id: str, token: int = 0) -> str:
    """The span of an attempt of a run; of the run itself without a token."""
    return blake2b(f"{run_id} {token}".encode(), digest_size=8, person=b"span").hexdigest()
