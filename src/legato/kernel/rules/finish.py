"""When a run is over, and how it ended."""

from __future__ import annotations

from legato.kernel.events import Outcome, RunEnded, StepsCancelled, StepsSkipped
from legato.kernel.state import CANCELLED, FAILED, IDLE, RUNNING, SKIPPED, RunState
from legato.kernel.turn import Turn


def close_waiting(turn: Turn) -> None:
    """In a cancelled run what has not started, or came back, is cancelled; in a halted one it is skipped, once nothing runs."""
    state = turn.state
    if state.cancelling:
        if state.open > state.counts[RUNNING]:
            turn.emit(StepsCancelled(turn.now, _waiting(state)))
    elif state.halted and not state.running and state.open:
        turn.emit(StepsSkipped(turn.now, _waiting(state), "halted"))


def _waiting(state: RunState) -> tuple[int, ...]:
    return tuple(index for index, code in enumerate(state.status) if code in IDLE)


def finish(turn: Turn) -> None:
    """End the run when every step has its outcome and nothing is left to undo."""
    state = turn.state
    if state.ended is None and not state.open and not state.running and not state.undo_queue:
        turn.emit(RunEnded(turn.now, _outcome(state)))


def _outcome(state: RunState) -> Outcome:
    if state.rolling:
        return "partly_undone" if state.stuck else "rolled_back"
    if (state.cancelling and state.counts[CANCELLED]) or CANCELLED in state.status[: state.planned]:
        return "cancelled"  # also where no more than what failed was tried again
    return "failed" if FAILED in state.status[: state.planned] or _was_kept_back(state) else "succeeded"


def _was_kept_back(state: RunState) -> bool:
    """Whether something that the plan asked for was not done, though nothing decided against it: an input is missing, or the run
    was halted before it; so is a flow that waited for a call while another one halted the run, even if it caught that failure."""
    if not state.counts[SKIPPED]:
        return False
    skipped = (index for index, code in enumerate(state.status[: state.planned]) if code == SKIPPED)
    return any(state.causes[index][0] in ("blocked", "halted") for index in skipped)
