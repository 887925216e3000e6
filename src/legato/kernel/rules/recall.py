"""What earlier runs made, and counts for this one."""

from __future__ import annotations

from legato.kernel.events import StepSucceeded
from legato.kernel.inputs import Recall
from legato.kernel.turn import Turn


def take_recalled(turn: Turn, recall: Recall) -> None:
    """What an earlier run made is the result of a step that is ready: nothing is made, and no slot is held."""
    state = turn.state
    for found in recall.found:
        if 0 <= found.step < len(state.status) and state.takes(found.step):
            turn.emit(StepSucceeded(turn.now, found.step, 0, 0.0, found.value, found.kept, cached=found.run))
