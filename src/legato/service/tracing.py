"""Lineage: what something is made from, and what is made from it."""

from __future__ import annotations

from msgspec import Struct

from legato.service.workspace import Workspace


class LineageNode(Struct, frozen=True, kw_only=True):
    """One node of the graph."""

    name: str
    kind: str
    domain: str
    outputs: tuple[str, ...]


class LineageEdge(Struct, frozen=True, kw_only=True):
    """That `down` reads `name`, which `up` makes."""

    up: str
    down: str
    name: str


class Lineage(Struct, frozen=True, kw_only=True):
    """A part of the graph: its nodes and the edges between them."""

    nodes: list[LineageNode]
    edges: list[LineageEdge]


def trace(workspace: Workspace, name: str = "", *, up: int = 1_000, down: int = 1_000) -> Lineage:
    """The graph around a node, so many steps up and down; without a name all of it."""
    graph, nodes = workspace.graph, workspace.project.nodes
    chosen = dict.fromkeys(nodes)
    if name:
        start = workspace.node(name).name
        above = _reach(start, up, {each: [edge.up for edge in graph.needs[each]] for each in nodes})
        below = _reach(start, down, {each: [edge.down for edge in graph.needed_by[each]] for each in nodes})
        chosen = {each: None for each in nodes if each in above or each in below}
    shown = [nodes[each] for each in chosen]
    return Lineage(
        nodes=[LineageNode(name=each.name, kind=each.kind, domain=each.domain, outputs=each.outputs) for each in shown],
        edges=[
            LineageEdge(up=edge.up, down=edge.down, name=edge.name)
            for each in chosen for edge in graph.needs[each] if edge.up in chosen
        ],
    )  # fmt: skip


def _reach(start: str, most: int, beside: dict[str, list[str]]) -> set[str]:
    found, frontier = {start}, [start]
    for _ in range(most):
        frontier = [other for each in frontier for other in beside[each] if other not in found]
        found.update(frontier)
        if not frontier:
            break
    return found
