"""Broken variants of tries, failures and time."""

from __future__ import annotations

from marks import caught_by

from legato.kernel import commands as cmd
from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel import inputs
from legato.kernel.rules import control, failure, report, timing
from legato.terms.attempt import Declined, Returned
from legato.terms.fact import Error


@caught_by("kernel", "worlds")
def retries_without_end(patch):
    """The number of retries is not looked at."""
    what_then = failure._what_then

    def again(turn, index, error):
        then, delay_s, error = what_then(turn, index, error)
        return ("retry", 0.5, error) if then == "fail" and error.kind == "raised" else (then, delay_s, error)

    patch.setattr(failure, "_what_then", again)


@caught_by("kernel", "worlds")
def lost_workers_cost_retries(patch):
    """A lost worker is charged to the user's retries."""
    what_then = failure._what_then

    def charged(turn, index, error):
        then, delay_s, told = what_then(turn, index, Error("raised", error.message) if error.kind == "lost" else error)
        return then, delay_s, error if error.kind == "lost" else told

    patch.setattr(failure, "_what_then", charged)


@caught_by("kernel")
def fallback_is_ignored(patch):
    """A step that is out of tries fails, fallback or not."""
    what_then = failure._what_then

    def no_fallback(turn, index, error):
        then, delay_s, error = what_then(turn, index, error)
        return "fail" if then == "fallback" else then, delay_s, error

    patch.setattr(failure, "_what_then", no_fallback)


@caught_by("kernel", "worlds")
def max_time_counts_from_the_newest_try(patch):
    """When the first try began is forgotten."""
    patch.setattr(folding, "note_try", lambda state, index, at: None)


@caught_by("kernel", "worlds")
def backoff_is_cut_short_by_a_replay(patch):
    """Any due instant that an earlier try left behind makes a step in back-off ready."""

    def ready_at_any(turn, tick):
        state = turn.state
        for due, index, _ in state.due:
            if index in state.backoff and due <= turn.now:
                state.backoff[index] = due
        timing.do_what_is_due(turn, tick)

    def keep_dues(turn, asked):
        due = list(turn.state.due)
        control.take_over(turn, asked)
        turn.state.due = due

    patch.setitem(deciding._BY_INPUT, inputs.Tick, ready_at_any)
    patch.setitem(deciding._BY_INPUT, inputs.TakeOver, keep_dues)


@caught_by("kernel", "worlds")
def gives_up_before_the_worker_is_gone(patch):
    """A timed-out step is tried again at once, while its process group still runs."""

    def hasty(turn, tick):
        control_before = len(turn.commands)
        timing.do_what_is_due(turn, tick)
        for command in turn.commands[control_before:]:
            if isinstance(command, cmd.KillAttempt):
                turn.emit(ev.AttemptsReturned(turn.now, (command.step,)))

    patch.setitem(deciding._BY_INPUT, inputs.Tick, hasty)


@caught_by("kernel", "worlds", "deaths")
def failures_skip_nobody(patch):
    """What depends on a failed step goes on waiting for it."""
    patch.setattr(deciding, "SETTLING", tuple(rule for rule in deciding.SETTLING if rule is not failure.settle_failures))


@caught_by("kernel", "worlds")
def declined_counts_as_done(patch):
    """What a condition refuses is taken for a success."""
    patch.setitem(deciding._BY_INPUT, Declined, lambda turn, declined: turn.attempt(declined.step, declined.token)
        and turn.emit(ev.StepSucceeded(turn.now, declined.step, declined.token, 0.0)))  # fmt: skip


@caught_by("kernel")
def returned_is_lost(patch):
    """An attempt that never began counts as a try."""

    def lose(turn, returned):
        report.take_lost(turn, report.Lost(returned.run, returned.step, returned.token, "returned"))

    patch.setitem(deciding._BY_INPUT, Returned, lose)


@caught_by("jobs")
def looks_that_find_nothing_cost_tries(patch):
    """A look at a job that goes on is charged like a failure."""

    def charge(state, index, kind):
        state.fails[index] += 1

    patch.setattr(folding, "charge", charge)


@caught_by("jobs")
def looks_for_ever(patch):
    """How long a job may take is not looked at."""
    patch.setattr(failure, "left_s", lambda state, index, now: None)


@caught_by("jobs")
def looks_no_more_at_the_end_of_its_time(patch):
    """The last look is the last one that the pace allows."""
    left_s = failure.left_s

    def whole_paces(state, index, now):
        left, every = left_s(state, index, now), failure.poll_s(state, index)
        return left if left is None or every is None or left >= every else 0.0

    patch.setattr(failure, "left_s", whole_paces)
