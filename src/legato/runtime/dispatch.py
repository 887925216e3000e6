"""From a step to an order: which published versions and values an attempt gets, and what a worker may hold at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from legato.declare.body import cache_key
from legato.declare.mapping import Same
from legato.declare.node import Node
from legato.declare.partitions import coord_of
from legato.declare.region import Coord
from legato.kernel.calls import Group
from legato.kernel.commands import StartAttempts
from legato.kernel.state import RunState
from legato.plan.graph import Edge, Graph
from legato.plan.spread import Extents, default_mapping
from legato.plan.stale import Facts, Freshness, Needs, digest_inputs
from legato.runtime.catalogue import Catalogue
from legato.terms.attempt import Argument, Mode, Order, Ref, argument_of
from legato.terms.codec import NIL, pack, unpack
from legato.terms.errors import LegatoError
from legato.terms.fact import Column
from legato.terms.key import show

Question = tuple[str, str]
"""A source and one of its partitions, whose version is asked for."""

Answered = Mapping[Question, str | None]
"""What sources said; None where one has no version."""

NOTHING_SEEN: Answered = {}


class Dispatch:
    """Makes orders. Inputs are resolved when an attempt starts, from what is published then, and remembered for its version."""

    def __init__(self, graph: Graph, extents: Extents, catalogue: Catalogue) -> None:
        self._graph, self._catalogue = graph, catalogue
        self._needs = Needs(graph, extents)
        self._extents = extents
        self._read: dict[str, dict[int, dict[str, str]]] = {}
        self._many = {edge: self._may_be_many(edge) for edges in graph.needs.values() for edge in edges}
        read = {name: tuple(edge for edge in edges if self.node(edge.up).kind == "source") for name, edges in graph.needs.items()}
        self._sources = {name: edges for name, edges in read.items() if edges}

    def node(self, name: str) -> Node:
        """The declaration of a node."""
        return self._graph.project.nodes[name]

    def inputs(self, run_id: str, step: int) -> dict[str, str]:
        """The digests of what the newest attempt of this step was given, by input."""
        return self._read.get(run_id, {}).get(step, {})

    def forget(self, run_id: str, step: int) -> None:
        """Drop what was remembered for a step that has its outcome."""
        self._read.get(run_id, {}).pop(step, None)

    def forget_run(self, run_id: str) -> None:
        """Drop all that was remembered for a run."""
        self._read.pop(run_id, None)

    def at(self, extents: Extents) -> Dispatch:
        """The same for a run that was planned with these partitions."""
        if extents is self._extents:
            return self
        other = copy(self)
        other._needs, other._extents, other._read = Needs(self._graph, extents), extents, {}
        return other

    def maker(self, state: RunState, index: int) -> str:
        """The run that has published just what this step, whose inputs are there, is to make; empty if none has."""
        step = state.plan.steps[index]
        node = self._graph.project.nodes.get(step.node)
        heads = [] if node is None else [self._catalogue.head(asset, step.partition) for asset in node.outputs]
        if node is None or not heads or any(head is None or head.code != node.code for head in heads):
            return ""
        coord = coord_of(node.partitions, step.partition, self._extents.dynamic)
        fresh = Freshness(self._needs, Facts(heads=self._catalogue.known(), observed=state.plan.observed))
        is_fresh = fresh.reason(node, coord, step.partition).kind == "fresh"
        return self._catalogue.maker(node.outputs[0], step.partition) if is_fresh else ""

    def questions(self, state: RunState, index: int) -> list[Question]:
        """What has to be asked of sources before the order of this step can be made: no plan has asked for what a flow makes."""
        if index < state.planned:
            return []
        sources = self._sources.get(name := state.plan.steps[index].node)
        if sources is None:
            return []
        node = self.node(name)
        coord = coord_of(node.partitions, state.plan.steps[index].partition, self._extents.dynamic)
        asked = ((edge.up, key) for edge in sources for key in self._needs.keys(edge.up, self._needs.region(edge, coord)))
        return list(dict.fromkeys(asked))

    def assets_of(self, state: RunState) -> set[str]:
        """Every asset that the run's steps read or make."""
        names: set[str] = set()
        for name, handling in state.plan.handling.items():
            names.update(handling.outputs)
            names.update(edge.name for edge in self._graph.needs.get(name, ()) if self.node(edge.up).kind == "asset")
        return names

    def order(self, state: RunState, index: int, token: int, mode: Mode, seen: Answered = NOTHING_SEEN) -> Order:
        """The order for one attempt of a step. An undo also gets what it takes back: the step's result.

        `seen` are the answers to its `questions`.
        """
        order = self._order(state, index, token, mode, seen)
        if not (state.undone or state.noted or mode == "undo"):
            return order
        undone, noted = state.undone.get(index, 0), state.noted.get(index)
        if mode == "undo":
            result = _value_of(state, "result", index)
            return replace(order, arguments=(*order.arguments, result), undone=undone)
        return replace(order, undone=undone, noted=tuple(noted or ())) if undone or noted else order

    def plain_calls(self, state: RunState, steps: Sequence[int], token: int) -> list[Order] | None:
        """The orders of all these steps, if each is a call of one task that gets what its flow gave it and nothing else, like
        those of a map; else None. Same as `order` makes them, at half the cost."""
        if steps[0] < state.planned or state.undone or state.noted:
            return None
        node, run, attempts, group_of = state.plan.steps[steps[0]].node, state.run_id, state.attempts, state.calls.group
        handling = state.plan.handling[node]
        if handling.outputs or handling.cached or node in self._sources:
            return None
        orders: list[Order] = []
        for own_token, index in enumerate(steps, token):
            group = group_of(index) if index >= state.planned else None
            call = None if group is None else group.call
            if group is None or call is None or call.node != node or call.inputs or call.poll_s is not None:
                return None
            orders.append(Order(run, index, own_token, node, call.partition, group.arguments(index), "run", attempts[index]))
        return orders

    def _order(self, state: RunState, index: int, token: int, mode: Mode, seen: Answered) -> Order:
        step = state.plan.steps[index]
        group = state.calls.group(index) if (is_called := index >= state.planned) else None
        called = self._called(state, group, index) if group is not None else ()
        if group is not None and not state.plan.handling[step.node].outputs:
            poll = mode == "run" and group.call is not None and group.call.poll_s is not None
            return Order(state.run_id, index, token, step.node, step.partition, called, mode, state.attempts[index], poll)
        if (given := state.plan.arguments.get(step.node)) is not None and not is_called:
            return Order(state.run_id, index, token, step.node, step.partition, given, mode, state.attempts[index])
        edges = self._graph.needs.get(step.node)
        if edges is None:
            raise LegatoError(
                "run-project", f"{step.node} is a step of run {state.run_id}, but no longer part of the project",
                why="it was removed or renamed after the run was accepted", next="put it back, or plan anew: legato run",
            )  # fmt: skip
        node = self.node(step.node)
        if not edges and not node.contracts and not node.previous and not is_called:
            return Order(state.run_id, index, token, step.node, step.partition, (), mode, state.attempts[index])
        coord = coord_of(node.partitions, step.partition, self._extents.dynamic)
        own = _made_above(state, index) if mode == "undo" else {}
        arguments, read = self._arguments(state, index, edges, coord, own, seen, node.together > 1)
        if node.kind == "asset":
            self._read.setdefault(state.run_id, {})[index] = read
        return Order(
            state.run_id, index, token, step.node, step.partition, (*arguments, *self._before(node, step.partition), *called),
            mode, state.attempts[index], published=self._published(node, step.partition),
        )  # fmt: skip

    def _before(self, node: Node, partition: str) -> Iterable[Argument]:
        """The versions of its own that a node takes: those that are published now, which nobody else replaces meanwhile."""
        for param, asset in node.previous.items():
            head = self._catalogue.head(asset, partition)
            yield Argument(param, () if head is None else (head.ref,))

    def _called(self, state: RunState, group: Group, index: int) -> tuple[Argument, ...]:
        """The arguments of a call: those that the flow gave, and the results of other calls that it passed on unseen."""
        given = group.arguments(index)
        if group.call is None or not group.call.inputs:
            return given
        siblings = state.calls.of(group.parent)
        return (*given, *(_value_of(state, param, siblings[key]) for param, key in group.call.inputs))

    def _published(self, node: Node, partition: str) -> tuple[tuple[str, tuple[Column, ...]], ...]:
        """The columns that new ones must be compatible with, for each asset that promises it."""
        return tuple(
            (asset, self._catalogue.columns(asset, partition))
            for asset, contract in node.contracts.items() if contract.compatibility != "none"
        )  # fmt: skip

    def _arguments(
        self,
        state: RunState,
        index: int,
        edges: tuple[Edge, ...],
        coord: Coord,
        own: Mapping[tuple[str, str], str],
        seen: Answered,
        many: bool,
    ) -> tuple[tuple[Argument, ...], dict[str, str]]:
        """What the node is given, and digests of what its version follows from. `many` says that one call makes many
        partitions: then every partitioned input of it is by partition."""
        arguments: list[Argument] = []
        read: dict[str, str] = {}
        for edge in edges:
            upper = self.node(edge.up)
            names = self._needs.keys(edge.up, self._needs.region(edge, coord))
            by_key = self._many[edge] or (many and upper.partitions is not None and not is_of_check(edge.param))
            if upper.kind == "task":
                if state.plan.handling[edge.down].outputs:
                    read[edge.key] = self._task_digest(state, index, edge, coord)
                if is_read(edge):
                    arguments.append(self._values(state, index, edge, by_key))
            elif upper.kind == "source":
                tokens = state.plan.observed.get(edge.name, {}) if index < state.planned else _looked(upper, names, seen)
                read[edge.key] = digest_inputs((name, tokens.get(name, "")) for name in names)
                if is_read(edge):
                    given: object = {name: tokens[name] for name in names} if by_key else tokens[names[0]]
                    arguments.append(Argument(edge.param, value=pack(given), many=by_key))
            else:
                argument, read[edge.key] = self._versions(edge, names, own, index >= state.planned, by_key)
                if is_read(edge):
                    arguments.append(argument)
        return tuple(arguments), read

    def _versions(
        self, edge: Edge, names: list[str], own: Mapping[tuple[str, str], str], called: bool, many: bool
    ) -> tuple[Argument, str]:  # fmt: skip
        """What is published, but for `own`: versions of this run that are to be read whatever is published now."""
        found = tuple(self._ref(edge, name, own.get((edge.name, name), ""), called) for name in names)
        digest = digest_inputs((ref.partition, ref.digest) for ref in found)
        return Argument(edge.param, found, None, many), digest

    def _ref(self, edge: Edge, partition: str, version: str, called: bool) -> Ref:
        if version and (ref := self._catalogue.ref(edge.name, partition, version)) is not None:
            return ref
        head = self._catalogue.head(edge.name, partition)
        if head is None:
            why = "nothing has made it before the flow asked" if called else "it was withdrawn after the plan was made"
            raise LegatoError(
                "input-missing", f"{show(edge.name, partition)} is not published, but {edge.down} needs it", why=why,
                next=f"legato why {edge.name}",
            )  # fmt: skip
        return head.ref

    def _values(self, state: RunState, index: int, edge: Edge, many: bool) -> Argument:
        """What a task returned in this run: its value, or one by partition."""
        steps = [above for above in _above(state, index) if state.plan.steps[above].node == edge.up]
        kept = tuple(state.kept[above] for above in steps if above in state.kept)
        if kept and len(kept) == len(steps):
            return Argument(edge.param, kept, None, many)
        if not many:
            return Argument(edge.param, value=state.values.get(steps[0], NIL))
        raw = {state.plan.steps[above].partition: msgspec.Raw(state.values.get(above, NIL)) for above in steps}
        return Argument(edge.param, kept, msgspec.msgpack.encode(raw), many=True)

    def _task_digest(self, state: RunState, index: int, edge: Edge, coord: Coord) -> str:
        """What the value follows from: code and inputs of now, or an earlier run, whose value nothing of now would give."""
        if state.taken and (old := self._old_values(state, index, edge)):
            return digest_inputs(old)
        fresh = Freshness(self._needs, Facts(heads=self._catalogue.known(), observed=state.plan.observed))
        return fresh.digest(edge, self._needs.region(edge, coord)) or ""

    def _old_values(self, state: RunState, index: int, edge: Edge) -> list[tuple[str, str]]:
        """The values of other code, or from other inputs, that the run took over for this input, by name and run."""
        found: set[tuple[str, str]] = set()
        frontier = [above for above in _above(state, index) if state.plan.steps[above].node == edge.up]
        while frontier:
            step = frontier.pop()
            taken = state.taken.get(step)
            if taken is None:
                frontier += [above for above in _above(state, step) if self.node(state.plan.steps[above].node).kind == "task"]
            elif taken.changed:
                found.add((taken.name, taken.run))
        return sorted(found)

    def _may_be_many(self, edge: Edge) -> bool:
        down, up = self.node(edge.down).partitions, self.node(edge.up).partitions
        if up is None:
            return False
        mapping = edge.mapping or default_mapping(down, up)
        return not isinstance(mapping, Same)


def _above(state: RunState, index: int) -> list[int]:
    """The steps that a step waits for."""
    deps = state.plan.steps[index].deps
    return [above for at in range(0, len(deps), 2) for above in range(deps[at], deps[at + 1])]


def _looked(source: Node, names: list[str], seen: Answered) -> dict[str, str]:
    """What a source said of these partitions."""
    tokens = {}
    for name in names:
        token = seen.get((source.name, name))
        if token is None:
            raise LegatoError("input-missing", f"{show(source.name, name)} is not there", next=f"legato why {source.name}")
        tokens[name] = token
    return tokens


def is_read(edge: Edge) -> bool:
    """Whether the function gets the input, or only waits for it."""
    return bool(edge.param) and not edge.param.endswith(":")


def is_of_check(param: str) -> bool:
    """Whether an argument is for a check's function: its name stands before."""
    return ":" in param


def gather(orders: list[Order]) -> list[Order]:
    """The same orders, made by one call: the first is given what all of them read, and the others what their checks do."""
    head, together = orders[0].token, tuple(order.partition for order in orders)
    union: dict[str, Argument] = {}
    for argument in (each for order in orders for each in order.arguments if not is_of_check(each.param)):
        known = union.get(argument.param)
        union[argument.param] = argument if known is None or not argument.many else _joined(known, argument)
    gathered = []
    for order in orders:
        own = tuple(each for each in order.arguments if is_of_check(each.param))
        given = (*union.values(), *own) if order.token == head else own
        gathered.append(replace(order, arguments=given, together=together, head=head))
    return gathered


def _joined(known: Argument, other: Argument) -> Argument:
    """An input by partition that has the partitions of both."""
    refs = tuple(dict.fromkeys((*known.refs, *other.refs)))
    if known.value is None or other.value is None:
        return replace(known, refs=refs, value=known.value or other.value)
    values = {**unpack(known.value, dict[str, msgspec.Raw]), **unpack(other.value, dict[str, msgspec.Raw])}
    return replace(known, refs=refs, value=msgspec.msgpack.encode(values))


def _value_of(state: RunState, param: str, index: int) -> Argument:
    """What a step returned, for this parameter."""
    return argument_of(param, state.kept.get(index) or state.values.get(index, NIL))


def _made_above(state: RunState, index: int) -> dict[tuple[str, str], str]:
    """The versions that the steps above this one made in this run, by asset and partition: what it has read."""
    deps, made = state.plan.steps[index].deps, {}
    for at in range(0, len(deps), 2):
        for above in range(deps[at], deps[at + 1]):
            partition = state.plan.steps[above].partition
            made.update({(swap.asset, partition): swap.version for swap in state.swaps.get(above, ())})
    return made


def paced_as(state: RunState, step: int) -> str:
    """Under which name the attempt's time is known: saying a key takes another time than the work itself."""
    node, attempt = state.plan.steps[step].node, state.running.get(step)
    return cache_key(node) if attempt is not None and attempt.mode == "key" else node


_TARGET_S = 0.02
_QUICKEST_S = 20e-6
MOST_AT_ONCE = 256


class Pace:
    """How long attempts of each node take: a moving average in seconds, from history at first."""

    def __init__(self, history: Mapping[str, tuple[int, float]]) -> None:
        self.cost_s = {node: max(_QUICKEST_S, seconds / count) for node, (count, seconds) in history.items() if count}

    def see(self, node: str, seconds: float, count: int = 1) -> None:
        """Learn from attempts that took so long in all: slower ones count at once, faster ones by half, as the first ones in a
        process are slow. Their mean counts: now and then one of many has waited for a processor."""
        known = self.cost_s.get(node)
        mean = max(_QUICKEST_S, seconds / count)
        self.cost_s[node] = mean if known is None or mean > known else mean + (known - mean) / 2 ** min(count, 64)

    def expected_s(self, state: RunState, command: StartAttempts) -> float:
        """Seconds of work in these attempts; what is not known fills a worker."""
        steps, cost_s = state.plan.steps, self.cost_s
        named = cache_key if command.mode == "key" else str
        return sum(cost_s.get(named(steps[index].node), 1.0) for index in command.steps)

    @staticmethod
    def rooms(loads: Iterable[float]) -> list[Room]:
        """The workers that can be offered work: idle ones first, as they begin at once; the others when they are half empty."""
        found = [Room(worker, _TARGET_S - load_s) for worker, load_s in enumerate(loads) if load_s < _TARGET_S / 2]
        return sorted(found, key=lambda room: -room.left_s)


@dataclass(slots=True)
class Room:
    """Seconds of work that a worker can be offered."""

    worker: int
    left_s: float
