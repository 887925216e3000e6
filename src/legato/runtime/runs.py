"""Runs as a conductor holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from legato.kernel import events as ev
from legato.kernel.blocked import blocked_by
from legato.kernel.commands import Command
from legato.kernel.invariants import violations
from legato.kernel.state import READY, RunState
from legato.ports.access import Audit
from legato.ports.store import Start, Version
from legato.runtime.book import Book
from legato.runtime.cache import ResultCache
from legato.runtime.dispatch import Dispatch
from legato.runtime.edition import Edition
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant


@dataclass(slots=True)
class Live:
    """A run that this conductor owns: its state, its books, whose workers make it, and what was decided but not yet committed."""

    state: RunState
    book: Book
    edition: Edition
    dispatch: Dispatch
    cache: ResultCache
    events: list[ev.AnyEvent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    sightings: list[Version] = field(default_factory=list)
    audit: list[Audit] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    """The steps of a backfill that joins with other runs, by node and partition."""
    due: Instant | None = None
    """When it next has something to do, as the conductor has noted it."""


def ask_again(live: Live, events: Iterable[ev.AnyEvent], backfills: Iterable[Live]) -> None:
    """What a run has just made may be what a backfill is to make: let that look before it starts it."""
    steps = live.state.plan.steps
    made = [steps[event.step] for event in events if type(event) is ev.StepSucceeded and event.outputs]
    for other in backfills if made else ():
        found = [other.places.get((step.node, step.partition), -1) for step in made] if other is not live else []
        other.state.asked += [index for index in found if index >= 0 and other.state.takes(index)]


def not_beyond(starts: Iterable[Start], now: Instant) -> Iterable[tuple[tuple[str, str], Instant]]:
    """Stored starts that still count; those after now, before which the clock was set back, count as of now."""
    return (((start.pool, start.key), min(start.at, now)) for start in starts if start.until > now)


def stuck(state: RunState, now: Instant) -> LegatoError:
    """That nothing can move this run, and what its ready steps wait for."""
    ready = (index for index, code in enumerate(state.status) if code == READY)
    blocks = {state.plan.steps[index].node: each for index in ready if (each := blocked_by(state, index, now)) is not None}
    waits = [f"{node} waits for a slot of {each.on}" for node, each in blocks.items() if each.kind == "slot"]
    why = "; ".join([*violations(state), *(waits and [*waits, "flows hold theirs until they end"])])
    return LegatoError(
        "stuck", f"run {state.run_id} has {state.open} open steps, but nothing to wait for", why=why,
        next=f"legato cancel {state.run_id}",
    )  # fmt: skip
