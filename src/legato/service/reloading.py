"""Keeps the newest sound code at work: a changed file is loaded beside what runs, and takes over when it is sound."""

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
from legato.service.former import not_the_same, unloadable
from legato.service.projects import Kept, keep_project
from legato.service.workspace import Workspace
from legato.terms.errors import Fault, InvalidProject, LegatoError

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

    Where the files are not, and no version is at work, the one that was in force last is loaded: `kept` has its code.

    Call `step` in the loop: it never waits. `workspace` is the project in force, without its code; None before the first that
    is sound. `faults` is all that is wrong with the files as they are now; empty if they are in force, or are being loaded.
    """

    def __init__(
        self, open_host: OpenHost, build: Callable[[Snapshot], Workspace], watch: SourceWatch, *,
        release: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.open_host, self.build, self._watch, self._release = open_host, build, watch, release
        self._coming: Host | None = open_host(None)
        self._standing_in = ""
        """Which version of before was loaded last; empty if it was that of the files."""
        self._is_kept_in_vain = False
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
        self.kept: Callable[[], Kept | None] = lambda: None
        """The version that was in force last, with its code, where that is kept."""

    @property
    def is_standing_in(self) -> bool:
        """Whether the version that was in force last is being loaded, as the files are broken."""
        return bool(self._standing_in) and self._coming is not None

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
            self._deaths, self._is_kept_in_vain = 0, False
            self._load()
        self._take_up(conductor)
        if conductor is not None and not self._is_lost():
            for edition in [each for each in conductor.editions if getattr(each.executor, "is_lost", False)]:
                self.on_lost(conductor, edition)
        if self._coming is None and self._can_mend():
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

    def _load(self, kept: Kept | None = None) -> None:
        """Load the files as they are now, or what is kept; what was being loaded is out of date."""
        if self._coming is not None:
            self.retire(self._coming)
        self._coming, self._due = self.open_host(None if kept is None else kept.code), None
        self._standing_in = "" if kept is None else kept.fingerprint

    def _load_later(self) -> None:
        now = time.monotonic()
        if self._due is None:
            self._deaths = 0 if now - self._since > _STEADY_S else self._deaths + 1
            self._due = now + _PAUSES_S[min(self._deaths, len(_PAUSES_S)) - 1] if self._deaths else now
        if now < self._due:
            return
        if not self._wants_kept():
            self._load()
        elif (kept := self.kept()) is not None:
            self._load(kept)
        else:
            self._is_kept_in_vain, self._due = True, None

    def _can_mend(self) -> bool:
        """Whether there is something to load, though no file has changed."""
        return self._wants_kept() or (may_pass(self.faults) and (bool(self.faults) or self._is_lost()))

    def _wants_kept(self) -> bool:
        """Whether the version that was in force last is to be loaded next: none is at work, and the files have been tried."""
        is_at_work = self._host is not None and not self._is_lost()
        if is_at_work or self._is_kept_in_vain or not self.faults:
            return False
        return not self._standing_in or not may_pass(self.faults)

    def _take_up(self, conductor: Conductor | None) -> None:
        """What was loaded comes into force if it is sound, and other than what is."""
        host = self._coming
        if host is None:
            return
        try:
            snapshot = host.snapshot()
        except InvalidProject as error:
            self._drop(host)
            if not self._standing_in:
                self.faults = list(error.faults)
            elif not may_pass(error.faults):
                self._give_up_kept(unloadable(self._standing_in, error.faults))
            return
        if snapshot is None:
            return
        if self._standing_in not in ("", snapshot.fingerprint):
            self._drop(host)
            self._give_up_kept(not_the_same(self._standing_in))
            return
        self._coming = None
        if not self._standing_in:
            self.faults = []
        if self._is_in_force(snapshot):
            self.retire(host)
        else:
            self._put_in_force(conductor, host, snapshot)

    def _drop(self, host: Host) -> None:
        """What was loaded is not sound."""
        self._coming, self._since = None, time.monotonic()
        self.retire(host)

    def _give_up_kept(self, error: LegatoError) -> None:
        """Nothing can stand in for broken files."""
        self._is_kept_in_vain = True
        self.faults = [*self.faults, Fault(error.code, error.what, hint=error.why)]

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
