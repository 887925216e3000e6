"""What follows a failure: another try, the fallback, or the end of the step and of what depends on it."""

from __future__ import annotations

from typing import Protocol

from legato.declare.node import Retry, qualified
from legato.kernel.events import AttemptFailed, RunHalted, StepsSkipped, Then
from legato.kernel.state import FAILED, IDLE, RunState
from legato.kernel.turn import Turn
from legato.plan.records import Handling
from legato.terms.attempt import LogSpan, Output
from legato.terms.fact import Error
from legato.terms.instant import after
from legato.terms.key import unit_interval

_TIMEOUT_TYPES = frozenset(qualified(kind) for kind in TimeoutError.__mro__)


class Ended(Protocol):
    """The part of a report that names the attempt."""

    @property
    def step(self) -> int: ...
    @property
    def token(self) -> int: ...


def fail_attempt(
    turn: Turn, ended: Ended, error: Error, *, seconds: float = 0.0, log: LogSpan | None = None, outputs: tuple[Output, ...] = ()
) -> None:
    """Record that the attempt failed, and what is to follow."""
    state, index = turn.state, ended.step
    handling = state.handling(index)
    undoing = state.running[index].mode == "undo"
    then, delay_s = _what_then(state, index, handling, error)
    if undoing and then in ("fail", "fallback", "cancel"):
        then, delay_s = "stuck", 0.0
    due = after(turn.now, delay_s) if then == "retry" else turn.now
    turn.emit(AttemptFailed(turn.now, index, ended.token, error, then, seconds, due, delay_s, outputs, log))


def stopped(why: str) -> Error:
    """The error of an attempt that was stopped on purpose."""
    return Error("timeout", "ran longer than its time limit") if why == "timeout" else Error("cancelled", "cancelled")


def _what_then(state: RunState, index: int, handling: Handling, error: Error) -> tuple[Then, float]:
    if error.kind == "cancelled":
        return "cancel", 0.0
    if state.cancelling:
        return "fail", 0.0
    if error.kind == "lost":
        if state.losses[index] < handling.lost_retries:
            return "again", 0.0
    elif error.kind != "gate" and state.fails[index] < handling.retry.times and _matches(handling.retry, error):
        return "retry", _delay(handling.retry, state, index, error)
    if handling.fallback and index not in state.fallback_due:
        return "fallback", 0.0
    return "fail", 0.0


def _matches(retry: Retry, error: Error) -> bool:
    if not retry.on:
        return True
    if error.kind == "timeout":
        return not _TIMEOUT_TYPES.isdisjoint(retry.on)
    return any(name in retry.on for name in error.types)


def _delay(retry: Retry, state: RunState, index: int, error: Error) -> float:
    """Seconds until the next try; what the failed call asked for (`retry_after`) wins over the back-off."""
    if error.retry_after_s is not None:
        return max(0.0, error.retry_after_s)
    number = state.fails[index]
    factor = {"fixed": 1.0, "linear": number + 1.0, "exponential": 2.0 ** min(number, 60)}[retry.backoff]
    delay = min(retry.delay_s * factor, retry.max_delay_s)
    if retry.jitter:
        delay *= 0.5 + 0.5 * unit_interval(state.run_id, index, number)
    return delay


def settle_failures(turn: Turn) -> None:
    """Skip what depends on a step that failed or was skipped; halt or roll back the run where the step says so."""
    state = turn.state
    passed: set[int] = set()
    while state.fallen:
        root = state.fallen.pop()
        if state.status[root] == FAILED:
            policy = state.handling(root).on_failure
            if policy != "skip" and not state.cancelling and not (state.halted and (state.rolling or policy == "halt")):
                turn.emit(RunHalted(turn.now, root, policy == "rollback"))
        doomed = _dependents(state, root, passed)
        if doomed:
            turn.emit(StepsSkipped(turn.now, tuple(sorted(doomed)), "upstream", root))


def _dependents(state: RunState, root: int, passed: set[int]) -> set[int]:
    """Everything that waits for the step, directly or not, and has not started. A joint that was passed has nobody left."""
    found: set[int] = set()
    frontier = [root]
    while frontier:
        for joint in state.joints(frontier.pop()):
            if joint in passed:
                continue
            passed.add(joint)
            for index in state.joint_steps[joint]:
                if index not in found and state.status[index] in IDLE:
                    found.add(index)
                    frontier.append(index)
    return found
