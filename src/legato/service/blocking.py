"""What the open steps of a run wait for, in words: a slot and who holds it, a rate and when, a partition and who writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from legato.kernel.blocked import Blocked, blocked_by
from legato.kernel.board import Board, Owner
from legato.kernel.state import BACKOFF, HELD, PARKED, READY, RunState
from legato.ports.store import Run, Store
from legato.service.naming import names_of
from legato.service.workspace import Workspace
from legato.terms.instant import Instant, to_datetime

_MOST_OTHERS = 100
_MOST_KINDS = 20
_TURN = "a free worker"


class Waiting(Struct, frozen=True, kw_only=True):
    """Steps of one node that have not started, or have stopped, and what they wait for; `example` names the first."""

    node: str
    count: int
    example: str
    why: str


def others_of(store: Store, run: Run) -> list[str]:
    """The open runs beside an open one: they share pools and asset partitions with it."""
    return [each.id for each in store.runs(limit=_MOST_OTHERS, state="open") if each.id != run.id]


def board_of(workspace: Workspace, store: Store, states: Iterable[RunState]) -> Board:
    """What these runs hold, and what rates count."""
    now = workspace.clock.now()
    board = Board(workspace.project.pools, (((each.pool, each.key), each.at) for each in store.starts() if each.until > now))
    for state in states:
        board.behold(state)
    return board


def waiting_steps(state: RunState, board: Board, now: Instant) -> tuple[Waiting, ...]:
    """What open steps wait for, those that wait for the same together; steps that wait for others of the run are left out."""
    alike: dict[tuple[str, str], list[int]] = {}
    names = names_of(state)
    for index, code in enumerate(state.status):
        if code not in (READY, BACKOFF, HELD, PARKED):
            continue
        node = state.plan.steps[index].node
        handling = state.plan.handling[node]
        if code == READY and not (handling.pools or handling.outputs or state.paused):
            alike.setdefault((node, _TURN), []).append(index)
        elif (blocked := blocked_by(state, index, now, board)) is not None:
            alike.setdefault((node, in_words(state, blocked, board)), []).append(index)
    return tuple(
        Waiting(node=node, count=len(steps), example=names.of(steps[0]), why=why)
        for (node, why), steps in list(alike.items())[:_MOST_KINDS]
    )  # fmt: skip


def in_words(state: RunState, blocked: Blocked, board: Board) -> str:
    """What a step waits for, for people: `a slot of pool crm, held by enrich#3 (2 of 2)`."""
    until = f" at {to_datetime(blocked.until).astimezone():%Y-%m-%d %H:%M:%S}" if blocked.until is not None else ""
    match blocked.kind:
        case "pause":
            return f"the run to go on: legato resume {state.run_id}"
        case "slot" if blocked.on == state.own_pool:
            return f"its turn: the run has {board.limits[blocked.on]}"
        case "slot":
            limit = board.limits[blocked.on.partition("[")[0]]
            return f"a slot of pool {blocked.on} ({limit}), held by {_holders(state, board, blocked.holders)}"
        case "rate":
            return f"the rate of pool {blocked.on} ({board.limits[blocked.on.partition('[')[0]]}), next{until}"
        case "partition":
            return f"{blocked.on}, which {_holders(state, board, blocked.holders)} is writing"
        case "poll":
            return f"poll of {blocked.on}, next{until}"
        case "retry":
            return f"its next try{until}"
        case "sleep":
            return f"its time{until}"
        case "approval":
            return f"approval: {blocked.on}{' (too late' + until + ')' if until else ''}"
        case "signal":
            return f"signal {blocked.on}{' (too late' + until + ')' if until else ''}"
        case "turn":
            return _TURN
        case _:
            return blocked.on


def _holders(state: RunState, board: Board, holders: Sequence[Owner], most: int = 3) -> str:
    runs = {run.run_id: run for run in board.runs()}
    named = [
        names_of(runs[run]).of(step) + ("" if run == state.run_id else f" of run {run}")
        for run, step in holders[:most]
        if run in runs
    ]
    return ", ".join(named) + (f" and {len(holders) - most} more" if len(holders) > most else "")
