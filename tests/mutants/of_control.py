"""Broken variants of cancels, take-overs, resumes and rollbacks."""

from __future__ import annotations

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel import inputs
from legato.kernel.rules import failure, grant
from legato.kernel.state import SUCCEEDED, UNDONE
from legato.runtime import book as booking
from legato.runtime.book import Book, head_of


@caught_by("kernel")
def cancel_is_ignored(patch):
    """A cancel changes nothing."""
    patch.setitem(deciding._BY_INPUT, inputs.Cancel, lambda turn, asked: None)


@caught_by("kernel")
def cancel_forgets_what_comes_back(patch):
    """Only what waits at the moment of the cancel is cancelled, not what is returned later."""
    patch.setattr(deciding, "SETTLING", (failure.settle_failures, _close_when_asked, deciding.finish))


@caught_by("kernel", "worlds")
def starts_in_a_cancelled_run(patch):
    """A cancelled run hands out what still waits."""

    def start(turn, offer):
        cancelling, turn.state.cancelling = turn.state.cancelling, False
        try:
            grant.grant(turn, offer)
        finally:
            turn.state.cancelling = cancelling

    patch.setattr(deciding, "SETTLING", (failure.settle_failures, _close_halted, deciding.finish))
    patch.setitem(deciding._BY_INPUT, inputs.Offer, start)


@caught_by("worlds", "deaths")
def take_over_keeps_tokens(patch):
    """The next conductor numbers its attempts like the former one."""
    returned = folding._FOLDS[ev.AttemptsReturned]

    def reuse(state, event):
        tokens = [state.running[index].token for index in event.steps if index in state.running]
        returned(state, event)
        if len(event.steps) > 1:
            state.next_token = min(tokens, default=state.next_token)

    patch.setitem(folding._FOLDS, ev.AttemptsReturned, reuse)


@caught_by("kernel", "worlds", "deaths")
def take_over_waits_for_the_dead(patch):
    """The attempts of the former conductor count as under way."""
    patch.setitem(deciding._BY_INPUT, inputs.TakeOver, lambda turn, asked: None)


@caught_by("kernel", "worlds")
def resume_repeats_what_succeeded(patch):
    """A resumed run starts over."""
    resumed = folding._FOLDS[ev.RunResumed]

    def start_over(state, event):
        for index, code in enumerate(state.status):
            if code == SUCCEEDED:
                state.set_status(index, UNDONE)
        resumed(state, replace(event, steps=tuple(sorted({*event.steps, *state.done_order}))))

    patch.setitem(folding._FOLDS, ev.RunResumed, start_over)


@caught_by("kernel", "worlds")
def rolls_back_in_forward_order(patch):
    """What was done first is undone first."""
    halted = folding._FOLDS[ev.RunHalted]

    def forward(state, event):
        halted(state, event)
        state.undo_queue.reverse()

    patch.setitem(folding._FOLDS, ev.RunHalted, forward)


@caught_by("kernel")
def rollback_forgets_what_was_running(patch):
    """A step that succeeds while the run is already to be rolled back stays done."""
    succeeded = folding._FOLDS[ev.StepSucceeded]

    def forget(state, event):
        succeeded(state, event)
        if state.rolling and event.step in state.undo_queue:
            state.undo_queue.remove(event.step)

    patch.setitem(folding._FOLDS, ev.StepSucceeded, forget)


@caught_by("conductors")
def rollback_overrides_newer_versions(patch):
    """A rollback gives back the former version, whoever has published since."""
    undone = Book._undone

    def override(self, commit, event):
        partition = self.state.plan.steps[event.step].partition
        for asset, own, _ in self.state.swaps.get(event.step, ()):
            if version := self._store.version(asset, partition, own):
                self._catalogue.publish(head_of(version))
        undone(self, commit, event)

    patch.setitem(booking._WRITERS, ev.StepUndone, override)


def _close_when_asked(turn):
    if not turn.state.cancelling or any(isinstance(event, ev.CancelRequested) for event in turn.events):
        deciding.close_waiting(turn)


def _close_halted(turn):
    if not turn.state.cancelling:
        deciding.close_waiting(turn)
