"""Broken variants of flows: what their calls are known by, what they are told, how they wait, what they leave behind."""

from __future__ import annotations

from itertools import count

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import family
from legato.kernel import fold as folding
from legato.kernel.board import Board
from legato.kernel.calls import Calls
from legato.kernel.rules import answer, control, flow, report
from legato.kernel.state import FAILED, SUCCEEDED
from legato.runtime import performing
from legato.runtime.conductor import Conductor
from legato.runtime.dispatch import Dispatch
from legato.terms.instant import after
from legato.worker.numbers import Numbers
from legato.worker.window import Window


@caught_by("flows", "gathers")
def calls_are_known_by_their_order(patch):
    """A call's key is its number among all calls of the flow."""

    def keys(self, digests):
        return [b"%d" % next(self.__dict__.setdefault("_calls", count())) for _ in digests]

    patch.setattr(Numbers, "keys", keys)


@caught_by("flows", "gathers")
def equal_calls_are_one(patch):
    """The number among equal calls is forgotten."""
    patch.setattr(Numbers, "keys", lambda self, digests: list(digests))


@caught_by("flows")
def all_calls_of_a_node_are_equal(patch):
    """Inputs do not tell calls apart, but their number does."""
    keys = Numbers.keys
    patch.setattr(Numbers, "keys", lambda self, digests: keys(self, [bytes(16)] * len(digests)))


@caught_by("flows")
def acts_on_calls_before_they_are_recorded(patch):
    """What follows from calls is performed when they are heard, and committed later."""
    hear = Conductor._hear

    def hear_and_perform(self, reports, now):
        hear(self, reports, now)
        changed = dict(self._changed)
        self._perform([])
        self._changed = changed

    patch.setattr(Conductor, "_hear", hear_and_perform)


@caught_by("flows")
def tells_another_flow(patch):
    """Outcomes go to the flow of the lowest number that is under way."""
    answers = performing._answers
    patch.setattr(performing, "_answers", lambda state, told: answers(state, replace(told, parent=min(
        index for index in state.running if state.handling(index).flow
    ))))  # fmt: skip


@caught_by("flows", "kernel")
def tells_under_a_stale_token(patch):
    """Outcomes go to the attempt that was before."""
    deliver = flow.Deliver
    patch.setattr(flow, "Deliver", lambda parent, token, steps: deliver(parent, token - 1, steps))


@caught_by("flows")
def tells_the_value_of_the_next_call(patch):
    """Outcomes are read one step too far."""
    answers = performing._answers

    def shifted(state, told):
        found = answers(state, told)
        values = [state.values.get(step + 1, state.values.get(step)) for step in told.steps]
        return replace(
            found, answers=tuple(replace(each, value=value) for each, value in zip(found.answers, values, strict=True))
        )

    patch.setattr(performing, "_answers", shifted)


@caught_by("flows", "kernel")
def a_parked_flow_keeps_its_place(patch):
    """Nobody ends the attempt of a flow that gave its process back."""
    patch.setitem(folding._FOLDS, ev.StepParked, lambda state, event: folding.park(state, event.step, event.on, event.at))


@caught_by("flows", "kernel")
def nobody_wakes_a_parked_flow(patch):
    """What a flow waits for comes, and the flow goes on waiting."""
    take_outcome = family.take_outcome

    def take_in_silence(state, index, at):
        parked, state.parked = state.parked, {}
        take_outcome(state, index, at)
        state.parked = parked

    patch.setattr(folding, "take_outcome", take_in_silence)


@caught_by("flows", "kernel")
def a_wait_is_answered_twice(patch):
    """An answer counts whether or not somebody waits for it."""
    take_resolved = answer.take_resolved

    def take_any(turn, resolve):
        state = turn.state
        if 0 <= resolve.step < len(state.status) and state.status[resolve.step] == SUCCEEDED and resolve.step >= state.planned:
            turn.emit(ev.WaitEnded(turn.now, resolve.step, "granted", resolve.value, resolve.actor))
            state.values[resolve.step] = resolve.value
        take_resolved(turn, resolve)

    patch.setitem(deciding._BY_INPUT, answer.Resolve, take_any)


@caught_by("flows", "kernel")
def late_answers_count(patch):
    """Nobody looks at when an answer was given."""
    patch.setattr(answer, "dues_of_waits", lambda state: {})


@caught_by("flows")
def a_sleep_begins_anew_with_each_conductor(patch):
    """The rest of a sleep counts from the take-over, and not from the call."""

    def from_now(state, index, now, due):
        wait = state.calls.wait(index)
        return due if wait is None or wait.seconds is None else after(now, wait.seconds)

    patch.setattr(control, "_wake", from_now)


@caught_by("kernel")
def a_clock_that_was_set_back_prolongs_waits(patch):
    """The instant at which a wait was to end is kept, whatever the clock says now."""
    patch.setattr(control, "_wake", lambda state, index, now, due: due)


@caught_by("flows", "kernel")
def orphans_go_on(patch):
    """What a failed flow called goes on, and what waits is made."""
    patch.setattr(deciding, "SETTLING", tuple(rule for rule in deciding.SETTLING if rule is not flow.close_orphans))


@caught_by("flows", "kernel")
def stopped_orphans_come_back(patch):
    """An attempt that never began is handed out again, even if it was being cancelled."""

    def give_back(turn, steps):
        turn.emit(ev.AttemptsReturned(turn.now, steps))

    patch.setattr(report, "give_back", give_back)
    patch.setattr(control, "give_back", give_back)


@caught_by("flows", "kernel")
def a_resumed_flow_makes_everything_anew(patch):
    """Also calls that succeeded are tried again."""
    let_sleep = folding._let_sleep

    def all_asleep(state, index):
        let_sleep(state, index)
        for each in state.calls.below(index):
            if state.status[each] == SUCCEEDED:
                state.set_status(each, FAILED)
                state.dormant.add(each)

    patch.setattr(folding, "_let_sleep", all_asleep)


@caught_by("flows", "kernel")
def a_retried_flow_keeps_its_failures(patch):
    """A flow that is tried again finds the failure that it failed of."""
    let_sleep = folding._let_sleep
    patch.setattr(folding, "_let_sleep", lambda state, index: None if index in state.running else let_sleep(state, index))


@caught_by("flows", "kernel")
def failures_are_undone(patch):
    """A rollback takes back what was never done."""

    def all_of_it(state):
        return [index for index, code in enumerate(state.status) if code in (SUCCEEDED, FAILED)]

    patch.setattr(folding, "_completed", all_of_it)


@caught_by("flows", "kernel")
def what_was_undone_keeps_its_value(patch):
    """A call that is made anew is told as it was before it was undone."""
    undone = folding._FOLDS[ev.StepUndone]

    def keep(state, event):
        values = dict(state.values)
        undone(state, event)
        state.values.update(values)

    patch.setitem(folding._FOLDS, ev.StepUndone, keep)


@caught_by("flows", "kernel")
def inputs_are_not_waited_for(patch):
    """A call that takes the result of another one starts before that is there."""
    patch.setattr(family, "_wait_for", lambda state, need, steps: None)


@caught_by("flows", "kernel")
def what_was_undone_holds_nothing_up(patch):
    """A call whose input is made anew takes what it was before, or nothing."""
    patch.setattr("legato.kernel.joints.Joints.unrelease", lambda self, index: None)


@caught_by("flows")
def futures_are_mixed_up(patch):
    """A call gets the results of others in the wrong parameters."""
    called = Dispatch._called

    def turned(self, state, group, index):
        found = called(self, state, group, index)
        names = [argument.param for argument in found]
        return tuple(replace(argument, param=name) for argument, name in zip(found, reversed(names), strict=True))

    patch.setattr(Dispatch, "_called", turned)


@caught_by("flows", "gathers")
def a_map_gives_results_as_they_come(patch):
    """The results of a map stand in the order in which its calls ended."""
    end = Window.end

    def append(self, answer):
        place = self._open[answer.key]
        ended = self.__dict__.setdefault("_ended", count())
        swap = next(ended)
        end(self, answer)
        if swap < len(self._results):
            self._results[swap], self._results[place] = self._results[place], self._results[swap]

    patch.setattr(Window, "end", append)


@caught_by("flows", "kernel")
def each_pass_makes_its_calls_anew(patch):
    """A flow that is entered again finds nothing of what it called before."""
    patch.setattr(Calls, "of", lambda self, index: {})


@caught_by("flows", "kernel")
def calls_beside_take_no_slot(patch):
    """A direct call starts at once, however full its pool is."""
    start_beside = flow._start_beside

    def start_anyway(turn, called, index):
        shut, Board.shut = Board.shut, lambda self, lane, **rest: None
        try:
            start_beside(turn, called, index)
        finally:
            Board.shut = shut

    patch.setattr(flow, "_start_beside", start_anyway)


@caught_by("kernel")
def a_lost_flow_never_gets_its_budget_back(patch):
    """Every worker that a flow lost in its whole life counts."""
    take_outcome = family.take_outcome

    def count_on(state, index, at):
        losses = state.losses[:]
        take_outcome(state, index, at)
        state.losses[:] = losses

    patch.setattr(folding, "take_outcome", count_on)


@caught_by("edited", "edits")
def nobody_notices_changed_code(patch):
    """A call is answered from what is recorded, of whatever code that was."""
    patch.setattr("legato.kernel.state.RunState.has_old_code", lambda self, index: False)


@caught_by("edited", "edits")
def changed_results_are_not_passed_on(patch):
    """A call whose input is made anew of changed code keeps its result."""
    is_outdated = flow.is_outdated

    def by_its_own_code(state, index, call, siblings):
        return is_outdated(state, index, replace(call, inputs=()), siblings)

    patch.setattr(flow, "is_outdated", by_its_own_code)


@caught_by("edits")
def tells_what_was_not_called_yet(patch):
    """After a change of code a flow is told outcomes that came before it asked."""
    tell_flows = flow.tell_flows

    def tell_all(turn):
        codes, turn.state.codes = turn.state.codes, []
        tell_flows(turn)
        turn.state.codes = codes

    patch.setattr(deciding, "SETTLING", tuple(tell_all if rule is flow.tell_flows else rule for rule in deciding.SETTLING))
