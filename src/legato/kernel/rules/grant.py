"""Who may start now: by pool and priority, in batches of short steps, one writer to an asset partition."""

from __future__ import annotations

from functools import partial

from legato.kernel.commands import StartAttempts
from legato.kernel.events import AttemptsStarted, StepUndone
from legato.kernel.inputs import Offer
from legato.kernel.state import RunState
from legato.kernel.turn import Turn
from legato.terms.attempt import Mode


def grant(turn: Turn, offer: Offer) -> None:
    """Start as many ready steps as the offer has room for. Full pools never hide ready work of other pools."""
    state = turn.state
    if state.ended is not None:
        return
    if state.rolling and not state.running and not offer.flows:
        _undo_next(turn)
        return
    if state.halted or state.cancelling:
        return
    batch: list[int] = []
    room_s = offer.room_s
    while len(batch) < offer.most and room_s > 0:
        index = _next(state, batch, state.ready_flows if offer.flows else state.ready)
        if index is None:
            break
        cost = _cost(state, index, offer)
        if cost > room_s and batch:
            state.push(index)
            break
        if index in state.fallback_due:
            if batch:
                state.push(index)
                break
            _start(turn, (index,), "fallback")
            return
        batch.append(index)
        room_s -= cost
    if batch:
        _start(turn, tuple(batch), "run")


def _start(turn: Turn, steps: tuple[int, ...], mode: Mode) -> None:
    token = turn.state.next_token
    turn.emit(AttemptsStarted(turn.now, steps, token, mode))
    turn.ask(StartAttempts(steps, token, mode))


def _cost(state: RunState, index: int, offer: Offer) -> float:
    """Expected seconds; a step whose time is not known, or whose worker died before, fills the offer and so travels alone."""
    return offer.room_s if state.losses[index] else offer.cost_s.get(state.plan.steps[index].node, offer.room_s)


def _next(state: RunState, batch: list[int], heaps: dict[str, list[int]]) -> int | None:
    """The best ready step whose pool has a slot and whose asset partitions nobody else is writing."""
    while True:
        best: int | None = None
        pool_of_best = ""
        for pool, heap in heaps.items():
            if heap and (best is None or heap[0] < best) and _slots(state, pool, batch) > 0:
                best, pool_of_best = heap[0], pool
        if best is None:
            return None
        index = state.pop(pool_of_best, heaps)
        if index is None:
            continue
        if not state.plan.handling[state.plan.steps[index].node].outputs:
            return index
        claims = state.claims(index)
        held = state.board.holder(claims, (state.run_id, index))
        if held is None:
            return index
        state.board.park(held[0], partial(state.push, index))


def _slots(state: RunState, pool: str, batch: list[int]) -> int:
    free = state.board.free(pool)
    if free > len(batch):
        return free
    return free - sum(state.handling(index).pool == pool for index in batch)


def _undo_next(turn: Turn) -> None:
    """Undo one completed step, the last first; a step without an undo of its own gives back what it published."""
    state = turn.state
    while state.undo_queue:
        index = state.undo_queue[-1]
        handling = state.handling(index)
        held = state.board.holder(state.claims(index), (state.run_id, index))
        if handling.undo:
            if index not in state.backoff and held is None and state.board.free(handling.pool) > 0:
                _start(turn, (index,), "undo")
            return
        if held is not None:  # another run is making a version of the one that would be taken back
            return
        turn.emit(StepUndone(turn.now, index))
