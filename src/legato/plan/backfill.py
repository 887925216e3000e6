"""Backfills: which partitions of a selection they are about, and in which order a plan works them off."""

from __future__ import annotations

from datetime import UTC

from msgspec.structs import replace

from legato.declare.node import Project
from legato.declare.partitions import (
    Region,
    contains,
    coord_of,
    describe,
    difference,
    dimensions,
    intersection,
    of_coords,
    region,
)
from legato.declare.pool import Use
from legato.declare.windows import Windows, read_moment
from legato.plan.records import Backfill, Order, Plan
from legato.plan.select import Selection
from legato.plan.spread import Extents
from legato.terms.errors import LegatoError, NotFound, UsageError

Span = tuple[str, str]
"""Two moments or periods, both included; empty: no bound."""

OWN = Use("")
"""The pool of a run alone."""

_ANY = 0, 1 << 62


def within(project: Project, extents: Extents, selection: Selection, span: Span) -> Selection:
    """What of the selection lies in a span of time, if only in part; what is not cut by time stays as it is.

    `UsageError` (`backfill-flow`, `backfill-time`) where that means nothing, `NotFound` (`partition-key`) where that is nothing.
    """
    flow = next((name for name in selection if project.nodes[name].kind == "flow"), None)
    if flow is not None:
        raise UsageError("backfill-flow", f"{flow} is a flow: it has no partitions to fill", next=f"legato run {flow}")
    if span == ("", ""):
        return selection
    _require_times(span)
    timed = [name for name in selection if _has_time(project, name)]
    if not timed:
        raise UsageError(
            "backfill-time", "--from and --to say nothing: nothing of the selection is cut by time",
            next="leave them out, or name partitions: ASSET@KEY",
        )  # fmt: skip
    narrowed = {name: intersection(selection[name], _between(project, extents, name, span)) for name in timed}
    if not any(narrowed.values()):
        why = f"{timed[0]} is {describe(project.nodes[timed[0]].partitions)}"
        raise NotFound("partition-key", "no partition lies between --from and --to", why=why)
    found = {name: narrowed.get(name, chosen) for name, chosen in selection.items()}
    return {name: chosen for name, chosen in found.items() if chosen}


def _require_times(span: Span) -> None:
    for text in filter(None, span):
        try:
            read_moment(text, UTC)
        except LegatoError as error:
            raise UsageError(
                "backfill-time", error.what, why=error.why, next="write for example 2013-01, or 2013-01-05T07"
            ) from None


def without_edges(project: Project, extents: Extents, selection: Selection, span: Span, plan: Plan) -> Selection:
    """The selection without what the span only touches and what lacks an input, going by its plan.

    A month of which some days are filled is made if it can be, and is not asked for if it cannot.
    """
    found = dict(selection)
    for step in plan.steps:
        if step.reason.kind == "blocked" and step.node in selection and _has_time(project, step.node):
            coord = coord_of(project.nodes[step.node].partitions, step.partition, extents.dynamic)
            if not contains(_between(project, extents, step.node, span, whole=True), coord):
                found[step.node] = difference(found[step.node], of_coords([coord]))
    return {name: chosen for name, chosen in found.items() if chosen}


def _between(project: Project, extents: Extents, name: str, span: Span, *, whole: bool = False) -> Region:
    """The partitions of a node that is cut by time that a span touches, or holds as a whole."""
    cut = (part for _, part in dimensions(project.nodes[name].partitions))
    return region(
        [tuple(part.between(*span, part.count(extents.now), whole=whole) if isinstance(part, Windows) else _ANY for part in cut)]
    )


def _has_time(project: Project, name: str) -> bool:
    return any(isinstance(part, Windows) for _, part in dimensions(project.nodes[name].partitions))


def in_order(plan: Plan, project: Project, extents: Extents, order: Order) -> tuple[int, ...]:
    """The steps of a plan by the time of their partitions; empty if that is how they stand.

    What is not cut by time comes first: it waits, or is waited for.
    """
    timed = [name for name in dict.fromkeys(step.node for step in plan.steps) if _has_time(project, name)]
    is_plain = len(timed) == 1 and plan.steps[-1].node == timed[0] and isinstance(project.nodes[timed[0]].partitions, Windows)
    if order == "oldest" and is_plain:
        return ()  # one node's windows, which stand in order, behind all else
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
    if not _has_time(project, name):
        return None
    parts = project.nodes[name].partitions
    coord = coord_of(parts, key, extents.dynamic)
    return max(part.opening(at) for (_, part), at in zip(dimensions(parts), coord, strict=True) if isinstance(part, Windows))


def in_own_pool(plan: Plan, backfill: Backfill) -> Plan:
    """The plan as this backfill: where no more than so many steps are to be under way at once, all of them share a pool."""
    handling = plan.handling
    if backfill.at_once is not None:
        handling = {name: replace(each, pools=(*each.pools, OWN)) for name, each in plan.handling.items()}
    return replace(plan, handling=handling, backfill=backfill)
