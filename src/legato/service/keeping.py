"""Makes room: lets go of what is older than the project keeps it, a little at a time, and never of what is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Protocol

from msgspec import Struct

from legato.declare.keep import DAY_S, Keep
from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.ports.keeping import Removal, Waste
from legato.ports.storage import Storage
from legato.ports.store import Store, Version
from legato.service.logfiles import old_logs
from legato.terms.attempt import Image, Ref
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant, after
from legato.triggers.events import decode
from legato.worker.capture import remove_session

NEWEST = 100
"""So many of the newest runs, decisions, records of what was done and versions of the project stay, however old they are."""
GRACE_S = 3600.0
"""The bytes of a value stay so long after its record went: somebody outside may be reading them."""
_DEAD_TOKEN_S = 30 * DAY_S
_RUNS, _EVENTS, _VERSIONS, _RECORDS, _VALUES = 20, 500, 100, 200, 20
"""How many of each are looked at in one piece of the work: some milliseconds."""
_SIBLINGS = 4
_SHARE, _SHARE_LOOKING = 0.1, 0.003

Name = tuple[str, str, str]
"""Asset, partition and version."""


class Part(Struct, frozen=True):
    """A little of the work: values and files to delete, and what leaves the store. Nothing, where all was found to be needed."""

    removal: Removal
    values: tuple[Ref, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def is_work(self) -> bool:
        """Whether there is something to do."""
        return bool(self.removal or self.values or self.files)


class Place(Protocol):
    """Where a project keeps things, and for how long."""

    @property
    def keep(self) -> Keep:
        """How long what is old is kept."""
        ...

    @property
    def storages(self) -> Mapping[str, Storage]:
        """The storages by name."""
        ...

    @property
    def logs(self) -> Path:
        """The folder below which attempts' output stands."""
        ...


class Keeper:
    """Keeps what a project keeps, and lets go of the rest. `place` may be another at any time; `states` are those of open runs.
    How far it has looked among the versions is noted after every so many.

    A value goes in two steps, each of which can be repeated. Its record goes, and the store notes in the same transaction that
    it is waste; its bytes go when nobody can be reading them: every run that was open then is over. So nothing takes long, and a
    crash leaves nothing that the next round does not find.
    """

    def __init__(
        self, store: Store, place: Callable[[], Place], states: Callable[[], Iterable[RunState]], *,
        newest: int = NEWEST, grace_s: float = GRACE_S, noted: int = 2_000,
    ) -> None:  # fmt: skip
        self._store, self._place, self._states = store, place, states
        self._newest, self._grace_s, self._noted = newest, grace_s, noted
        self._stuck: set[int] = set()

    @property
    def _keep(self) -> Keep:
        return self._place().keep

    def round(self, now: Instant) -> Iterator[Part]:
        """All there is to do now, part by part. Each is to be done before the next is asked for."""
        for part in self.spare_runs(now):
            yield part
            yield from self._events(now)
        yield from self._events(now)
        yield from self.spare_versions(now)
        yield from self.spare_records(now)
        yield from self._waste(now)
        yield from self.spare_logs(now)

    def do(self, part: Part) -> None:
        """Do a part. What cannot be deleted now is tried again in the next round."""
        removal = part.removal
        if part.values:
            gone = [number for number, ref in zip(removal.discarded, part.values, strict=True) if self._discard(ref)]
            self._stuck.update(set(removal.discarded) - set(gone))
            removal = Removal(discarded=gone)
        if removal:
            self._store.remove(removal)
        for path in part.files:
            with suppress(OSError):
                path.unlink()
                remove_session(path.parent)

    # -- runs --

    def spare_runs(self, now: Instant) -> Iterator[Part]:
        """Runs that ended long ago; those stay that open troubles speak of."""
        if (until := _before(now, self._keep.runs_s)) is None:
            return
        newest = {run.id for run in self._store.runs(limit=self._newest)}
        needed = {trouble.run for trouble in self._store.troubles()}
        number = 0
        while page := self._store.oldest_runs(number, _RUNS):
            number = page[-1][0]
            old = [run for _, run in page if run.id not in newest and max(run.at, run.ended or run.at) <= until]
            yield Part(Removal(runs=[run.id for run in old if run.state != "open" and run.id not in needed]))
            if not old:
                return

    def _events(self, now: Instant) -> Iterator[Part]:
        """What removed runs have left: their events, and the values that they made for themselves."""
        while page := self._store.removed_events(_EVENTS):
            wasted = [Waste(ref, now) for _, run, body in page for ref in self.own_values(run, body)]
            yield Part(Removal(events=[number for number, _, _ in page], wasted=wasted))

    def own_values(self, run: str, body: bytes) -> Iterator[Ref]:
        """What an event says that its run stored, but for versions of assets: those go for reasons of their own."""
        try:
            event = ev.decode(body)
        except ValueError:  # it cannot be read any more; its values are found by the doctor
            return
        for ref in stored_by(event):
            named = ref.asset, ref.partition, ref.version
            if ref.version.startswith(f"{run}-") and ref.location and self._store.version(*named) is None:
                yield ref

    # -- versions --

    def spare_versions(self, now: Instant, *, all: bool = False) -> Iterator[Part]:
        """Old versions that nobody reads and no open run could publish again; from where the last round stopped, or `all`."""
        if not self._keep.versions:
            return
        number = 0 if all else self._store.looked()
        while page := self._store.oldest_versions(number, _VERSIONS):
            number, siblings = page[-1][0], _Siblings(self._store, self._keep.versions)
            spare = [version for each, version in page if self._is_spare(each, version, siblings, now)]
            if spare:
                needed = self._needed()
                spare = [version for version in spare if _name(version.ref) not in needed]
            wasted = [Waste(version.ref, now) for version in spare if version.ref.location]
            is_far = len(page) == _VERSIONS and number - self._store.looked() >= self._noted
            noted = number if spare or is_far else None
            yield Part(Removal(versions=[_name(each.ref) for each in spare], wasted=wasted, looked=noted))
        if self._store.looked() and not all:
            yield Part(Removal(looked=0))

    def _is_spare(self, number: int, version: Version, siblings: _Siblings, now: Instant) -> bool:
        """Whether nobody reads it, and there are enough newer ones."""
        keep = self._keep
        if keep.versions_s is not None and version.at > after(now, -keep.versions_s):
            return False
        if siblings.newer(number, version) < keep.versions:
            return False
        head = self._store.head(version.ref.asset, version.ref.partition)
        return head is None or head.version != version.ref.version

    def _needed(self) -> set[Name]:
        """What open runs need to be rolled back: the versions that they published, and those that they publish again then."""
        return {
            (swap.asset, state.plan.steps[step].partition, version)
            for state in self._states()
            for step, swaps in state.swaps.items()
            for swap in swaps
            for version in (swap.version, swap.former)
        }

    # -- other records --

    def spare_records(self, now: Instant) -> Iterator[Part]:
        """Decisions, records of what was done, versions of the project, secrets that expired, starts that count no longer."""
        yield from self._decisions(now)
        yield from self._audits(now)
        yield Part(Removal(projects=self._projects(now)))
        dead = after(now, -_DEAD_TOKEN_S)
        yield Part(Removal(tokens=[token.digest for token in self._store.tokens() if token.expires <= dead]))
        if any(start.until <= now for start in self._store.starts()):
            yield Part(Removal(starts=now))

    def _decisions(self, now: Instant) -> Iterator[Part]:
        """A tick of the clock is behind the trigger for good. Of anything else stays that it was decided: a file that still lies
        where it arrived does not arrive again."""
        newest = self._store.decisions(limit=self._newest)
        if (until := _before(now, self._keep.runs_s)) is None or not newest:
            return
        number, first_new = 0, newest[-1][0]
        while page := self._store.oldest_decisions(number, _RECORDS):
            number = page[-1][0]
            old = [(each, made) for each, made in page if each < first_new and decode(made.body).on <= until]
            gone = [(each, made) for each, made in old if not made.waits and not self._is_open(made.run)]
            known = [(made.trigger, made.key) for _, made in gone if not decode(made.body).timed]
            yield Part(Removal(decisions=[each for each, _ in gone], known=known))
            if not old:
                return

    def _is_open(self, run_id: str) -> bool:
        run = self._store.run(run_id) if run_id else None
        return run is not None and run.state == "open"

    def _audits(self, now: Instant) -> Iterator[Part]:
        newest = self._store.audits(limit=self._newest)
        if (until := _before(now, self._keep.audit_s)) is None or not newest:
            return
        first_new = newest[-1][0]
        number = 0
        while page := self._store.oldest_audits(number, _RECORDS):
            number = page[-1][0]
            old = [each for each, audit in page if audit.at <= until and each < first_new]
            yield Part(Removal(audits=old))
            if not old:
                return

    def _projects(self, now: Instant) -> list[str]:
        """Versions of the project that were out of force before the first run began that is kept, and that no open run is of."""
        kept = self._store.oldest_runs(limit=1)
        if (until := _before(now, self._keep.runs_s)) is None or not kept:
            return []
        until = min(until, kept[0][1].at)
        pinned = {run.project for run in self._store.runs(limit=_RECORDS * _RECORDS, state="open")}
        versions = self._store.projects(limit=_RECORDS * _RECORDS)
        return [
            version.fingerprint
            for place, version in enumerate(versions)
            if place >= self._newest and versions[place - 1].at <= until and version.fingerprint not in pinned
        ]

    # -- bytes --

    def _waste(self, now: Instant) -> Iterator[Part]:
        """Values without a record that no open run, and nobody who has just begun to read, can have in hand."""
        self._stuck.clear()
        while found := self._store.wastes(self._horizon(now, self._grace_s), _VALUES + len(self._stuck)):
            page = [(number, waste.ref) for number, waste in found if number not in self._stuck]
            if not page:
                return
            yield Part(Removal(discarded=[number for number, _ in page]), values=tuple(ref for _, ref in page))

    def _horizon(self, now: Instant, age_s: float) -> Instant:
        """So long ago, or when the first of the open runs began, if that was before."""
        first = self._store.oldest_open()
        limit = after(now, -age_s)
        return limit if first is None else min(limit, first.at)

    def _discard(self, ref: Ref) -> bool:
        """Delete a value; whether there is nothing more to do about it."""
        storage = self._place().storages.get(ref.storage)
        if storage is None:  # the project has given up that storage, and with it what is there
            return True
        try:
            storage.discard(ref)
        except LegatoError:
            return False
        return True

    def spare_logs(self, now: Instant) -> Iterator[Part]:
        """Output of attempts, where the whole file is old."""
        if self._keep.logs_s is not None:
            for files in old_logs(self._place().logs, self._horizon(now, self._keep.logs_s)):
                yield Part(Removal(), files=files)


def make_room(keeper: Keeper, now: Instant, most_s: float = 0.02) -> None:
    """Do as much of a round as can be done in that time, and at least one part of it."""
    until = perf_counter() + most_s
    for part in keeper.round(now):
        keeper.do(part)
        if perf_counter() >= until:
            return


class _Siblings:
    """The newest versions of asset partitions, as they were at one moment."""

    def __init__(self, store: Store, keeps: int) -> None:
        self._store, self._most = store, _SIBLINGS * keeps
        self._known: dict[tuple[str, str], list[tuple[int, Version]]] = {}

    def newer(self, number: int, version: Version) -> int:
        """How many are newer than this version and of its kind: published, or not."""
        key = version.ref.asset, version.ref.partition
        if key not in self._known:
            self._known[key] = self._store.versions(*key, limit=self._most)
        is_published = version.state == "published"
        return sum(at > number and (each.state == "published") == is_published for at, each in self._known[key])


class Rounds:
    """Does a keeper's rounds, a little whenever it is asked to, with pauses between rounds.

    Where nothing is to go it takes 0.3 % of the time, however much there is to look at; where something is, 10 %.
    """

    def __init__(self, keeper: Keeper, *, first_after_s: float = 60.0, pause_s: float = 600.0) -> None:
        self._keeper, self._pause_s = keeper, pause_s
        self._parts: Iterator[Part] | None = None
        self._due_s = perf_counter() + first_after_s

    def go_on(self, now: Instant) -> None:
        """Do one part, if it is time."""
        began_s = perf_counter()
        if began_s < self._due_s:
            return
        if self._parts is None:
            self._parts = self._keeper.round(now)
        part = next(self._parts, None)
        if part is None:
            self._parts = None
            self._due_s = perf_counter() + self._pause_s
            return
        self._keeper.do(part)
        share = _SHARE if part.is_work else _SHARE_LOOKING
        took_s = perf_counter() - began_s
        self._due_s = perf_counter() + took_s * (1 / share - 1)


def stored_by(event: ev.AnyEvent) -> list[Ref]:
    """What an event says is stored, versions aside: what tasks and flows handed on, and pictures that steps told."""
    match event:
        case ev.StepSucceeded(kept=Ref() as kept):
            return [kept]
        case ev.FactsNoted():
            return [fact.kept for fact in event.facts if isinstance(fact, Image)]
        case ev.StepsCalled() | ev.StepsRevived():
            return [ref for call in event.calls for ref in call.refs()]
    return []


def _before(now: Instant, age_s: float | None) -> Instant | None:
    return None if age_s is None else after(now, -age_s)


def _name(ref: Ref) -> Name:
    return ref.asset, ref.partition, ref.version
