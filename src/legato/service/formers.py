"""Versions of before at work beside the newest, each with the code that is kept of it, for the runs that began with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from legato.declare.snapshot import decode
from legato.ports.store import Run
from legato.runtime.asleep import Asleep
from legato.runtime.conductor import Conductor
from legato.runtime.edition import Edition
from legato.service.former import has_code, not_kept, not_the_same, require_code, unloadable
from legato.service.reloading import Host, Reloader, may_pass
from legato.service.workspace import Workspace
from legato.terms.errors import InvalidProject, LegatoError

MOST_AWAKE = 2
"""How many versions of before have workers at once; each is a process of its own, and one for each worker."""
_REST_AFTER_S = 60.0
"""So long a version may have nothing to do before its workers end; they come again when there is something."""
_MOST_DEATHS, _STEADY_S = 3, 2.0
"""A version whose code host dies so often, each time before it has lived for so long, is given up."""

Ready = Callable[[Edition, Workspace], None]
Refused = Callable[[LegatoError], None]


@dataclass(eq=False, slots=True)
class _Former:
    """A version of before. `wanted` are those who wait for its code; `host` has it, once `loaded` (`since_s`); None while
    it rests. It had something to do last at `busy_s`."""

    edition: Edition
    host: Host | None = None
    loaded: bool = False
    deaths: int = 0
    since_s: float = 0.0
    busy_s: float = 0.0
    told: bool = False
    wanted: list[tuple[Ready, Refused]] = field(default_factory=list)


class Formers:
    """Sees that runs end with the code that they began with. Call `step` in each turn, before it is committed.

    A version has workers while it has something to do, and then for a little while. Few have some at once: the others wait, the
    older runs first. Runs of a version whose code cannot be had go on with the code of now; `tell` is told.
    """

    def __init__(
        self, conductor: Conductor, reloader: Reloader, newest: Callable[[], Workspace], tell: Callable[[str], None]
    ) -> None:
        self._conductor, self._reloader, self._newest, self._tell = conductor, reloader, newest, tell
        self._store = conductor.store
        self._formers: list[_Former] = []
        self._known: set[Edition] = set()
        reloader.on_lost = lambda _, edition: self._lose(edition)

    def restore(self, runs: Iterable[Run]) -> None:
        """Let the versions of these runs be at work, before they are adopted, as far as their code is kept."""
        for run in runs:
            if self._conductor.edition_of(run.project) is None:
                try:
                    self._open(run.project)
                except LegatoError as error:
                    self._tell(f"run {run.id} goes on with the code of now: {error.what}")

    def want(self, fingerprint: str, ready: Ready, refused: Refused) -> None:
        """Have a version at work: one of the two is called, at once or in a turn to come."""
        edition = self._conductor.edition_of(fingerprint)
        if edition is self._conductor.edition:
            ready(edition, self._newest())
            return
        try:
            former = self._open(fingerprint) if edition is None else self._former_of(edition)
        except LegatoError as error:
            refused(error)
            return
        if former is None:  # nobody keeps its code, but it is at work
            assert edition is not None
            ready(edition, self._workspace_of(fingerprint))
            return
        former.edition.asking += 1  # it stays until whoever wants it has it
        former.wanted.append((ready, refused))

    def step(self) -> None:
        """Take up what was loaded, let those rest that have nothing to do, and wake those that have."""
        if not self._formers and len(self._conductor.editions) == 1:
            return
        self._take_in()
        for former in list(self._formers):
            if former.host is not None:
                self._look_at(former, former.host)
        self._conductor.close_editions()
        self._formers = [each for each in self._formers if each.edition in self._conductor.editions]
        self._known &= set(self._conductor.editions)
        for former in self._formers:
            if former.host is None and self._has_work(former):
                self._wake(former)

    # -- opening --

    def _open(self, fingerprint: str) -> _Former:
        if not any(each.fingerprint == fingerprint and each.code for each in self._store.projects(limit=1_000)):
            raise not_kept(fingerprint)
        workspace = self._workspace_of(fingerprint)
        edition = self._conductor.open_former(
            workspace.graph, workspace.extents(self._store), Asleep(), storages=workspace.storages
        )  # fmt: skip
        self._formers.append(_Former(edition))
        self._known.add(edition)
        return self._formers[-1]

    def _former_of(self, edition: Edition) -> _Former | None:
        self._take_in()
        return next((each for each in self._formers if each.edition is edition), None)

    def _take_in(self) -> None:
        """Editions that a newer one has followed are such versions, too, if their code is kept."""
        for edition in self._conductor.editions[:-1]:
            if edition not in self._known:
                self._known.add(edition)
                if has_code(self._store, edition.fingerprint):
                    self._formers.append(_Former(edition, cast(Host, edition.executor), True, since_s=time.monotonic()))

    def _workspace_of(self, fingerprint: str) -> Workspace:
        body = self._store.project(fingerprint)
        if body is None:
            raise not_kept(fingerprint)
        return self._reloader.build(decode(body))

    # -- at work --

    def _look_at(self, former: _Former, host: Host) -> None:
        if not former.loaded:
            try:
                snapshot = host.snapshot()
            except InvalidProject as error:
                self._fail(former, unloadable(former.edition.fingerprint, error.faults), may_pass(error.faults))
                return
            if snapshot is None:
                return
            if snapshot.fingerprint != former.edition.fingerprint:
                self._give_up(former, not_the_same(former.edition.fingerprint))
                return
            host.manuscript, former.loaded, former.since_s = None, True, time.monotonic()
        wanted, former.wanted = former.wanted, []
        for ready, _ in wanted:
            former.edition.asking -= 1
            ready(former.edition, self._workspace_of(former.edition.fingerprint))
        if former.deaths and time.monotonic() - former.since_s > _STEADY_S:
            former.deaths = 0
        if self._has_work(former):
            former.busy_s = time.monotonic()
        elif time.monotonic() - max(former.since_s, former.busy_s) > _REST_AFTER_S:
            self._rest(former)

    def _has_work(self, former: _Former) -> bool:
        return bool(former.wanted) or self._conductor.has_work(former.edition)

    def _wake(self, former: _Former) -> None:
        """Open a code host for it, if there is room, or another can rest meanwhile."""
        awake = [each for each in self._formers if each.host is not None]
        idle = [each for each in awake if each.loaded and not self._has_work(each)]
        if len(awake) >= MOST_AWAKE and not idle:
            if not former.told:
                former.told = True
                self._tell(f"{self._named(former)} waits: no more than {MOST_AWAKE} versions of before are at work at once")
            return
        if len(awake) >= MOST_AWAKE:
            self._rest(min(idle, key=lambda each: each.busy_s))
        try:
            manuscript = require_code(self._store, former.edition.fingerprint)
        except LegatoError as error:
            self._give_up(former, error)
            return
        former.host, former.loaded, former.told = self._reloader.open_host(manuscript), False, False
        self._conductor.renew(former.edition, former.host)

    def _rest(self, former: _Former) -> None:
        former.host, former.loaded = None, False
        self._conductor.renew(former.edition, Asleep())

    # -- what goes wrong --

    def _lose(self, edition: Edition) -> None:
        """The workers of an edition are gone for good: others load the code that is kept of it."""
        former = self._former_of(edition)
        if former is None or edition.fingerprint == self._conductor.edition.fingerprint:
            if former is None and edition.fingerprint != self._conductor.edition.fingerprint:
                self._tell_moved(edition, not_kept(edition.fingerprint))
            self._conductor.abandon(edition)
            return
        if former.loaded:  # else the next step hears why
            what = f"the code host of version {edition.fingerprint[:12]} died again and again"
            self._fail(former, LegatoError("code-died", what, next="legato logs"), passing=True)

    def _fail(self, former: _Former, error: LegatoError, passing: bool) -> None:
        """Load it again, if that may help."""
        former.deaths += 1
        if passing and former.deaths < _MOST_DEATHS:
            self._rest(former)
        else:
            self._give_up(former, error)

    def _give_up(self, former: _Former, error: LegatoError) -> None:
        """Its code cannot be had: its runs go on with the code of now, and who wanted it hears why not."""
        self._formers.remove(former)
        wanted, former.wanted = former.wanted, []
        for _, refused in wanted:
            former.edition.asking -= 1
            refused(error)
        self._tell_moved(former.edition, error)
        self._conductor.abandon(former.edition)

    def _tell_moved(self, edition: Edition, error: LegatoError) -> None:
        for run in sorted(edition.runs):
            self._tell(f"run {run} goes on with the code of now: {error.what}{f' ({error.why})' if error.why else ''}")

    def _named(self, former: _Former) -> str:
        runs = len(former.edition.runs)
        return f"version {former.edition.fingerprint[:12]} ({runs} open run{'' if runs == 1 else 's'})"
