"""From a selection and facts to a plan: forward for what is stale, backward for what is only needed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from legato.declare.node import Node
from legato.declare.region import Coord, Region, coords, difference, size, union
from legato.plan.again import Again, Spot
from legato.plan.graph import Edge, Graph
from legato.plan.records import Handling, Plan, Reason, ReasonKind, Step
from legato.plan.select import Selection, needs_of
from legato.plan.spread import Extents
from legato.plan.stale import Facts, Freshness, Needs, name_missing
from legato.terms.attempt import Argument
from legato.terms.key import show

_BLOCKED: ReasonKind = "blocked"
_SKIPPING: frozenset[ReasonKind] = frozenset(("fresh", "observed", "unneeded", "blocked", "reused"))

Inputs = list[tuple[Edge, Region]]


def make_plan(  # noqa: PLR0913 - a request has these parts
    graph: Graph, extents: Extents, facts: Facts, selection: Selection, *, request: str = "", force: bool = False,
    params: Mapping[str, tuple[Argument, ...]] | None = None, again: Again | None = None,
) -> Plan:  # fmt: skip
    """The ordered steps for a selection; `params` are the parameters of the flows in it.

    An asset's partition runs if it is stale, or if something it reads runs. A task runs if it was selected, or if something
    that runs needs it (tasks that are needed are added to the selection). With `force` all selected assets run. A flow runs; what
    it calls joins the run when it does. What only flows make never runs: it is taken as it is published. `again` says what is
    reused of earlier runs; what reads a pinned result, or one that is made anew in any case, runs.
    """
    whole = _with_tasks(graph, extents, selection)
    builder = _Builder(graph, extents, facts, whole, selection, force)
    builder.again = again or Again()
    return builder.build(request, params or {})


def _with_tasks(graph: Graph, extents: Extents, selection: Selection) -> Selection:
    """The selection and every task that it needs: a task's value lives only in its run."""
    whole = dict(selection)
    frontier = dict(selection)
    while frontier:
        added: Selection = {}
        for name, region in frontier.items():
            for edge in graph.needs[name]:
                is_task = graph.project.nodes[edge.up].kind == "task"
                new = difference(needs_of(graph, extents, edge, region), whole.get(edge.up, ())) if is_task else ()
                added[edge.up] = union(added.get(edge.up, ()), new)
        frontier = {name: new for name, new in added.items() if new}
        whole.update({name: union(whole.get(name, ()), new) for name, new in frontier.items()})
    return {name: whole[name] for name in graph.sorted(whole) if whole[name]}


class _Places:
    """Where the steps of one node stand in the plan: a region's coordinates as ranges of step numbers."""

    def __init__(self, start: int, region: Region) -> None:
        self.start, self.region = start, region
        self.flat = not region or len(region[0]) == 1
        self._lows = [box[0][0] for box in region] if self.flat else []
        self._offsets = [0]
        for box in region if self.flat else ():
            self._offsets.append(self._offsets[-1] + box[0][1] - box[0][0])
        self._index = {} if self.flat else {coord: start + number for number, coord in enumerate(coords(region))}

    def spans(self, wanted: Region) -> tuple[int, ...]:
        """The step numbers of what is wanted and planned, as ranges one after the other."""
        return tuple(self._flat_spans(wanted)) if self.flat else tuple(self._indexed_spans(wanted))

    def _flat_spans(self, wanted: Region) -> Iterable[int]:
        for ((low, high),) in wanted:
            at = max(0, bisect_right(self._lows, low) - 1)
            while at < len(self._lows) and self._lows[at] < high:
                ((left, right),) = self.region[at]
                first, last = max(low, left), min(high, right)
                if first < last:
                    shift = self.start + self._offsets[at] - left
                    yield first + shift
                    yield last + shift
                at += 1

    def _indexed_spans(self, wanted: Region) -> Iterable[int]:
        start = stop = -1
        for coord in coords(wanted):
            place = self._index.get(coord)
            if place is None:
                continue
            if place == stop:
                stop += 1
                continue
            if stop > start:
                yield from (start, stop)
            start, stop = place, place + 1
        if stop > start:
            yield from (start, stop)


class _Builder:
    """One plan in the making. `runs` and `reasons` have an entry a step; `dirty` marks steps whose result may change."""

    def __init__(self, graph: Graph, extents: Extents, facts: Facts, whole: Selection, asked: Selection, force: bool) -> None:
        self.graph, self.facts, self.whole, self.asked, self.force = graph, facts, whole, asked, force
        self.again = Again()
        self.needs = Needs(graph, extents)
        self.freshness = Freshness(self.needs, facts)
        self.places: dict[str, _Places] = {}
        self.keys: list[str] = []
        self.owners: list[str] = []
        self.deps: list[tuple[int, ...]] = []
        self.reasons: list[Reason] = []
        self.coming: dict[str, set[str]] = {}
        self.dirty = bytearray()
        self.blocked = bytearray()

    def build(self, request: str, params: Mapping[str, tuple[Argument, ...]]) -> Plan:
        nodes = self.graph.project.nodes
        for name, region in self.whole.items():
            self.places[name] = _Places(len(self.keys), region)
            self._walk_forward(nodes[name], region)
        self._walk_backward()
        steps = [
            Step(owner, key, self._runs(nodes[owner], reason), reason, deps)
            for owner, key, reason, deps in zip(self.owners, self.keys, self.reasons, self.deps, strict=True)
        ]
        return Plan(
            request=request,
            project=self.graph.project.fingerprint,
            steps=steps,
            observed={asset: dict(seen) for asset, seen in self.facts.observed.items()},
            handling={name: handling_of(nodes[name]) for name in self.whole},
            arguments={name: given for name, given in params.items() if given},
            force=self.force,
        )

    @staticmethod
    def _runs(node: Node, reason: Reason) -> bool:
        return reason.kind not in _SKIPPING and not _is_taken(node)

    # -- forward: what is stale, and what will change under it --

    def _walk_forward(self, node: Node, region: Region) -> None:
        edges = self.graph.needs[node.name]
        plain = not edges or _is_taken(node)
        names = self.needs.keys(node.name, region) if size(region) else []
        coming = self.coming.setdefault(node.name, set())
        for coord, key in zip(coords(region), names, strict=True):
            regions: Inputs = [] if plain else [(edge, self.needs.region(edge, coord)) for edge in edges]
            spans = () if plain else self._spans(regions)
            reason = self._reason(node, coord, key, regions, spans)
            if spans and self.blocked.find(1) >= 0 and reason.kind not in _SKIPPING - {"unneeded"}:
                reason, spans = self._without_blocked(reason, spans)
            self.owners.append(node.name)
            self.keys.append(key)
            self.deps.append(spans)
            self.reasons.append(reason)
            makes = node.kind == "asset" and self._runs(node, reason)
            if makes:
                coming.add(key)
            self.blocked.append(reason.kind == _BLOCKED)
            self.dirty.append(makes or (node.kind == "task" and self._gives_other_value((node.name, key), reason, spans)))

    def _gives_other_value(self, spot: Spot, reason: Reason, spans: tuple[int, ...]) -> bool:
        if reason.kind == "reused":
            return spot in self.again.pinned
        return spot in self.again.anew or self._touched(spans)

    def _spans(self, regions: Inputs) -> tuple[int, ...]:
        found: list[tuple[int, int]] = []
        for edge, region in regions:
            places = self.places.get(edge.up)
            if places is not None:
                flat = places.spans(region)
                found.extend(zip(flat[::2], flat[1::2], strict=True))
        return tuple(number for span in sorted(set(found)) for number in span)

    def _without_blocked(self, reason: Reason, spans: tuple[int, ...]) -> tuple[Reason, tuple[int, ...]]:
        """Nobody waits for a step that cannot run: who reads a blocked task cannot run either, who reads a blocked asset reads
        the version that is published."""
        kept: list[int] = []
        for at in range(0, len(spans), 2):
            low, high = spans[at], spans[at + 1]
            while (gone := self.blocked.find(1, low, high)) >= 0:
                if self.graph.project.nodes[self.owners[gone]].kind == "task":
                    return Reason(_BLOCKED, show(self.owners[gone], self.keys[gone])), spans
                kept += (low, gone) if low < gone else ()
                low = gone + 1
            kept += (low, high) if low < high else ()
        return reason, tuple(kept)

    def _touched(self, spans: tuple[int, ...]) -> bool:
        return any(self.dirty.find(1, spans[at], spans[at + 1]) >= 0 for at in range(0, len(spans), 2))

    def _reason(self, node: Node, coord: Coord, key: str, regions: Inputs, spans: tuple[int, ...]) -> Reason:
        if _is_taken(node):
            return self.freshness.taken(node, key)
        if node.kind == "source":
            there = self.facts.observed.get(node.name, {})
            return Reason("observed", there[key]) if key in there else Reason(_BLOCKED, f"{show(node.name, key)} is not there")
        if (reused := self._reused((node.name, key), spans)) is not None:
            return reused
        for edge, region in regions:
            if not region and not self.needs.may_be_empty(edge):
                return Reason(_BLOCKED, f"{edge.name} has no partition for it")
            coming = self.coming.get(edge.up, ())
            absent = [gone for gone in self.freshness.missing(edge, region) if gone not in coming]
            if absent:
                by_flows = " (flows make it)" if _is_taken(self.graph.project.nodes[edge.up]) else ""
                return Reason(_BLOCKED, name_missing(edge.name, absent) + by_flows)
        if node.kind == "flow":
            return Reason("requested")
        if (node.name, key) in self.again.anew:
            return Reason("forced")
        if node.kind == "task":
            return Reason("requested") if self._was_asked(node.name, coord) else Reason("unneeded")
        if self.force and self._was_asked(node.name, coord):
            return Reason("forced")
        reason = self.freshness.reason(node, coord, key)
        if reason.kind in ("fresh", "input") and spans and self._touched(spans):
            changed = next(edge.name for edge, region in regions if self._touched(self._spans([(edge, region)])))
            return Reason("input", changed) if reason.kind == "fresh" else reason
        return reason

    def _reused(self, spot: Spot, spans: tuple[int, ...]) -> Reason | None:
        if spot in self.again.pinned:
            return Reason("reused")
        recorded = spot in self.again.recorded and spot not in self.again.anew
        return Reason("reused") if recorded and not self._touched(spans) else None

    def _was_asked(self, name: str, coord: Coord) -> bool:
        region = self.asked.get(name, ())
        return any(all(low <= at < high for (low, high), at in zip(box, coord, strict=True)) for box in region)

    # -- backward: tasks that something needs --

    def _walk_backward(self) -> None:
        nodes = self.graph.project.nodes
        for index in range(len(self.keys) - 1, -1, -1):
            if not self._runs(nodes[self.owners[index]], self.reasons[index]):
                continue
            spans = self.deps[index]
            for at in range(0, len(spans), 2):
                for above in range(spans[at], spans[at + 1]):
                    if self.reasons[above].kind == "unneeded" and nodes[self.owners[above]].kind == "task":
                        self.reasons[above] = Reason("needed", show(self.owners[index], self.keys[index]))


def _is_taken(node: Node) -> bool:
    """Whether a plan takes what is published of a node as it is: flows make it."""
    return node.kind == "asset" and node.called


def handling_of(node: Node) -> Handling:
    """How the kernel is to treat the steps of a node."""
    return Handling(
        outputs=node.outputs if node.kind == "asset" else (),
        retry=node.retry, lost_retries=node.lost_retries, timeout_s=node.timeout_s, pools=node.pools, priority=node.priority,
        on_failure=node.on_failure, fallback=bool(node.fallback), undo=node.undo, flow=node.kind == "flow",
        cached=node.cache is not None, keyed=node.cache is not None and bool(node.cache.key), code=node.code,
        together=node.together,
    )  # fmt: skip
