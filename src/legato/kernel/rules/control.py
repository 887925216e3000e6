"""What people and conductors ask of a run: cancel, pause, resume, take over."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify

from legato.kernel.budget import poll_s
from legato.kernel.commands import KillAttempt
from legato.kernel.events import AttemptStopping, CancelRequested, CodeChanged, RunPaused, RunResumed, RunUnpaused
from legato.kernel.family import WAKE_DUE
from legato.kernel.fold import RETRY_DUE
from legato.kernel.inputs import Cancel, Pause, Resume, TakeOver
from legato.kernel.rules.report import give_back
from legato.kernel.state import CANCELLED, FAILED, SKIPPED, UNDONE, RunState
from legato.kernel.turn import Turn
from legato.terms.instant import Instant, after


def cancel(turn: Turn, asked: Cancel) -> None:
    """No new attempt starts, running ones are stopped with their process groups. A rollback under way goes on."""
    state = turn.state
    if state.ended is not None or state.cancelling or state.rolling:
        return
    turn.emit(CancelRequested(turn.now, asked.actor, asked.reason))
    for index, attempt in list(state.running.items()):
        if not attempt.stopping:
            turn.emit(AttemptStopping(turn.now, index, attempt.token, "cancel"))
        turn.ask(KillAttempt(index, attempt.token))


def pause(turn: Turn, asked: Pause) -> None:
    """No new attempt starts, not even of an undo; what is under way ends by itself. A run that is being cancelled goes on so."""
    state = turn.state
    if state.ended is None and not state.cancelling and not state.paused:
        turn.emit(RunPaused(turn.now, asked.actor, asked.reason))


def resume(turn: Turn, asked: Resume) -> None:
    """A paused run goes on where it stands. An ended one waits again for everything that did not succeed; what is recorded stays.

    In one that is partly undone, what did not succeed is the rollback: what could not be undone is tried again.
    """
    state = turn.state
    if state.ended is None:
        if state.paused:
            turn.emit(RunUnpaused(turn.now, asked.actor))
        return
    partly = state.ended == "partly_undone"
    again = tuple(sorted(state.stuck) if partly else _unfinished(state, asked.failed_only))
    if again:
        turn.emit(RunResumed(turn.now, asked.actor, again))


def _unfinished(state: RunState, failed_only: bool) -> Iterator[int]:
    """The steps that a resumed run tries again: not those that their own condition or a missing input decided to skip. A flow's
    own calls are tried anew if it makes them again. With `failed_only` no more than what failed, and what fell with it."""
    lost = (FAILED, UNDONE) if failed_only else (FAILED, UNDONE, CANCELLED)
    for index, code in enumerate(state.status[: state.planned]):
        if code == SKIPPED:
            kind, root = state.causes[index]
            if kind == "halted" or (kind == "upstream" and state.status[root] in lost):
                yield index
        elif code in lost:
            yield index


def take_over(turn: Turn, asked: TakeOver) -> None:
    """The attempts of the former conductor are void: they are handed out again, with new tokens, at no cost; or, if they were
    being cancelled, are cancelled."""
    state = turn.state
    if state.running:
        give_back(turn, tuple(sorted(state.running)))
    if code := _changed_code(state):
        turn.emit(CodeChanged(turn.now, code))
    for index, due in state.backoff.items():
        state.backoff[index] = _not_beyond(state, index, turn.now, due)
    wakes = [(_wake(state, index, turn.now, due), index, kind) for due, index, kind in state.due if kind == WAKE_DUE]
    state.due = [*wakes, *((due, index, RETRY_DUE) for index, due in state.backoff.items())]
    heapify(state.due)


def _changed_code(state: RunState) -> dict[str, str]:
    """The code of now of the nodes that the run knows with another one."""
    now = {node: handling.code for node, handling in state.later.items() if handling.code and node in state.plan.handling}
    return {node: code for node, code in now.items() if state.code(node) not in ("", code)}


def _not_beyond(state: RunState, index: int, now: Instant, due: Instant) -> Instant:
    """The instant, unless the clock was set back since it was recorded and it now lies further off than any delay could be."""
    error, every_s = state.errors.get(index), poll_s(state, index)
    longest_s = max(state.handling(index).retry.max_delay_s, (error.retry_after_s or 0.0) if error else 0.0)
    if every_s is not None and error is not None and error.kind == "pending":
        longest_s = every_s
    return min(due, after(now, longest_s))


def _wake(state: RunState, index: int, now: Instant, due: Instant) -> Instant:
    """The end of a wait, likewise: no wait lasts longer from now than it was to last at all."""
    wait = state.calls.wait(index)
    return due if wait is None or wait.seconds is None else min(due, after(now, wait.seconds))
