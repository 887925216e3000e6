"""Backfills: which partitions of a selection they are about, and in which order a plan works them off."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from legato.declare.node import Project
from legato.declare.partitions import coord_of, dimensions, intersection, region
from legato.declare.pool import Use
from legato.declare.windows import Windows
from legato.plan.records import Backfill, Plan
from legato.plan.select import Selection
from legato.plan.spread import Extents
from legato.terms.errors import NotFound, UsageError

Order = Literal["oldest", "newest"]
"""Which partitions go first."""

OWN = Use("")
"""The pool of a run alone."""


def within(project: Project, extents: Extents, selection: Selection, begin: str, end: str) -> Selection:
    """What of the selection lies between two moments, both included (empty: no bound).

    A window counts if any of it lies there; what is not cut by time stays as it is. `UsageError` (`backfill-flow`,
    `backfill-time`) where that means nothing, `NotFound` (`partition-key`) where nothing lies there.
    """
    flows = [name for name in selection if project.nodes[name].kind == "flow"]
    if flows:
        raise UsageError("backfill-flow", f"{flows[0]} is a flow: it has no partitions to fill", next=f"legato run {flows[0]}")
    if not (begin or end):
        return selection
    found: Selection = {}
    reach: dict[str, str] = {}
    for name, chosen in selection.items():
        cut = dimensions(project.nodes[name].partitions)
        times = [part for _, part in cut if isinstance(part, Windows)]
        if not times:
            found[name] = chosen
            continue
        box = tuple(part.between(begin, end, part.count(extents.now)) if isinstance(part, Windows) else _ANY for _, part in cut)
        found[name] = intersection(chosen, region([box]))
        if not found[name]:
            reach[name] = times[0].reach()
    cut_by_time = [name for name in found if name in reach or _has_time(project, name)]
    if not cut_by_time:
        raise UsageError(
            "backfill-time", "--from and --to say nothing: nothing of the selection is cut by time",
            next="leave them out, or name partitions: ASSET@KEY",
        )  # fmt: skip
    if len(reach) == len(cut_by_time):
        name = cut_by_time[0]
        raise NotFound("partition-key", "no partition lies between --from and --to", why=f"{name} is {reach[name]}")
    return {name: chosen for name, chosen in found.items() if chosen}


_ANY = 0, 1 << 62


def _has_time(project: Project, name: str) -> bool:
    return any(isinstance(part, Windows) for _, part in dimensions(project.nodes[name].partitions))


def in_order(plan: Plan, project: Project, extents: Extents, order: Order) -> tuple[int, ...]:
    """The steps of a plan by the time of their partitions; empty if that is how they stand.

    What is not cut by time comes first: it waits, or is waited for.
    """
    sign = 1 if order == "oldest" else -1
    openings: dict[tuple[str, str], int | None] = {}

    def place(index: int) -> tuple[bool, int, int]:
        step = plan.steps[index]
        spot = step.node, step.partition
        if spot not in openings:
            openings[spot] = _opening(project, extents, *spot)
        opening = openings[spot]
        return opening is not None, sign * (opening or 0), index

    turns = tuple(sorted(range(len(plan.steps)), key=place))
    return () if turns == tuple(range(len(turns))) else turns


def _opening(project: Project, extents: Extents, name: str, key: str) -> int | None:
    """When the window of a partition opens; None of what is not cut by time."""
    parts = project.nodes[name].partitions
    cut = dimensions(parts)
    if not _has_time(project, name):
        return None
    coord = coord_of(parts, key, extents.dynamic)
    return max(part.opening(at) for (_, part), at in zip(cut, coord, strict=True) if isinstance(part, Windows))


def in_own_pool(plan: Plan, backfill: Backfill) -> Plan:
    """The plan as this backfill: where no more than so many steps are to be under way at once, all of them share a pool."""
    handling = plan.handling
    if backfill.at_once is not None:
        handling = {name: replace(each, pools=(*each.pools, OWN)) for name, each in plan.handling.items()}
    return replace(plan, handling=handling, backfill=backfill)
