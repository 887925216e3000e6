"""The state of one run, in columns: about 40 bytes a step besides its plan, and counters instead of scans."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct

from legato.kernel.board import Board, Track
from legato.kernel.calls import Calls
from legato.kernel.events import Outcome, SkipKind
from legato.kernel.joints import Joints
from legato.kernel.lanes import Lane, Lanes
from legato.kernel.shelf import Shelf
from legato.plan.records import Handling, Plan, Reason, Reused
from legato.terms.attempt import LogSpan, Mode, Ref, Wait
from legato.terms.codec import fingerprint, unpack
from legato.terms.fact import Error
from legato.terms.instant import Instant


class Status(IntEnum):
    """Where a step stands. Everything from FRESH on is an outcome."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    BACKOFF = 3
    HELD = 4
    PARKED = 5
    FRESH = 6
    SUCCEEDED = 7
    SKIPPED = 8
    FAILED = 9
    CANCELLED = 10
    UNDONE = 11


WAITING, READY, RUNNING, BACKOFF, HELD, PARKED, FRESH, SUCCEEDED, SKIPPED, FAILED, CANCELLED, UNDONE = map(int, Status)
IDLE = frozenset((WAITING, READY, BACKOFF, HELD, PARKED))
"""Without an outcome, and without an attempt under way."""
CALLED = Reason("called")
_LONG_AGO = Instant(0)
_IS_FRESH = bytes(code == FRESH for code in range(256))


class Swap(NamedTuple):
    """A version that a step published, and the one it replaced (empty: none)."""

    asset: str
    version: str
    former: str


class Attempt(Struct, gc=False):
    """An attempt under way. `called` are the steps that a flow called in this one; only noted since code has changed."""

    token: int
    mode: Mode
    started: Instant
    deadline: Instant | None
    lane: Lane
    stopping: str = ""
    called: set[int] | None = None
    log: LogSpan | None = None


class RunState:
    """One run. Only `fold` changes it (and the lanes of what is ready or due, from which a decision takes).

    `joints` say who waits for whom; `seats` are the slots that flows hold until they have their outcome; `backoff` is when a
    step's next try is due, `since` when the first one began (where `max_time` limits them all); entries of `due` that say
    otherwise are stale. `values` and `kept` are results of tasks that other steps read; `fallen` are failures whose
    consequences are not decided yet. `recorded` are the tokens of attempts whose stored outputs are on record; `swaps` says
    what each step published, and what that replaced; `undone` how often a step was undone.

    Steps from `planned` on were called by flows: `calls` says by which, and how. A flow in `parked` waits for the outcome of any
    of its steps; `dormant` steps are tried anew if their flow, resumed or tried again, calls them again; flows in `retried`
    are to be tried again.
    `later` is how nodes of the project of now are handled, for calls of what the plan does not know. `codes` are the codes of
    nodes after each change of the project under way; `made` says, of calls that ended since, after how many of them.
    `signals` are those that came before anybody waited for them, by name; `heard` says which came.
    `noted` are the keys of the facts that a flow has told, so that it does not tell them again.
    `shelf` holds what the plan reuses of earlier runs; `taken` says which steps took what of it.
    `told` are, by flow, outcomes that it has not been told of yet; `orphaned` are ended flows whose calls are still open.
    `asked` are steps that became ready, of which nobody has looked yet whether an earlier run's result is in the cache, or (of a
    backfill, that `joins` with others) whether another run has made it meanwhile; `cached` are those for which it was so, `keys`
    what their own functions have said to find it under.
    `spared` are skipped steps for which nothing was to be done: a condition said no to them, or to what they wait for.
    `turns` are the steps in the order in which a plan wants them to start, `turn_of` the place of each there; both empty where
    that is the order of the plan. `begun` is since when the run is here.
    """

    __slots__ = (
        "asked", "attempts",
        "backoff", "begun",
        "board",
        "cached", "calls",
        "cancelling",
        "causes",
        "codes",
        "counts",
        "done_order",
        "dormant",
        "due",
        "ended",
        "errors",
        "fails",
        "fallback_due",
        "fallen",
        "halted",
        "heard",
        "joins",
        "joints",
        "kept", "keys",
        "later",
        "losses",
        "made",
        "next_token",
        "noted",
        "number",
        "orphaned",
        "parked", "paused",
        "plan",
        "planned",
        "recorded",
        "retried",
        "rolling",
        "run_id",
        "running",
        "seats",
        "shelf",
        "signals",
        "since", "spared",
        "status",
        "stuck",
        "swaps",
        "taken",
        "told",
        "track", "turn_of", "turns",
        "undo_queue",
        "undone",
        "values",
    )  # fmt: skip

    def __init__(
        self, run_id: str, plan: Plan, board: Board | None = None, *, at: Instant = _LONG_AGO, track: Track | None = None
    ) -> None:
        size = len(plan.steps)
        self.run_id, self.plan, self.board = run_id, plan, board or Board()
        self.track = track or self.board.track
        self.status = bytearray(size)
        self.attempts, self.fails, self.losses = (array("I", bytes(4 * size)) for _ in range(3))
        self.running: dict[int, Attempt] = {}
        self.due: list[tuple[Instant, int, int]] = []
        self.backoff: dict[int, Instant] = {}
        self.since: dict[int, Instant] = {}
        self.seats: dict[int, Lane] = {}
        self.values: dict[int, bytes] = {}
        self.kept: dict[int, Ref] = {}
        self.errors: dict[int, Error] = {}
        self.causes: dict[int, tuple[SkipKind, int]] = {}
        self.recorded: set[int] = set()
        self.swaps: dict[int, tuple[Swap, ...]] = {}
        self.fallback_due: set[int] = set()
        self.fallen: list[int] = []
        self.done_order = array("I")
        self.undo_queue: list[int] = []
        self.undone: dict[int, int] = {}
        self.signals: dict[str, list[tuple[bytes, str]]] = {}
        self.heard: set[str] = set()
        self.stuck: set[int] = set()
        self.next_token = 1
        self.halted = self.rolling = self.cancelling = self.paused = False
        self.ended: Outcome | None = None
        self.planned = size
        self.calls = Calls(size)
        self.later: Mapping[str, Handling] = {}
        self.codes: list[dict[str, str]] = []
        self.made: dict[int, int] = {}
        self.parked: dict[int, frozenset[int]] = {}
        self.dormant: set[int] = set()
        self.retried: set[int] = set()
        self.noted: dict[int, set[int]] = {}
        self.asked: list[int] = []
        self.cached: set[int] = set()
        self.keys: dict[int, str] = {}
        self.told: dict[int, list[int]] = {}
        self.orphaned: list[int] = []
        self.shelf = Shelf(plan.reused) if plan.reused else None
        self.taken: dict[int, Reused] = {}
        self.spared: set[int] = set()
        self.number = self.board.enter(self)
        self._begin(at)
        for each in plan.reused:
            if each.step >= 0 and not each.path:
                self.take(each.step, each)

    def _begin(self, since: Instant) -> None:
        """Let start what waits for nothing."""
        self.begun, (self.turns, self.turn_of) = since, _in_turn(self.plan)
        self.joins = self.plan.backfill is not None and not self.plan.force
        steps, status = self.plan.steps, self.status
        for index, step in enumerate(steps):
            if not step.run:
                status[index] = SKIPPED if step.reason.kind == "blocked" else FRESH
                if step.reason.kind == "blocked":
                    self.causes[index] = ("blocked", -1)
                    self.fallen.append(index)
        self.joints = Joints(steps, status.translate(_IS_FRESH))
        self.counts = [status.count(code) for code in Status]
        free: dict[str, list[int]] = {}
        for index, code in enumerate(status):
            if code == WAITING and self.joints.is_free(index):
                free.setdefault(steps[index].node, []).append(index)
        for alike in free.values():
            self.make_all_ready(alike, since)

    # -- reading --

    def handling(self, index: int) -> Handling:
        """How the step's node is to be treated."""
        return self.plan.handling[self.plan.steps[index].node]

    def lane(self, index: int) -> Lane:
        """The pools that an attempt of this step needs room in. A flow that holds its slots already needs none."""
        uses = self.plan.handling[self.plan.steps[index].node].pools
        if not uses or index in self.seats or self.lacks_key(index):
            return ()
        return tuple((use.pool or self.own_pool, self.key_value(index, use.key) if use.key else "") for use in uses)

    @property
    def own_pool(self) -> str:
        """The pool of this run alone, where its plan says how many of its steps may be under way at once."""
        return f"run {self.run_id}"

    def key_value(self, index: int, param: str) -> str:
        """What a pool's key stands for at this step, as text: its partition, or what its flow gave as this parameter."""
        if param == "partition":
            return self.plan.steps[index].partition
        call = self.calls.group(index).call if index >= self.planned else None
        if call is None:
            return ""
        for argument in self.calls.group(index).arguments(index):
            if argument.param == param:
                return _as_text(argument.value, argument.refs)
        siblings = self.calls.of(self.calls.parent(index))
        for given, key in call.inputs:
            if given == param:
                source = siblings[key]
                kept = self.kept.get(source)
                return _as_text(self.values.get(source), () if kept is None else (kept,))
        return ""

    def lacks_key(self, index: int) -> bool:
        """Whether the step's next attempt is to say under what its result may be found."""
        return self.handling(index).keyed and index not in self.keys and index not in self.fallback_due and not self.plan.force

    def takes(self, index: int) -> bool:
        """Whether the step is ready, and the run starts steps."""
        return self.status[index] == READY and not (self.halted or self.cancelling or self.paused or self.ended)

    @property
    def yields(self) -> bool:
        """Whether the steps of all other runs go first."""
        return self.plan.backfill is not None and not self.plan.backfill.urgent

    def step_in(self, turn: int) -> int:
        """The step whose turn this is."""
        return self.turns[turn] if turn < len(self.turns) else turn

    def key(self, index: int, at: Instant) -> int:
        """What decides when a step that is ready since then is to start. Of a backfill all steps count as ready since it began:
        then its own order alone decides."""
        priority = self.plan.handling[self.plan.steps[index].node].priority
        if self.plan.backfill is None:
            return Board.key(at, priority, self.number, index)
        turn = self.turn_of[index] if index < len(self.turn_of) else index
        return Board.key(self.begun, priority, self.number, turn, yields=self.yields)

    def tally(self) -> dict[str, int]:
        """How many steps stand where, in words; what is reused stands apart from what was fresh."""
        counts = {code.name.lower(): self.counts[code] for code in Status}
        counts["fresh"] -= len(self.taken)
        return {word: number for word, number in {**counts, "reused": len(self.taken)}.items() if number}

    @property
    def open(self) -> int:
        """How many steps have no outcome yet."""
        counts = self.counts
        return counts[WAITING] + counts[READY] + counts[RUNNING] + counts[BACKOFF] + counts[HELD] + counts[PARKED]

    def code(self, node: str, changes: int | None = None) -> str:
        """The code of a node after so many changes of the project (None: all of them); empty where it is not known."""
        count = len(self.codes) if changes is None else changes
        known = self.codes[count - 1].get(node) if count else None
        handling = self.plan.handling.get(node)
        return known if known is not None else handling.code if handling is not None else ""

    def has_old_code(self, index: int) -> bool:
        """Whether the step's outcome is of other code than its node has now."""
        node = self.plan.steps[index].node
        return bool(self.codes) and self.code(node, self.made.get(index, 0)) != self.code(node)

    def claims(self, index: int) -> tuple[tuple[str, str], ...]:
        """The asset partitions that an attempt of this step would write."""
        step = self.plan.steps[index]
        outputs = self.plan.handling[step.node].outputs
        return tuple((asset, step.partition) for asset in outputs)

    def held(self) -> dict[int, Wait]:
        """The steps that wait for time or for people, and what for."""
        held = [index for index, code in enumerate(self.status) if code == HELD] if self.counts[HELD] else []
        return {index: wait for index in held if (wait := self.calls.wait(index)) is not None}

    # -- changing: for `fold` alone --

    def set_status(self, index: int, status: int) -> None:
        """Move a step to another status, keeping the counts."""
        counts = self.counts
        counts[self.status[index]] -= 1
        counts[status] += 1
        self.status[index] = status

    def take(self, index: int, reused: Reused) -> None:
        """Let the step have a result that the plan reuses: there is nothing to do for it."""
        self.taken[index] = reused
        if self.status[index] != FRESH:
            self.set_status(index, FRESH)
        if reused.kept is not None:
            self.kept[index] = reused.kept
        elif reused.value is not None:
            self.values[index] = reused.value

    def make_ready(self, index: int, at: Instant) -> None:
        """Let the step be handed out; since when it waits for that decides who goes first."""
        self.set_status(index, READY)
        handling = self.handling(index)
        if handling.cached or (handling.outputs and self.joins):
            self.asked.append(index)
        self.put(index, self.key(index, at))

    def make_all_ready(self, steps: Sequence[int], at: Instant) -> None:
        """Let steps be handed out that waited and are of one node."""
        handling = self.handling(steps[0])
        if handling.pools or self.turns:
            for index in steps:
                self.make_ready(index, at)
            return
        for index in steps:
            self.status[index] = READY
        self.counts[WAITING] -= len(steps)
        self.counts[READY] += len(steps)
        if handling.cached:
            self.asked.extend(steps)
        first = self.key(steps[0], at) - steps[0]
        self.lanes(steps[0]).put_all((), (first + index for index in steps))

    def put(self, index: int, key: int) -> None:
        """Lanes a ready step under this key."""
        self.lanes(index).put(self.lane(index), key)

    def lanes(self, index: int) -> Lanes:
        """Where the step waits to start: flows are started apart from all else."""
        return self.track.flows if self.handling(index).flow and not self.lacks_key(index) else self.track.steps

    def join(self, board: Board, at: Instant, track: Track | None = None) -> None:
        """Move to a track of another board, with what is ready and what flows hold. Nothing may be under way."""
        self.board.leave(self.number)
        self.board, self.track, self.begun = board, track or board.track, at
        self.number = board.enter(self)
        for lane in self.seats.values():
            board.seat(lane, at)
        self.line_up(at)

    def move(self, track: Track, at: Instant) -> None:
        """Go on with other workers: to another track of the same board. Nothing may be under way."""
        self.track = track  # what stands in the lanes of the former one is never looked at again
        self.line_up(at)

    def line_up(self, at: Instant) -> None:
        """Let everything that is ready be handed out, as if it were so since then."""
        for index, code in enumerate(self.status):
            if code == READY:
                self.put(index, self.key(index, at))
                handling = self.handling(index)
                if handling.cached or (handling.outputs and self.joins):
                    self.asked.append(index)

    def release(self, index: int, at: Instant) -> None:
        """Tell everybody who waits for this step that it is done."""
        for waiter in self.joints.release(index):
            if self.status[waiter] == WAITING:
                self.make_ready(waiter, at)


def _in_turn(plan: Plan) -> tuple[array[int], array[int]]:
    turns = array("I", () if plan.backfill is None else plan.backfill.turns)
    places = array("I", bytes(4 * len(turns)))
    for place, index in enumerate(turns):
        places[index] = place
    return turns, places


def _as_text(value: bytes | None, refs: tuple[Ref, ...]) -> str:
    """A value as a pool's key: short texts and numbers as they are, anything else by its digest."""
    if refs:
        return ",".join(ref.digest or ref.version for ref in refs)
    if value is None:
        return ""
    plain: object = unpack(value, object)
    text = str(plain) if isinstance(plain, str | int | float) else ""
    return text if 0 < len(text) <= _MOST_KEY else fingerprint(value)


_MOST_KEY = 60
