"""What a step has used of its tries: how many failed, and since when it is tried; and how it gets all of them again."""

from __future__ import annotations

from legato.kernel.state import UNDONE, WAITING, RunState
from legato.terms.instant import Instant


def limit_s(state: RunState, index: int) -> float | None:
    """How long all tries of the step may take together; None where nothing says."""
    call = state.calls.call(index)
    if call is not None and call.limit_s is not None:
        return call.limit_s
    return state.handling(index).retry.max_time_s


def poll_s(state: RunState, index: int) -> float | None:
    """How long to wait between two looks at a job that the step looks after; None for any other step."""
    call = state.calls.call(index)
    return None if call is None else call.poll_s


def note_try(state: RunState, index: int, at: Instant) -> None:
    """Remember when the first try began, where its time is limited; where the clock was set back since, it began now."""
    if state.since.get(index, at) >= at and limit_s(state, index) is not None:
        state.since[index] = at


def left_s(state: RunState, index: int, now: Instant) -> float | None:
    """Seconds that are left for the beginning of further tries; None where nothing limits them."""
    limit = limit_s(state, index)
    if limit is None:
        return None
    attempt = state.running.get(index)
    began = state.since.get(index, attempt.started if attempt is not None else now)
    return limit - (now - began) / 1e6


def charge(state: RunState, index: int, kind: str) -> None:
    """Charge a failed try to its budget. A look at a job that goes on is no failure, and gives the next look all its tries."""
    if kind == "pending" and poll_s(state, index) is not None:
        state.fails[index] = state.losses[index] = 0
    elif kind == "lost":
        state.losses[index] += 1
    else:
        state.fails[index] += 1


def begin_anew(state: RunState, index: int) -> None:
    """Give the step all its tries, and all their time."""
    state.fails[index] = state.losses[index] = 0
    state.since.pop(index, None)


def wait_anew(state: RunState, index: int) -> None:
    """Let a step that did not succeed, or was undone, wait again, as if it had never been tried."""
    if state.status[index] == UNDONE:
        state.joints.unrelease(index)
    state.set_status(index, WAITING)
    state.causes.pop(index, None)
    state.spared.discard(index)
    state.errors.pop(index, None)
    state.fallback_due.discard(index)
    state.keys.pop(index, None)
    begin_anew(state, index)
