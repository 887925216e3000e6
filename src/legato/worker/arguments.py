"""What a flow hands to the functions it calls: bound by their signatures, encoded, and digested for the call's identity."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from legato.declare.body import Binding, Body, Code
from legato.declare.node import Node, Project
from legato.declare.partitions import Partition, coord_of, partition_of
from legato.quality.schema import describe
from legato.terms.attempt import Argument, Item, Order, argument_of
from legato.terms.codec import NIL, pack
from legato.terms.errors import LegatoError
from legato.worker.failure import Refused
from legato.worker.pending import Pending
from legato.worker.scalar import python_scalar
from legato.worker.values import Values

_encode = msgspec.msgpack.Encoder().encode
_PLAIN = {str, int, float, bool, bytes, type(None)}
_LEFT_OUT = b"-"


class Bound(NamedTuple):
    """A call's arguments. `digest` tells calls with other inputs apart, in whatever order dicts and sets hold theirs."""

    arguments: tuple[Argument, ...]
    inputs: tuple[tuple[str, bytes], ...]
    partition: str
    digest: bytes


class Arguments:
    """Binds the calls of one attempt of a flow. `futures` is the class of results that may not be there yet."""

    def __init__(
        self, project: Project, code: Code, values: Values, flow: Node, order: Order, futures: type = Pending
    ) -> None:  # fmt: skip
        self._project, self._code, self._values = project, code, values
        self._flow, self._order, self._futures = flow, order, futures
        self._shapes: dict[str, Shape] = {}
        self._staged = 0

    def shape(self, name: str) -> Shape:
        """How the node of this name is called; `LegatoError` (`call-node`) if the project has none."""
        shape = self._shapes.get(name)
        if shape is None:
            node = self._project.nodes.get(name)
            if node is None:
                raise LegatoError(
                    "call-node", f"{self._flow.name} calls {name}, which is not part of the project",
                    why="the module that declares it is not among the project's modules", next="add it to `modules`",
                )  # fmt: skip
            shape = self._shapes[name] = Shape(node, self._code.body(name))
            self._require_no_tasks(node)
        return shape

    def _require_no_tasks(self, node: Node) -> None:
        """Refuse an asset that takes what only a plan can give it."""
        deps = (*node.deps, *(dep for check in node.checks for dep in check.deps))
        task = next((dep.node for dep in deps if self._project.maker(dep.node).kind == "task"), "")
        if node.kind == "asset" and task:
            raise LegatoError(
                "call-asset", f"{self._flow.name} cannot make {node.name}: it needs the task {task}",
                why="a task's value lives only in its run, and no plan has run it for this one",
                next=f"legato run +{node.name}; or let the flow hand the value over, under a name that no task has",
            )  # fmt: skip

    def materialize(self, shape: Shape, partition: str, arguments: Mapping[str, Any]) -> Bound:
        """What a flow gives an asset that it makes; `LegatoError` (`partition-key`) if it has no such partition."""
        parts = shape.node.partitions
        try:
            coord_of(parts, partition, {}) if parts is None else partition_of(parts, partition)
        except LegatoError as error:
            what = f"{shape.node.name} has no partition {partition!r}" if partition else f"{shape.node.name} has partitions"
            raise LegatoError("partition-key", what, why=error.why, next=error.next) from None
        return self.bind(shape, (), arguments, partition)

    def bind(self, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], partition: str = "") -> Bound:
        """The arguments of a call; TypeError where they do not fit the signature, as in Python."""
        given = shape.match(args, kwargs)
        partition = shape.take_partition(given) or partition
        arguments, inputs, marks = self.hand(shape, given)
        digest = shape.identity.copy()
        digest.update(partition.encode() + b"".join(marks))
        return Bound(arguments, inputs, partition, digest.digest())

    def hand(
        self, shape: Shape, given: Mapping[str, Any]
    ) -> tuple[tuple[Argument, ...], tuple[tuple[str, bytes], ...], list[bytes]]:
        """What is handed over, which results are passed on unseen, and what each input adds to the call's digest."""
        arguments, inputs, marks = [], [], []
        for param, kind, left_out in shape.inputs:
            if param not in given:
                mark = left_out
            elif self.is_future(given[param]):
                inputs.append((param, given[param].key))
                mark = mark_of_future(given[param])
            else:
                item, mark = self.store(shape, param, kind, given[param])
                arguments.append(argument_of(param, item))
            marks.append(framed(mark))
        return tuple(arguments), tuple(inputs), marks

    def is_future(self, value: Any) -> bool:
        """Whether this is the result of a call, which may not be there yet."""
        return type(value) is self._futures

    def may_wait(self, values: Sequence[Any]) -> bool:
        """Whether any of these is the result of a call."""
        return self._futures in set(map(type, values))

    def store_all(self, shape: Shape, param: str, kind: Any, values: Sequence[Any]) -> tuple[Sequence[Item], list[bytes]]:
        """Many values as they are handed over, and the marks of all, as `store` gives them."""
        if _PLAIN.issuperset(map(type, values)):
            try:
                bodies = list(map(_encode, values))
            except (OverflowError, UnicodeEncodeError):  # one of them takes another way
                bodies = []
            if len(bodies) == len(values) and max(map(len, bodies), default=0) <= self._values.inline_limit_bytes:
                return bodies, [b"v" + body for body in bodies]
        pairs = [self.store(shape, param, kind, value) for value in values]
        return [item for item, _ in pairs], [mark for _, mark in pairs]

    def store(self, shape: Shape, param: str, kind: Any, value: Any) -> tuple[Item, bytes]:
        """A value as it is handed over, and its mark in the digest; `LegatoError` (`call-argument`) if it cannot be stored."""
        if type(value) not in _PLAIN:
            value = python_scalar(value)
        if type(value) in _PLAIN:
            try:
                body = _encode(value)
            except (OverflowError, UnicodeEncodeError):  # a huge number, or half a surrogate pair
                pass
            else:
                if len(body) <= self._values.inline_limit_bytes:
                    return body, b"v" + body
        self._staged += 1
        version = f"{self._order.run}-{self._order.token}-{self._staged}"
        try:
            inline, ref = self._values.hand(self._flow, self._order.partition, version, value, kind)
        except (Refused, LegatoError) as error:
            why = error.message if isinstance(error, Refused) else error.why or error.what
            raise LegatoError(
                "call-argument", f"{shape.node.name} cannot be given {describe(value)} as `{param}`",
                why=why, next="hand over plain data, a table, or the future of a call itself",
            ) from error  # fmt: skip
        if ref is None:
            inline = inline or NIL
            return inline, _canonical(value, inline)
        return ref, _canonical(value, f"{ref.format}:{ref.digest}".encode())


class Shape:
    """How a node is called. What Legato fills in itself is no argument: resources, secrets, the context; and, of an asset,
    its partition, its inputs, its version before, and the defaults of one that plans make, too."""

    def __init__(self, node: Node, body: Body) -> None:
        self.node, self.fn, self.is_async = node, body.fn, inspect.iscoroutinefunction(body.fn)
        declared = inspect.signature(body.fn).parameters
        filled = _filled(node, body)
        mine = [binding for binding in body.bindings if _is_argument(binding, declared) and binding.param not in filled]
        known = [declared[binding.param] for binding in mine]
        self.signature = inspect.Signature(sorted(known, key=lambda each: each.kind), __validate_parameters__=False)
        self.positional = tuple(each.name for each in known if each.kind is not each.KEYWORD_ONLY)
        self.keywords = frozenset(each.name for each in known)
        self.required = frozenset(each.name for each in known if each.default is each.empty)
        self.partition = next((binding.param for binding in mine if binding.source == "partition"), "")
        if self.partition:
            self.required |= {self.partition}
        self.inputs = tuple(
            (binding.param, binding.kind, _left_out(declared[binding.param].default))
            for binding in mine if binding.source != "partition"
        )  # fmt: skip
        self.identity = blake2b(pack(node.name), digest_size=16)

    def match(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter; TypeError where they do not fit the signature, as in Python."""
        given = dict(zip(self.positional, args, strict=False))
        if len(args) > len(self.positional) or not kwargs.keys() <= self.keywords or not given.keys().isdisjoint(kwargs):
            self.refuse(args, kwargs)
        given.update(kwargs)
        if not self.required <= given.keys():
            self.refuse(args, kwargs)
        return given

    def take_partition(self, given: dict[str, Any]) -> str:
        """The key of the partition among the arguments, taken out of them; empty where there is none."""
        return partition_key(given.pop(self.partition), self) if self.partition else ""

    def refuse(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise Python's own TypeError for arguments that do not fit."""
        name = f"{self.node.name}.materialize()" if self.node.kind == "asset" else f"{self.node.name}()"
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name} {error}") from None
        raise TypeError(f"{name} takes other arguments")


def framed(mark: bytes) -> bytes:
    """What an input adds to a call's digest, told apart from what the next one adds."""
    return len(mark).to_bytes(4, "little") + mark


def mark_of_future(future: Any) -> bytes:
    """What a result that is passed on unseen adds to a call's digest."""
    return b"f" + bytes(future.key)


def _is_argument(binding: Binding, declared: Mapping[str, inspect.Parameter]) -> bool:
    return binding.source in ("input", "partition") and binding.param in declared


def _filled(node: Node, body: Body) -> frozenset[str]:
    """The parameters of an asset that are filled by what is published, whoever makes it; of one that plans make, all."""
    if node.kind != "asset":
        return frozenset()
    if not node.called:
        return frozenset(binding.param for binding in body.bindings)
    parts = (binding.param for binding in body.bindings if binding.source == "partition")
    return frozenset((*parts, *node.previous, *(dep.param for dep in node.deps)))


def _left_out(default: Any) -> bytes:
    """What a parameter that is not given adds to a call's digest: the same as its default would."""
    if default is inspect.Parameter.empty:
        return _LEFT_OUT
    try:
        return b"v" + pack(default) if type(default) in _PLAIN else _canonical(default, pack(default))
    except Exception:  # no data; then it is part of the code's fingerprint alone
        return _LEFT_OUT


def _canonical(value: Any, stored: bytes) -> bytes:
    """Bytes that are equal for equal values, whatever the order in which dicts and sets hold their items.

    Of a table or an object nothing but its stored bytes can tell.
    """
    kind = type(value).__qualname__.encode()
    try:
        return b"v" + kind + pack(value)
    except Exception:
        return b"r" + kind + stored


def partition_key(value: Any, shape: Shape) -> str:
    """The key of a partition, which may be given by its key."""
    if isinstance(value, Partition):
        return value.key
    if isinstance(value, str):
        return value
    raise TypeError(f"{shape.node.name}() takes a partition or its key as `{shape.partition}`, not {describe(value)}")
