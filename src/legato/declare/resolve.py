"""Turns names into edges: what each parameter of a declared function is filled with."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, get_args

from legato.declare.body import Binding, Body
from legato.declare.faces import AnyFace, CheckFace, Face, Input, Previous, ResourceFace, is_async
from legato.declare.mapping import Mapping as PartitionMapping
from legato.declare.node import Dep
from legato.declare.options import place_of
from legato.declare.partitions import Partition
from legato.declare.resource import Context, Secret
from legato.declare.signature import Parameter, Signatures, most_of
from legato.terms.errors import Fault, Place

_MOST_SUGGESTIONS = 50
Complain = Callable[[str, str, str], None]


class Names:
    """All names of a project, and what a misspelt one might have meant."""

    def __init__(self) -> None:
        self.makers: dict[str, str] = {}
        """Asset or task -> its node."""
        self.groups: dict[str, tuple[str, ...]] = {}
        """Node -> what others may depend on."""
        self._suggested = 0

    def expand(self, target: Any) -> tuple[str, ...]:
        """The assets or tasks that a face or name stands for; empty if there are none."""
        if isinstance(target, Face):
            return target.names if all(self.makers.get(name) == target.node.name for name in target.names) else ()
        if not isinstance(target, str):
            return ()
        return (target,) if target in self.makers else self.groups.get(target, ())

    def suggest(self, name: str, more: Iterable[str] = ()) -> str:
        """`did you mean ...?`, or nothing. A project that is wrong everywhere gets only so many, since each costs a search."""
        self._suggested += 1
        return did_you_mean(name, (*self.makers, *more)) if self._suggested <= _MOST_SUGGESTIONS else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that looks most like this one; empty if none does."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean `{close[0]}`?" if close else ""


class Resolved(NamedTuple):
    """A node's edges, what only a caller can give it, which versions of its own it takes, and its function, bound."""

    deps: tuple[Dep, ...]
    arguments: tuple[str, ...]
    previous: dict[str, str]
    body: Body


class Resolver:
    """Resolves declared functions against the names and resource types of a project; what fails becomes a fault."""

    def __init__(self, names: Names, faults: list[Fault]) -> None:
        self.names = names
        self.faults = faults
        self.secrets: dict[int, Secret] = {}
        self.types: dict[Any, ResourceFace[..., Any]] = {}
        self.has_flows = False
        """Whether the project has flows, which can give its tasks and assets what no name says."""
        self._signatures = Signatures()

    def node(self, face: AnyFace) -> Resolved:
        """What the parameters of an asset, task, source or flow are filled with."""
        complain = self._complain(face.node.name, face.place)
        parameters = self._parameters(face.fn, complain)
        if face.node.kind == "flow":
            bindings = [self._given(parameter, complain) for parameter in parameters]
            taken = {binding.param for binding in bindings if binding.source == "input"}
            given = tuple(p.name for p in parameters if p.name in taken and not p.optional)
            return Resolved((), given, {}, _body(face.fn, bindings))
        claimed, others, previous = self._wanted(face, parameters, complain)
        claimed.update({p.name: Dep(p.name, p.name) for p in parameters if p.name not in claimed and self._named(p)})
        partitioned = face.node.partitions is not None
        bound = {p.name: self._bind(p, claimed, partitioned, complain) for p in parameters}
        callable = face.node.kind in ("task", "asset") and self.has_flows
        free = [p for p in parameters if bound[p.name] is None]
        arguments = tuple(p.name for p in free if callable and not p.optional)
        for p in free:
            bound[p.name] = Binding(p.name, "input", p.kind) if callable else self._rest(p, face.node.name, complain)
        deps = [claimed[p.name] for p in parameters if p.name in claimed and claimed[p.name].node]
        filled = {dep.node for dep in deps}
        deps.extend(dep for dep in others if dep.node not in filled)
        if face.node.kind == "source" and deps:
            complain("source-input", f"a source has no inputs, but it needs `{deps[0].node}`", "declare it as an asset")
        body = _body(face.fn, [each for each in bound.values() if each is not None])
        return Resolved(tuple(deps), arguments, previous, body)

    def check(self, face: CheckFace[..., Any], asset: str, partitioned: bool) -> tuple[tuple[Dep, ...], Body]:
        """The edges of a function check beside the judged asset; the one input that is none of them takes the judged value."""
        subject = f"check {face.name}"
        complain = self._complain(subject, face.place)
        parameters = self._parameters(face.fn, complain)
        value = _judged(parameters, asset, self.names.makers, self.types)
        if value is None:
            complain("check-value", f"no parameter takes the value of `{asset}`", f"name a parameter `{asset}`")
        deps = [Dep(p.name, p.name) for p in parameters if p.name != value and self._named(p)]
        inputs = {value or "", *(dep.param for dep in deps)}
        bindings = [self._bind(p, inputs, partitioned, complain) or self._rest(p, subject, complain) for p in parameters]
        return tuple(deps), _body(face.fn, bindings)

    def beside(self, face: AnyFace, fn: Any, of: str, inputs: Collection[str], *, judges: bool = False) -> Body:
        """A node's undo or condition, or what judges its result: its parameters are some of these inputs, or what is injected.

        Where it `judges`, the parameter `result`, or else the first that nothing fills, takes the result.
        """
        subject = f"{of} of {face.node.name}"
        complain = self._complain(subject, place_of(fn) or face.place)
        bindings = []
        parameters = self._parameters(fn, complain)
        judged = _judged(parameters, "result", inputs, self.types) if judges else None
        for parameter in parameters:
            if parameter.name == judged:
                bindings.append(Binding(parameter.name, "result", parameter.kind))
                continue
            source = self._bind(parameter, inputs, face.node.partitions is not None, complain)
            if source is None and not parameter.optional:
                known = f"its inputs are {', '.join(inputs)}" if inputs else f"`{face.node.name}` has no inputs"
                complain("parameter", f"parameter `{parameter.name}` of {subject} is none of its inputs", known)
            bindings.append(source or Binding(parameter.name, "default", parameter.kind))
        return _body(fn, bindings)

    def resource(self, face: ResourceFace[..., Any]) -> Body:
        """A resource's function: it may ask for other resources and secrets, and for nothing else."""
        subject = f"resource {face.fn.__name__}"
        complain = self._complain(subject, face.place)
        bindings = []
        for parameter in self._parameters(face.fn, complain):
            if not parameter.optional and parameter.kind not in self.types:
                complain(
                    "parameter",
                    f"parameter `{parameter.name}` of {subject} is no resource",
                    "annotate it with a resource's type, or give it a default such as lg.secret(...)",
                )
            source = self._bind(parameter, (), False, complain)
            bindings.append(source or Binding(parameter.name, "default", parameter.kind))
        return _body(face.fn, bindings)

    def made(self, face: ResourceFace[..., Any]) -> Any:
        """The type that a resource makes; None, with a fault, if it does not say."""
        complain = self._complain(f"resource {getattr(face.fn, '__name__', '?')}", face.place)
        if not callable(face.fn) or isinstance(face.fn, type):
            complain("declare-function", "only a function can be declared", "put the decorator on a `def`")
            return None
        kind = self._signatures.made(face.fn, complain)
        hint = "annotate what it returns with a class of its own, for example `-> Warehouse` (or `-> Iterator[Warehouse]`)"
        if not isinstance(kind, type) or kind.__module__ == "builtins":
            complain("resource-type", "the return annotation names no type that could be asked for", hint)
            return None
        return kind

    # -- the parts of a resolution --

    def _wanted(
        self, face: AnyFace, parameters: list[Parameter], complain: Complain
    ) -> tuple[dict[str, Dep], list[Dep], dict[str, str]]:
        """What `deps=` asks for: by parameter, what is only to be there before, and by parameter what was published before."""
        claimed: dict[str, Dep] = {}
        others: list[Dep] = []
        previous: dict[str, str] = {}
        by_name = {parameter.name for parameter in parameters}
        for param, wanted in _listed(face.deps, complain):
            if param and param not in by_name:
                known = f"its parameters are {', '.join(by_name)}" if by_name else "it has no parameters"
                hint = did_you_mean(param, by_name) or known
                complain("deps", f"deps names `{param}`, which is no parameter of it", hint)
                continue
            if isinstance(wanted.target, Previous):
                own = _own(face, param, wanted, complain)
                previous.update({param: own} if own else {})
                claimed.update({param: Dep("", param)} if param else {})
                continue
            found = self._expand(wanted.target, complain)
            if param and len(found) > 1:
                complain("deps", f"deps: `{param}` stands for {', '.join(found)}", "name one of them")
            if param:  # claimed even where nothing is found: one fault is enough
                claimed[param] = Dep(found[0] if len(found) == 1 else "", param, wanted.mapping)
            else:
                for name in found:
                    if name in by_name:
                        claimed[name] = Dep(name, name, wanted.mapping)
                    else:
                        others.append(Dep(name, "", wanted.mapping))
        return claimed, list(dict.fromkeys(others)), previous

    def _expand(self, target: Any, complain: Complain) -> tuple[str, ...]:
        found = self.names.expand(target)
        if found:
            return found
        if isinstance(target, Face):
            hint = "add the module that declares it to `modules`"
            complain("unknown-dep", f"deps names `{target.node.name}`, which is not part of the project", hint)
        elif isinstance(target, str):
            hint = self.names.suggest(target) or "declare it, or leave it out"
            complain("unknown-dep", f"deps names `{target}`, which is no asset or task", hint)
        else:
            complain("deps", f"deps holds {target!r}", 'write the asset or task, or its name: deps=[flights, "weather"]')
        return ()

    def _bind(self, parameter: Parameter, claimed: Collection[str], partitioned: bool, complain: Complain) -> Binding | None:
        """The binding that needs no look at the project's names; None if there is none."""
        name, kind = parameter.name, parameter.kind
        if name in claimed:
            return Binding(name, "input", kind)
        if name == "partition" or kind is Partition or most_of(kind) != 1:
            if partitioned:
                return Binding(name, "partition", Partition if most_of(kind) == 1 else kind)
            if not parameter.optional:
                complain("partition-none", f"it takes a partition (`{name}`) but has none", "give it partitions=...")
            return Binding(name, "default", kind)
        return self._injected(parameter)

    def _injected(self, parameter: Parameter) -> Binding | None:
        """The binding of what is handed in wherever it is asked for."""
        name, kind = parameter.name, parameter.kind
        if kind is Context:
            return Binding(name, "context", kind)
        if isinstance(parameter.default, Secret):
            return Binding(name, "default", kind)
        if _asked(kind, self.types):
            return Binding(name, "resource", kind)
        return None

    def _given(self, parameter: Parameter, complain: Complain) -> Binding:
        """The binding of a flow's parameter: given with the run, unless it is injected."""
        if parameter.kind is Partition:
            what = f"a flow has no partitions, but `{parameter.name}` asks for one"
            complain("flow-partition", what, "annotate it with `str`, and give the partition's key when the flow is run")
        return self._injected(parameter) or Binding(parameter.name, "input", parameter.kind)

    def _named(self, parameter: Parameter) -> bool:
        """Whether the parameter's name alone makes it an input."""
        injected = parameter.kind in (Partition, Context) or most_of(parameter.kind) != 1 or isinstance(parameter.default, Secret)
        return parameter.name in self.names.makers and parameter.name != "partition" and not injected

    def _rest(self, parameter: Parameter, subject: str, complain: Complain) -> Binding:
        if not parameter.optional:
            types = (kind.__name__ for kind in self.types)
            what = f"parameter `{parameter.name}` of `{subject}` names no asset, task or resource"
            complain("parameter", what, self.names.suggest(parameter.name, types) or "declare one, or give it a default")
        return Binding(parameter.name, "default", parameter.kind)

    def _parameters(self, fn: Any, complain: Complain) -> list[Parameter]:
        found = self._signatures.parameters(fn, complain)
        for parameter in found:
            if isinstance(parameter.default, Secret):
                self.secrets[id(parameter.default)] = parameter.default
        return found

    def _complain(self, subject: str, place: Place | None) -> Complain:
        def complain(code: str, what: str, hint: str) -> None:
            text = what if f"`{subject}`" in what or subject in what else f"{subject}: {what}"
            self.faults.append(Fault(code, text, place, hint))

        return complain


def _own(face: AnyFace, param: str, wanted: Input, complain: Complain) -> str:
    """Which of the node's own assets a parameter takes as it was published before; empty, with a fault, if there is none."""
    if face.node.kind != "asset":
        hint = "take an asset as an input, or let an asset keep what is to last"
        complain("previous", f"lg.previous is an asset's version before, but it is a {face.node.kind}", hint)
    elif not param or wanted.mapping is not None:
        complain("previous", "lg.previous stands for a parameter, without a mapping", 'write deps={"before": lg.previous}')
    elif len(face.names) == 1:
        return face.names[0]
    elif param in face.names:
        return param
    else:
        hint = f"name the parameter like one of them: {', '.join(face.names)}"
        complain("previous", f"of several assets `{param}` could be the version before of any", hint)
    return ""


def _asked(kind: Any, types: Mapping[Any, Any]) -> bool:
    return isinstance(kind, type) and kind in types


def _judged(parameters: list[Parameter], name: str, taken: Collection[str], types: Mapping[Any, Any]) -> str | None:
    """The parameter that takes the judged value: the one of this name, else the first that nothing else fills."""
    if any(parameter.name == name for parameter in parameters):
        return name
    for parameter in parameters:
        injected = parameter.kind in (Partition, Context) or _asked(parameter.kind, types)
        if not (injected or parameter.optional or parameter.name in taken or parameter.name == "partition"):
            return parameter.name
    return None


def _listed(deps: Any, complain: Complain) -> Iterable[tuple[str, Input]]:
    """The items of `deps=`: a parameter (or "") and what is wanted."""
    if isinstance(deps, Mapping):
        for param, wanted in deps.items():
            if isinstance(wanted, Input):
                yield param, wanted
            elif isinstance(wanted, get_args(PartitionMapping)):
                yield param, Input(param, wanted)
            else:
                yield param, Input(wanted)
    elif isinstance(deps, str | Face | Input) or not isinstance(deps, Iterable):
        complain("deps", f"deps={deps!r} is not a list", 'write deps=[flights], or deps={"f": flights}')
    else:
        for wanted in deps:
            yield "", wanted if isinstance(wanted, Input) else Input(wanted)


def _body(fn: Any, bindings: list[Binding]) -> Body:
    place = place_of(fn)
    return Body(fn, tuple(bindings), is_async(fn), place.file if place else "", place.line if place else 0)
