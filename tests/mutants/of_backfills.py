"""Broken variants of pauses, and of runs that yield to others, have a pool of their own, and say how far they are."""

from __future__ import annotations

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel import inputs
from legato.kernel import state as states
from legato.kernel.board import Board
from legato.kernel.rules import control, grant
from legato.kernel.state import RunState
from legato.runtime import book as booking
from legato.runtime import conductor as conducting
from legato.runtime import offering


@caught_by("kernel", "worlds")
def starts_in_a_paused_run(patch):
    """A paused run hands out what is ready."""
    patch.setattr(
        RunState, "takes", lambda state, index: state.status[index] == states.READY and not (state.halted or state.cancelling)
    )

    def start(turn, offer):
        paused, turn.state.paused = turn.state.paused, False
        try:
            grant.grant(turn, offer)
        finally:
            turn.state.paused = paused

    patch.setitem(deciding._BY_INPUT, inputs.Offer, start)


@caught_by("kernel")
def a_pause_kills(patch):
    """What is under way when a run is paused is stopped, as by a cancel."""

    def kill(turn, asked):
        control.pause(turn, asked)
        for index, attempt in list(turn.state.running.items()):
            turn.ask(control.KillAttempt(index, attempt.token))

    patch.setitem(deciding._BY_INPUT, inputs.Pause, kill)


@caught_by("kernel", "worlds")
def who_goes_on_forgets_what_was_ready(patch):
    """Steps that were looked at while the run stood still are never handed out."""

    def forget(state, event):
        state.paused = False

    patch.setitem(folding._FOLDS, ev.RunUnpaused, forget)


@caught_by("kernel", "worlds")
def a_take_over_ends_a_pause(patch):
    """The next conductor lets a paused run go on."""

    def go_on(turn, asked):
        control.take_over(turn, asked)
        turn.state.paused = False

    patch.setitem(deciding._BY_INPUT, inputs.TakeOver, go_on)


@caught_by("kernel")
def undoes_in_a_paused_run(patch):
    """A rollback does not stand still."""
    granted = grant.grant

    def roll(turn, offer):
        if turn.state.rolling and not turn.state.running and turn.state.ended is None:
            grant._undo_next(turn)
            return
        granted(turn, offer)

    patch.setitem(deciding._BY_INPUT, inputs.Offer, roll)


@caught_by("kernel")
def patience_beats_yielding(patch):
    """A backfill is of low priority, but what has waited long enough goes first."""
    key = Board.key

    def older_first(ready, priority, run, turn, *, yields=False):
        return key(ready, priority - 60 * yields, run, turn)

    patch.setattr(Board, "key", staticmethod(older_first))


@caught_by("kernel")
def order_is_forgotten(patch):
    """A backfill starts its steps in the order in which its plan has them."""
    in_turn = states._in_turn
    patch.setattr(states, "_in_turn", lambda plan: in_turn(replace(plan, backfill=None)))


@caught_by("kernel", "worlds")
def own_pool_is_forgotten(patch):
    """The board does not know how many steps of a backfill may be under way."""
    enter = Board.enter

    def forget(self, state):
        number = enter(self, state)
        self.limits.pop(state.own_pool, None)
        return number

    patch.setattr(Board, "enter", forget)


@caught_by("kernel")
def what_was_declined_has_failed(patch):
    """A step whose condition said no counts as failed."""
    declined = folding._FOLDS[ev.StepDeclined]

    def fail(state, event):
        declined(state, event)
        state.spared.clear()

    patch.setitem(folding._FOLDS, ev.StepDeclined, fail)


@caught_by("worlds")
def numbers_are_told_at_the_end(patch):
    """How far a backfill is, is recorded when it has ended."""
    standing_of = booking.standing_of
    first = {}

    def late(state):
        found = standing_of(state)
        return found if state.ended else replace(first.setdefault(state.run_id, found), done=0)

    patch.setattr(booking, "standing_of", late)


@caught_by("kernel")
def ranges_go_with_anything(patch):
    """What one call makes is handed out with whatever there is room for."""
    patch.setattr(grant, "_goes_along", lambda state, first, index, count, fits: fits)


@caught_by("kernel")
def a_lost_range_stays_together(patch):
    """Partitions of which one may have killed its worker are handed out by one call again."""
    goes_along = grant._goes_along

    def forgive(state, first, index, count, fits):
        losses, state.losses = state.losses, [0] * len(state.losses)
        try:
            return goes_along(state, first, index, count, fits)
        finally:
            state.losses = losses

    patch.setattr(grant, "_goes_along", forgive)


@caught_by("backfills")
def a_backfill_joins_nobody(patch):
    """What another run made meanwhile is made again."""
    patch.setattr(conducting, "ask_again", lambda live, events, backfills: None)


@caught_by("backfills")
def every_worker_is_for_everybody(patch):
    """A service leaves no worker free of backfills."""
    patch.setattr(offering, "YIELDING", 1 << 200)
