"""What a step that has not started waits for: the first thing that would have to change."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from legato.kernel.board import Board, Owner
from legato.kernel.budget import poll_s
from legato.kernel.lanes import Share
from legato.kernel.state import BACKOFF, FRESH, HELD, PARKED, READY, SUCCEEDED, WAITING, RunState
from legato.terms.instant import Instant
from legato.terms.key import show


class Blocked(Struct, frozen=True, omit_defaults=True):
    """Why a step does not run now.

    `on` names what it waits for: a step, a pool (with the value of its key), an asset partition, a question, a signal, what began
    the job that it polls. `holders`
    are the runs and steps that have it; `until` is when it comes by itself.
    """

    kind: Literal["step", "pause", "slot", "rate", "partition", "turn", "retry", "poll", "sleep", "approval", "signal", "call"]
    on: str = ""
    holders: tuple[Owner, ...] = ()
    until: Instant | None = None


def blocked_by(state: RunState, index: int, now: Instant, board: Board | None = None) -> Blocked | None:
    """What the step waits for; None if it runs, or has its outcome. `board` is the one to look at, if not the run's own."""
    code = state.status[index]
    if code == WAITING:
        return Blocked("step", _names(state, _needs(state, index)))
    if code == READY:
        return _ready(state, index, now, board or state.board)
    if code == BACKOFF:
        polls = poll_s(state, index) is not None
        return Blocked("poll" if polls else "retry", begun_by(state, index) if polls else "", until=state.backoff.get(index))
    if code == PARKED:
        return Blocked("call", _names(state, tuple(state.parked.get(index, ()))))
    wait = state.calls.wait(index) if code == HELD else None
    if wait is None:
        return None
    due = min((due for due, step, _ in state.due if step == index), default=None)
    return Blocked(wait.kind, wait.name, until=due)


def begun_by(state: RunState, index: int) -> str:
    """The step that began the job which this one looks after."""
    call = state.calls.call(index)
    siblings = state.calls.of(state.calls.parent(index))
    return _names(state, tuple(siblings[key] for _, key in call.inputs)) if call is not None else ""


def _ready(state: RunState, index: int, now: Instant, board: Board) -> Blocked:
    if state.paused:
        return Blocked("pause")
    share = board.shut(state.lane(index), now=now)
    if share is not None:
        pool, key = share
        until = board.reopens(share, now)
        return Blocked("slot" if until is None else "rate", f"{pool}[{key}]" if key else pool, _users(board, share), until)
    held = board.holder(state.claims(index), (state.run_id, index))
    if held is not None:
        return Blocked("partition", show(*held[0]), (held[1],))
    return Blocked("turn")


def _users(board: Board, share: Share) -> tuple[Owner, ...]:
    return tuple(
        (run.run_id, step)
        for run in board.runs()
        for step in (*(step for step, attempt in run.running.items() if share in attempt.lane),
                     *(step for step, lane in run.seats.items() if share in lane))
    )  # fmt: skip


def _needs(state: RunState, index: int) -> tuple[int, ...]:
    deps = state.plan.steps[index].deps
    needs = (need for at in range(0, len(deps), 2) for need in range(deps[at], deps[at + 1]))
    return tuple(need for need in needs if state.status[need] not in (FRESH, SUCCEEDED))


def _names(state: RunState, steps: tuple[int, ...], most: int = 3) -> str:
    named = [show(state.plan.steps[step].node, state.plan.steps[step].partition) for step in sorted(steps)[:most]]
    return ", ".join(named) + (f" and {len(steps) - most} more" if len(steps) > most else "")
