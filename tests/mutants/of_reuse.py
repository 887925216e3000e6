"""Broken variants of what is not made again: results of old code, and results of earlier runs."""

from __future__ import annotations

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import family
from legato.kernel.calls import Calls
from legato.kernel.rules import flow
from legato.kernel.shelf import Shelf
from legato.kernel.state import FRESH, SUCCEEDED, RunState
from legato.service.record import Record


@caught_by("edits")
def answers_with_results_of_old_code(patch):
    """A call whose code has changed is answered from what is recorded."""
    patch.setattr(RunState, "has_old_code", lambda self, index: False)


@caught_by("edits")
def makes_all_again_after_an_edit(patch):
    """After an edit every call is of old code, also one that was made since."""
    patch.setattr(RunState, "has_old_code", lambda self, index: bool(self.codes))


@caught_by("edits")
def forgets_what_a_flow_with_new_code_had_called(patch):
    """A flow that becomes a new step starts from nothing."""
    patch.setattr(Calls, "adopt", lambda self, former, heir: None)


@caught_by("edits")
def lets_a_reader_keep_its_old_input(patch):
    """What reads the result of a call that is made anew keeps what it made of the old one."""
    is_outdated = family.is_outdated

    def own_code_alone(state, index, call, siblings):
        return is_outdated(state, index, replace(call, inputs=()), siblings)

    patch.setattr(flow, "is_outdated", own_code_alone)


@caught_by("edits")
def lets_what_is_replaced_go_on(patch):
    """A step whose place another one takes is not stopped."""
    stop = flow._stop
    take_called = flow.take_called

    def take(turn, called):
        patch.setattr(flow, "_stop", lambda turn, steps: None)
        take_called(turn, called)
        patch.setattr(flow, "_stop", stop)

    rules = {**deciding._BY_INPUT, flow.Called: take}
    patch.setattr(deciding, "_BY_INPUT", rules)


@caught_by("edits", "repeats")
def makes_what_the_plan_reuses(patch):
    """No call takes anything of an earlier run."""
    patch.setattr(Shelf, "take", lambda self, parent, index, spot, key: None)


@caught_by("edits", "repeats")
def reuses_results_in_their_order(patch):
    """Calls take what was recorded one by one, whatever they are."""
    left = {}

    def take(self, parent, index, spot, key):
        rest = left.setdefault(id(self), list(self._by_path.values()))
        return rest.pop(0) if rest else None

    patch.setattr(Shelf, "take", take)


@caught_by("edits")
def enters_no_flow_again(patch):
    """What was recorded below a flow is not found when it is entered again."""
    init = Shelf.__init__

    def without_paths(self, reused):
        init(self, [each for each in reused if len(each.path) < 2])

    patch.setattr(Shelf, "__init__", without_paths)


@caught_by("edits", "repeats")
def undoes_what_another_run_did(patch):
    """What is reused counts as done by this run."""
    take = RunState.take

    def take_and_own(self, index, reused):
        take(self, index, reused)
        if self.status[index] == FRESH:
            self.set_status(index, SUCCEEDED)
            self.done_order.append(index)

    patch.setattr(RunState, "take", take_and_own)


@caught_by("repeats")
def reuses_what_failed(patch):
    """A call before the step counts as recorded however it ended."""
    patch.setattr(Record, "has_result", lambda self, index: index in self.results or index in self.state.errors)
    result = Record.result

    def of_anything(self, index):
        self.results.setdefault(index, next(iter(self.results.values())))
        return result(self, index)

    patch.setattr(Record, "result", of_anything)
