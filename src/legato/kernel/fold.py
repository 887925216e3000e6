"""The only mutator of a run's state: total over events and states, and the same for a live run and for its replay."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

from legato.kernel import events as ev
from legato.kernel.budget import begin_anew, charge, note_try, wait_anew
from legato.kernel.family import add_calls, park, revive, take_outcome
from legato.kernel.state import (
    BACKOFF,
    CANCELLED,
    FAILED,
    FRESH,
    HELD,
    IDLE,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    UNDONE,
    WAITING,
    Attempt,
    RunState,
    Swap,
)  # fmt: skip
from legato.terms.codec import NIL
from legato.terms.fact import TIMEOUT_TYPES, Error
from legato.terms.instant import Instant, after

RETRY_DUE, DEADLINE_DUE = 0, 1


def fold(state: RunState, event: ev.AnyEvent) -> None:
    """Apply one event."""
    _FOLDS[type(event)](state, event)


def _started(state: RunState, event: ev.AttemptsStarted) -> None:
    steps, handlings, board = state.plan.steps, state.plan.handling, state.board
    token, mode, at, run_id = event.token, event.mode, event.at, state.run_id
    for index in event.steps:
        step = steps[index]
        handling = handlings[step.node]
        deadline = None
        if handling.timeout_s is not None and (handling.together == 1 or index == event.steps[0]):  # the first makes the call
            deadline = after(at, handling.timeout_s)
            heappush(state.due, (deadline, index, DEADLINE_DUE))
        if state.backoff:
            state.backoff.pop(index, None)
        lane = state.lane(index) if handling.pools else ()
        if lane:
            board.seat(lane, at)
            if handling.flow and mode != "undo":
                state.seats[index], lane = lane, ()
        state.running[index] = Attempt(token, mode, at, deadline, lane)
        state.attempts[index] += 1
        if mode != "undo":
            state.set_status(index, RUNNING)
        if index in state.retried:
            state.retried.discard(index)
            _let_sleep(state, index)
        if handling.outputs:
            board.take(tuple((asset, step.partition) for asset in handling.outputs), (run_id, index))
        state.track.attempts += 1
        state.track.flow_attempts += handling.flow
        token += 1
    state.next_token = token


def _end_attempt(state: RunState, index: int, token: int) -> bool:
    """Take the attempt off the list; whether it was there under this token."""
    attempt = state.running.get(index)
    if attempt is None or attempt.token != token:
        return False
    del state.running[index]
    handling, board = state.plan.handling[state.plan.steps[index].node], state.board
    if attempt.lane:
        board.unseat(attempt.lane)
    if handling.outputs:
        board.give_back(state.claims(index), (state.run_id, index))
    state.track.attempts -= 1
    state.track.flow_attempts -= handling.flow
    return True


def _begun(state: RunState, event: ev.AttemptBegun) -> None:
    attempt = state.running.get(event.step)
    if attempt is not None and attempt.token == event.token:
        attempt.log = event.log
        note_try(state, event.step, event.at)
        timeout_s = state.handling(event.step).timeout_s
        if timeout_s is not None:  # what it waited for in its worker does not count
            attempt.deadline = after(event.at, timeout_s)
            heappush(state.due, (attempt.deadline, event.step, DEADLINE_DUE))


def _succeeded(state: RunState, event: ev.StepSucceeded) -> None:
    index = event.step
    if event.cached:
        if state.status[index] not in (READY, BACKOFF):  # that a retry became due is no event
            return
        state.backoff.pop(index, None)
        state.cached.add(index)
    elif not _end_attempt(state, index, event.token):
        return
    state.set_status(index, SUCCEEDED)
    state.done_order.append(index)
    if event.kept is not None:
        state.kept[index] = event.kept
    elif event.value is not None and (state.joints.is_wanted(index) or state.handling(index).undo):
        state.kept.pop(index, None)  # of a success that was undone
        if event.value != NIL:
            state.values[index] = event.value
        else:  # who finds no value reads nothing
            state.values.pop(index, None)
    if event.outputs:
        former = (*event.previous, *("" for _ in event.outputs))
        state.swaps[index] = tuple(
            Swap(output.ref.asset, output.ref.version, former[at]) for at, output in enumerate(event.outputs)
        )
    if event.outputs or event.kept is not None:
        state.recorded.add(event.token)
    if state.errors and state.errors.pop(index, None) is not None:
        state.fails[index] = state.losses[index] = 0  # its undo has budgets of its own
    if state.since:
        state.since.pop(index, None)
    if state.rolling:
        state.undo_queue.append(index)
    state.release(index, event.at)
    if state.seats:
        _leave_seat(state, index)
    if index in state.calls.children and state.open:
        state.orphaned.append(index)  # what it called in an earlier pass, and, with other code, no more
    take_outcome(state, index, event.at)


def _keyed(state: RunState, event: ev.StepKeyed) -> None:
    index = event.step
    if _end_attempt(state, index, event.token):
        state.keys[index] = event.key
        state.attempts[index] -= 1
        state.make_ready(index, event.at)


def _leave_seat(state: RunState, index: int) -> None:
    """A flow has its outcome: its slots are free."""
    lane = state.seats.pop(index, None)
    if lane is not None:
        state.board.unseat(lane)


def _failed(state: RunState, event: ev.AttemptFailed) -> None:
    index, then = event.step, event.then
    attempt = state.running.get(index)
    if attempt is None or not _end_attempt(state, index, event.token):
        return
    state.errors[index] = event.error
    note_try(state, index, attempt.started)
    if event.outputs:
        state.recorded.add(event.token)
    charge(state, index, event.error.kind)
    if then == "retry":
        if state.status[index] == RUNNING:
            state.set_status(index, BACKOFF)
        if index in state.calls.children:
            state.retried.add(index)
        state.backoff[index] = event.due
        heappush(state.due, (event.due, index, RETRY_DUE))
    elif then in ("again", "fallback"):
        if then == "fallback":
            state.fallback_due.add(index)
            if index in state.calls.children:
                state.orphaned.append(index)  # its body is not entered again
        if state.status[index] == RUNNING:
            state.make_ready(index, event.at)
    elif then == "cancel":
        state.set_status(index, CANCELLED)
        _close(state, index, event.at)
    elif then == "stuck":
        state.stuck.add(index)
        if state.undo_queue and state.undo_queue[-1] == index:
            state.undo_queue.pop()
    else:
        state.set_status(index, FAILED)
        state.fallen.append(index)
        _close(state, index, event.at)


def _close(state: RunState, index: int, at: Instant) -> None:
    """The step ended without success."""
    if state.seats:
        _leave_seat(state, index)
    if state.calls.of(index):
        state.orphaned.append(index)
    take_outcome(state, index, at)


def _code_changed(state: RunState, event: ev.CodeChanged) -> None:
    state.codes.append({**(state.codes[-1] if state.codes else {}), **event.code})
    for index in [each for each in state.parked if state.plan.steps[each].node in event.code]:
        del state.parked[index]  # the new code may not wait for the same
        state.make_ready(index, event.at)


def _called(state: RunState, event: ev.StepsCalled) -> None:
    for node, handling in event.handling.items():
        state.plan.handling.setdefault(node, handling)
    for call in event.calls:
        add_calls(state, event.parent, call, event.at)


def _revived(state: RunState, event: ev.StepsRevived) -> None:
    for index, call in zip(event.steps, event.calls, strict=True):
        if index in state.dormant:
            revive(state, index, call, event.at)


def _parked(state: RunState, event: ev.StepParked) -> None:
    if _end_attempt(state, event.step, event.token):
        park(state, event.step, event.on, event.at)


def _wait_ended(state: RunState, event: ev.WaitEnded) -> None:
    index = event.step
    if state.status[index] != HELD:
        return
    if event.end != "timed out":
        wait = state.calls.wait(index)
        if event.end == "granted" and wait is not None and (kept := state.signals.get(wait.name)) and wait.kind == "signal":
            kept.pop(0)  # a signal that is kept came when nothing waited: what waits now waits for the first of them
        state.set_status(index, SUCCEEDED)
        state.done_order.append(index)  # a rollback takes an answer back, too: who resumes the run asks again
        state.values[index] = event.value
        state.release(index, event.at)
        take_outcome(state, index, event.at)
    else:
        state.errors[index] = Error("timeout", event.note or "nobody answered in time", TIMEOUT_TYPES)
        state.set_status(index, FAILED)
        state.fallen.append(index)
        _close(state, index, event.at)


def _signal_came(state: RunState, event: ev.SignalCame) -> None:
    state.heard.add(event.id)
    if event.kept:
        state.signals.setdefault(event.name, []).append((event.value, event.actor))


def _noted(state: RunState, event: ev.FactsNoted) -> None:
    if event.keys:
        state.noted.setdefault(event.step, set()).update(filter(None, event.keys))


def _stopping(state: RunState, event: ev.AttemptStopping) -> None:
    attempt = state.running.get(event.step)
    if attempt is not None and attempt.token == event.token:
        attempt.stopping = event.why


def _returned(state: RunState, event: ev.AttemptsReturned) -> None:
    for index in event.steps:
        attempt = state.running.get(index)
        if attempt is None:
            continue
        _end_attempt(state, index, attempt.token)
        state.attempts[index] -= 1
        if attempt.mode != "undo":
            state.make_ready(index, event.at)


def _declined(state: RunState, event: ev.StepDeclined) -> None:
    if _end_attempt(state, event.step, event.token):
        state.set_status(event.step, SKIPPED)
        state.causes[event.step] = ("condition", event.step)
        state.spared.add(event.step)
        state.errors.pop(event.step, None)
        state.fallen.append(event.step)
        _close(state, event.step, event.at)


def _skipped(state: RunState, event: ev.StepsSkipped) -> None:
    for index in event.steps:
        if state.status[index] in IDLE:
            state.set_status(index, SKIPPED)
            state.causes[index] = (event.kind, event.root)
            if event.kind == "upstream" and event.root in state.spared:
                state.spared.add(index)
            state.parked.pop(index, None)
            _close(state, index, event.at)


def _cancelled(state: RunState, event: ev.StepsCancelled) -> None:
    for index in event.steps:
        if state.status[index] in IDLE:
            state.set_status(index, CANCELLED)
            state.parked.pop(index, None)
            _close(state, index, event.at)


def _halted(state: RunState, event: ev.RunHalted) -> None:
    state.halted = True
    if event.rollback and not state.rolling:
        state.rolling = True
        state.undo_queue = _completed(state)


def _completed(state: RunState) -> list[int]:
    """The steps that have succeeded, in the order in which they last did."""
    latest = dict.fromkeys(index for index in reversed(state.done_order) if state.status[index] == SUCCEEDED)
    return list(latest)[::-1]


def _cancel_requested(state: RunState, event: ev.CancelRequested) -> None:
    state.cancelling = True


def _run_paused(state: RunState, event: ev.RunPaused) -> None:
    state.paused = state.ended is None


def _run_unpaused(state: RunState, event: ev.RunUnpaused) -> None:
    if state.paused:
        state.paused = False
        state.line_up(event.at)


def _undone(state: RunState, event: ev.StepUndone) -> None:
    index = event.step
    _end_attempt(state, index, event.token)
    if state.status[index] == SUCCEEDED:
        state.set_status(index, UNDONE)
        state.undone[index] = state.undone.get(index, 0) + 1
        state.values.pop(index, None)  # made anew, it may be stored, or be none at all
        state.kept.pop(index, None)
        state.cached.discard(index)
    if state.undo_queue and state.undo_queue[-1] == index:
        state.undo_queue.pop()


def _resumed(state: RunState, event: ev.RunResumed) -> None:
    if state.ended == "partly_undone":
        _undo_again(state, event.steps)
        return
    state.halted = state.rolling = state.cancelling = False
    state.ended = None
    state.number = state.board.enter(state)
    state.due.clear()
    state.backoff.clear()
    state.fallen.clear()
    state.undo_queue.clear()
    state.stuck.clear()
    state.orphaned.clear()
    for index in event.steps:
        if state.status[index] in (FAILED, SKIPPED, CANCELLED, UNDONE):
            wait_anew(state, index)
            _let_sleep(state, index)
    for index in event.steps:
        if state.status[index] == WAITING and state.joints.is_free(index):
            state.make_ready(index, event.at)
    state.fallen.extend(index for index, code in enumerate(state.status) if code == SKIPPED)


def _let_sleep(state: RunState, flow: int) -> None:
    """What the flow called, and what that called, is tried anew if it is called again, unless it succeeded or is under way."""
    below, status = state.calls.below(flow), state.status
    state.dormant.update(each for each in below if status[each] > FRESH and status[each] != SUCCEEDED)


def _undo_again(state: RunState, steps: tuple[int, ...]) -> None:
    """The rollback goes on with what could not be undone; each step has its budgets anew."""
    state.ended = None
    state.undo_queue = [index for index in _completed(state) if index in steps]
    state.stuck.difference_update(steps)
    for index in state.undo_queue:
        state.errors.pop(index, None)
        begin_anew(state, index)


def _ended(state: RunState, event: ev.RunEnded) -> None:
    state.ended = event.outcome
    state.paused = False
    state.board.leave(state.number)


_FOLDS: dict[type, Callable[[RunState, Any], None]] = {
    ev.AttemptsStarted: _started,
    ev.AttemptBegun: _begun,
    ev.StepSucceeded: _succeeded,
    ev.AttemptFailed: _failed,
    ev.AttemptStopping: _stopping,
    ev.AttemptsReturned: _returned,
    ev.StepDeclined: _declined,
    ev.StepsSkipped: _skipped,
    ev.StepsCancelled: _cancelled,
    ev.RunHalted: _halted,
    ev.CancelRequested: _cancel_requested,
    ev.RunPaused: _run_paused,
    ev.RunUnpaused: _run_unpaused,
    ev.StepKeyed: _keyed,
    ev.StepUndone: _undone,
    ev.RunResumed: _resumed,
    ev.CodeChanged: _code_changed,
    ev.StepsCalled: _called,
    ev.StepsRevived: _revived,
    ev.StepParked: _parked,
    ev.FactsNoted: _noted,
    ev.WaitEnded: _wait_ended,
    ev.SignalCame: _signal_came,
    ev.RunEnded: _ended,
}
