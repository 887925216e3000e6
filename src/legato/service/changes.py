"""What became of the inputs of one asset partition since its published version was made."""

from __future__ import annotations

from msgspec import Struct

from legato.declare.node import Node
from legato.declare.partitions import coord_of
from legato.declare.region import Region
from legato.plan.graph import Edge
from legato.plan.records import Plan
from legato.plan.stale import Facts, Freshness, Needs
from legato.ports.store import Head
from legato.service.planning import Planner
from legato.terms.instant import Instant
from legato.terms.key import show


class InputChange(Struct, frozen=True, kw_only=True):
    """An input that is not what the published version was made from: what happened, and its newest version."""

    name: str
    what: str
    version: str = ""
    at: Instant | None = None
    run: str = ""


class Inputs:
    """The inputs of one partition, as published now; `plan` says what of them would run first."""

    def __init__(self, planner: Planner, plan: Plan, node: Node, asset: str, partition: str) -> None:
        self._plan, self._project, self._store = plan, planner.workspace.project, planner.store
        self._needs = Needs(planner.workspace.graph, planner.extents)
        coord = coord_of(node.partitions, partition, planner.extents.dynamic)
        self._edges: list[tuple[Edge, Region]] = [
            (edge, self._needs.region(edge, coord)) for edge in planner.workspace.graph.needs[node.name]
        ]
        names = {edge.name for edge, _ in self._edges}
        self._heads: dict[str, dict[str, Head]] = self._store.heads(names) if self._store else {name: {} for name in names}
        self._fresh = Freshness(self._needs, Facts(heads=self._heads, observed=plan.observed))
        self._mine = self._store.head(asset, partition) if self._store else None

    def first_missing(self) -> tuple[str, str, str] | None:
        """The first input partition that is not there and that the plan does not make: node, asset, partition."""
        coming = {(each.node, each.partition) for each in self._plan.steps if each.run}
        for edge, region in self._edges:
            for key in self._fresh.missing(edge, region):
                if (edge.up, key) not in coming:
                    return edge.up, edge.name, key
        return None

    def changes(self) -> tuple[InputChange, ...]:
        """The inputs that differ from what the published version was made from, or will when the plan has run."""
        if self._mine is None:
            return ()
        coming = {(each.node, each.partition): each.reason for each in self._plan.steps if each.run}
        found: dict[str, InputChange] = {}
        for edge, region in self._edges:
            keys = self._needs.keys(edge.up, region)
            due = next(((key, coming[edge.up, key]) for key in keys if (edge.up, key) in coming), None)
            if self._fresh.digest(edge, region) != self._mine.inputs.get(edge.key):
                change = self._changed(edge, keys, self._mine)
                found[change.name] = change
            elif due is not None and self._kind(edge) == "asset":
                name = show(edge.name, due[0])
                found.setdefault(name, InputChange(name=name, what=f"is to be made anew itself ({due[1]})"))
        return tuple(found.values())

    def _kind(self, edge: Edge) -> str:
        return self._project.nodes[edge.up].kind

    def _changed(self, edge: Edge, keys: list[str], mine: Head) -> InputChange:
        if self._kind(edge) == "task":
            return InputChange(name=edge.name, what="gives another value: its code changed, or what it reads")
        if self._kind(edge) == "source":
            tokens, key = self._plan.observed.get(edge.name, {}), keys[-1] if keys else ""
            return InputChange(name=show(edge.name, key), what="says another version than before", version=tokens.get(key, ""))
        heads = self._heads[edge.name]
        there = sorted((heads[key] for key in keys if key in heads), key=lambda head: head.at)
        if not there:
            return InputChange(name=show(edge.name, keys[0]) if keys else edge.name, what="is not published")
        newest = there[-1]
        newer = sum(head.at > mine.at for head in there)
        more = f", with {newer - 1} more of its partitions" if newer > 1 else ""
        return InputChange(
            name=show(edge.name, newest.partition), what=f"was published since{more}" if newer else "is another version now",
            version=newest.version, at=newest.at, run=self._run_of(edge.name, newest),
        )  # fmt: skip

    def _run_of(self, asset: str, head: Head) -> str:
        version = self._store.version(asset, head.partition, head.version) if self._store else None
        return version.run if version else ""
