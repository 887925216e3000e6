"""What the attempts of a run wrote to their standard output and error: whole, or as it grows, also from another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from legato.ports.store import Store
from legato.service.logbook import AttemptRecord, Logbook, read_log
from legato.service.reporting import state_in_words
from legato.service.workspace import Workspace

POLL_S = 0.2


class Tail:
    """What the attempts of a run write, in pieces of at most 64 kB: memory does not grow with the output."""

    def __init__(
        self, workspace: Workspace, store: Store, book: Logbook, wanted: Callable[[AttemptRecord], bool]
    ) -> None:  # fmt: skip
        self._workspace, self._store, self._wanted = workspace, store, wanted
        self.book = book
        self._places: dict[int, int] = {}
        self._growing: set[int] = set()
        self._begun = False

    def read(self) -> Iterator[tuple[AttemptRecord, bytes]]:
        """What was written since the last call, attempt by attempt; an attempt that has ended gives an empty piece last."""
        found = self.book.read(self._store)
        if not self._begun:
            self._begun, found = True, list(self.book.attempts.values())
        changed = {each.token for each in found if self._wanted(each)}
        for token in sorted(changed | self._growing):
            attempt = self.book.attempts.get(token)
            if attempt is None:
                self._growing.discard(token)
                continue
            yield from self._written(attempt)
            if attempt.outcome:
                self._growing.discard(token)
                yield attempt, b""
            else:
                self._growing.add(token)

    def follow(self, is_alive: Callable[[], bool]) -> Iterator[tuple[AttemptRecord, bytes]]:
        """What is written, as it is written, until the run has ended or the process that runs it is gone."""
        while True:
            alive = is_alive()
            yield from self.read()
            if self.book.outcome is not None or not alive:
                return
            time.sleep(POLL_S)

    def unfinished(self) -> list[AttemptRecord]:
        """Attempts that have no outcome, as far as is known by now."""
        return [self.book.attempts[token] for token in sorted(self._growing) if token in self.book.attempts]

    def _written(self, attempt: AttemptRecord) -> Iterator[tuple[AttemptRecord, bytes]]:
        if attempt.log is None:
            return
        place = self._places.get(attempt.token, attempt.log.start)
        for chunk in read_log(self._workspace, attempt.log, place):
            place += len(chunk)
            yield attempt, chunk
        self._places[attempt.token] = place


def works_on(workspace: Workspace, store: Store, run_id: str) -> bool:
    """Whether a live process works on the run."""
    run = store.run(run_id)
    newest = next((each.id for each in store.runs(limit=1)), "")
    return run is not None and state_in_words(run, workspace.find_holder(), newest) == "running"
