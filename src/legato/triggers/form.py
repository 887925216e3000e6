"""A trigger made ready: its moments numbered, and the question of how they are combined answered for sets of partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from legato.declare.moment import (
    AllOf,
    AnyOf,
    AtLeast,
    Cron,
    Every,
    Missing,
    Moment,
    Stale,
    Timed,
    Trigger,
    Without,
    moments,
)
from legato.terms.codec import fingerprint
from legato.triggers.keys import NONE, Keys, both, other, union
from legato.triggers.schedule import Schedule, schedule_of

STATES = (Missing, Stale)
"""Moments that begin a state of the node: it goes on until the node is published, however often the trigger fires meanwhile."""


class Form:
    """One trigger, shared by all nodes that have the same. `leaves` are its moments, each once, from left to right."""

    __slots__ = ("ages_us", "ids", "leaves", "lone", "missing", "negated", "places", "schedules", "trigger")

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        every = [(fingerprint(each)[:12], each) for each in moments(trigger)]
        self.leaves: tuple[Moment, ...] = tuple(dict(every).values())
        self.ids = tuple(dict(every))
        """What a moment is called in what is stored: it outlives changes of the rest of the trigger."""
        self.places = tuple(self.ids.index(each) for each, _ in every)
        """The number of the moment at each place of the trigger."""
        plain = {fingerprint(each)[:12] for each in moments(trigger, negated=False)}
        self.negated = tuple(each not in plain for each in self.ids)
        """Which moments only stand under `~`: they are no ticks."""
        self.lone = _fires_at_each(trigger)
        """Whether each of its moments fires it, whatever came before."""
        self.schedules: tuple[Schedule | None, ...] = tuple(
            schedule_of(each) if isinstance(each, Cron | Every) else None for each in self.leaves
        )
        self.ages_us = tuple(round(each.seconds * 1_000_000) if isinstance(each, Stale) else 0 for each in self.leaves)
        self.missing = tuple(number for number, each in enumerate(self.leaves) if isinstance(each, Missing))

    def is_state(self, number: int) -> bool:
        """Whether a moment begins a state, and is not over with a firing."""
        return isinstance(self.leaves[number], STATES)

    def catches_all(self, number: int) -> bool:
        """Whether every tick of a moment is to become a run."""
        leaf = self.leaves[number]
        return isinstance(leaf, Timed) and leaf.catch_up == "all"

    def holds_for(self, came: Mapping[int, Keys]) -> Keys:
        """The partitions for which the trigger holds, by those for which each moment came."""
        return _Reading(self.places, came).whole(self.trigger)

    def number_of(self, leaf_id: str) -> int | None:
        """The moment of this id; None where the trigger has it no more."""
        return self.ids.index(leaf_id) if leaf_id in self.ids else None


class _Reading:
    """One reading of a tree from left to right."""

    def __init__(self, places: tuple[int, ...], came: Mapping[int, Keys]) -> None:
        self.places, self.came = iter(places), came

    def whole(self, trigger: Any) -> Keys:
        """The partitions for which a part of the tree holds."""
        match trigger:
            case Without(part):
                return other(self.whole(part))
            case AllOf(parts):
                return self._at_least(len(parts), parts)
            case AnyOf(parts):
                return self._at_least(1, parts)
            case AtLeast(count, parts):
                return self._at_least(count, parts)
        return self.came.get(next(self.places), NONE)

    def _at_least(self, count: int, parts: tuple[Any, ...]) -> Keys:
        """Row n is where n + 1 of the parts read so far hold."""
        rows = [NONE] * count
        for part in parts:
            holds = self.whole(part)
            for n in range(count - 1, 0, -1):
                rows[n] = union(rows[n], both(rows[n - 1], holds))
            rows[0] = union(rows[0], holds)
        return rows[-1]


def _fires_at_each(trigger: Any) -> bool:
    match trigger:
        case Moment():
            return True
        case AnyOf(parts):
            return all(map(_fires_at_each, parts))
    return False
