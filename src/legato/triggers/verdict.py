"""One tick of one trigger becomes one decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from legato.declare.moment import Moment
from legato.declare.node import Node
from legato.declare.partitions import keys
from legato.triggers.events import Came, Fired, Later, RunRequest, Skipped, SkipReason
from legato.triggers.keys import NONE, Keys, both, minus, union
from legato.triggers.reach import new_keys
from legato.triggers.state import TriggerState, as_came
from legato.triggers.turn import Hit, TickAt, Turn
from legato.triggers.words import moment_in_words


def judge(turn: Turn, trigger: TriggerState, hits: Sequence[Hit], tick: TickAt) -> None:
    """Decide a tick: it fires, or is skipped for the first reason that applies."""
    about = _union(hit.about for hit in hits)
    if trigger.paused:
        return skip(turn, trigger, hits, tick, "paused")
    if not about:
        is_made = any(hit.later for hit in hits)
        return skip(turn, trigger, hits, tick, "same-run" if is_made else "partition")
    holds = about if trigger.form.lone else trigger.form.holds_for(_with(trigger, hits))
    fired = both(holds, about) if holds.rest else holds
    if not fired:
        return skip(turn, trigger, hits, tick, "condition", _progress(trigger, hits, about))
    left, open_run = fired, ""
    if tick.timed and not any(trigger.form.catches_all(hit.number) for hit in hits):
        left, open_run = _without_open(trigger, fired)
    if not left:
        return skip(turn, trigger, hits, tick, "running", {"run": open_run})
    later = _later(trigger, hits, tick)
    return turn.emit(
        Fired(
            trigger=trigger.node.name, key=tick.key, at=tick.at, on=turn.now, moments=_words(trigger, hits),
            numbers={**_numbers(tick, later), "late_us": max(0, turn.now - tick.at)},
            request=_request(turn, trigger, hits, tick, left), came=_came(trigger, hits), later=later, timed=tick.timed,
        )
    )  # fmt: skip


def skip(
    turn: Turn, trigger: TriggerState, hits: Sequence[Hit], tick: TickAt, why: SkipReason, numbers: dict[str, Any] | None = None
) -> None:
    """Decide that a tick is no run."""
    later = () if why == "paused" else _later(trigger, hits, tick)
    turn.emit(
        Skipped(
            trigger=trigger.node.name, key=tick.key, at=tick.at, first=tick.at, on=turn.now, why=why, timed=tick.timed,
            moments=_words(trigger, hits), numbers={**_numbers(tick, later), **(numbers or {})}, came=_came(trigger, hits),
            later=later,
        )
    )  # fmt: skip


def _request(turn: Turn, trigger: TriggerState, hits: Sequence[Hit], tick: TickAt, fired: Keys) -> RunRequest:
    node = trigger.node
    gives: set[str] = set()
    params: dict[str, Any] = {}
    for number, leaf in enumerate(trigger.form.leaves):
        if _takes_part(trigger, number, hits, fired):
            params.update(leaf.params)
            gives.update(leaf.gives)
    params.update({name: value for name, value in tick.gives.items() if name in gives and name not in params})
    named = _named(turn, node, fired) if fired.rest and fired.named else fired.named
    everything = fired.rest and not fired.named
    takes = bool(tick.payload) and "payload" in gives and "payload" not in params
    return RunRequest(
        key=f"{node.name}/{tick.key}", node=node.name, partitions=() if everything else tuple(sorted(named)),
        everything=everything, adds=new_keys(node.partitions, named, turn.state.dynamic), params=params,
        payload_to="payload" if takes else "", payload=tick.payload if takes else "",
    )  # fmt: skip


def _named(turn: Turn, node: Node, fired: Keys) -> frozenset[str]:
    """The keys of "all but these"."""

    extents = turn.extents
    return frozenset(keys(node.partitions, extents.of(node.partitions), extents.dynamic)) - fired.named


def _takes_part(trigger: TriggerState, number: int, hits: Sequence[Hit], fired: Keys) -> bool:
    """Whether a moment has come that is part of this firing, so that what it gives counts."""
    if any(hit.number == number for hit in hits):
        return True
    return not trigger.form.negated[number] and bool(both((trigger.came or {}).get(number, NONE), fired))


def _without_open(trigger: TriggerState, fired: Keys) -> tuple[Keys, str]:
    """What no run of this trigger is about already, and one of the runs that are about the rest."""
    left, found = fired, ""
    for key, under_way in (trigger.open or {}).items():
        if both(left, under_way):
            left, found = minus(left, under_way), key
    return left, found


def _progress(trigger: TriggerState, hits: Sequence[Hit], about: Keys) -> dict[str, Any]:
    """How many moments have come, and which the trigger waits for."""
    came = _with(trigger, hits)
    plain = [number for number in range(len(trigger.form.leaves)) if not trigger.form.negated[number]]
    against = [number for number in range(len(trigger.form.leaves)) if trigger.form.negated[number]]
    waits = [number for number in plain if not both(came.get(number, NONE), about)]
    numbers: dict[str, Any] = {"came": len(plain) - len(waits), "of": len(plain)}
    if waits:
        numbers["waits_for"] = [moment_in_words(trigger.form.leaves[number]) for number in waits]
    stood_against = [number for number in against if both(came.get(number, NONE), about)]
    if stood_against:
        numbers["against"] = [moment_in_words(trigger.form.leaves[number]) for number in stood_against]
    return numbers


def _with(trigger: TriggerState, hits: Sequence[Hit]) -> dict[int, Keys]:
    came = dict(trigger.came or {})
    for hit in hits:
        came[hit.number] = union(came.get(hit.number, NONE), hit.counts)
    return came


def _came(trigger: TriggerState, hits: Sequence[Hit]) -> tuple[Came, ...]:
    return tuple(as_came(trigger.form.ids[hit.number], hit.counts) for hit in hits if hit.counts or not hit.later)


def _numbers(tick: TickAt, later: tuple[Later, ...]) -> dict[str, Any]:
    return {**tick.numbers, "run": tick.run} if later else tick.numbers


def _later(trigger: TriggerState, hits: Sequence[Hit], tick: TickAt) -> tuple[Later, ...]:
    versions = tuple(tick.gives["partitions"]) if trigger.node.kind == "flow" and "partitions" in tick.gives else ()
    return tuple(
        Later(tick.run, trigger.form.ids[hit.number], tuple(sorted(hit.later.named)), versions) for hit in hits if hit.later
    )


def _words(trigger: TriggerState, hits: Sequence[Hit]) -> tuple[str, ...]:
    leaves: list[Moment] = [trigger.form.leaves[hit.number] for hit in hits]
    return tuple(dict.fromkeys(map(moment_in_words, leaves)))


def _union(parts: Any) -> Keys:
    found = NONE
    for each in parts:
        found = union(found, each)
    return found
