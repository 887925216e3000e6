"""What follows a failure: another try, the fallback, or the end of the step and of what depends on it."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from legato.declare.node import Retry
from legato.kernel.budget import left_s, limit_s, poll_s
from legato.kernel.events import AttemptFailed, RunHalted, StepsSkipped, Then
from legato.kernel.state import FAILED, IDLE, RunState
from legato.kernel.turn import Turn
from legato.terms.attempt import LogSpan, Output
from legato.terms.fact import TIMEOUT_TYPES, Error
from legato.terms.instant import after, format_seconds
from legato.terms.key import unit_interval


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
    undoing = state.running[index].mode == "undo"
    then, delay_s, error = _what_then(turn, index, error)
    if undoing and then in ("fail", "fallback", "cancel"):
        then, delay_s = "stuck", 0.0
    due = after(turn.now, delay_s) if then == "retry" else turn.now
    turn.emit(AttemptFailed(turn.now, index, ended.token, error, then, seconds, due, delay_s, outputs, log))


def stopped(why: str) -> Error:
    """The error of an attempt that was stopped on purpose, for this `StopReason`."""
    return _STOPPED[why]


MOST_CALLS, MOST_DEPTH = 1_000_000, 100
"""How many calls a flow may make, and how deep flows may call flows: more than that has no end."""

_STOPPED = {
    "timeout": Error("timeout", "ran longer than its time limit"),
    "cancel": Error("cancelled", "cancelled"),
    "calls": Error("flow", f"made more than {MOST_CALLS:,} calls: let flows that it calls make a part of them each"),
    "pool": Error("flow", "called what needs a slot of a pool that it, and flows above it, hold to the last: name another pool"),
    "depth": Error("flow", f"called a flow below {MOST_DEPTH} others: a flow that calls itself has to come to an end"),
}  # fmt: skip


def _what_then(turn: Turn, index: int, error: Error) -> tuple[Then, float, Error]:
    """What follows, after how many seconds; and the error, which says so where the time for tries is over."""
    state, handling = turn.state, turn.state.handling(index)
    if error.kind == "cancelled":
        return "cancel", 0.0, error
    if state.cancelling:
        return "fail", 0.0, error
    every_s, rest_s = poll_s(state, index), left_s(state, index, turn.now)
    if error.kind == "pending" and every_s is not None:
        if rest_s is None or rest_s > 0:
            return "retry", every_s if rest_s is None else min(every_s, rest_s), error
        error = replace(error, message=f"{error.message} (not asked again: {_limit(state, index)} is over)")
    elif error.kind == "lost":
        if state.losses[index] < handling.lost_retries:
            return "again", 0.0, error
    elif _may_be_tried_again(handling.retry, state.fails[index], error):
        delay_s = _delay(handling.retry, state, index, error)
        if rest_s is None or delay_s <= rest_s:
            return "retry", delay_s, error
        error = replace(error, message=f"{error.message} (not tried again: {_limit(state, index)} would be over)")
    if handling.fallback and index not in state.fallback_due:
        return "fallback", 0.0, error
    return "fail", 0.0, error


def _limit(state: RunState, index: int) -> str:
    """The limit for all tries, in words."""
    word = "max_time" if poll_s(state, index) is None else "timeout"
    return f"{word} of {format_seconds(limit_s(state, index) or 0.0)}"


def _may_be_tried_again(retry: Retry, fails: int, error: Error) -> bool:
    if error.kind in ("gate", "flow") or (retry.times is not None and fails >= retry.times):
        return False
    if not retry.on or error.kind == "pending":
        return True
    types = TIMEOUT_TYPES if error.kind == "timeout" else error.types
    return any(name in retry.on for name in types)


def _delay(retry: Retry, state: RunState, index: int, error: Error) -> float:
    """Seconds until the next try; what the failed call asked for (`retry_after`) wins over the back-off."""
    if error.retry_after_s is not None:
        return max(0.0, error.retry_after_s)
    number = state.fails[index]
    factor = {"fixed": 1.0, "linear": number + 1.0, "exponential": 2.0 ** min(number, 60)}[retry.backoff]
    delay = min(retry.delay_s * factor, retry.max_delay_s)
    if retry.jitter:
        key = index if state.handling(index).together == 1 else 0  # what one call makes is tried again by one
        delay *= 0.5 + 0.5 * unit_interval(state.run_id, key, number)
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
        for joint in state.joints.of(frontier.pop()):
            if joint in passed:
                continue
            passed.add(joint)
            for index in state.joints.waiters[joint]:
                if index not in found and state.status[index] in IDLE:
                    found.add(index)
                    frontier.append(index)
    return found
