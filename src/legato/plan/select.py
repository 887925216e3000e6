"""The selection language: which partitions of which nodes.

    report                a name, or a pattern: raw_*        delays@2013-01       partitions: a key, a prefix, a range with ..
    +report  2+report     with what it needs (2 levels)      delays+  delays+1    with what needs it
    tag:daily owner:ops*  domain: kind:asset|task|source|flow     status:stale|missing|failed|fresh
    a b (or: a or b)      either                                  a and b, not a, ( )

`and` binds closer than `or`. A selection is a region of partitions by node. A flow is selected by its name or by `kind:flow`, and
by nothing else; a task that only a flow can call and an asset that only flows make, by nothing at all (`prices+`: what needs it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

from legato.declare.node import Node
from legato.declare.partitions import parse_region
from legato.declare.region import Region, difference, intersection, union
from legato.declare.resolve import did_you_mean
from legato.plan.graph import Edge, Graph
from legato.plan.spread import Extents, downstream, upstream
from legato.terms.errors import NotFound, UsageError

Selection = dict[str, Region]
StatusOf = Callable[[str], Selection]

_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
_ITEM = re.compile(r"(?P<up>\d{0,9}\+)?(?P<body>.+?)(?P<down>\+\d{0,9})?\Z")
_MOST_DEEP = 100
_MOST_SHOWN = 200
_METHODS = ("tag", "owner", "domain", "kind", "status")


class Selector:
    """Evaluates selections against one project. `status_of` gives the partitions of a status; only `status:` asks for it.

    With `whole` also what runs by its name alone is selected like all the rest: to be looked at, not to be run.
    """

    def __init__(self, graph: Graph, extents: Extents, status_of: StatusOf, *, whole: bool = False) -> None:
        self.graph, self.extents, self.status_of, self.whole = graph, extents, status_of, whole
        self.unpopulated: list[str] = []
        """Nodes that the last selection names but that have no partitions yet."""

    def select(self, text: str) -> Selection:
        """The selection that the text describes; `UsageError` (`selection`) or `NotFound` (`asset`) if it describes none."""
        self._tokens = _TOKEN.findall(text)
        if not self._tokens:
            everything = self._everything()
            self.unpopulated = self._unpopulated(everything)
            return everything
        self._text, self._depth = text, 0
        found = self._either()
        if self._tokens:
            raise self._bad(f"{self._tokens[0]!r} stands where the selection should end")
        self.unpopulated = self._unpopulated(found)
        selection = {name: found[name] for name in self.graph.sorted(found) if found[name]}
        for name in selection:
            self._require_plannable(self.graph.project.nodes[name])
        return selection

    def _require_plannable(self, node: Node) -> None:
        if node.kind == "flow" or self._may(node):
            return
        names = ", ".join(f"`{name}`" for name in node.arguments)
        known = [name for name, maker in self.graph.project.makers.items() if self.graph.project.nodes[maker].is_input]
        hints = (f"`{name}`: {hint}" for name in node.arguments if (hint := did_you_mean(name, known)))
        why = "\n".join(("a parameter that names no asset, task or resource is filled by the flow that calls for it", *hints))
        what, show = f"{node.name} needs {names}", f"legato show {node.name}"
        if node.kind == "asset":
            raise UsageError("flow-made", f"{what}: let a flow make it", where=node.place, why=why, next=show)
        raise UsageError("task-arguments", f"{what}: call it from a flow", where=node.place, why=why, next=show)

    def _unpopulated(self, found: Selection) -> list[str]:
        nodes = self.graph.project.nodes
        return [name for name in self.graph.sorted(found) if not self.extents.of(nodes[name].partitions)]

    # -- the grammar, one function a level --

    def _either(self) -> Selection:
        found = self._both()
        while self._tokens and self._tokens[0] != ")":
            if self._tokens[0] == "or":
                self._tokens.pop(0)
            found = _join(found, self._both())
        return found

    def _both(self) -> Selection:
        found = self._one()
        while self._tokens and self._tokens[0] == "and":
            self._tokens.pop(0)
            found = _meet(found, self._one())
        return found

    def _one(self) -> Selection:
        if not self._tokens:
            raise self._bad("something is missing at its end")
        token = self._tokens.pop(0)
        if token == "not":
            return _without(self._everything(), self._deeper(self._one))
        if token == "(":
            found = self._deeper(self._either)
            if not self._tokens or self._tokens.pop(0) != ")":
                raise self._bad("a parenthesis is not closed")
            return found
        if token in (")", "and", "or"):
            raise self._bad(f"{token!r} stands where a name is expected")
        return self._item(token)

    def _deeper(self, read: Callable[[], Selection]) -> Selection:
        """What stands one level deeper; refused long before the interpreter's stack ends."""
        self._depth += 1
        if self._depth > _MOST_DEEP:
            raise self._bad(f"parentheses and `not` stand in one another more than {_MOST_DEEP} deep")
        found = read()
        self._depth -= 1
        return found

    # -- one item --

    def _item(self, token: str) -> Selection:
        match = _ITEM.match(token)
        assert match is not None
        found = self._body(match["body"])
        result = dict(found)
        if match["up"]:
            result = _join(result, self._spread(found, match["up"].rstrip("+"), self.graph.needs, _to_up))
        if match["down"]:
            result = _join(result, self._spread(found, match["down"].lstrip("+"), self.graph.needed_by, _to_down))
            result = self._without_taken(result) or result
        return result

    def _body(self, body: str) -> Selection:
        method, colon, value = body.partition(":")
        if colon and method in _METHODS:
            return self._by_method(method, value)
        name, at, partitions = body.partition("@")
        nodes = self._named(name)
        if not at:
            return {node.name: self.extents.of(node.partitions) for node in nodes}
        return {node.name: self._partitions(node, partitions) for node in nodes}

    def _named(self, name: str) -> list[Node]:
        project = self.graph.project
        if any(mark in name for mark in "*?["):
            names = {made for made in (*project.makers, *project.nodes) if fnmatchcase(made, name)}
            nodes = {project.makers.get(made, made) for made in names}
            return [project.nodes[node] for node in self.graph.sorted(nodes) if self._may(project.nodes[node])]
        maker = project.makers.get(name, name)
        if maker not in project.nodes:
            near = get_close_matches(name, [*project.makers, *project.nodes], n=1)
            raise NotFound(
                "asset",
                f"no asset or task is named {name!r}",
                why=f"did you mean {near[0]!r}?" if near else "",
                next="legato list",
            )
        return [project.nodes[maker]]

    def _partitions(self, node: Node, text: str) -> Region:
        if node.partitions is None:
            raise UsageError(
                "selection", f"{node.name} has no partitions, so @{text} selects nothing of it", next=f"write {node.name}"
            )
        return parse_region(node.partitions, text, self.extents.dynamic, self.extents.now)

    def _by_method(self, method: str, value: str) -> Selection:
        if method == "status":
            if value not in ("stale", "missing", "failed", "fresh"):
                raise self._bad(f"{value!r} is not a status; they are stale, missing, failed and fresh")
            return self.status_of(value)
        fields: Mapping[str, Callable[[Node], tuple[str, ...]]] = {
            "tag": lambda node: node.tags,
            "owner": lambda node: (node.owner,),
            "domain": lambda node: (node.domain,),
            "kind": lambda node: (node.kind,),
        }
        read = fields[method]
        return {
            node.name: self.extents.of(node.partitions)
            for node in self.graph.project.nodes.values()
            if any(fnmatchcase(text, value) for text in read(node)) and (self._may(node) or value == node.kind == "flow")
        }

    def _spread(
        self,
        found: Selection,
        levels: str,
        edges: Mapping[str, tuple[Edge, ...] | list[Edge]],
        step: Callable[..., tuple[str, Region]],
    ) -> Selection:
        """What is reached from the selection along the edges, at most so many levels (no number: all)."""
        result: Selection = {}
        frontier, left = dict(found), int(levels) if levels else len(self.graph.order)
        while frontier and left > 0:
            reached: Selection = {}
            for name, region in frontier.items():
                for edge in edges[name]:
                    other, part = step(self.graph, self.extents, edge, region)
                    reached[other] = union(reached.get(other, ()), part)
            planned = self._without_taken(reached)
            frontier = {name: fresh for name, part in planned.items() if (fresh := difference(part, result.get(name, ())))}
            result = _join(result, frontier)
            left -= 1
        return result

    def _everything(self) -> Selection:
        """All there is, but for flows, for tasks that only stand in for others (they run when those fail), and for tasks that
        flows call."""
        nodes = self.graph.project.nodes.values()
        stand_ins = {node.fallback for node in nodes if node.fallback}
        return {
            node.name: self.extents.of(node.partitions)
            for node in nodes if self.whole or (self._may(node) and node.name not in stand_ins and not self._is_loose(node))
        }  # fmt: skip

    def _may(self, node: Node) -> bool:
        """Whether something else than its own name can select a node."""
        return self.whole or not node.called

    def _without_taken(self, found: Selection) -> Selection:
        """The selection without the assets that only flows make: what is around them is planned, and takes them as published."""
        nodes = self.graph.project.nodes
        return {name: region for name, region in found.items() if nodes[name].kind != "asset" or self._may(nodes[name])}

    def _is_loose(self, node: Node) -> bool:
        """Whether a task stands alone in a project with flows: nothing in a plan leads to it, so it is theirs to call."""
        alone = not self.graph.needs[node.name] and not self.graph.needed_by[node.name]
        return alone and node.kind == "task" and self.graph.has_flows

    def _bad(self, why: str) -> UsageError:
        text = self._text if len(self._text) <= _MOST_SHOWN else f"{self._text[:_MOST_SHOWN]}..."
        return UsageError("selection", f"the selection {text!r} cannot be read", why=why, next="legato explain selection")


def needs_of(graph: Graph, extents: Extents, edge: Edge, region: Region) -> Region:
    """What a region of the edge's lower end needs of its upper end."""
    nodes = graph.project.nodes
    down, up = nodes[edge.down].partitions, nodes[edge.up].partitions
    return _over_boxes(lambda box: upstream(edge.mapping, down, up, box, extents), region)


def _to_up(graph: Graph, extents: Extents, edge: Edge, region: Region) -> tuple[str, Region]:
    return edge.up, needs_of(graph, extents, edge, region)


def _to_down(graph: Graph, extents: Extents, edge: Edge, region: Region) -> tuple[str, Region]:
    nodes = graph.project.nodes
    down, up = nodes[edge.down].partitions, nodes[edge.up].partitions
    return edge.down, _over_boxes(lambda box: downstream(edge.mapping, down, up, box, extents), region)


def _over_boxes(spread: Callable[..., Region], region: Region) -> Region:
    result: Region = ()
    for box in region:
        result = union(result, spread(box))
    return result


def _join(left: Selection, right: Selection) -> Selection:
    return {name: union(left.get(name, ()), right.get(name, ())) for name in {**left, **right}}


def _meet(left: Selection, right: Selection) -> Selection:
    return {name: intersection(left[name], right[name]) for name in left if name in right}


def _without(left: Selection, right: Selection) -> Selection:
    return {name: difference(region, right.get(name, ())) for name, region in left.items()}
