"""Broken variants of pools, claims, and who may start."""

from __future__ import annotations

from marks import caught_by

from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel import inputs
from legato.kernel.board import Board
from legato.kernel.joints import Joints
from legato.kernel.lanes import Lanes
from legato.kernel.state import FRESH, RunState
from legato.runtime import conductor as conducting
from legato.runtime.conductor import Conductor


@caught_by("kernel", "worlds")
def skips_the_claim(patch):
    """Nobody asks who is writing an asset partition."""
    patch.setattr(Board, "holder", lambda self, claims, owner: None)


@caught_by("kernel", "worlds", "deaths")
def leaks_slots(patch):
    """The end of an attempt leaves its slot taken."""
    patch.setattr(Board, "unseat", lambda self, lane: None)


@caught_by("kernel", "worlds", "flows")
def forgets_the_starts_of_a_rate(patch):
    """A rate counts what is under way, like slots, and not what started."""
    patch.setattr(Board, "_count", lambda self, share, at: None)


@caught_by("kernel", "worlds")
def a_rate_begins_anew_with_each_conductor(patch):
    """Starts are not handed on to who stores them."""
    seat = Board.seat

    def seat_unseen(self, lane, at):
        seat(self, lane, at)
        self.fresh.clear()

    patch.setattr(Board, "seat", seat_unseen)


@caught_by("kernel", "flows")
def a_waiting_flow_gives_its_slot_back(patch):
    """What a flow holds is given back when it parks, though it is not over."""
    park = folding.park

    def park_and_leave(state, index, *rest):
        folding._leave_seat(state, index)
        park(state, index, *rest)

    patch.setattr(folding, "park", park_and_leave)


@caught_by("kernel")
def priority_is_absolute(patch):
    """A more urgent step always goes first, however long others have waited."""
    key = Board.key
    patch.setattr(
        Board, "key", staticmethod(lambda ready, priority, *rest, **more: key(ready, priority * 100_000, *rest, **more))
    )


@caught_by("kernel", "worlds")
def nobody_wakes_a_lane(patch):
    """A pool that has room again tells nobody."""
    patch.setattr(Board, "_reopen", lambda self, share: None)


@caught_by("conductors")
def adopted_history_moves_todays_board(patch):
    """A run that is taken over is folded onto the board of the runs that are live."""
    read_state = conducting.read_state

    def on_the_board(self, run_id):
        with_board = RunState(run_id, read_state(self.store, run_id).plan, self._board)
        for _, body in self.store.events(run_id):
            folding.fold(with_board, ev.decode(body))
        live = self._own(self.store.run(run_id), with_board)
        self._tell(live, inputs.TakeOver(), self.clock.now())
        return with_board

    patch.setattr(Conductor, "adopt", on_the_board)


@caught_by("kernel", "worlds", "deaths")
def releases_nobody(patch):
    """A success tells nobody who waits for it."""
    patch.setattr(RunState, "release", lambda self, index, at: None)


@caught_by("kernel", "worlds")
def releases_too_early(patch):
    """A range counts as done when its first step is."""
    release = Joints.release

    def early(self, index):
        for joint in self.of(index):
            self.pending[joint] = min(1, self.pending[joint])
        return release(self, index)

    patch.setattr(Joints, "release", early)


@caught_by("kernel")
def starts_doubles(patch):
    """Entries that earlier lives left among the ready steps count again."""
    patch.setattr(RunState, "takes", lambda self, index: index not in self.running and self.status[index] < FRESH)


@caught_by("kernel")
def looks_at_the_best_pool_only(patch):
    """First the best step, then whether there is a slot for it: a full pool hides all others."""

    def first(self, taken):
        found = self._best()
        return None if found is None or self._doors.shut(found[1], taken) else self._lanes[found[1]][0]

    patch.setattr(Lanes, "first", first)
