"""A snapshot: all that a project says, as data. Who has it can plan, show and supervise the project without its code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec import inspect as kinds
from msgspec.structs import replace

from legato.declare.body import Code
from legato.declare.node import Node, Project
from legato.declare.schema import Schema, schema_of
from legato.terms.codec import pack, unpack

Form = Literal["text", "flag", "list", "json"]
"""How a parameter is written: one text, `--name` alone, the option repeated, or JSON."""

_LISTS = (kinds.ListType, kinds.SetType, kinds.FrozenSetType, kinds.VarTupleType, kinds.TupleType, kinds.CollectionType)
_RECORDS = (kinds.DictType, kinds.StructType, kinds.DataclassType, kinds.TypedDictType, kinds.NamedTupleType)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Parameter(Struct, frozen=True, kw_only=True):
    """What whoever runs a flow, or calls a task, may give it under this name.

    `type` is the annotation in words, `default` that in words; `form` is how it is written, `items` how each of a list is.
    `schema` says which values it takes. `names` are the members of an enumeration, that may be given for their values.
    `by_code` says that only the user's own class can judge a value: it travels as plain data and is judged by the worker.
    """

    name: str
    type: str = ""
    form: Form = "text"
    items: Form = "text"
    schema: Schema = True
    names: dict[str, Any] = {}
    by_code: bool = False
    required: bool = True
    default: str = ""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A project as data: its declarations, and the parameters of what can be called.

    `source` is a fingerprint of all files that were loaded: equal snapshots come from equal code, down to its comments.
    """

    project: Project
    parameters: dict[str, tuple[Parameter, ...]]
    source: str = ""

    @property
    def fingerprint(self) -> str:
        """The project's version: what runs record."""
        return self.project.fingerprint


class _Written(Struct, frozen=True, kw_only=True):
    """A snapshot as it is stored: canonical bytes sort the keys of dicts, but nodes stand in topological order."""

    snapshot: Snapshot
    nodes: tuple[Node, ...]


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot's canonical bytes."""
    bare = replace(snapshot, project=replace(snapshot.project, nodes={}))
    return pack(_Written(snapshot=bare, nodes=tuple(snapshot.project.nodes.values())))


def decode(body: bytes) -> Snapshot:
    """The snapshot that `encode` wrote."""
    written = unpack(body, _Written)
    nodes = {node.name: node for node in written.nodes}
    return replace(written.snapshot, project=replace(written.snapshot.project, nodes=nodes))


def take(project: Project, code: Code, source: str = "") -> Snapshot:
    """The snapshot of a loaded project."""
    callable_ = (node for node in project.nodes.values() if node.called or node.kind == "task")
    return Snapshot(project=project, parameters={node.name: _parameters(node, code) for node in callable_}, source=source)


def _parameters(node: Node, code: Code) -> tuple[Parameter, ...]:
    """What a node may be given, in order."""
    body = code.body(node.name)
    given: Mapping[str, inspect.Parameter] = inspect.signature(body.fn).parameters
    filled = {*node.previous, *(dep.param for dep in node.deps)}
    free = (each for each in body.bindings if each.source == "input" and each.param not in filled)
    return tuple(parameter(each.param, each.kind, given[each.param].default) for each in free)


def parameter(name: str, annotated: Any, default: Any = inspect.Parameter.empty) -> Parameter:
    """A parameter as data, from its resolved annotation and its default."""
    kind = type(default) if annotated is Any and type(default) in (bool, int, float) else annotated
    required = default is inspect.Parameter.empty
    by_code = hasattr(kind, "model_validate")  # a pydantic model
    return Parameter(
        name=name, type=_in_words(kind), form=_form(kind), items=_form(_item(kind)), by_code=by_code, required=required,
        schema=_model_schema(kind) if by_code else schema_of(kind), names=_members(kind),
        default="" if required else _shown(default),
    )  # fmt: skip


def _model_schema(kind: Any) -> Schema:
    try:
        return dict(kind.model_json_schema())
    except Exception:  # the user's code: it may raise anything
        return True


def _members(kind: Any) -> dict[str, Any]:
    return {name: each.value for name, each in kind.__members__.items()} if _is_enum(kind) else {}


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _shown(default: Any) -> str:
    """A default in words, the same in every process: no addresses, sets sorted."""
    if isinstance(default, set | frozenset) and default:
        return f"{{{', '.join(sorted(map(repr, default)))}}}"
    return repr(default.__fspath__()) if hasattr(default, "__fspath__") else _ADDRESS.sub("", repr(default))


def _in_words(kind: Any) -> str:
    if kind is Any:
        return ""
    if _is_enum(kind):
        return f"{kind.__name__}: {', '.join(str(each.value) for each in kind)}"
    return kind.__name__ if type(kind) is type else _ADDRESS.sub("", str(kind)).replace("typing.", "")


def _form(kind: Any) -> Form:
    if hasattr(kind, "model_validate"):
        return "json"
    known = _inspect(kind)
    if isinstance(known, kinds.UnionType):
        others = [each for each in known.types if not isinstance(each, kinds.NoneType)]
        known = others[0] if len(others) == 1 else kinds.StrType()
    if isinstance(known, kinds.BoolType):
        return "flag"
    return "list" if isinstance(known, _LISTS) else "json" if isinstance(known, _RECORDS) else "text"


def _item(kind: Any) -> Any:
    """The annotation of a list's items; `Any` where it says nothing."""
    for each in (kind, *get_args(kind)):
        if isinstance(_inspect(each), _LISTS):
            return (get_args(each) or (Any,))[0]
    return Any


def _inspect(kind: Any) -> kinds.Type:
    try:
        return kinds.type_info(kind)
    except (TypeError, NameError):  # nothing that msgspec knows
        return kinds.AnyType()
