"""Flows under way: what they call, what they are told, when they wait without a process, and what they leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from legato.kernel.commands import Deliver, KillAttempt, StartBeside
from legato.kernel.events import (
    AttemptsStarted,
    AttemptStopping,
    StepParked,
    StepsCalled,
    StepsCancelled,
    StepsRevived,
    WaitEnd,
    WaitEnded,
)
from legato.kernel.family import descendants, is_outdated
from legato.kernel.inputs import Resolve
from legato.kernel.rules.failure import fail_attempt, stopped
from legato.kernel.state import FRESH, HELD, IDLE, READY, RUNNING, RunState
from legato.kernel.turn import Turn
from legato.terms.attempt import Call, Called, Parked
from legato.terms.codec import pack

_NO = pack(False)


def take_called(turn: Turn, called: Called) -> None:
    """Calls become steps, once: a call that was made before is answered from what is recorded, or will be."""
    attempt = turn.attempt(called.step, called.token)
    if attempt is None or attempt.stopping:
        return
    state = turn.state
    known = state.children.get(called.step, {})
    new, again = _sort(state, known, called.calls)
    if new:
        _stop(turn, [known[call.key] for call in new if call.key in known])
        known_nodes, later = state.plan.handling, state.later
        joined = {call.node: later[call.node] for call in new if call.node not in known_nodes and call.node in later}
        turn.emit(StepsCalled(turn.now, called.step, new, joined))
    asleep = {index: call for index, call in again.items() if index in state.dormant}
    if asleep:
        turn.emit(StepsRevived(turn.now, tuple(asleep), tuple(asleep.values())))
    known = state.children.get(called.step, {})
    for key in dict.fromkeys(call.key for call in called.calls):
        if state.status[known[key]] >= FRESH or state.status[known[key]] == HELD:  # a wait that is not over: time to park
            turn.ask(Deliver(called.step, called.token, known[key]))
    for call in called.calls:
        if call.beside:
            _start_beside(turn, called, call)


def _sort(state: RunState, known: Mapping[str, int], calls: Sequence[Call]) -> tuple[tuple[Call, ...], dict[int, Call]]:
    """Which of the calls become steps, each once, and the steps of those that are known and still good."""
    new: dict[str, Call] = {}
    again: dict[int, Call] = {}
    for call in calls:
        index = known.get(call.key)
        remade = bool(new) and any(key in new for _, key in call.inputs)
        if index is None or remade or is_outdated(state, index, call, known):
            new[call.key] = call
        else:
            again[index] = call
    return tuple(new.values()), again


def _start_beside(turn: Turn, called: Called, call: Call) -> None:
    """Start a call in the flow's own process, where its pool and its asset partitions allow it at once."""
    state = turn.state
    index = state.children[called.step][call.key]
    handling = state.handling(index)
    claims = state.claims(index)
    if state.status[index] != READY or handling.flow or state.halted or state.cancelling or index in state.fallback_due:
        return
    if state.board.free(handling.pool) <= 0 or state.board.holder(claims, (state.run_id, index)) is not None:
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
    children = turn.state.children.get(parked.step, {})
    on = tuple(children[key] for key in parked.keys if key in children)
    turn.emit(StepParked(turn.now, parked.step, parked.token, parked.seconds, on, parked.log))


def take_resolved(turn: Turn, resolve: Resolve) -> None:
    """An answer ends what waits for it, once: later ones find nothing that waits."""
    state = turn.state
    if not 0 <= resolve.step < len(state.status) or state.status[resolve.step] != HELD:
        return
    wait = state.calls[resolve.step].wait
    if wait is None or wait.kind == "sleep":
        return
    end: WaitEnd = "refused" if wait.kind == "approval" and resolve.value == _NO else "granted"
    turn.emit(WaitEnded(turn.now, resolve.step, end, resolve.value, resolve.actor, resolve.reason))


def tell_flows(turn: Turn) -> None:
    """Tell each flow under way of the outcomes that it has not heard of; a parked one finds them when it is entered again."""
    state = turn.state
    told, state.told = state.told, []
    for index in told:
        parent = state.parents[index]
        attempt = state.running.get(parent)
        replaced = state.children[parent].get(state.keys[index]) != index
        if attempt is not None and attempt.mode == "run" and not attempt.stopping and not replaced:
            turn.ask(Deliver(parent, attempt.token, index))


def close_orphans(turn: Turn) -> None:
    """What a flow called and left open when it ended is cancelled, all the way down."""
    while turn.state.orphaned:
        _stop(turn, list(descendants(turn.state, turn.state.orphaned.pop())))


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
        if not attempt.stopping:
            turn.emit(AttemptStopping(turn.now, index, attempt.token, "cancel"))
            turn.ask(KillAttempt(index, attempt.token))
