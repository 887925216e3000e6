"""What the clock will bring: the ticks to come, with what is odd about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, tzinfo
from heapq import merge
from itertools import islice
from typing import Any

from msgspec import Struct

from legato.declare.moment import Timed
from legato.declare.node import Node, Project
from legato.declare.windows import load_zone
from legato.terms.instant import Instant, to_datetime
from legato.triggers.form import Form
from legato.triggers.reach import next_end
from legato.triggers.schedule import Schedule
from legato.triggers.wall import Mark, shown
from legato.triggers.words import moment_in_words

_FOREVER = Instant(2**63 - 1)


class Upcoming(Struct, frozen=True, order=True):
    """One tick to come. `local` is what the moment's clock shows, `offset` how far it is ahead of UTC (`-0400`); `day_off` says
    why the calendar will skip it."""

    at: Instant
    node: str
    moment: str
    tz: str
    local: str
    offset: str
    mark: Mark = ""
    day_off: str = ""

    @property
    def note(self) -> str:
        """What is odd about the tick, in words."""
        marks: dict[Mark, str] = {
            "": "",
            "gap": "the clock skips its time: it runs at the end of the gap",
            "first": "the clock shows this time twice: the first pass",
            "second": "the clock shows this time twice: the second pass",
        }
        return "; ".join(filter(None, (marks[self.mark], f"skipped: {self.day_off}" if self.day_off else "")))


def next_ticks(trigger: Any, after: Instant, until: Instant, node: str = "") -> Iterator[Upcoming]:
    """The ticks of a trigger's clock later than one instant and not later than another, in order of time."""
    form = Form(trigger)
    several = (
        _ticks(form, number, schedule, after, until, node)
        for number, schedule in enumerate(form.schedules) if schedule is not None and not form.negated[number]
    )  # fmt: skip
    return merge(*several)


def next_of_project(project: Project, after: Instant, until: Instant) -> Iterator[Upcoming]:
    """The ticks of all triggers of a project, in order of time."""
    nodes = (node for node in project.nodes.values() if node.trigger is not None)
    return merge(*(next_ticks(node.trigger, after, until, node.name) for node in nodes))


def next_of(node: Node, until: Instant, stale_from: Instant) -> Upcoming | None:
    """The first tick later than an instant that a node's trigger will have by the mere passing of time: of its clock, when the
    node grows too old, when a window ends. `stale_from` is when the node was last made, or its age last decided on."""
    assert node.trigger is not None
    form = Form(node.trigger)
    ends = next_end(node.partitions, until)
    states = {number: Instant(stale_from + age_us) for number, age_us in enumerate(form.ages_us) if age_us}
    states |= {number: ends for number in form.missing if ends is not None}
    found = [_of_state(form, number, at, node) for number, at in states.items() if not form.negated[number]]
    found.extend(islice(next_ticks(node.trigger, until, _FOREVER, node.name), 1))
    return min(found, default=None)


def _of_state(form: Form, number: int, at: Instant, node: Node) -> Upcoming:
    local, offset = _clock(load_zone("UTC"), at)
    return Upcoming(at, node.name, moment_in_words(form.leaves[number]), "UTC", local, offset)


def _ticks(form: Form, number: int, schedule: Schedule, after: Instant, until: Instant, node: str) -> Iterator[Upcoming]:
    leaf = form.leaves[number]
    assert isinstance(leaf, Timed)
    words = moment_in_words(leaf)
    for tick in schedule.after(after):
        if tick.at > until:
            return
        local, offset = _clock(schedule.zone, tick.at)
        yield Upcoming(tick.at, node, words, leaf.tz, local, offset, tick.mark, schedule.day_off(tick.at))


def _clock(zone: tzinfo, at: Instant) -> tuple[str, str]:
    """What the clock of a zone shows, and how far it is ahead of UTC."""
    aware = to_datetime(at).astimezone(zone)
    local = shown(zone, at).isoformat(sep=" ", timespec="seconds" if aware.second else "minutes")
    return local, _offset(aware.utcoffset())


def _offset(offset: timedelta | None) -> str:
    minutes = round((offset or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
