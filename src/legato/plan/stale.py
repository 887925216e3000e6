"""Why does this need to run? What is published, held against the code, the contract and the inputs of now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from legato.declare.mapping import Overlap, Same, Subset
from legato.declare.node import Node
from legato.declare.partitions import key_of, keys
from legato.declare.project import contract_fingerprint
from legato.declare.region import Coord, Region, coords
from legato.plan.graph import Edge, Graph
from legato.plan.records import Reason
from legato.plan.select import needs_of
from legato.plan.spread import Extents, default_mapping
from legato.terms.codec import fingerprint
from legato.terms.key import show


class Known(Protocol):
    """What must be known of a published version to judge it."""

    @property
    def digest(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def contract(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a plan is made.

    `heads`: asset -> partition -> published version. `observed`: source -> partition -> version token. `troubles`: asset
    partition -> why its newest try did not publish.
    """

    heads: Mapping[str, Mapping[str, Known]] = field(default_factory=dict)
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    troubles: Mapping[tuple[str, str], str] = field(default_factory=dict)


def digest_inputs(pairs: Iterable[tuple[str, str]]) -> str:
    """One digest over the versions of one input: (partition, digest of its bytes), in partition order."""
    return fingerprint(list(pairs))


class Needs:
    """What each partition of a node needs of its inputs, as regions and keys; each distinct region is spelled out once."""

    def __init__(self, graph: Graph, extents: Extents) -> None:
        self.graph, self.extents = graph, extents
        self._keys: dict[tuple[str, Region], list[str]] = {}

    def region(self, edge: Edge, coord: Coord) -> Region:
        """The part of the edge's upper node that one partition of its lower node needs."""
        box = tuple((place, place + 1) for place in coord)
        return needs_of(self.graph, self.extents, edge, (box,))

    def may_be_empty(self, edge: Edge) -> bool:
        """Whether needing none of an input's partitions makes sense: at the start of a look-back, or where a mapping says so."""
        nodes = self.graph.project.nodes
        down, up = nodes[edge.down].partitions, nodes[edge.up].partitions
        mapping = edge.mapping or default_mapping(down, up)
        return not edge.param or up is None or not isinstance(mapping, Same | Overlap | Subset)

    def keys(self, node: str, region: Region) -> list[str]:
        """The partition keys of a region of a node; one empty key where it is not partitioned."""
        found = self._keys.get((node, region))
        if found is None:
            parts = self.graph.project.nodes[node].partitions
            found = [""] if parts is None and region else [] if parts is None else keys(parts, region, self.extents.dynamic)
            self._keys[node, region] = found
        return found

    def key(self, node: Node, coord: Coord) -> str:
        """The key of one coordinate of a node."""
        return "" if node.partitions is None else key_of(node.partitions, coord, self.extents.dynamic)

    def of(self, node: str, coord: Coord) -> list[tuple[Edge, list[str]]]:
        """Every input of one partition of a node, with the keys that it needs of it."""
        return [(edge, self.keys(edge.up, self.region(edge, coord))) for edge in self.graph.needs[node]]


class Freshness:
    """Judges what is published against what would be made now."""

    def __init__(self, needs: Needs, facts: Facts) -> None:
        self.needs, self.facts = needs, facts
        self._digests: dict[tuple[str, Region], str | None] = {}
        self._contracts: dict[str, str] = {}

    def reason(self, node: Node, coord: Coord, key: str) -> Reason:
        """Why this partition of an asset has to run, or that it is fresh, by what is published now."""
        reasons = [self._judge(node, coord, key, asset) for asset in node.outputs]
        reason = next((found for found in reasons if found.kind != "fresh"), Reason("fresh"))
        if reason.kind == "fresh":
            return reason
        trouble = self._trouble(node, key)
        return Reason("failed", trouble) if trouble else reason

    def taken(self, node: Node, key: str) -> Reason:
        """How a partition stands that only flows make: a plan takes it as it is published, whatever its code is now."""
        if trouble := self._trouble(node, key):
            return Reason("failed", trouble)
        return Reason("fresh" if all(key in self.facts.heads.get(asset, {}) for asset in node.outputs) else "missing")

    def _trouble(self, node: Node, key: str) -> str:
        return next((self.facts.troubles[asset, key] for asset in node.outputs if (asset, key) in self.facts.troubles), "")

    def _judge(self, node: Node, coord: Coord, key: str, asset: str) -> Reason:
        head = self.facts.heads.get(asset, {}).get(key)
        if head is None:
            return Reason("missing")
        if head.code != node.code:
            return Reason("code")
        if head.contract != self.contract(node, asset):
            return Reason("contract")
        for edge in self.needs.graph.needs[node.name]:
            digest = self.digest(edge, self.needs.region(edge, coord))
            if digest != head.inputs.get(edge.key):
                return Reason("input", edge.name)
        return Reason("fresh")

    def contract(self, node: Node, asset: str) -> str:
        """The fingerprint of what judges the asset's versions."""
        found = self._contracts.get(asset)
        if found is None:
            found = self._contracts[asset] = contract_fingerprint(node, asset)
        return found

    def missing(self, edge: Edge, region: Region) -> list[str]:
        """The keys of this input that were never published (or observed); a task is never missing."""
        upper = self.needs.graph.project.nodes[edge.up]
        if upper.kind == "task":
            return []
        there = self._published(upper, edge.name)
        return [key for key in self.needs.keys(edge.up, region) if key not in there]

    def digest(self, edge: Edge, region: Region) -> str | None:
        """The digest of an input as it is now; None where a part of it is missing."""
        found = self._digests.get((edge.name, region), "")
        if found == "":
            found = self._digests[edge.name, region] = self._digest(edge, region)
        return found

    def _digest(self, edge: Edge, region: Region) -> str | None:
        upper = self.needs.graph.project.nodes[edge.up]
        names = self.needs.keys(edge.up, region)
        if upper.kind == "task":
            made = [self._task(upper, coord) for coord in coords(region)]
            return None if None in made else digest_inputs(zip(names, cast(list[str], made), strict=True))
        there = self._published(upper, edge.name)
        if any(name not in there for name in names):
            return None
        return digest_inputs((name, there[name]) for name in names)

    def _task(self, task: Node, coord: Coord) -> str | None:
        """What a task's value follows from: its code and its own inputs."""
        above = [self.digest(edge, self.needs.region(edge, coord)) for edge in self.needs.graph.needs[task.name]]
        return None if None in above else fingerprint(task.code, above)

    def _published(self, upper: Node, asset: str) -> Mapping[str, str]:
        if upper.kind == "source":
            return self.facts.observed.get(asset, {})
        return _Digests(self.facts.heads.get(asset, {}))


class _Digests(Mapping[str, str]):
    """Heads seen as their digests."""

    def __init__(self, heads: Mapping[str, Known]) -> None:
        self._heads = heads

    def __getitem__(self, key: str) -> str:
        return self._heads[key].digest

    def __iter__(self) -> Iterator[str]:
        return iter(self._heads)

    def __len__(self) -> int:
        return len(self._heads)


def name_missing(asset: str, absent: list[str]) -> str:
    """The missing partitions of an input, in few words: the first, and how many more."""
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return f"{show(asset, absent[0])}{more}"
