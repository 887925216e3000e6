"""A project in the making: everything is resolved as far as it goes, and every fault on the way is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from legato.declare import order
from legato.declare.body import Body, Code, cache_key, check_key, undo_key, until_key, when_key
from legato.declare.faces import AnyFace, CheckFace, CheckSet, Declaration, Face, ResourceFace
from legato.declare.node import Check, Dep, Node, Project
from legato.declare.pool import DEFAULT_POOL, Limit, Use
from legato.declare.resolve import Names, Resolver, did_you_mean
from legato.declare.signature import MOST_TOGETHER, most_of
from legato.terms.errors import Fault, Place
from legato.terms.fact import Severity
from legato.terms.key import NAME_HINT, is_name

BUILT_IN_STORAGES = ("files",)


class Site(Struct, frozen=True, kw_only=True):
    """What a project's declarations are judged against: its name, pools and storages; places are shown from `root`."""

    name: str
    pools: Mapping[str, Limit] = {}
    storages: tuple[str, ...] = BUILT_IN_STORAGES
    root: str = ""
    broker: bool = True
    """Whether there is a broker that messages could come from."""
    buckets: tuple[str, ...] | None = None
    """The buckets that are looked into, `s3://landing`; None where nobody knows."""


def local(place: Place | None, root: str) -> Place | None:
    """The place as seen from the project's folder, where it lies below."""
    return Place(place.file.removeprefix(root.rstrip("/") + "/"), place.line) if place and root else place


def shown(place: Place | None, root: str) -> str:
    """The place as text for people."""
    return str(local(place, root) or "no file")


class Draft:
    """A project in the making: everything resolved as far as it goes, with the faults found on the way."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.faults: list[Fault] = []
        self._names = Names()
        self._resolver = Resolver(self._names, self.faults)
        self._nodes: dict[str, Node] = {}
        self._limits: dict[str, Limit] = {}
        self._faces: dict[str, AnyFace] = {}
        self._bodies: dict[str, Body] = {}
        self._resources: dict[Any, Body] = {}

    def read(self, declared: Sequence[Declaration]) -> None:
        """Takes in all declarations."""
        for each in declared:
            self.faults.extend(each.faults)
        for face in (each for each in declared if isinstance(each, Face)):
            self._name(face)
        self._read_resources([each for each in declared if isinstance(each, ResourceFace)])
        self._resolver.has_flows = any(face.node.kind == "flow" for face in self._faces.values())
        for name, face in self._faces.items():
            deps, arguments, previous, self._bodies[name] = self._resolver.node(face)
            self._nodes[name] = replace(face.node, deps=deps, arguments=arguments, previous=previous)
        if self._resolver.has_flows:
            self._settle_called()
        for face in self._faces.values():
            self._read_beside(face)
        self._require_pools()
        self._read_triggers([node for node in self._nodes.values() if node.trigger is not None])
        self._read_checks([each for each in declared if isinstance(each, CheckFace | CheckSet)])
        for node in self._nodes.values():
            self._refuse_called(node)

    def _fault(self, code: str, what: str, place: Place | None, hint: str = "") -> None:
        self.faults.append(Fault(code, what, place, hint))

    def _node_fault(self, node: Node, code: str, what: str, hint: str) -> None:
        self.faults.append(Fault(code, f"{node.name}: {what}", node.place, hint))

    def _name(self, face: AnyFace) -> None:
        """Gives the face its names, unless another has them."""
        node = face.node
        for name in dict.fromkeys((node.name, *face.names)):
            maker = self._names.makers.get(name, name)
            if maker in self._faces:
                self._duplicate(name, face, self._faces[maker])
                return
        self._faces[node.name] = face
        self._names.groups[node.name] = face.names
        self._names.makers.update(dict.fromkeys(face.names, node.name))

    def _duplicate(self, name: str, face: AnyFace, first: AnyFace) -> None:
        there = shown(first.place, self.site.root)
        self._fault("duplicate-name", f"`{name}` is declared twice, here and in {there}", face.place, "rename one of them")

    def _settle_called(self) -> None:
        """Make arguments of what only seems to be an input: it is named like a flow, or like a task that flows call; or like any
        task, where the asset that takes it is made by flows, which have no plan to run the task."""
        found = True
        while found:
            found = False
            for name, node in self._nodes.items():
                called = [dep for dep in node.deps if dep.param and self._is_given(node, self._maker(dep))]
                if called and node.kind in ("task", "asset"):
                    found = True
                    deps = tuple(dep for dep in node.deps if dep not in called)
                    self._nodes[name] = replace(node, deps=deps, arguments=(*node.arguments, *(dep.param for dep in called)))

    @staticmethod
    def _is_given(node: Node, maker: Node) -> bool:
        """Whether a caller has to give the node what this maker makes."""
        return not maker.is_input or (maker.kind == "task" and node.kind == "asset" and node.called)

    def _refuse_called(self, node: Node) -> None:
        for dep in (*node.deps, *(dep for check in node.checks for dep in check.deps)):
            maker = self._maker(dep)
            if not maker.is_input:
                what = f"{node.name}: it needs `{dep.node}`, which only runs when it is called, and hands nothing on in a plan"
                why = "" if maker.kind == "flow" else f": its `{maker.arguments[0]}` names no asset, task or resource"
                self._fault("called-input", what + why, node.place, "call it from a flow, or name another input")
            elif self._is_given(node, maker):
                what = f"{node.name}: it needs `{dep.node}`, a task that no plan runs for it, since flows make it"
                self._fault("called-input", what, node.place, "call the task in the flow, and hand its value over")

    def _maker(self, dep: Dep) -> Node:
        return self._nodes[self._names.makers[dep.node]]

    def _offered(self, node: Node) -> list[str]:
        """The inputs that stand beside a node: what a plan or a caller gives it in every case."""
        inputs = [dep.param for dep in node.deps if dep.param] + [*node.previous, *node.arguments]
        if node.kind != "flow" and node.called:  # calls give all parameters, those with a default too
            bindings = self._bodies[node.name].bindings
            inputs += [each.param for each in bindings if each.source == "input" and each.param not in inputs]
        return inputs

    def _read_resources(self, faces: list[ResourceFace[..., Any]]) -> None:
        types = self._resolver.types
        for face in faces:
            kind = self._resolver.made(face)
            if kind in types:
                there = shown(types[kind].place, self.site.root)
                what = f"two resources make {kind.__name__}, here and in {there}"
                self._fault("duplicate-resource", what, face.place, "give one of them a type of its own")
            elif kind is not None:
                types[kind] = face
        self._resources = {kind: self._resolver.resource(face) for kind, face in types.items()}
        needs = {kind: [b.kind for b in body.bindings if b.source == "resource"] for kind, body in self._resources.items()}
        for cycle in order.cycles(needs):
            path = " -> ".join(kind.__name__ for kind in (*cycle, cycle[0]))
            self._fault("cycle", f"resources need each other: {path}", types[cycle[0]].place, "cut one of these")

    def _read_beside(self, face: AnyFace) -> None:
        """The node's undo, condition, fallback, pool and storage."""
        node = self._nodes[face.node.name]
        inputs = self._offered(node)
        if face.undo:
            self._bodies[undo_key(node.name)] = self._resolver.beside(face, face.undo, "undo", [*inputs, "result"])
        if face.when:
            self._bodies[when_key(node.name)] = self._resolver.beside(face, face.when, "when", inputs)
        if face.cache_key:
            self._bodies[cache_key(node.name)] = self._resolver.beside(face, face.cache_key, "key", inputs)
        if face.until:
            self._bodies[until_key(node.name)] = self._resolver.beside(face, face.until, "until", inputs, judges=True)
        if face.fallback is not None:
            self._nodes[node.name] = replace(node, fallback=self._fallback(face, node))
        self._read_together(node)
        self._read_pools(node.name)
        if node.storage and node.storage not in self.site.storages:
            hint = did_you_mean(node.storage, self.site.storages) or f"there are {', '.join(self.site.storages)}"
            self._fault("storage-unknown", f"{node.name}: there is no storage `{node.storage}`", node.place, hint)

    def _read_together(self, node: Node) -> None:
        """How many partitions one call makes: what its function takes a list of."""
        taken = [most_of(each.kind) for each in self._bodies[node.name].bindings if each.source == "partition"]
        most = next((each for each in taken if each != 1), 1)
        if most == 1:
            return
        self._nodes[node.name] = replace(node, together=most)
        about_one = {
            "when": node.when, "undo": node.undo, "fallback": bool(node.fallback), "cache": node.cache is not None,
            "until": bool(node.retry.until), "lg.previous": bool(node.previous), "what only flows give": bool(node.arguments),
        }  # fmt: skip
        odd = next((word for word, there in about_one.items() if there), "")
        if most == 0:
            what, hint = "the number beside a list of partitions makes no sense", f"write 2 to {MOST_TOGETHER}"
        elif len(taken) > 1:
            what, hint = "it takes its partitions twice", "take the list alone"
        elif node.kind != "asset" or len(node.outputs) != 1:
            what, hint = "only a single asset can be made many partitions at a time", "take one: day: lg.Partition"
        elif odd:
            what, hint = f"it takes a list of partitions, and {odd} is about one", "take one: day: lg.Partition"
        else:
            return
        self._fault("together", f"{node.name}: {what}", node.place, hint)

    def _read_pools(self, name: str) -> None:
        """The pools that the node uses are known, each of one size, and a key is a parameter that is given to every step."""
        node, known = self._nodes[name], self.site.pools
        for pool, limit in node.limits.items():
            if limit != (other := known.get(pool) or self._limits.setdefault(pool, limit)):
                what = f"{name}: pool `{pool}` has {limit} here and {other} elsewhere"
                self._fault("pool-size", what, node.place, "give its size in one place, and its name everywhere else")
        if not node.pools and DEFAULT_POOL in known:
            self._nodes[name] = replace(node, pools=(Use(DEFAULT_POOL),))
        for use in node.pools:
            if use.key and use.key not in (given := self._given(node)):
                hint = did_you_mean(use.key, given) or (f"there are {', '.join(given)}" if given else "a flow's calls have some")
                self._fault("pool-key", f"{name}: pool key `{use.key}` is no parameter that is given to it", node.place, hint)

    def _require_pools(self) -> None:
        """Every pool that a node only names has its size somewhere; what is wrong with a node's own is told already."""
        known = {**self.site.pools, **self._limits}
        for node in self._nodes.values():
            for use in node.pools:
                if use.pool not in known and not use.pool.endswith(")"):
                    hint = did_you_mean(use.pool, known) or f"add `{use.pool} = 2` under [pools] in the project's configuration"
                    self._fault("pool-unknown", f"{node.name}: there is no pool `{use.pool}`", node.place, hint)

    def _given(self, node: Node) -> list[str]:
        """The parameters that a call gives, and what a partition is called."""
        inputs = {dep.param for dep in node.deps}
        bindings = self._bodies[node.name].bindings
        called = [each.param for each in bindings if each.source == "input" and each.param not in inputs]
        return [*called, "partition"] if node.partitions is not None else called

    def _fallback(self, face: AnyFace, node: Node) -> str:
        found = self._names.expand(face.fallback)
        other = self._nodes[self._names.makers[found[0]]] if len(found) == 1 else None
        if other is None or other.kind != "task":
            wanted = face.fallback.node.name if isinstance(face.fallback, Face) else face.fallback
            hint = self._names.suggest(wanted) if isinstance(wanted, str) and not found else ""
            what = f"{node.name}: fallback `{wanted}` is no task of the project"
            self._fault("fallback", what, node.place, hint or "declare it with @lg.task")
            return ""
        if other.name == node.name:
            self._fault("fallback", f"{node.name}: it cannot be its own fallback", node.place, "name another task")
        given = {dep.param: dep.node for dep in node.deps if dep.param}
        for dep in other.deps:
            if dep.param and given.get(dep.param) != dep.node:
                what = f"{node.name}: fallback `{other.name}` needs `{dep.param}`, which is no input of `{node.name}`"
                self._fault("fallback-inputs", what, other.place, "a fallback works with the inputs of what it replaces")
        for param in other.arguments:
            if param not in self._offered(node):
                what = f"{node.name}: fallback `{other.name}` takes `{param}`, which is no parameter of `{node.name}`"
                self._fault("fallback-inputs", what, other.place, "a fallback works with the inputs of what it replaces")
        return other.name

    # -- triggers --

    def _read_triggers(self, nodes: list[Node]) -> None:
        """The nodes' triggers in their one spelling, and that none of them starts itself for ever."""
        if not nodes:
            return
        from legato.declare.on import Subject, judge_reach, odd_hooks, settle, started_by

        for node in nodes:
            bindings = self._bodies[node.name].bindings if node.kind == "flow" else ()
            subject = Subject(node, self._published_inputs(node), [each.param for each in bindings if each.source == "input"])
            settled, found = settle(node.trigger, subject, self._names, lambda name: self._nodes[self._names.makers[name]].kind)
            self._nodes[node.name] = replace(self._nodes[node.name], trigger=settled)
            for code, what, hint in found:
                self._node_fault(node, code, what, hint)
        for node in nodes:
            fault = partial(self._node_fault, node)
            judge_reach(self._nodes[node.name], self.site.broker, self.site.buckets, fault)
        for node, hook in odd_hooks(self._nodes[node.name] for node in nodes):
            what = f"{node.name}: another declares the webhook `{hook}` with another secret or signature"
            self._fault("trigger-webhook", what, node.place, "declare it once, and use it twice: orders = lg.webhook(...)")
        starts = {node.name: [self._names.makers[name] for name in started_by(self._nodes[node.name])] for node in nodes}
        for cycle in order.cycles({**dict.fromkeys(self._nodes, ()), **starts}):
            path = " -> ".join((*cycle, cycle[0]))
            what = f"triggers start each other for ever: {path}"
            self._fault("trigger-loop", what, self._nodes[cycle[0]].place, "cut one of these")

    def _published_inputs(self, node: Node) -> list[str]:
        """The assets that a node is made from, through tasks too: what can tell it that its inputs are new."""
        found: dict[str, None] = {}
        waiting, seen = [node], {node.name}
        while waiting:
            for dep in waiting.pop().deps:
                maker = self._maker(dep)
                if maker.kind == "asset":
                    found[dep.node] = None
                elif maker.kind == "task" and maker.name not in seen:
                    seen.add(maker.name)
                    waiting.append(maker)
        return list(found)

    # -- checks --

    def _read_checks(self, declared: list[CheckFace[..., Any] | CheckSet]) -> None:
        by_node: dict[str, list[Check]] = {}
        places: dict[tuple[str, str], Place | None] = {}
        for each in declared:
            asset = self._judged_asset(each)
            if not asset:
                continue
            node = self._nodes[self._names.makers[asset]]
            for check in self._checks(each, asset, node):
                key = (asset, check.name)
                if not is_name(check.name):
                    self._fault("name", f"{check.name!r} cannot be the name of a check", check.place, NAME_HINT)
                elif key in places:
                    there = shown(places[key], self.site.root)
                    what = f"`{asset}` has two checks `{check.name}`, here and in {there}"
                    self._fault("duplicate-check", what, check.place, "give one of them a name: name=...")
                else:
                    places[key] = check.place
                    by_node.setdefault(node.name, []).append(check)
        for name, checks in by_node.items():
            self._nodes[name] = replace(self._nodes[name], checks=tuple(checks))

    def _checks(self, declared: CheckFace[..., Any] | CheckSet, asset: str, node: Node) -> list[Check]:
        if isinstance(declared, CheckSet):
            return [rule.check(asset, declared.place) for rule in declared.rules]
        deps, body = self._resolver.check(declared, asset, node.partitions is not None)
        self._bodies[check_key(asset, declared.name)] = body
        severity: Severity = "warn" if declared.severity == "warn" else "block"
        return [Check(declared.name, asset, severity, deps=deps, place=declared.place)]

    def _judged_asset(self, declared: CheckFace[..., Any] | CheckSet) -> str:
        """The one asset that is judged; empty, with a fault, if there is none."""
        target, place = declared.target, declared.place
        found = self._names.expand(target)
        name = target.node.name if isinstance(target, Face) else target
        if len(found) > 1:
            self._fault("check-target", f"`{name}` makes {', '.join(found)}", place, f'name one: lg.check("{found[0]}")')
        elif not found and isinstance(name, str):
            hint = self._names.suggest(name) or "name an asset of the project"
            self._fault("check-target", f"the check is on `{name}`, which is no asset of the project", place, hint)
        elif not found:
            hint = "write lg.check(delays), with the asset itself or its name"
            self._fault("check-target", f"the check is on {target!r}, which is no asset", place, hint)
        elif self._nodes[self._names.makers[found[0]]].kind != "asset":
            node = self._nodes[self._names.makers[found[0]]]
            self._fault("check-target", f"the check is on `{name}`, a {node.kind}", place, "checks judge assets")
        else:
            return found[0]
        return ""

    # -- the whole --

    def needs(self) -> dict[str, list[str]]:
        """Which nodes each node comes after; a check's inputs count, since they are read before its asset is published."""
        makers = self._names.makers
        return {
            name: list(dict.fromkeys(makers[dep.node] for dep in (*node.deps, *(d for c in node.checks for d in c.deps))))
            for name, node in self._nodes.items()
        }

    def find_cycles(self, needs: Mapping[str, Sequence[str]]) -> None:
        """Adds a fault for each knot in the order."""
        for cycle in order.cycles(needs):
            path = " -> ".join((*cycle, cycle[0]))
            places = ", ".join(f"{name} in {shown(self._nodes[name].place, self.site.root)}" for name in cycle)
            own = len(cycle) == 1 and self._nodes[cycle[0]].kind == "asset"
            hint = f'for its version before: deps={{"{cycle[0]}": lg.previous}}' if own else f"cut one of these: {places}"
            self._fault("cycle", f"inputs in a circle: {path}", self._nodes[cycle[0]].place, hint)

    def project(self, names: Sequence[str]) -> Project:
        """The nodes in this order, not yet fingerprinted."""
        nodes = {name: self._nodes[name] for name in names}
        makers = {made: maker for made, maker in self._names.makers.items() if maker in nodes}
        return Project(name=self.site.name, nodes=nodes, makers=makers, pools={**self.site.pools, **self._limits})

    def code(self) -> Code:
        """All functions, with how their parameters are filled."""
        return Code(self._bodies, self._resources, tuple(self._resolver.secrets.values()))
