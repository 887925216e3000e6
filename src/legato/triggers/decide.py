"""The triggers' one question: given this state and this input, what runs are asked for, and which ticks become none?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import Struct

from legato.terms.instant import Instant
from legato.triggers.arrivals import (
    pause,
    resume,
    take_changes,
    take_delivered,
    take_ended,
    take_failed,
    take_file,
    take_keys,
    take_made,
    take_metric,
    take_over,
    take_published,
)
from legato.triggers.clock import decide_due
from legato.triggers.events import AnyEvent
from legato.triggers.inputs import (
    Changes,
    Delivered,
    FileArrived,
    Input,
    KeysAdded,
    MetricSeen,
    Pause,
    Published,
    Resume,
    RunEnded,
    RunMade,
    RunOver,
    StepFailed,
    TimePassed,
)
from legato.triggers.state import State
from legato.triggers.turn import Turn


class Rule(NamedTuple):
    """What to do on one kind of input."""

    on: type[Struct]
    do: Callable[[Turn, Any], None]


RULES: tuple[Rule, ...] = (
    Rule(TimePassed, decide_due),
    Rule(Published, take_published),
    Rule(StepFailed, take_failed),
    Rule(FileArrived, take_file),
    Rule(Delivered, take_delivered),
    Rule(MetricSeen, take_metric),
    Rule(Changes, take_changes),
    Rule(KeysAdded, take_keys),
    Rule(RunEnded, take_ended),
    Rule(RunMade, take_made),
    Rule(RunOver, take_over),
    Rule(Pause, pause),
    Rule(Resume, resume),
)
"""Exactly one rule answers each kind of input."""

_BY_INPUT = {rule.on: rule.do for rule in RULES}


def decide(state: State, input: Input, now: Instant) -> list[AnyEvent]:
    """Answer one input.

    The events are folded into `state` already; if they cannot be committed, the state must be thrown away and loaded again
    from what is. The answer depends on nothing but the arguments.
    """
    turn = Turn(state, now)
    _BY_INPUT[type(input)](turn, input)
    return turn.events
