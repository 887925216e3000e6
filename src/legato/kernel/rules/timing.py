"""What is due: tries that waited long enough, attempts that ran too long."""

from __future__ import annotations

from heapq import heappop

from legato.kernel.commands import KillAttempt
from legato.kernel.events import AttemptStopping, WaitEnded
from legato.kernel.family import WAKE_DUE
from legato.kernel.fold import DEADLINE_DUE
from legato.kernel.inputs import Tick
from legato.kernel.state import BACKOFF, HELD, RunState
from legato.kernel.turn import Turn
from legato.terms.instant import Instant


def do_what_is_due(turn: Turn, tick: Tick) -> None:
    """Make waiting tries ready and stop attempts whose time is over.

    A retry becomes ready without an event: its instant was recorded when it was decided, so a replay finds it due again.
    """
    state, now = turn.state, turn.now
    state.board.pass_time(now)
    while state.due and state.due[0][0] <= now:
        due, index, kind = heappop(state.due)
        if kind == DEADLINE_DUE:
            attempt = state.running.get(index)
            if attempt is not None and attempt.deadline is not None and attempt.deadline <= now and not attempt.stopping:
                turn.emit(AttemptStopping(now, index, attempt.token, "timeout"))
                turn.ask(KillAttempt(index, attempt.token))
        elif kind == WAKE_DUE:
            if state.status[index] == HELD:
                wait = state.calls.wait(index)
                turn.emit(WaitEnded(now, index, "over" if wait is not None and wait.kind == "sleep" else "timed out"))
        elif state.backoff.get(index) == due:
            del state.backoff[index]
            if state.status[index] == BACKOFF:
                state.make_ready(index, now)


def next_due(state: RunState) -> Instant | None:
    """When a `Tick` will next find something to do."""
    return state.due[0][0] if state.due and state.ended is None else None
