"""From words to a plan: what was selected, what is published, what sources say, what is therefore to be done."""

from __future__ import annotations

from msgspec import Struct

from legato.declare.partitions import describe
from legato.declare.region import Region, union
from legato.plan.again import Again
from legato.plan.build import make_plan
from legato.plan.records import Plan, ReasonKind
from legato.plan.select import Selection, Selector, needs_of
from legato.plan.spread import Extents
from legato.plan.stale import Facts, Needs
from legato.ports.store import Head, Store
from legato.service.workspace import Workspace, dynamic_sets
from legato.terms.attempt import Argument
from legato.terms.errors import NotFound

STATUSES: dict[str, frozenset[ReasonKind]] = {
    "missing": frozenset(("missing", "blocked")),
    "stale": frozenset(("code", "input", "contract", "forced")),
    "failed": frozenset(("failed",)),
    "fresh": frozenset(("fresh",)),
}
"""What a status means, by the reason that a plan of everything gives. A task has no status: it is kept nowhere."""


class Unpopulated(Struct, frozen=True):
    """Nodes that have no partitions yet: why, and the command that gives them some, if one can."""

    nodes: tuple[str, ...]
    why: str
    next: str = ""

    def __str__(self) -> str:
        return f"there are no partitions of {', '.join(self.nodes)} yet: {self.why}"


class Planner:
    """Makes plans against one reading of the store."""

    def __init__(self, workspace: Workspace, store: Store | None) -> None:
        self.workspace, self.store = workspace, store
        self.extents: Extents = workspace.extents(store)
        self.unpopulated: list[Unpopulated] = []
        """What the last selection names that has no partitions yet."""
        self._whole: Plan | None = None

    def select(self, words: str, *, whole: bool = False) -> Selection:
        """The partitions of nodes that the words select, with `whole` also what only runs when called; `NotFound` if none."""
        selector = Selector(self.workspace.graph, self.extents, self._by_status, whole=whole)
        selection = selector.select(words)
        self.unpopulated = self._explain(selector.unpopulated)
        if not selection:
            why = "\n".join(map(str, self.unpopulated))
            advice = next((each.next for each in self.unpopulated if each.next), "legato list")
            raise NotFound("selection", f"{words!r} selects nothing", why=why, next=advice)
        return selection

    def _explain(self, names: list[str]) -> list[Unpopulated]:
        """Why these have no partitions, those together that have none for the same reason."""
        alike: dict[tuple[str, str], list[str]] = {}
        for name in names:
            parts = self.workspace.project.nodes[name].partitions
            empty = next((each for each in dynamic_sets(parts) if not self.extents.dynamic[each]), None)
            reason = (f"{empty} has no keys", f"legato keys {empty} --add KEY") if empty else (f"they are {describe(parts)}", "")
            alike.setdefault(reason, []).append(name)
        return [Unpopulated(tuple(nodes), *reason) for reason, nodes in alike.items()]

    def look(self, words: str) -> Plan:
        """The plan of what is looked at and not run: also of what flows make."""
        return self.make(self.select(words, whole=True), words, False, {})

    def everything(self) -> Plan:
        """The plan of the whole project, and what flows make: what it says of each asset partition is that partition's status."""
        if self._whole is None:
            graph = self.workspace.graph
            planned = ((name, node) for name, node in graph.project.nodes.items() if node.is_input)
            whole = {name: self.extents.of(node.partitions) for name, node in planned}
            self._whole = self.make({name: region for name, region in whole.items() if region}, "everything", False, {})
        return self._whole

    def make(
        self, selection: Selection, words: str, force: bool, params: dict[str, tuple[Argument, ...]], again: Again | None = None
    ) -> Plan:
        """The plan for a selection, from what is published now."""
        graph, facts = self.workspace.graph, self._facts(selection)
        return make_plan(graph, self.extents, facts, selection, request=words, force=force, params=params, again=again)

    def _by_status(self, status: str) -> Selection:
        from legato.declare.partitions import coord_of
        from legato.declare.region import WHOLE, of_coords

        nodes, kinds = self.workspace.project.nodes, STATUSES[status]
        found: dict[str, list[str]] = {}
        for step in self.everything().steps:
            if step.reason.kind in kinds:
                found.setdefault(step.node, []).append(step.partition)
        return {
            name: WHOLE if (parts := nodes[name].partitions) is None
            else of_coords(coord_of(parts, key, self.extents.dynamic) for key in keys)
            for name, keys in found.items()
        }  # fmt: skip

    def _facts(self, selection: Selection) -> Facts:
        graph = self.workspace.graph
        reached = _with_inputs(self.workspace, self.extents, selection)
        assets = [
            asset for name in reached if graph.project.nodes[name].kind == "asset" for asset in graph.project.nodes[name].outputs
        ]
        heads: dict[str, dict[str, Head]] = {asset: {} for asset in assets}
        troubles: dict[tuple[str, str], str] = {}
        if self.store is not None:
            heads = self.store.heads(assets)
            troubles = {(each.asset, each.partition): f"{each.message} (run {each.run})" for each in self.store.troubles(assets)}
        return Facts(heads=heads, observed=self._observe(reached), troubles=troubles)

    def _observe(self, reached: Selection) -> dict[str, dict[str, str]]:
        """Ask every source that the selection reads, once for each partition that it reads."""
        needs, observe = Needs(self.workspace.graph, self.extents), self.workspace.observe
        observed: dict[str, dict[str, str]] = {}
        for name, region in reached.items():
            node = self.workspace.project.nodes[name]
            if node.kind == "source":
                assert observe is not None
                answers = {key: observe(name, key) for key in needs.keys(name, region)}
                observed[name] = {key: token for key, token in answers.items() if token is not None}
        return observed


def _with_inputs(workspace: Workspace, extents: Extents, selection: Selection) -> Selection:
    """The selection with everything that it reads directly, and, through tasks, indirectly."""
    graph = workspace.graph
    reached: dict[str, Region] = dict(selection)
    frontier = list(selection.items())
    while frontier:
        name, region = frontier.pop()
        for edge in graph.needs[name]:
            part = needs_of(graph, extents, edge, region)
            if not part:
                continue
            before = reached.get(edge.up, ())
            reached[edge.up] = union(before, part)
            if workspace.project.nodes[edge.up].kind == "task" and reached[edge.up] != before:
                frontier.append((edge.up, reached[edge.up]))
    return reached
