"""The project as a process without its code sees it: the newest snapshot that the conductor has, looked for now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock

from legato.declare.snapshot import Snapshot, decode
from legato.ports.clock import Clock
from legato.ports.store import Store
from legato.service.asks import GetSnapshot, SnapshotGiven
from legato.service.guest import ask
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError

LOOK_EVERY_S, PATIENCE_S = 0.5, 5.0


class Mirror:
    """Gives the project as it was told last. Where nobody tells it any more, that stays; before the first, `Unreachable`."""

    def __init__(
        self, state: Path, clock: Clock, open_reader: Callable[[], Store], build: Callable[[Snapshot], Workspace]
    ) -> None:  # fmt: skip
        self.state, self.clock, self.open_reader = state, clock, open_reader
        self._build = build
        self._lock = Lock()
        self._source = ""
        self._workspace: Workspace | None = None
        self._looked = 0.0

    def workspace(self) -> Workspace:
        """The project as it is now."""
        with self._lock:
            if self._workspace is None or time.monotonic() - self._looked >= LOOK_EVERY_S:
                self._look()
            assert self._workspace is not None
            return self._workspace

    def _look(self) -> None:
        try:
            given = ask(self.state, GetSnapshot(known=self._source), SnapshotGiven, PATIENCE_S)
        except LegatoError:
            if self._workspace is None:
                raise
        else:
            if given.body:
                self._workspace, self._source = self._build(decode(given.body)), given.source
            if self._workspace is not None and self._workspace.faults != given.faults:
                self._workspace = replace(self._workspace, faults=given.faults)
        self._looked = time.monotonic()
