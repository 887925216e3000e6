"""The only thing that changes a state: what an event means for its trigger."""

from __future__ import annotations

from legato.terms.instant import Instant
from legato.triggers.events import (
    AnyEvent,
    Came,
    Fired,
    Later,
    MadeByRun,
    Noted,
    RunClosed,
    RunLeft,
    Skipped,
    TriggerPaused,
    TriggerResumed,
)
from legato.triggers.keys import ALL, NONE, Keys, both, minus, of, union
from legato.triggers.state import State, TriggerState, as_keys

EVALUATED = ("condition", "running")
"""The reasons for which a tick is skipped after it was asked whether the trigger holds: what came stays."""


def fold(state: State, event: AnyEvent) -> None:
    """Takes an event in. Events of triggers that the project no longer has are passed over."""
    trigger = state.triggers.get(event.trigger)
    if trigger is None:
        return
    match event:
        case Fired():
            _take_tick(state, trigger, event)
            _consume(trigger, fired_keys(event), as_union(event.came))
            trigger.open = {**(trigger.open or {}), event.request.key: fired_keys(event)}
            _hold(state, trigger, event.later)
        case Skipped():
            _take_tick(state, trigger, event)
            if event.why in EVALUATED:
                _consume(trigger, NONE, as_union(event.came))
            _hold(state, trigger, event.later)
        case Noted():
            _take_note(state, trigger, event)
        case RunClosed():
            left = {key: keys for key, keys in (trigger.open or {}).items() if key != event.key}
            trigger.open = left or None
        case MadeByRun():
            _let_go(state, trigger, event)
        case RunLeft():
            state.release(trigger, event.run)
        case TriggerPaused():
            trigger.paused = True
        case TriggerResumed():
            trigger.paused = False
    state.arm(trigger)


def fired_keys(event: Fired) -> Keys:
    """The partitions that a firing asks for."""
    return ALL if event.request.everything else of(event.request.partitions)


def as_union(came: tuple[Came, ...]) -> Keys:
    """All partitions that a tick was about."""
    found = NONE
    for each in came:
        found = union(found, as_keys(each))
    return found


def _take_tick(state: State, trigger: TriggerState, event: Fired | Skipped) -> None:
    """The tick is decided; what came with it stays, unless it was skipped before anybody asked whether the trigger holds."""
    if event.timed:
        _move_on(trigger, event.on)
    else:
        state.known.add((event.trigger, event.key))
    evaluated = isinstance(event, Fired) or event.why in EVALUATED
    for each in event.came:
        number = trigger.form.number_of(each.moment)
        if number is None:
            continue
        if trigger.form.ages_us[number]:
            trigger.stale_from = max(trigger.stale_from, event.on)
        if number in trigger.form.missing or (evaluated and not trigger.form.lone):
            _latch(trigger, number, as_keys(each))


def _take_note(state: State, trigger: TriggerState, event: Noted) -> None:
    if event.timed:
        _move_on(trigger, event.on)
    if event.key:
        state.known.add((event.trigger, event.key))
    for each in event.came:
        number = trigger.form.number_of(each.moment)
        if number is not None:
            if trigger.form.ages_us[number]:
                trigger.stale_from = max(trigger.stale_from, event.on)
            _latch(trigger, number, as_keys(each))
    if event.published is not None:
        _end_states(trigger, event)


def _end_states(trigger: TriggerState, event: Noted) -> None:
    """The node was published: it is not stale, and these partitions are not missing."""
    trigger.stale_from = max(trigger.stale_from, event.on)
    published = of(event.published or ())
    trigger.fresh = minus(trigger.fresh, published)
    came = dict(trigger.came or {})
    for number in list(came):
        if trigger.form.ages_us[number]:
            del came[number]
        elif number in trigger.form.missing:
            came[number] = minus(came[number], published)
    trigger.came = {number: keys for number, keys in came.items() if keys} or None


def _hold(state: State, trigger: TriggerState, later: tuple[Later, ...]) -> None:
    """What a run is about to make is held back until it has, and with it what came for the same partitions before: the run
    uses that up as a firing would. What came for "all but some" stays."""
    if not later:
        return
    state.hold(trigger, later)
    form, came = trigger.form, dict(trigger.came or {})
    for number, keys in (trigger.came or {}).items():
        if keys.rest or form.negated[number] or form.is_state(number):
            continue
        for each in later:
            taken = both(came[number], of(each.keys))
            if taken:
                state.hold(trigger, [Later(each.run, form.ids[number], tuple(sorted(taken.named)))])
                came[number] = minus(came[number], taken)
    trigger.came = {number: keys for number, keys in came.items() if keys} or None


def _let_go(state: State, trigger: TriggerState, event: MadeByRun) -> None:
    """The run has made this partition: what was held back for it is used up."""
    held = (trigger.held or {}).get(event.run, {})
    for number in list(held):
        held[number].keys.pop(event.partition, None)
        if not held[number].keys:
            del held[number]
    if not held:
        state.release(trigger, event.run)


def _move_on(trigger: TriggerState, on: Instant) -> None:
    """All ticks of the clock up to here are decided."""
    trigger.until = Instant(max(trigger.until, on))
    trigger.fresh = NONE


def _latch(trigger: TriggerState, number: int, keys: Keys) -> None:
    came = trigger.came or {}
    trigger.came = {**came, number: union(came.get(number, NONE), keys)}


def _consume(trigger: TriggerState, fired: Keys, about: Keys) -> None:
    """Forgets what came for the partitions that fired, and what came under `~` before this tick.

    What came for "all but some" said nothing of single partitions: it is used up as a whole.
    """
    form, left = trigger.form, {}
    for number, keys in (trigger.came or {}).items():
        used = about if form.negated[number] else fired
        if form.is_state(number) or not used:
            left[number] = keys
        elif not keys.rest and (rest := minus(keys, used)):
            left[number] = rest
    trigger.came = left or None
