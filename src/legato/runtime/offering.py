"""Offers what workers have room for to the runs whose steps are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from legato.kernel.board import YIELDING, Board
from legato.kernel.commands import Command, StartAttempts
from legato.kernel.inputs import Input, Offer
from legato.kernel.state import RunState
from legato.runtime.dispatch import MOST_AT_ONCE, Pace, Room
from legato.runtime.edition import Edition
from legato.runtime.runs import Live
from legato.terms.instant import Instant

Started = tuple[Live, StartAttempts, int]
"""Whose attempts start, which, and at which worker."""


class Offers:
    """Lets whoever has the first of all ready steps begin, for as long as there is room. `decide` asks a run what it takes."""

    def __init__(
        self, board: Board, pace: Pace, runs: Mapping[str, Live], decide: Callable[[Live, Input, Instant], Iterable[Command]]
    ) -> None:
        self._board, self._pace, self._runs, self._decide = board, pace, runs, decide

    def make(self, editions: Sequence[Edition], rolling: Iterable[Live], now: Instant, *, spare: bool) -> list[Started]:
        """Offer all room there is: to runs that roll back, to steps, then to flows; who takes it, and which worker.

        `spare` leaves a worker free, of several, by runs that yield to others.
        """
        taken: list[Started] = []
        loads = {edition: edition.executor.load() for edition in editions}
        rooms = {edition: self._pace.rooms(held) for edition, held in loads.items()}
        for live in list(rolling):
            for room in rooms[live.edition]:
                taken += self._offer(live, self._work_for(room), room.worker, now)
        for edition, held in loads.items():
            edition.spare = 0 if spare and self._board.yielding and len(held) > 1 else -1
        while (found := self._first(rooms, now)) is not None:
            live, room = found
            started = self._offer(live, self._work_for(room), room.worker, now)
            taken += started
            room.left_s -= sum(self._pace.expected_s(live.state, start) for _, start, _ in started)
            if room.left_s <= 0:
                rooms[live.edition].remove(room)
        for edition, held in loads.items():
            edition.share_out(held, {worker for live, _, worker in taken if live.edition is edition}, now)
        return [*taken, *self._flows(editions, now)]

    def _first(self, rooms: Mapping[Edition, list[Room]], now: Instant) -> tuple[Live, Room] | None:
        """The run with the first of the ready steps that have a worker with room, and the emptiest worker's."""
        best: tuple[int, RunState, Room] | None = None
        for edition, free in rooms.items():
            found = self._board.first(edition.track.steps, now) if free else None
            if found is not None and (best is None or found[2] < best[0]):
                spare = edition.spare if found[2] >= YIELDING else -1
                room = max((each for each in free if each.worker != spare), key=lambda each: each.left_s, default=None)
                if room is not None:
                    best = found[2], found[0], room
        return None if best is None else (self._runs[best[1].run_id], best[2])

    def _flows(self, editions: Iterable[Edition], now: Instant) -> list[Started]:
        """Let flows begin, or go on, one at each place that is free for them."""
        taken: list[Started] = []
        for edition in editions:
            for place in edition.executor.free_for_flows() if edition.track.flows else ():
                first = self._board.first(edition.track.flows, now)
                if first is None:
                    break
                taken += self._offer(self._runs[first[0].run_id], Offer(1.0, 1, {}, flows=True), place, now)
        return taken

    def _work_for(self, room: Room) -> Offer:
        return Offer(room.left_s, MOST_AT_ONCE, self._pace.cost_s)

    def _offer(self, live: Live, offer: Offer, place: int, now: Instant) -> list[Started]:
        """What the run starts at this place; whatever else it wants done is left with it."""
        started = []
        for command in self._decide(live, offer, now):
            if isinstance(command, StartAttempts):
                started.append((live, command, place))
            else:
                live.commands.append(command)
        return started
