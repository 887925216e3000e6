"""What a step has used of its tries: how many failed, and since when it is tried."""

from __future__ import annotations

from legato.kernel.state import RunState
from legato.terms.instant import Instant


def limit_s(state: RunState, index: int) -> float | None:
    """How long all tries of the step may take together; None where nothing says."""
    return state.handling(index).retry.max_time_s


def note_try(state: RunState, index: int, at: Instant) -> None:
    """Remember when the first try began, where its time is limited."""
    if index not in state.since and limit_s(state, index) is not None:
        state.since[index] = at


def left_s(state: RunState, index: int, now: Instant) -> float | None:
    """Seconds that are left for the beginning of further tries; None where nothing limits them."""
    limit = limit_s(state, index)
    if limit is None:
        return None
    attempt = state.running.get(index)
    began = state.since.get(index, attempt.started if attempt is not None else now)
    return limit - (now - began) / 1e6


def begin_anew(state: RunState, index: int) -> None:
    """Give the step all its tries, and all their time."""
    state.fails[index] = state.losses[index] = 0
    state.since.pop(index, None)
