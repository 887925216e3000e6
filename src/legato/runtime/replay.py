"""What is on record of a run, read again: its events, and the state that they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.fold import fold
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.store import Store
from legato.terms.codec import unpack
from legato.terms.errors import LegatoError


def read_events(store: Store, run_id: str, after: int = 0) -> Iterator[tuple[int, ev.AnyEvent]]:
    """The run's events in order, with their numbers, from after the given one. What cannot be read is refused (`run-damaged`)."""
    for number, body in store.events(run_id, after):
        try:
            event = ev.decode(body)
        except Exception as error:
            raise _damaged(run_id, number, error) from error
        yield number, event


def read_state(
    store: Store, run_id: str, board: Board | None = None, *, hear: Callable[[ev.AnyEvent], None] | None = None
) -> RunState:
    """The state of a run as its committed events say, on this board or its own. Damaged history is refused, not skipped.

    `hear` is told of each event, after it was folded.
    """
    state = RunState(run_id, unpack(store.plan(run_id), Plan), board)
    follow(store, state, hear=hear)
    return state


def follow(
    store: Store, state: RunState, after: int = 0, *, hear: Callable[[ev.AnyEvent], None] | None = None
) -> int:  # fmt: skip
    """Fold what was committed after the event of this number into a state that had got so far; the number of the last event."""
    for number, event in read_events(store, state.run_id, after):
        try:
            fold(state, event)
        except Exception as error:
            raise _damaged(state.run_id, number, error) from error
        if hear is not None:
            hear(event)
        after = number
    return after


def _damaged(run_id: str, number: int, error: Exception) -> LegatoError:
    return LegatoError("run-damaged", f"event {number} of run {run_id} cannot be read", why=str(error), next="legato doctor")
