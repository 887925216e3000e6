"""Keeps the newest code at work: a changed file is loaded beside what runs, and takes over when it is sound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from legato.declare.manuscript import Manuscript
from legato.declare.snapshot import Snapshot
from legato.ports.executor import Executor
from legato.ports.store import Store
from legato.runtime.conductor import Conductor, Listener
from legato.runtime.edition import Edition
from legato.runtime.watch import SourceWatch
from legato.service.projects import keep_project
from legato.service.workspace import Workspace
from legato.terms.errors import Fault, InvalidProject

_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 3.0)
"""How long to wait before a code host that died is replaced: longer and longer, if it dies again and again."""
_STEADY_S = 2.0
"""After so long a code host counts as sound."""
_PASSING = frozenset(("code-died", "code-slow", "code-host"))
"""Faults that may be over when the same files are loaded again."""


class Host(Executor, Protocol):
    """Workers whose code is loaded elsewhere (`executors/host.py`)."""

    is_lost: bool
    manuscript: Manuscript | None
    """The code that was loaded, once the snapshot is there."""

    def snapshot(self) -> Snapshot | None:
        """What the project declares; None while it is being loaded; `InvalidProject` if that failed."""
        ...


OpenHost = Callable[[Manuscript | None], Host]
"""Opens a host of the code of a manuscript, or of that of the files."""


class Reloader:
    """Loads the project, and again whenever its files change or its code host died; lets the conductor have what is sound.

    Call `step` in the loop: it never waits. `workspace` is the project in force, without its code; None before the first that
    is sound. `faults` is all that is wrong with the files as they are now; empty if they are in force, or are being loaded.
    """

    def __init__(
        self, open_host: OpenHost, build: Callable[[Snapshot], Workspace], watch: SourceWatch, *,
        release: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.open_host, self.build, self._watch, self._release = open_host, build, watch, release
        self._coming: Host | None = open_host(None)
        self._host: Host | None = None
        self._due: float | None = None
        self._deaths = 0
        self._since = time.monotonic()
        self._leaving: list[threading.Thread] = []
        self.workspace: Workspace | None = None
        self.faults: list[Fault] = []
        self.on_change: Callable[[Workspace], None] = lambda workspace: None
        """Told when another version of the project has come into force."""
        self.on_lost: Callable[[Conductor, Edition], None] = Conductor.abandon
        """What is done about an edition whose workers are gone for good."""

    @property
    def patience_s(self) -> float:
        """How long the loop may wait before it calls `step` again."""
        return 0.02 if self._coming is not None else 0.25

    def conductor(self, store: Store, listener: Listener | None = None) -> Conductor:
        """A conductor that works with the version in force, which must be there (`workspace`)."""
        assert self._host is not None
        assert self.workspace is not None
        workspace = self.workspace
        conductor = Conductor(
            store, self._host, workspace.clock, workspace.graph, workspace.extents(store), storages=workspace.storages,
            listener=listener, observe=None,
        )  # fmt: skip
        conductor.keeps_ended = False
        conductor.retire = self.retire
        keep_project(store, workspace)
        return conductor

    def step(self, conductor: Conductor | None = None) -> None:
        """See whether files changed, take up what was loaded, replace what died. Before the first sound version without a
        conductor, from then on with it."""
        if self._watch.has_changed():
            self._deaths = 0
            self._load()
        self._take_up(conductor)
        if conductor is not None and not self._is_lost():
            for edition in [each for each in conductor.editions if getattr(each.executor, "is_lost", False)]:
                self.on_lost(conductor, edition)
        if self._coming is None and (self._is_lost() if not self.faults else may_pass(self.faults)):
            self._load_later()
        self._leaving = [thread for thread in self._leaving if thread.is_alive()]

    def close(self, conductor: Conductor | None = None) -> None:
        """End all workers, and what is being loaded, and wait until none is left."""
        at_work: list[Executor | None] = [self._host]
        if conductor is not None:
            at_work = [edition.executor for edition in conductor.editions]
        for executor in filter(None, (self._coming, *at_work)):
            self.retire(executor)
        self._coming = self._host = None
        for thread in self._leaving:
            thread.join()
        self._release()

    def retire(self, executor: Executor) -> None:
        """End workers aside: their cleaning up may take a while."""
        self._leaving.append(threading.Thread(target=executor.close, name="legato-retire"))
        self._leaving[-1].start()

    def _load(self) -> None:
        """Load the files as they are now; what was being loaded is out of date."""
        if self._coming is not None:
            self.retire(self._coming)
        self._coming, self._due = self.open_host(None), None

    def _load_later(self) -> None:
        now = time.monotonic()
        if self._due is None:
            self._deaths = 0 if now - self._since > _STEADY_S else self._deaths + 1
            self._due = now + _PAUSES_S[min(self._deaths, len(_PAUSES_S)) - 1] if self._deaths else now
        if now >= self._due:
            self._load()

    def _take_up(self, conductor: Conductor | None) -> None:
        """What was loaded comes into force if it is sound, and other than what is."""
        host = self._coming
        if host is None:
            return
        try:
            snapshot = host.snapshot()
        except InvalidProject as error:
            self.faults, self._coming = list(error.faults), None
            self.retire(host)
            return
        if snapshot is None:
            return
        self.faults, self._coming = [], None
        if self._is_in_force(snapshot):
            self.retire(host)
        else:
            self._put_in_force(conductor, host, snapshot)

    def _is_in_force(self, snapshot: Snapshot) -> bool:
        return self.workspace is not None and not self._is_lost() and self.workspace.snapshot.source == snapshot.source

    def _put_in_force(self, conductor: Conductor | None, host: Host, snapshot: Snapshot) -> None:
        code, host.manuscript = host.manuscript, None
        workspace = replace(self.build(snapshot), take_manuscript=lambda: code)
        if self._host is not None and conductor is None:  # nobody works with the one before
            self.retire(self._host)
        self._host, self.workspace, self._since = host, workspace, time.monotonic()
        if conductor is not None:
            extents = workspace.extents(conductor.store)
            conductor.open_edition(workspace.graph, extents, host, storages=workspace.storages)
            keep_project(conductor.store, workspace)
        self.on_change(workspace)

    def _is_lost(self) -> bool:
        """Whether the version in force has lost its code."""
        return self._host is not None and self._host.is_lost


def may_pass(faults: Iterable[Fault]) -> bool:
    """Whether these faults may be over when the same code is loaded again."""
    return all(fault.code in _PASSING for fault in faults)
