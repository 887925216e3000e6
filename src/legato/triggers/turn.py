"""One question to the triggers: what was decided so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from legato.plan.spread import Extents
from legato.terms.instant import Instant
from legato.triggers.events import AnyEvent
from legato.triggers.fold import fold
from legato.triggers.keys import NONE, Keys
from legato.triggers.state import State


class Hit(Struct, frozen=True):
    """A moment came: for which partitions it counts, and which it asks for where nothing else says.

    The two differ for what says nothing of partitions: it counts for all, and asks for the newest. `within`: it is a metric
    within its bounds, which is a tick, but nothing that came. `later` are partitions for which it may count yet: the run that
    published is about to make them.
    """

    number: int
    counts: Keys
    about: Keys
    within: bool = False
    later: Keys = NONE


class TickAt(Struct, frozen=True, kw_only=True):
    """A tick to decide: its key, its instant, what is known of it, what a flow may take of it, and the run that published."""

    key: str
    at: Instant
    timed: bool = False
    numbers: dict[str, Any] = {}
    gives: Mapping[str, Any] = {}
    payload: str = ""
    run: str = ""


class Turn:
    """Collects events. An emitted event is folded at once, so that what is decided next sees its effect."""

    __slots__ = ("_extents", "events", "now", "state")

    def __init__(self, state: State, now: Instant) -> None:
        self.state, self.now = state, now
        self.events: list[AnyEvent] = []
        self._extents: Extents | None = None

    @property
    def extents(self) -> Extents:
        """Which partitions exist now."""
        if self._extents is None:
            self._extents = Extents(self.state.dynamic, self.now)
        return self._extents

    def emit(self, event: AnyEvent) -> None:
        """Decide that this happened."""
        self.events.append(event)
        fold(self.state, event)
