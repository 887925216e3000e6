"""Flows under way: what they call, what they are told, when they wait without a process, and what they leave behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import filterfalse

from legato.kernel.commands import Deliver, KillAttempt, StartBeside
from legato.kernel.events import (
    AttemptsStarted,
    AttemptStopping,
    StepParked,
    StepsCalled,
    StepsCancelled,
    StepsRevived,
    StopReason,
)
from legato.kernel.family import is_outdated
from legato.kernel.rules.answer import end_with_kept
from legato.kernel.rules.failure import MOST_CALLS, MOST_DEPTH, fail_attempt, stopped
from legato.kernel.state import FRESH, HELD, IDLE, RUNNING, RunState
from legato.kernel.turn import Turn
from legato.terms.attempt import Call, Called, Parked


def take_called(turn: Turn, called: Called) -> None:
    """Calls become steps, once: a call that was made before is answered from what is recorded, or will be."""
    attempt = turn.attempt(called.step, called.token)
    if attempt is None or attempt.stopping:
        return
    state = turn.state
    known = state.calls.of(called.step)
    if called.known and called.step in state.told:
        seen = {known.get(key) for key in called.known}
        state.told[called.step] = [step for step in state.told[called.step] if step not in seen]
    new, again = _sort(state, known, called.calls)
    if (beyond := _beyond(state, called.step, len(known), new)) is not None:
        turn.emit(AttemptStopping(turn.now, called.step, called.token, beyond))
        turn.ask(KillAttempt(called.step, called.token))
        return
    if new:
        _stop(turn, [known[key] for call in new for key in call.keys if key in known])
        known_nodes, later = state.plan.handling, state.later
        joined = {call.node: later[call.node] for call in new if call.node not in known_nodes and call.node in later}
        turn.emit(StepsCalled(turn.now, called.step, new, joined))
        known = state.calls.of(called.step)
        if state.seats and any(_waits_for_itself(state, called.step, known[key]) for call in new for key in call.keys):
            turn.emit(AttemptStopping(turn.now, called.step, called.token, "pool"))
            turn.ask(KillAttempt(called.step, called.token))
            return
    if asleep := {step: call.one(place) for step, (call, place) in again.items() if step in state.dormant}:
        turn.emit(StepsRevived(turn.now, tuple(asleep), tuple(asleep.values())))
    if state.signals:
        begun = [known[key] for call in new if call.wait is not None for key in call.keys]
        end_with_kept(turn, [*begun, *asleep])
    if state.codes:
        attempt.called = {*(attempt.called or ()), *(known[key] for call in called.calls for key in call.keys)}
    quick = [known[key] for call in new if call.wait is not None or state.shelf is not None for key in call.keys]
    if told := tuple(step for step in (*again, *quick) if _has_news(state, step)):
        turn.ask(Deliver(called.step, called.token, told))
    for call in called.calls:
        if call.beside:
            _start_beside(turn, called, known[call.keys[0]])


def _sort(
    state: RunState, known: Mapping[bytes, int], calls: Sequence[Call]
) -> tuple[tuple[Call, ...], dict[int, tuple[Call, int]]]:
    """The calls that become steps, each once; and the steps of those that are known and still good, with the place of each."""
    new: list[Call] = []
    again: dict[int, tuple[Call, int]] = {}
    met: set[bytes] = set()
    for call in calls:
        keys = set(call.keys)
        if len(keys) == len(call.keys) and met.isdisjoint(keys) and known.keys().isdisjoint(keys):
            met |= keys
            new.append(call)
            continue
        remade = any(key in met for _, key in call.inputs)
        places = []
        for place, key in enumerate(call.keys):
            index = known.get(key)
            if index is not None and not remade and not is_outdated(state, index, call, known):
                again[index] = call, place
            elif key not in met:
                met.add(key)
                places.append(place)
        new += [call] if len(places) == len(call.keys) else map(call.one, places)
    return tuple(new), again


def _beyond(state: RunState, flow: int, made: int, new: Sequence[Call]) -> StopReason | None:
    """Which limit the calls go beyond, if one."""
    if made + sum(len(call.keys) for call in new) > MOST_CALLS:
        return "calls"
    if any(_is_flow(state, call.node) for call in new) and len(list(state.calls.above(flow))) > MOST_DEPTH:
        return "depth"
    return None


def _waits_for_itself(state: RunState, flow: int, call: int) -> bool:
    """Whether the call needs a slot that comes free only when a flow above it ends, which waits for the call."""
    lane = state.lane(call)
    held = Counter(share for step in state.calls.above(flow) for share in state.seats.get(step, ()))
    limits = ((share, state.board.limits.get(share[0])) for share in lane)
    return any(limit is not None and limit.slots is not None and held[share] >= limit.slots for share, limit in limits)


def _is_flow(state: RunState, node: str) -> bool:
    handling = state.plan.handling.get(node) or state.later.get(node)
    return handling is not None and handling.flow


def _has_news(state: RunState, step: int) -> bool:
    """Whether the flow can be told something at once: an outcome, or that a wait is not over, so that it is time to park."""
    return state.status[step] >= FRESH or state.status[step] == HELD


def _start_beside(turn: Turn, called: Called, index: int) -> None:
    """Start a call in the flow's own process, where its pool and its asset partitions allow it at once.

    Not if it may have to be stopped, or took a worker along before: then it would take the flow along.
    """
    state = turn.state
    handling = state.handling(index)
    if not state.takes(index) or handling.flow or handling.cached or index in state.fallback_due:
        return
    if state.handling(index).timeout_s is not None or state.losses[index]:
        return
    board = state.board
    if board.shut(state.lane(index), now=turn.now) or board.holder(state.claims(index), (state.run_id, index)):
        return
    token = state.next_token
    turn.emit(AttemptsStarted(turn.now, (index,), token))
    turn.ask(StartBeside(index, token, called.step, called.token))


def take_parked(turn: Turn, parked: Parked) -> None:
    """A flow that gave its process back goes on when something it waits for has its outcome."""
    attempt = turn.attempt(parked.step, parked.token)
    if attempt is None:
        return
    if attempt.stopping:
        fail_attempt(turn, parked, stopped(attempt.stopping), seconds=parked.seconds, log=parked.log)
        return
    known = turn.state.calls.of(parked.step)
    on = tuple(known[key] for key in parked.keys if key in known)
    turn.emit(StepParked(turn.now, parked.step, parked.token, parked.seconds, on, parked.log))


def tell_flows(turn: Turn) -> None:
    """Tell each flow under way of the outcomes that it has not heard of; a parked one finds them when it is entered again."""
    state = turn.state
    if not state.told:
        return
    told, state.told = state.told, {}
    for flow, ended in told.items():
        attempt = state.running.get(flow)
        if attempt is None or attempt.mode != "run" or attempt.stopping:
            continue
        steps = tuple(filterfalse(state.calls.replaced.__contains__, ended))
        if state.codes:  # of what it has not called yet, the code or an input may be another one by then
            steps = tuple(filter((attempt.called or set()).__contains__, steps))
        if steps:
            turn.ask(Deliver(flow, attempt.token, steps))


def close_orphans(turn: Turn) -> None:
    """What a flow called and left open when it ended is cancelled, all the way down."""
    while turn.state.orphaned:
        _stop(turn, list(turn.state.calls.below(turn.state.orphaned.pop())))


def _stop(turn: Turn, steps: Sequence[int]) -> None:
    """Cancel those of the steps that have no outcome."""
    state = turn.state
    idle = tuple(index for index in steps if state.status[index] in IDLE)
    if idle:
        turn.emit(StepsCancelled(turn.now, idle))
    for index in steps:
        if state.status[index] != RUNNING:  # nor is an undo stopped
            continue
        attempt = state.running[index]
        if attempt.stopping != "cancel":  # one that is stopped because its time was over would be tried again
            turn.emit(AttemptStopping(turn.now, index, attempt.token, "cancel"))
            turn.ask(KillAttempt(index, attempt.token))
