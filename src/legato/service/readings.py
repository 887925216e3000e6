"""What a process has read of runs: followed from where it stopped, instead of read again for every question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Protocol, TypeVar

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.store import Store
from legato.runtime.replay import follow
from legato.service.naming import names_of
from legato.service.tally import Tally
from legato.terms.attempt import Ref
from legato.terms.codec import unpack
from legato.terms.fact import Verdict

Warned = tuple[Ref, Verdict]
"""A published version, and a check that it did not pass."""

MOST_STEPS = 100_000
"""Of how many steps a process remembers what it read; of the run that was read last always."""


class Followed(Protocol):
    """What is read of a run, and read on."""

    def read(self, store: Store) -> object:
        """Take up what was committed since the last call."""
        ...

    @property
    def size(self) -> int:
        """How many steps it remembers."""
        ...


F = TypeVar("F", bound=Followed)


class Reading:
    """One run: its state, the names of its steps, what they told, and what checks warned of."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.state = RunState(run_id, unpack(store.plan(run_id), Plan))
        self.names = names_of(self.state)
        self.tally = Tally()
        self.warned: list[Warned] = []
        self._after = 0

    @property
    def size(self) -> int:
        """How many steps the run has."""
        return len(self.state.status)

    def read(self, store: Store) -> None:
        """Take up what was committed since the last call."""
        self._after = follow(store, self.state, self._after, hear=self._hear)

    def _hear(self, event: ev.AnyEvent) -> None:
        self.warned += warned_in(event)
        self.tally.hear(event)


def warned_in(event: ev.AnyEvent) -> list[Warned]:
    """What checks that do not block had to say, if this event published something."""
    if type(event) is not ev.StepSucceeded:
        return []
    return [(output.ref, verdict) for output in event.outputs for verdict in output.verdicts if not verdict.passed]


class _Entry:
    def __init__(self) -> None:
        self.lock = Lock()
        self.read: Followed | None = None
        self.seen = -1


class Readings:
    """Remembers what was read last, for threads that read at the same time: each run is read by one of them at a time."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self._most = most_steps
        self._lock = Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    @contextmanager
    def of(self, store: Store, kind: Callable[[Store, str], F], *runs: str) -> Iterator[list[F]]:
        """These runs as they are recorded now. They are the caller's, and stand still, while the block runs."""
        found: dict[str, F] = {}
        newest = store.newest_change()  # before anything is read: what comes meanwhile is read again, never missed
        with ExitStack() as stack:
            for run in sorted(set(runs)):  # in one order for all, so that no two wait for each other
                entry = self._entry(kind, run)
                stack.enter_context(entry.lock)
                found[run] = self._read_on(entry, store, kind, run, newest)
            yield [found[run] for run in runs]

    def _read_on(self, entry: _Entry, store: Store, kind: Callable[[Store, str], F], run: str, newest: int) -> F:
        known: F = entry.read or kind(store, run)  # type: ignore[assignment]  # an entry's key names its kind
        if entry.seen < newest:
            entry.read, entry.seen = None, -1  # one that is damaged is not kept
            known.read(store)
            entry.read, entry.seen = known, newest
            self._trim()
        return known

    def _entry(self, kind: Callable[[Store, str], F], run: str) -> _Entry:
        """The newest of all from now on."""
        key = (kind.__name__, run)
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            self._entries[key] = entry
        return entry

    def _trim(self) -> None:
        """Forget what was read longest ago, beyond the limit. A thread that is at it keeps what it has."""
        with self._lock:
            held = 0
            for key, entry in reversed(list(self._entries.items())):
                size = 0 if entry.read is None else entry.read.size
                if held and held + size > self._most:
                    del self._entries[key]
                else:
                    held += size
