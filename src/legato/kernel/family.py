"""Steps that flows call while the run is under way: how they join it, and what their outcomes mean to the flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappush

from msgspec.structs import replace

from legato.kernel.budget import wait_anew
from legato.kernel.shelf import Shelf
from legato.kernel.state import CALLED, FRESH, HELD, PARKED, SUCCEEDED, WAITING, RunState
from legato.plan.records import Handling, Step
from legato.terms.attempt import Call
from legato.terms.instant import Instant, after

WAKE_DUE = 2
WAITS = {"sleep": "lg.sleep", "approval": "lg.approval", "signal": "lg.signal"}
"""The names of steps that are waits, and no nodes of a project."""


def node_of(call: Call) -> str:
    """The node of the steps that the calls become."""
    return call.node if call.wait is None else WAITS[call.wait.kind]


def step_of(call: Call, deps: tuple[int, ...] = ()) -> Step:
    """What each of these calls is in the plan; they share it."""
    return Step(node_of(call), call.partition, True, CALLED, deps)


def is_outdated(state: RunState, index: int, call: Call, siblings: Mapping[bytes, int]) -> bool:
    """Whether the step is not this call's any more: its node, the code of its outcome or a result that it reads is another now.

    A step without an outcome, or one that is tried anew, has the code of now in any case.
    """
    step = state.plan.steps[index]
    if (step.node, step.partition) != (node_of(call), call.partition) or any(siblings[key] > index for _, key in call.inputs):
        return True
    return state.status[index] > FRESH and index not in state.dormant and state.has_old_code(index)


def add_calls(state: RunState, parent: int, call: Call, at: Instant) -> None:
    """Make calls steps of the run. Each takes the place of the step that had its key, and finds what that called."""
    siblings = state.calls.of(parent)
    needs = tuple(dict.fromkeys(siblings[key] for _, key in call.inputs))
    step = step_of(call, tuple(place for need in needs for place in (need, need + 1)))
    handling = state.plan.handling.setdefault(step.node, Handling())
    steps, formers = state.calls.add(parent, call, is_kept=handling.undo)
    state.plan.steps.extend([step] * len(steps))
    for column in (state.attempts, state.fails, state.losses):
        column.frombytes(bytes(column.itemsize * len(steps)))
    state.joints.grow(len(steps))
    state.status.extend(bytes(len(steps)))
    state.counts[WAITING] += len(steps)
    for index, former in formers.items():
        if state.plan.steps[former].node == step.node:
            state.calls.adopt(former, index)
    made = steps if state.shelf is None else _reuse(state, state.shelf, parent, call, steps)
    for need in needs:
        if state.status[need] != FRESH:
            _wait_for(state, need, made)
    _begin(state, made, call, at)


def _reuse(state: RunState, shelf: Shelf, parent: int, call: Call, steps: range) -> list[int]:
    """Give the calls what the plan reuses for them; those that are to be made."""
    made = []
    for index, key in zip(steps, call.keys, strict=True):
        step = state.plan.steps[index]
        reused = shelf.take(parent, index, (step.node, step.partition), key)
        if reused is None:
            made.append(index)
            continue
        state.plan.steps[index] = replace(step, run=False, reason=reused.reason)
        state.take(index, reused)
        state.calls.end(index)
    return made


def _wait_for(state: RunState, need: int, waiters: Sequence[int]) -> None:
    """Let steps wait for another one; where that has succeeded, once it is undone."""
    is_there = state.status[need] == SUCCEEDED
    state.joints.tie(need, waiters, is_done=is_there)
    if not is_there and state.status[need] >= FRESH:  # it ended without success: what waits for it is decided like for all others
        state.fallen.append(need)


def _begin(state: RunState, steps: Sequence[int], call: Call, at: Instant) -> None:
    """Calls that wait for nothing may be made; waits begin."""
    if call.wait is None:
        if steps and state.joints.is_free(steps[0]):  # they all wait for the same
            state.make_all_ready(steps, at)
        return
    for index in steps:
        state.set_status(index, HELD)
        if call.wait.seconds is not None:
            heappush(state.due, (after(at, call.wait.seconds), index, WAKE_DUE))


def take_outcome(state: RunState, index: int, at: Instant) -> None:
    """A step has its outcome: a flow that is parked for it may go on, one under way is to be told. It got further, so workers
    that it lost before that do not count any more."""
    if index < state.planned:
        return
    if state.codes:
        state.made[index] = len(state.codes)
    parent = state.calls.end(index)
    told = state.told.get(parent)
    if told is None:
        state.told[parent] = [index]
    else:
        told.append(index)
    state.losses[parent] = 0
    if state.parked and index in state.parked.get(parent, ()):
        del state.parked[parent]
        state.make_ready(parent, at)


def park(state: RunState, index: int, on: tuple[int, ...], at: Instant) -> None:
    """Let a flow wait without a process; not if what it waits for is there already."""
    state.attempts[index] -= 1
    if not on or any(state.status[each] >= FRESH for each in on):
        state.make_ready(index, at)
    else:
        state.set_status(index, PARKED)
        state.parked[index] = frozenset(on)


def dues_of_waits(state: RunState) -> dict[int, Instant]:
    """When sleeps are over, and until when somebody can answer; a wait that was begun anew counts from then."""
    return {index: due for due, index, kind in sorted(state.due) if kind == WAKE_DUE}


def revive(state: RunState, index: int, call: Call, at: Instant) -> None:
    """Let a step that did not succeed, or was undone, be tried anew, called with what the flow calls it with now."""
    state.dormant.discard(index)
    wait_anew(state, index)
    state.calls.renew(index, call, is_kept=state.handling(index).undo)
    _begin(state, (index,), call, at)
