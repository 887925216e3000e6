"""The graph of a project: which node needs which, through which asset and mapping."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from legato.declare.mapping import Mapping
from legato.declare.node import Node, Project


class Edge(Struct, frozen=True):
    """One need: `down` reads `name` (an asset or a task), which `up` makes. `param` is empty where only the order counts."""

    up: str
    down: str
    name: str
    param: str
    mapping: Mapping | None

    @property
    def key(self) -> str:
        """Under which a version records the digest of this input."""
        return self.param or self.name


class Graph:
    """Edges by either end. `order` has every node after all that it needs."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.order: list[str] = list(project.nodes)
        self.has_flows = any(node.kind == "flow" for node in project.nodes.values())
        self.rank = {name: number for number, name in enumerate(self.order)}
        self.needs: dict[str, tuple[Edge, ...]] = {}
        self.needed_by: dict[str, list[Edge]] = {name: [] for name in self.order}
        for node in project.nodes.values():
            edges = self.needs[node.name] = tuple(_edges(project, node))
            for edge in edges:
                self.needed_by[edge.up].append(edge)

    def sorted(self, names: Iterable[str]) -> list[str]:
        """The nodes in an order in which they can run."""
        return sorted(names, key=self.rank.__getitem__)


def _edges(project: Project, node: Node) -> Iterable[Edge]:
    for dep in node.deps:
        yield Edge(project.makers[dep.node], node.name, dep.node, dep.param, dep.mapping)
    for check in node.checks:
        for dep in check.deps:
            yield Edge(project.makers[dep.node], node.name, dep.node, f"{check.name}:{dep.param}", dep.mapping)
