"""Triggers and decisions in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from legato.declare.moment import (
    AllOf,
    AnyOf,
    AtLeast,
    Changed,
    Cron,
    Every,
    Failed,
    File,
    Message,
    Metric,
    Missing,
    Moment,
    Stale,
    Timed,
    Updated,
    Webhook,
    Without,
)
from legato.declare.windows import load_zone
from legato.terms.instant import Instant, to_datetime
from legato.triggers.events import Decision, Fired, RunRequest, Skipped
from legato.triggers.phrases import cron_in_words, listed

_UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_MOST_KEYS = 3


def describe(trigger: Any) -> str:
    """The whole trigger: `every day at 06:00 America/New_York, catch-up latest`."""
    match trigger:
        case Without(part):
            return f"not {describe(part)}" if isinstance(part, Moment) else f"not ({describe(part)})"
        case AtLeast(count, parts):
            return f"at least {count} of: {'; '.join(map(describe, parts))}"
        case AllOf(parts) | AnyOf(parts):
            joint = " and " if isinstance(trigger, AllOf) else " or "
            return joint.join(describe(part) if isinstance(part, Moment | Without) else f"({describe(part)})" for part in parts)
        case Timed():
            bounds = "".join(f", {word} {value}" for word, value in (("from", trigger.start), ("until", trigger.end)) if value)
            return f"{moment_in_words(trigger)}{bounds}, catch-up {trigger.catch_up}{_given(trigger)}"
    return moment_in_words(trigger) + _given(trigger)


def moment_in_words(moment: Moment) -> str:
    """One moment: `every day at 06:00 America/New_York`, `file inbox/*.csv`."""
    match moment:
        case Cron():
            # The nth business day says its calendar with it: no other day is named.
            days = f" ({moment.calendar})" if moment.business_day else _calendar(moment)
            return f"{cron_in_words(moment.expression, moment.business_day)} {moment.tz}{days}"
        case Every():
            return f"every {in_units(moment.seconds)}{_calendar(moment)}"
        case Updated():
            return f"new version of {moment.asset}"
        case File():
            return f"file {moment.pattern}"
        case Webhook():
            return f"webhook {moment.name}"
        case Message():
            return f"message on {moment.topic}"
        case Missing():
            return "never made"
        case Stale():
            return f"older than {in_units(moment.seconds)}"
        case Changed():
            return f"{moment.what} changed"
        case Failed():
            return f"failure of {moment.node}"
        case Metric():
            bounds = ((word, bound) for word, bound in (("above", moment.above), ("below", moment.below)) if bound is not None)
            return f"{moment.name} of {moment.of} {' or '.join(f'{word} {bound:g}' for word, bound in bounds)}"
    return type(moment).__name__.lower()


def explain(decision: Decision, tz: str = "UTC") -> str:
    """A decision as a sentence, its times on the clock of a zone."""
    came = listed(decision.moments) or "nothing"
    if isinstance(decision, Fired):
        late = decision.numbers.get("late_us", 0) / 1_000_000
        behind = f", decided {in_units(round(late))} later" if decision.timed and late >= 1 else ""
        rest = f"; {_made_by_run(decision)}" if decision.later else ""
        return f"fired at {when(decision.at, tz)}{behind}: {came}{_event(decision)}; asked for {_asked(decision.request)}{rest}"
    if decision.ticks > 1:
        which = f"skipped {decision.ticks} ticks from {when(decision.first, tz)} to {when(decision.at, tz)}"
    else:
        which = f"skipped at {when(decision.at, tz)}"
    return f"{which}: {came}{_event(decision)}, but {_reason(decision, tz)}"


def when(at: Instant, tz: str) -> str:
    """An instant on the clock of a zone, with its offset from UTC: `2026-11-01 01:30 -0400`."""
    local = to_datetime(at).astimezone(load_zone(tz))
    return local.strftime("%Y-%m-%d %H:%M:%S %z" if local.second else "%Y-%m-%d %H:%M %z")


def in_units(seconds: float) -> str:
    """A span of time in its largest units: `15 minutes`, `1 hour 30 minutes`."""
    whole, words = round(seconds), []
    for size, unit in _UNITS:
        count, whole = divmod(whole, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
    if len(words) == 1 and words[0].startswith("1 "):
        return words[0].removeprefix("1 ")
    return " ".join(words) or "0 seconds"


def _reason(skipped: Skipped, tz: str) -> str:
    numbers = skipped.numbers
    match skipped.why:
        case "paused":
            return "the trigger is paused"
        case "calendar":
            return f"it is {numbers.get('day_off', 'no business day')}"
        case "running":
            return f"the run before is not over ({numbers.get('run', '')})"
        case "partition":
            return f"there is no partition for it{': ' + numbers['wrong'] if 'wrong' in numbers else ''}"
        case "catch-up":
            if "stands" in numbers:
                return f"the tick at {when(Instant(numbers['stands']), tz)} stands for it (catch-up {numbers['policy']})"
            return f"it came to be decided only at {when(skipped.on, tz)} (catch-up none)"
        case "same-run":
            return _made_by_run(skipped) if skipped.later else "the run has taken back what it published"
    return _missing_part(numbers)


def _made_by_run(decision: Decision) -> str:
    keys = sorted({key for each in decision.later for key in each.keys})
    return f"run {decision.later[0].run}, which made it, makes {_named(decision.trigger, keys)} too"


def _missing_part(numbers: dict[str, Any]) -> str:
    """Why a trigger does not hold."""
    if "value" in numbers and "of" not in numbers:
        return f"{numbers['value']:g} is within its bounds"
    if numbers.get("against"):
        return f"there was {listed(numbers['against'])}"
    if numbers.get("waits_for"):
        return f"{numbers['came']} of {numbers['of']} came so far, it waits for {listed(numbers['waits_for'])}"
    return "the rest did not come for these partitions"


def _event(decision: Decision) -> str:
    """What is known of the event."""
    numbers = decision.numbers
    if "path" in numbers:
        return f" ({numbers['path']}, {numbers.get('size_bytes', 0)} bytes)"
    if "metric" in numbers:
        return f" ({numbers['value']:g})"
    if "versions" in numbers:
        return f" ({numbers['versions']} partitions)" if numbers["versions"] > 1 else ""
    if "run" in numbers and "node" in numbers:
        return f" (run {numbers['run']})" if numbers["run"] else ""
    if "left" in numbers:
        return f" (run {numbers['left']}, which made it, ended before this was made)"
    return f" ({numbers['id']})" if "id" in numbers else ""


def _asked(request: RunRequest) -> str:
    what = f"all of {request.node}" if request.everything else _named(request.node, request.partitions)
    return what + (f" with {', '.join(sorted(request.params))}" if request.params else "")


def _named(node: str, keys: Sequence[str]) -> str:
    if tuple(keys) == ("",):
        return node
    if len(keys) > _MOST_KEYS:
        return f"{len(keys)} partitions of {node}, {keys[0]} to {keys[-1]}"
    return f"{node}@{','.join(keys)}"


def _calendar(moment: Timed) -> str:
    if not moment.calendar:
        return ""
    return ", Monday to Friday" if moment.calendar == "weekdays" else f", business days {moment.calendar}"


def _given(moment: Moment) -> str:
    return f", with {', '.join(f'{name}={value!r}' for name, value in moment.params.items())}" if moment.params else ""
