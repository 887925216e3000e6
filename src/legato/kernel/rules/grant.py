"""Who may start now: by pool and priority, in batches of short steps, one writer to an asset partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial

from legato.declare.body import cache_key
from legato.kernel.commands import StartAttempts
from legato.kernel.events import AttemptsStarted, StepUndone
from legato.kernel.inputs import Offer
from legato.kernel.lanes import Share
from legato.kernel.state import RunState
from legato.kernel.turn import Turn
from legato.plan.records import Handling
from legato.terms.attempt import Mode


def grant(turn: Turn, offer: Offer) -> None:
    """Start as many ready steps as the offer has room for, while they are the first of all. Full pools never hide others."""
    state = turn.state
    if state.ended is not None or state.paused:
        return
    if state.rolling and not state.running and not offer.flows:
        _undo_next(turn)
        return
    mode: Mode = "run"
    batch: dict[int, None] = {}  # a step may be queued twice: replays and resumes leave entries behind
    taken: Counter[Share] = Counter()
    room_s = offer.room_s
    while len(batch) < offer.most and room_s > 0:
        found = _next(turn, taken, flows=offer.flows)
        if found is None:
            break
        index, key, node = found
        if index in batch:
            continue
        handling = state.plan.handling[node]
        its_mode = _mode(state, index, handling)
        cost = _cost(state, index, node, handling, its_mode, offer)
        if batch and (its_mode != mode or not _goes_along(state, next(iter(batch)), index, len(batch), cost <= room_s)):
            state.put(index, key)
            break
        mode = its_mode
        if mode == "fallback":
            _start(turn, (index,), mode)
            return
        if handling.pools:
            taken.update(state.lane(index))
        batch[index] = None
        if handling.together == 1:
            room_s -= cost
    if batch:
        _start(turn, tuple(batch), mode)


def _goes_along(state: RunState, first: int, index: int, count: int, fits: bool) -> bool:
    """Whether a step is handed out with others. Partitions that one call can make go together, however long that takes, and
    with nothing else; not if the worker of one died before, or a flow asks for them one by one."""
    one, other = state.plan.steps[first].node, state.plan.steps[index].node
    most = state.plan.handling[one].together
    if one != other:
        return fits and most == state.plan.handling[other].together == 1
    if most == 1:
        return fits
    return count < most and max(first, index) < state.planned and not (state.losses[first] or state.losses[index])


def _mode(state: RunState, index: int, handling: Handling) -> Mode:
    """What the step's next attempt is to make."""
    if index in state.fallback_due:
        return "fallback"
    return "key" if handling.keyed and state.lacks_key(index) else "run"


def _start(turn: Turn, steps: tuple[int, ...], mode: Mode) -> None:
    token = turn.state.next_token
    turn.emit(AttemptsStarted(turn.now, steps, token, mode))
    turn.ask(StartAttempts(steps, token, mode))


def _cost(state: RunState, index: int, node: str, handling: Handling, mode: Mode, offer: Offer) -> float:
    """Expected seconds. A step fills the offer and so travels alone if its time is not known, if its worker died before, or if a
    rate counts its start, which should be when it is handed out."""
    if state.losses[index]:
        return offer.room_s
    if mode == "key":
        node = cache_key(node)
    elif handling.pools:
        limits = state.board.limits
        if any(use.pool in limits and limits[use.pool].starts is not None for use in handling.pools):
            return offer.room_s
    return offer.cost_s.get(node, offer.room_s)


def _next(turn: Turn, taken: Mapping[Share, int], *, flows: bool) -> tuple[int, int, str] | None:
    """The first ready step that may start, with its key and its node, if it is of this run; nobody else writes its asset
    partitions."""
    state, board = turn.state, turn.state.board
    lanes = state.track.flows if flows else state.track.steps
    while (found := board.first(lanes, turn.now, taken)) is not None:
        run, index, key = found
        if run is not state:
            return None
        lanes.take()
        node = state.plan.steps[index].node
        if not state.plan.handling[node].outputs:
            return index, key, node
        held = board.holder(state.claims(index), (state.run_id, index))
        if held is None:
            return index, key, node
        board.park(held[0], partial(state.put, index, key))
    return None


def _undo_next(turn: Turn) -> None:
    """Undo one completed step, the last first; a step without an undo of its own gives back what it published."""
    state = turn.state
    while state.undo_queue:
        index = state.undo_queue[-1]
        handling = state.handling(index)
        held = state.board.holder(state.claims(index), (state.run_id, index))
        if handling.undo and index not in state.cached:
            shut = state.board.shut(state.lane(index), now=turn.now)
            if index not in state.backoff and held is None and shut is None:
                _start(turn, (index,), "undo")
            return
        if held is not None:  # another run is making a version of the one that would be taken back
            return
        turn.emit(StepUndone(turn.now, index))
