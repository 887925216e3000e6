"""Broken variants of answers and rollbacks: signals that are lost or doubled, runs that turn round, flows without an end."""

from __future__ import annotations

from marks import caught_by
from msgspec.structs import replace

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel.inputs import Signal
from legato.kernel.rules import answer, control, flow


@caught_by("kernel")
def signals_are_lost_where_nobody_waits(patch):
    """What comes early is heard, and forgotten."""
    came = answer.SignalCame
    patch.setattr(answer, "SignalCame", lambda *args, kept: came(*args, kept=False))


@caught_by("kernel")
def signals_count_twice(patch):
    """That a signal was heard before is not looked up."""
    fold = folding._FOLDS[ev.SignalCame]

    def deaf(state, event):
        fold(state, event)
        state.heard.clear()

    patch.setitem(folding._FOLDS, ev.SignalCame, deaf)


@caught_by("kernel")
def one_signal_is_given_to_all_who_come(patch):
    """A kept signal stays after it was given."""
    fold = folding._FOLDS[ev.WaitEnded]

    def keeps(state, event):
        kept = {name: list(values) for name, values in state.signals.items()}
        fold(state, event)
        state.signals.update(kept)

    patch.setitem(folding._FOLDS, ev.WaitEnded, keeps)


@caught_by("kernel")
def signals_end_waits_whose_time_was_over(patch):
    """A signal counts whenever it was sent."""
    take = answer.take_signal
    rules = {**deciding._BY_INPUT, Signal: lambda turn, signal: take(turn, replace(signal, at=0))}
    patch.setattr(deciding, "_BY_INPUT", rules)


@caught_by("kernel")
def a_partly_undone_run_goes_forward(patch):
    """Resume tries what failed again, not what could not be undone."""
    resume = control.resume

    def forward(turn, asked):
        if turn.state.ended == "partly_undone":
            turn.state.ended = "failed"
        resume(turn, asked)

    rules = {kind: forward if rule is resume else rule for kind, rule in deciding._BY_INPUT.items()}
    patch.setattr(deciding, "_BY_INPUT", rules)


@caught_by("kernel")
def answers_outlive_a_rollback(patch):
    """What people said is not taken back with the rest."""
    fold = folding._FOLDS[ev.WaitEnded]

    def stays(state, event):
        fold(state, event)
        if state.done_order and state.done_order[-1] == event.step:
            state.done_order.pop()

    patch.setitem(folding._FOLDS, ev.WaitEnded, stays)


@caught_by("kernel")
def flows_go_on_without_end(patch):
    """No limit of calls and depth is looked at."""
    patch.setattr(flow, "_beyond", lambda *_: None)


@caught_by("kernel")
def flows_wait_for_themselves(patch):
    """A call that needs a slot of the flows above it is waited for."""
    patch.setattr(flow, "_waits_for_itself", lambda *_: False)
