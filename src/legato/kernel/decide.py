"""The kernel's one question: given this state and this input, what happened and what is to be done?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import Struct

from legato.kernel.commands import Command
from legato.kernel.events import AnyEvent
from legato.kernel.inputs import Cancel, Input, Offer, Pause, Recall, Reports, Resolve, Resume, Signal, TakeOver, Tick
from legato.kernel.rules.answer import take_resolved, take_signal
from legato.kernel.rules.control import cancel, pause, resume, take_over
from legato.kernel.rules.failure import settle_failures
from legato.kernel.rules.finish import close_waiting, finish
from legato.kernel.rules.flow import close_orphans, take_called, take_parked, tell_flows
from legato.kernel.rules.grant import grant
from legato.kernel.rules.recall import take_recalled
from legato.kernel.rules.report import take_begun, take_declined, take_done, take_lost, take_noted, take_raised, take_returned
from legato.kernel.rules.timing import do_what_is_due
from legato.kernel.state import RunState
from legato.kernel.turn import Turn
from legato.terms.attempt import Begun, Called, Declined, Done, Lost, Noted, Parked, Raised, Returned
from legato.terms.instant import Instant


class Rule(NamedTuple):
    """What to do on one kind of input."""

    on: type[Struct]
    do: Callable[[Turn, Any], None]


def take_reports(turn: Turn, reports: Reports) -> None:
    """Answer one report after the other."""
    for report in reports.told:
        _BY_INPUT[type(report)](turn, report)


RULES: tuple[Rule, ...] = (
    Rule(Reports, take_reports),
    Rule(Done, take_done),
    Rule(Raised, take_raised),
    Rule(Lost, take_lost),
    Rule(Declined, take_declined),
    Rule(Returned, take_returned),
    Rule(Begun, take_begun),
    Rule(Noted, take_noted),
    Rule(Called, take_called),
    Rule(Parked, take_parked),
    Rule(Resolve, take_resolved),
    Rule(Signal, take_signal),
    Rule(Offer, grant),
    Rule(Tick, do_what_is_due),
    Rule(Cancel, cancel),
    Rule(Pause, pause),
    Rule(Resume, resume),
    Rule(TakeOver, take_over),
    Rule(Recall, take_recalled),
)
"""Exactly one rule answers each kind of input."""

SETTLING: tuple[Callable[[Turn], None], ...] = (close_orphans, settle_failures, close_waiting, tell_flows, finish)
"""What is asked after every input, whatever it was, in this order."""

_BY_INPUT = {rule.on: rule.do for rule in RULES}


class Decision(NamedTuple):
    """Events to commit, then commands to perform."""

    events: list[AnyEvent]
    commands: list[Command]


def decide(state: RunState, input: Input, now: Instant) -> Decision:
    """Answer one input.

    The events are folded into `state` already; if they cannot be committed, the state must be thrown away and read
    again from what is. The answer depends on nothing but the arguments.
    """
    turn = Turn(state, now)
    _BY_INPUT[type(input)](turn, input)
    for settle in SETTLING:
        settle(turn)
    return Decision(turn.events, turn.commands)
