"""Steps that flows call while the run is under way: how they join it, and what their outcomes mean to the flow."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from heapq import heappush

from legato.kernel.budget import begin_anew
from legato.kernel.state import CALLED, FRESH, HELD, PARKED, SUCCEEDED, UNDONE, WAITING, RunState
from legato.plan.records import Handling, Step
from legato.terms.attempt import Call
from legato.terms.instant import Instant, after

WAKE_DUE = 2
WAITS = {"sleep": "lg.sleep", "approval": "lg.approval", "signal": "lg.signal"}
"""The names of steps that are waits, and no nodes of a project."""


def node_of(call: Call) -> str:
    """The node of the step that the call becomes."""
    return call.node if call.wait is None else WAITS[call.wait.kind]


def is_outdated(state: RunState, index: int, call: Call, siblings: Mapping[str, int]) -> bool:
    """Whether the step is not this call's any more: its node, the code of its outcome or a result that it reads is another now.

    A step without an outcome, or one that is tried anew, has the code of now in any case.
    """
    step = state.plan.steps[index]
    if (step.node, step.partition) != (node_of(call), call.partition) or any(siblings[key] > index for _, key in call.inputs):
        return True
    return state.status[index] >= FRESH and index not in state.dormant and state.has_old_code(index)


def add_call(state: RunState, parent: int, call: Call, at: Instant) -> int:
    """Make a call a step of the run; its number. It takes the place of the step that had its key, and finds what that called."""
    index = len(state.status)
    wait, node = call.wait, node_of(call)
    state.plan.handling.setdefault(node, Handling())
    siblings = state.children.setdefault(parent, {})
    needs = tuple(dict.fromkeys(siblings[key] for _, key in call.inputs))
    state.plan.steps.append(
        Step(node, call.partition, True, CALLED, tuple(place for need in needs for place in (need, need + 1)))
    )
    for column in (state.left, state.attempts, state.fails, state.losses):
        column.append(0)
    state.status.append(WAITING)
    state.wanted.append(1)
    state.counts[WAITING] += 1
    if (former := siblings.get(call.key)) is not None:
        _replace(state, former, index)
    siblings[call.key] = index
    state.parents[index] = parent
    state.calls[index], state.keys[index] = call, call.key
    for need in needs:
        if state.status[need] != SUCCEEDED:
            _wait_for(state, need, index)
    if wait is not None:
        state.set_status(index, HELD)
        if wait.seconds is not None:
            heappush(state.due, (after(at, wait.seconds), index, WAKE_DUE))
    elif state.left[index] == 0:
        state.make_ready(index)
    return index


def _replace(state: RunState, former: int, index: int) -> None:
    if former in state.children and state.plan.steps[former].node == state.plan.steps[index].node:
        adopted = state.children[index] = state.children.pop(former)
        state.parents.update(dict.fromkeys(adopted.values(), index))


def _wait_for(state: RunState, need: int, waiter: int) -> None:
    joint = len(state.joint_left)
    state.joint_left.append(1)
    state.joint_steps.append(array("I", (waiter,)))
    state.joints_of[need] = (*state.joints(need), joint)
    state.left[waiter] += 1
    if state.status[need] >= FRESH:  # it ended without success: what waits for it is decided like for all others
        state.fallen.append(need)


def take_outcome(state: RunState, index: int) -> None:
    """A step has its outcome: a flow that is parked for it may go on, one under way is to be told."""
    parent = state.parents.get(index)
    if parent is None:
        return
    if state.codes:
        state.made[index] = len(state.codes)
    state.told.append(index)
    if state.status[index] == SUCCEEDED and not state.handling(index).undo:
        state.calls.pop(index, None)
    if index in state.parked.get(parent, ()):
        del state.parked[parent]
        state.make_ready(parent)


def park(state: RunState, index: int, on: tuple[int, ...]) -> None:
    """Let a flow wait without a process; not if what it waits for is there already."""
    state.attempts[index] -= 1
    if not on or any(state.status[each] >= FRESH for each in on):
        state.make_ready(index)
    else:
        state.set_status(index, PARKED)
        state.parked[index] = frozenset(on)


def descendants(state: RunState, index: int) -> Iterator[int]:
    """Everything that a flow called, and that what it called did."""
    for child in state.children.get(index, {}).values():
        yield child
        yield from descendants(state, child)


def revive(state: RunState, index: int, call: Call, at: Instant) -> None:
    """Let a step that did not succeed, or was undone, be tried anew."""
    state.dormant.discard(index)
    if state.status[index] == UNDONE:
        state.unrelease(index)
    state.calls[index] = call
    state.causes.pop(index, None)
    state.errors.pop(index, None)
    state.fallback_due.discard(index)
    begin_anew(state, index)
    wait = call.wait
    state.set_status(index, WAITING if wait is None else HELD)
    if wait is not None and wait.seconds is not None:
        heappush(state.due, (after(at, wait.seconds), index, WAKE_DUE))
    elif wait is None and state.left[index] == 0:
        state.make_ready(index)
