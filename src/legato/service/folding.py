"""Many steps in few words: what is alike becomes one line, its partitions written as they are selected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from legato.declare.node import Project
from legato.declare.partitions import BETWEEN, Partitions, coord_of, dimensions, keys_between, of_coords
from legato.declare.region import Box
from legato.plan.records import PHRASES, Plan, Reason, ReasonKind, Step
from legato.plan.spread import Extents
from legato.terms.errors import LegatoError

MOST_RANGES = 3
"""How many ranges are written out; more are counted."""


class Fold(Struct, frozen=True, kw_only=True):
    """Steps of one node that do the same for the same reason. `partitions` is empty where there are none."""

    node: str
    run: bool
    reason: ReasonKind
    detail: str
    partitions: str
    count: int

    @property
    def words(self) -> str:
        """The reason for people."""
        return str(Reason(self.reason, self.detail)) if self.detail else PHRASES[self.reason].removesuffix(" by")


class Folder:
    """Writes sets of partitions of one project in few words."""

    def __init__(self, project: Project, extents: Extents) -> None:
        self._project, self._extents = project, extents

    def plan(self, plan: Plan) -> list[Fold]:
        """The plan's steps, and calls that it reuses; those that are alike together, in the order in which they come first."""
        alike: dict[tuple[str, bool, ReasonKind, str], list[Step]] = {}
        calls = (Step(each.node, each.partition, False, each.reason) for each in plan.reused if each.path)
        for step in (*plan.steps, *calls):
            kind = step.reason.kind
            detail = step.reason.detail if kind in ("input", "reused") else ""
            alike.setdefault((step.node, step.run, kind, detail), []).append(step)
        return [
            Fold(
                node=node, run=run, reason=kind, detail=_shared_detail(kind, steps), count=len(steps),
                partitions=self.partitions(node, [step.partition for step in steps]),
            )
            for (node, run, kind, _), steps in alike.items()
        ]  # fmt: skip

    def partitions(self, node: str, keys: Sequence[str], most: int = MOST_RANGES) -> str:
        """The keys as the selection language writes them: `2013-01-01..2013-03-04, 2013-03-06`."""
        if not any(keys):
            return ""
        declared = self._project.nodes.get(node)
        spans = list(keys) if declared is None else self._spans(declared.partitions, keys)
        more = f" and {len(spans) - most} more" if len(spans) > most else ""
        return ", ".join(spans[:most]) + more

    def names(self, steps: Iterable[tuple[str, str]], most: int = 4) -> str:
        """Steps (node and partition) as a list of names with their partitions, in few words."""
        by_node: dict[str, list[str]] = {}
        for node, partition in steps:
            by_node.setdefault(node, []).append(partition)
        told = [f"{node}@{text}" if (text := self.partitions(node, keys, 1)) else node for node, keys in by_node.items()]
        return ", ".join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")

    def _spans(self, parts: Partitions | None, keys: Sequence[str]) -> list[str]:
        try:
            region = of_coords(coord_of(parts, key, self._extents.dynamic) for key in keys)
        except LegatoError:  # keys of a plan that is older than the declaration
            return list(keys)
        return [self._span(parts, box) for box in region]

    def _span(self, parts: Partitions | None, box: Box) -> str:
        texts = []
        for (_, part), (low, high) in zip(dimensions(parts), box, strict=True):
            first, *_ = keys_between(part, low, low + 1, self._extents.dynamic)
            last, *_ = keys_between(part, high - 1, high, self._extents.dynamic)
            texts.append(first if low == high - 1 else f"{first}..{last}")
        return BETWEEN.join(texts)


def _shared_detail(kind: ReasonKind, steps: Sequence[Step]) -> str:
    """What the reasons' details have in common: all of it, the asset that they name, or the first and how many more."""
    if kind == "observed":
        return ""
    details = dict.fromkeys(step.reason.detail.partition("\n")[0] for step in steps)
    if len(details) > 1 and kind in ("needed", "blocked"):
        details = dict.fromkeys(detail.partition("@")[0] for detail in details)
    first, *others = details
    return first + (f" and {len(others)} more" if others else "")
