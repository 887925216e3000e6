"""Broken variants of what a flow is for itself: the facts that its body tells, its own time limit, its own undo."""

from __future__ import annotations

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel.rules import grant
from legato.runtime import dispatch
from legato.terms.attempt import Noted
from legato.worker.teller import Teller


@caught_by("flows", "kernel")
def facts_that_come_twice_are_recorded_twice(patch):
    """Nobody looks at what is on record."""

    def take_any(turn, noted):
        if turn.attempt(noted.step, noted.token) is not None:
            turn.emit(ev.FactsNoted(turn.now, noted.step, noted.token, noted.facts, noted.keys))

    patch.setitem(deciding._BY_INPUT, Noted, take_any)


@caught_by("flows", "kernel")
def facts_of_void_attempts_count(patch):
    """Nobody looks at who tells them."""

    def take_any(turn, noted):
        turn.emit(ev.FactsNoted(turn.now, noted.step, noted.token, noted.facts, noted.keys))

    patch.setitem(deciding._BY_INPUT, Noted, take_any)


@caught_by("flows")
def what_is_told_last_is_lost(patch):
    """An attempt ends before it has sent all that it told."""
    patch.setattr(Teller, "close", lambda self: None)


@caught_by("flows")
def equal_facts_are_one(patch):
    """The number among equal facts is forgotten."""
    key = Teller._key

    def forget(self, *content):
        self._equal.clear()
        return key(self, *content)

    patch.setattr(Teller, "_key", forget)


@caught_by("flows")
def each_pass_tells_its_facts_anew(patch):
    """A body's facts are known by the attempt that tells them."""
    key = Teller._key
    patch.setattr(Teller, "_key", lambda self, *content: key(self, self._order.token, *content))


@caught_by("flows")
def a_flow_may_take_for_ever(patch):
    """Only tasks have a time limit."""

    def forget_limit(fold):
        def begin(state, event):
            fold(state, event)
            for index, attempt in state.running.items():
                if state.handling(index).flow:
                    attempt.deadline = None

        return begin

    for kind in (ev.AttemptsStarted, ev.AttemptBegun):
        patch.setitem(folding._FOLDS, kind, forget_limit(folding._FOLDS[kind]))


@caught_by("flows")
def flows_are_undone_on_record_alone(patch):
    """Only what they called is really taken back."""
    undo_next = grant._undo_next

    def undo_tasks(turn):
        state = turn.state
        if state.undo_queue and state.handling(state.undo_queue[-1]).flow:
            turn.emit(ev.StepUndone(turn.now, state.undo_queue[-1]))
        else:
            undo_next(turn)

    patch.setattr(grant, "_undo_next", undo_tasks)


@caught_by("flows")
def an_undo_is_given_the_result_of_the_first_call(patch):
    """It takes back what something else made."""
    value_of = dispatch._value_of

    def first(state, param, index):
        argument = value_of(state, param, index)
        return replace(argument, refs=(), value=next(iter(state.values.values()))) if param == "result" else argument

    patch.setattr(dispatch, "_value_of", first)
