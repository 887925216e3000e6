"""What runs share: the order of their ready steps, the room in pools, and who is writing which asset partition.

Derived from the runs' events, but for the starts that a rate still counts: those outlive their runs, and are stored.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from legato.declare.pool import Limit
from legato.kernel.lanes import Doors, Lane, Lanes, Share
from legato.terms.instant import Instant, after

if TYPE_CHECKING:
    from legato.kernel.state import RunState

Claim = tuple[str, str]
"""An asset and a partition."""

Owner = tuple[str, int]
"""A run and a step."""

Start = tuple[Share, Instant]
"""When an attempt started that a rate counts."""

STEP_BITS, RUN_BITS = 32, 24
_RUN_MASK, _TURN_MASK = (1 << RUN_BITS) - 1, (1 << STEP_BITS) - 1
YIELDING = 1 << 88
"""Above every minute there is: keys from here on are of runs that yield to all others."""
_MINUTE_US = 60_000_000
NOTHING: Mapping[Share, int] = {}


class Track:
    """Where the runs of one version of the project stand: lanes of steps, and of flows apart, that go to the same workers.

    `attempts` are under way, `flow_attempts` of them are of flows.
    """

    __slots__ = ("attempts", "flow_attempts", "flows", "steps")

    def __init__(self, doors: Doors) -> None:
        self.steps, self.flows = Lanes(doors), Lanes(doors)
        self.attempts = self.flow_attempts = 0


class Board:
    """Pools and claims, and a track for each version of the project at work.

    A claim that is taken parks whoever asks; when it is free again, they are called in order of asking. `fresh` are the starts
    that are not stored yet, where somebody stores them (`keep`).
    """

    def __init__(self, limits: Mapping[str, Limit] | None = None, starts: Iterable[Start] = (), *, keep: bool = False) -> None:
        self.limits = dict(limits or {})
        self.used: Counter[Share] = Counter()
        self.starts: dict[Share, deque[Instant]] = {}
        self.claims: dict[Claim, Owner] = {}
        self.parked: dict[Claim, list[Callable[[], None]]] = {}
        self.track = Track(self)
        """The first of the tracks; runs that name no other are on it."""
        self.tracks = [self.track]
        self.fresh: list[Start] = []
        self._now = Instant(0)
        self._leaving: list[tuple[Instant, Share]] = []
        self._runs: dict[int, RunState] = {}
        self._next_run = 0
        self.yielding = 0
        """How many of the runs yield to all others."""
        for share, at in starts:
            self._count(share, at)
        self._keep = keep

    # -- runs and their steps --

    def enter(self, state: RunState) -> int:
        """A run joins, with a pool of its own if its plan wants one; its number here.

        Of steps that became ready in the same minute those of the older run go first.
        """
        while self._next_run in self._runs:
            self._next_run = (self._next_run + 1) & _RUN_MASK
        number = self._next_run
        self._next_run = (number + 1) & _RUN_MASK
        self._runs[number] = state
        if (backfill := state.plan.backfill) is not None and backfill.at_once is not None:
            self.limits[state.own_pool] = Limit(backfill.at_once)
        self.yielding += state.yields
        return number

    def leave(self, number: int) -> None:
        """A run has ended: what is left of it in the lanes stands for nothing."""
        state = self._runs.pop(number, None)
        if state is not None:
            self.limits.pop(state.own_pool, None)
            self.yielding -= state.yields

    def behold(self, state: RunState) -> None:
        """Count what a run holds as it stands, so that one can see who waits for whom; nothing of it starts from here."""
        self.enter(state)
        for lane in (*(attempt.lane for attempt in state.running.values()), *state.seats.values()):
            self.used.update(lane)
        for index in state.running:
            self.take(state.claims(index), (state.run_id, index))

    def runs(self) -> Iterable[RunState]:
        """The runs that are here and have not ended."""
        return self._runs.values()

    @staticmethod
    def key(ready: Instant, priority: int, run: int, turn: int, *, yields: bool = False) -> int:
        """A number that sorts ready steps: a level of priority is worth a minute of waiting; then run by run, each in its order.

        Steps of a run that `yields` come after all others, however long they have waited.
        """
        sorted_by = ((ready // _MINUTE_US - priority) << RUN_BITS | run) << STEP_BITS | turn
        return sorted_by + YIELDING if yields else sorted_by

    def first(self, lanes: Lanes, now: Instant, taken: Mapping[Share, int] = NOTHING) -> tuple[RunState, int, int] | None:
        """The run and the step that is to start first of those that may, and its key."""
        self._now = now
        key = lanes.first(taken)
        if key is None:
            return None
        state = self._runs[(key >> STEP_BITS) & _RUN_MASK]
        return state, state.step_in(key & _TURN_MASK), key

    def is_ready(self, key: int) -> bool:
        """Whether the entry still stands for a step that is ready, of a run that takes steps."""
        state = self._runs.get((key >> STEP_BITS) & _RUN_MASK)
        return state is not None and state.takes(state.step_in(key & _TURN_MASK))

    # -- tracks --

    @property
    def attempts(self) -> int:
        """How many attempts are under way."""
        return sum(track.attempts for track in self.tracks)

    def open_track(self) -> Track:
        """Lanes for runs that other workers make."""
        self.tracks.append(Track(self))
        return self.tracks[-1]

    def close_track(self, track: Track) -> None:
        """Nothing stands there any more, and nothing will."""
        self.tracks.remove(track)

    # -- pools --

    def allow(self, limits: Mapping[str, Limit]) -> None:
        """Let these limits hold from now on, also for what is under way; pools that are not among them keep theirs."""
        self.limits.update(limits)
        counted, self.starts, self._leaving = self.starts, {}, []
        for share, at in ((share, at) for share, times in counted.items() for at in times):
            self._count(share, at)
        for share in self.used.keys() | counted.keys():
            self._reopen(share)

    def admit(self, limits: Mapping[str, Limit]) -> None:
        """Let these limits hold for the pools that have none yet."""
        self.allow({pool: limit for pool, limit in limits.items() if pool not in self.limits})

    def shut(self, lane: Lane, taken: Mapping[Share, int] = NOTHING, *, now: Instant | None = None) -> Share | None:
        """The first share of the lane that allows no further attempt now; `taken` are attempts about to start."""
        self._now = self._now if now is None else now
        for share in lane:
            limit = self.limits.get(share[0])
            if limit is None:
                continue
            more = taken.get(share, 0)
            if limit.slots is not None and self.used[share] + more >= limit.slots:
                return share
            if limit.starts is not None and len(self._counted(share)) + more >= limit.starts:
                return share
        return None

    def reopens(self, share: Share, now: Instant) -> Instant | None:
        """When the share's rate allows the next start; None where it is not the rate that forbids it."""
        limit, self._now = self.limits.get(share[0]), now
        counted = self._counted(share)
        return after(counted[0], limit.period_s) if limit and limit.starts is not None and len(counted) >= limit.starts else None

    def next_due(self) -> Instant | None:
        """When a rate next forgets a start."""
        return self._leaving[0][0] if self._leaving else None

    def pass_time(self, now: Instant) -> None:
        """Forget the starts that rates do not count any more."""
        self._now = now
        while self._leaving and self._leaving[0][0] <= now:
            _, share = heappop(self._leaving)
            if not self._counted(share):
                self.starts.pop(share, None)
            self._reopen(share)

    def _counted(self, share: Share) -> deque[Instant]:
        counted = self.starts.get(share)
        if counted is None:
            return _NONE
        oldest = after(self._now, -self.limits[share[0]].period_s)
        while counted and counted[0] <= oldest:
            counted.popleft()
        return counted

    def _count(self, share: Share, at: Instant) -> None:
        limit = self.limits.get(share[0])
        if limit is None or limit.starts is None:
            return
        self.pass_time(max(self._now, at))
        self.starts.setdefault(share, deque()).append(at)
        heappush(self._leaving, (after(at, limit.period_s), share))

    def _reopen(self, share: Share) -> None:
        for track in self.tracks:
            track.steps.reopen(share)
            track.flows.reopen(share)

    # -- attempts --

    def holder(self, claims: tuple[Claim, ...], owner: Owner) -> tuple[Claim, Owner] | None:
        """The first of the claims that somebody else holds, and who."""
        for claim in claims:
            other = self.claims.get(claim)
            if other is not None and other != owner:
                return claim, other
        return None

    def park(self, claim: Claim, call: Callable[[], None]) -> None:
        """Call this once the claim is free."""
        self.parked.setdefault(claim, []).append(call)

    def seat(self, lane: Lane, at: Instant) -> None:
        """A slot of each of these pools is taken, and its rate counts a start."""
        for share in lane:
            self.used[share] += 1  # also where nothing limits it: a limit may come before the slot is free again
            self._count(share, at)
            if self._keep and (limit := self.limits.get(share[0])) is not None and limit.starts is not None:
                self.fresh.append((share, at))

    def unseat(self, lane: Lane) -> None:
        """The slots are free again."""
        for share in lane:
            self.used[share] -= 1
            if not self.used[share]:
                del self.used[share]
            self._reopen(share)

    def take(self, claims: tuple[Claim, ...], owner: Owner) -> None:
        """An attempt of the owner has started."""
        for claim in claims:
            self.claims[claim] = owner

    def give_back(self, claims: tuple[Claim, ...], owner: Owner) -> None:
        """The owner's attempt is over: its claims are free, and who waited for them is called."""
        for claim in claims:
            if self.claims.get(claim) == owner:
                del self.claims[claim]
                for call in self.parked.pop(claim, ()):
                    call()


_NONE: deque[Instant] = deque()
