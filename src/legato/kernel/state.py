"""The state of one run, in columns: about 40 bytes a step besides its plan, and counters instead of scans.

Steps wait for *joints*. A joint is one range of steps that somebody waits for; steps with the same range share it, so
"all of A before any of B" costs |A| + |B|, not |A| x |B|.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from legato.kernel.board import Board
from legato.kernel.calls import Calls
from legato.kernel.events import Outcome, SkipKind
from legato.plan.records import Handling, Plan, Reason
from legato.terms.attempt import LogSpan, Mode, Ref, Wait
from legato.terms.fact import Error
from legato.terms.instant import Instant

_PRIORITY_BITS, _STEP_BITS = 20, 32


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


class Swap(NamedTuple):
    """A version that a step published, and the one it replaced (empty: none)."""

    asset: str
    version: str
    former: str


class Attempt:
    """An attempt under way."""

    __slots__ = ("deadline", "log", "mode", "started", "stopping", "token")

    def __init__(self, token: int, mode: Mode, started: Instant, deadline: Instant | None) -> None:
        self.token, self.mode, self.started, self.deadline = token, mode, started, deadline
        self.stopping = ""
        self.log: LogSpan | None = None


class RunState:
    """One run. Only `fold` changes it (and the heaps of what is ready or due, from which a decision takes).

    `left` counts the joints a step still waits for; `ready` holds, by pool, numbers that sort by priority, then by step;
    `backoff` is when a step's next try is due, `since` when the first one began (where `max_time` limits them all); entries of
    `due` that say otherwise are stale. `values` and `kept` are results of tasks that other steps read; `fallen` are failures
    whose consequences are not decided yet. `recorded` are the tokens of attempts whose stored outputs are on record; `swaps` says
    what each step published, and what that replaced; `undone` how often a step was undone.

    Steps from `planned` on were called by flows: `calls` says by which, and how. A flow in `parked` waits for the outcome of any
    of its steps; `dormant` steps are tried anew if their flow, resumed, calls them again.
    `later` is how nodes of the project of now are handled, for calls of what the plan does not know. `codes` are the codes of
    nodes after each change of the project under way; `made` says, of calls that ended since, after how many of them.
    `noted` are the keys of the facts that a flow has told, so that it does not tell them again.
    `told` are outcomes that flows have not been told of yet, `orphaned` are ended flows whose open calls are not closed yet.
    """

    __slots__ = (
        "attempts",
        "backoff",
        "board",
        "calls",
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
        "joint_left",
        "joint_steps",
        "joints_of",
        "kept",
        "later",
        "left",
        "losses",
        "made",
        "next_token",
        "noted",
        "orphaned",
        "parked",
        "plan",
        "planned",
        "ready",
        "ready_flows",
        "recorded",
        "rolling",
        "run_id",
        "running", "since",
        "status",
        "stuck",
        "swaps",
        "told",
        "undo_queue",
        "undone",
        "values",
        "wanted",
    )  # fmt: skip

    def __init__(self, run_id: str, plan: Plan, board: Board | None = None) -> None:
        size = len(plan.steps)
        self.run_id, self.plan, self.board = run_id, plan, board or Board()
        self.status = bytearray(size)
        self.left = array("I", bytes(4 * size))
        self.attempts, self.fails, self.losses = (array("I", bytes(4 * size)) for _ in range(3))
        self.running: dict[int, Attempt] = {}
        self.due: list[tuple[Instant, int, int]] = []
        self.backoff: dict[int, Instant] = {}
        self.since: dict[int, Instant] = {}
        self.ready: dict[str, list[int]] = {}
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
        self.stuck: set[int] = set()
        self.next_token = 1
        self.halted = self.rolling = self.cancelling = False
        self.ended: Outcome | None = None
        self.counts = [0] * len(Status)
        self.ready_flows: dict[str, list[int]] = {}
        self.planned = size
        self.calls = Calls(size)
        self.later: Mapping[str, Handling] = {}
        self.codes: list[dict[str, str]] = []
        self.made: dict[int, int] = {}
        self.parked: dict[int, frozenset[int]] = {}
        self.dormant: set[int] = set()
        self.noted: dict[int, set[int]] = {}
        self.told: list[int] = []
        self.orphaned: list[int] = []
        self._wire()

    # -- wiring: who waits for whom --

    def _wire(self) -> None:
        steps, status, left = self.plan.steps, self.status, self.left
        joints: dict[tuple[int, int], int] = {}
        self.joint_steps: list[array[int]] = []
        spans: list[tuple[int, int]] = []
        for index, step in enumerate(steps):
            if not step.run:
                status[index] = SKIPPED if step.reason.kind == "blocked" else FRESH
                if step.reason.kind == "blocked":
                    self.causes[index] = ("blocked", -1)
                    self.fallen.append(index)
                continue
            deps = step.deps
            for at in range(0, len(deps), 2):
                span = (deps[at], deps[at + 1])
                joint = joints.get(span)
                if joint is None:
                    joint = joints[span] = len(spans)
                    spans.append(span)
                    self.joint_steps.append(array("I"))
                self.joint_steps[joint].append(index)
                left[index] += 1
        self._fill_joints(spans)
        self.counts = [status.count(code) for code in Status]
        self.wanted = bytearray(len(steps))
        for low, high in spans:
            for index in range(low, high):
                self.wanted[index] = 1
        for index, code in enumerate(status):
            if code == WAITING and left[index] == 0:
                self.set_status(index, READY)
                self.heaps(index).setdefault(self.handling(index).pool, []).append(self.sort_key(index))
        for heap in (*self.ready.values(), *self.ready_flows.values()):
            heapify(heap)

    def _fill_joints(self, spans: list[tuple[int, int]]) -> None:
        """Count what each joint waits for; a joint whose steps are all done already opens at once."""
        status = self.status
        self.joint_left = array("I", bytes(4 * len(spans)))
        self.joints_of: dict[int, int | tuple[int, ...]] = {}
        for joint, (low, high) in enumerate(spans):
            pending = 0
            for index in range(low, high):
                if status[index] != FRESH:
                    pending += 1
                    known = self.joints_of.get(index)
                    if known is None:
                        self.joints_of[index] = joint
                    else:
                        self.joints_of[index] = (known, joint) if isinstance(known, int) else (*known, joint)
            self.joint_left[joint] = pending
            if not pending:
                for waiter in self.joint_steps[joint]:
                    self.left[waiter] -= 1

    # -- reading --

    def handling(self, index: int) -> Handling:
        """How the step's node is to be treated."""
        return self.plan.handling[self.plan.steps[index].node]

    def sort_key(self, index: int) -> int:
        """A number that sorts the step among the ready ones: higher priority first, then plan order."""
        priority = self.handling(index).priority
        return ((1 << (_PRIORITY_BITS - 1)) - priority) << _STEP_BITS | index

    def joints(self, index: int) -> tuple[int, ...]:
        """The joints that this step is part of."""
        found = self.joints_of.get(index)
        if found is None:
            return ()
        return (found,) if isinstance(found, int) else found

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

    def make_ready(self, index: int) -> None:
        """Let the step be handed out."""
        self.set_status(index, READY)
        self.push(index)

    def push(self, index: int) -> None:
        """Put a ready step into its pool's heap."""
        heaps = self.heaps(index)
        heap = heaps.get(pool := self.handling(index).pool)
        if heap is None:
            heap = heaps[pool] = []
        heappush(heap, self.sort_key(index))

    def heaps(self, index: int) -> dict[str, list[int]]:
        """The heaps that the step belongs to: flows are started apart from all else."""
        return self.ready_flows if self.handling(index).flow else self.ready

    def pop(self, pool: str, heaps: dict[str, list[int]]) -> int | None:
        """Take the first entry of a pool, and its doubles; None if it is stale. Replays and resumes leave both behind."""
        heap = heaps[pool]
        key = heappop(heap)
        while heap and heap[0] == key:
            heappop(heap)
        index = key & ((1 << _STEP_BITS) - 1)
        return index if self.status[index] == READY else None

    def release(self, index: int) -> None:
        """Tell everybody who waits for this step that it is done."""
        left, joint_left, status = self.left, self.joint_left, self.status
        for joint in self.joints(index):
            if joint_left[joint] == 0:
                continue
            joint_left[joint] -= 1
            if joint_left[joint] == 0:
                for waiter in self.joint_steps[joint]:
                    left[waiter] -= 1
                    if left[waiter] == 0 and status[waiter] == WAITING:
                        self.make_ready(waiter)

    def unrelease(self, index: int) -> None:
        """Take back a release: what waits for this step waits again."""
        for joint in self.joints(index):
            if self.joint_left[joint] == 0:
                for waiter in self.joint_steps[joint]:
                    self.left[waiter] += 1
            self.joint_left[joint] += 1
