"""Fills the parameters of a function: from stored versions, inline values, the partition, resources and the context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, get_origin

import msgspec

from legato.declare.body import Body
from legato.declare.node import Node
from legato.declare.partitions import partition_of
from legato.declare.signature import most_of
from legato.ports.storage import Storage
from legato.terms.attempt import Argument, Order
from legato.terms.errors import LegatoError
from legato.worker.context import context_of
from legato.worker.failure import Refused
from legato.worker.resources import Resources
from legato.worker.warm import Warm

Decode = Callable[[bytes], Any]
_natural: Decode = msgspec.msgpack.Decoder().decode


class Inputs:
    """Gives a function's arguments as its parameters ask for them."""

    def __init__(self, storages: Mapping[str, Storage], default: str, resources: Resources) -> None:
        self._storages = storages
        self._default = default
        self._resources = resources
        self._decoders: dict[Any, Decode] = {}
        self._warm = Warm()

    def bind(self, body: Body, node: Node, order: Order, prefix: str = "") -> dict[str, Any]:
        """The keyword arguments for a body. An argument belongs to the parameter of its name, behind the prefix."""
        if not body.bindings:
            return {}
        kwargs: dict[str, Any] = {}
        arguments = {argument.param: argument for argument in order.arguments}
        for binding in body.bindings:
            param, kind = binding.param, binding.kind
            if binding.source == "input":
                argument = arguments.get(prefix + param)
                if argument is not None:
                    kwargs[param] = self.value(argument, kind)
            elif binding.source == "partition":
                if most_of(kind) > 1:
                    kwargs[param] = [partition_of(node.partitions, key) for key in order.together or (order.partition,)]
                else:
                    kwargs[param] = partition_of(node.partitions, order.partition)
            elif binding.source == "resource":
                kwargs[param] = self._resources.get(kind)
            elif binding.source == "context":
                kwargs[param] = context_of(node, order)
        return kwargs

    def value(self, argument: Argument, kind: Any) -> Any:
        """What the argument holds, as an annotation asks for it."""
        if argument.value is not None:
            return self._many(argument, kind) if argument.many else self._decode(argument.param, argument.value, kind)
        if not argument.refs and not argument.many:
            return None
        stores = {ref.storage for ref in argument.refs} or {self._default}
        if len(stores) > 1:
            names = " and ".join(sorted(stores))
            raise Refused("input", f"input {argument.param}: its partitions are spread over the storages {names}")
        (name,) = stores
        if name not in self._storages:
            raise Refused("input", f"input {argument.param}: the project has no storage {name!r}")
        try:
            storage = self._storages[name]
            return self._warm.get(argument, kind, lambda: storage.load(argument.refs, kind, many=argument.many))
        except LegatoError as error:
            why = f": {error.why}" if error.why else ""
            raise Refused("input", f"input {argument.param}: {error.what}{why} [{error.code}]") from error

    def _many(self, argument: Argument, kind: Any) -> Any:
        """A value for each partition: a dict by its key, or a list where the annotation asks for one."""
        assert argument.value is not None
        values: dict[str, Any] = _natural(argument.value)
        for ref in argument.refs:
            values[ref.partition] = self.value(Argument(argument.param, (ref,)), Any)
        asked: Any = list(values.values()) if get_origin(kind) is list or kind is list else values
        if argument.refs or _decoder(kind) is _natural:
            return asked
        return self._decode(argument.param, msgspec.msgpack.encode(asked), kind)

    def _decode(self, param: str, body: bytes, kind: Any) -> Any:
        try:
            decode = self._decoders.get(kind)
        except TypeError:  # an annotation that cannot be hashed
            decode = _decoder(kind)
        if decode is None:
            decode = self._decoders[kind] = _decoder(kind)
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            name = getattr(kind, "__name__", str(kind))
            raise Refused("input", f"input {param} does not fit its annotation {name}: {error}") from error


def _decoder(kind: Any) -> Decode:
    """How inline values become what an annotation asks for: converted where it names data, as they are otherwise."""
    validate = getattr(kind, "model_validate", None)  # a pydantic model
    if validate is not None:
        return lambda body: validate(_natural(body))
    try:
        known = msgspec.inspect.type_info(kind)
        if isinstance(known, msgspec.inspect.AnyType) or (
            isinstance(known, msgspec.inspect.CustomType) and not issubclass(known.cls, PurePath)
        ):
            return _natural
        return msgspec.msgpack.Decoder(kind, dec_hook=_as_path).decode
    except (TypeError, NameError):  # nothing that msgspec knows
        return _natural


def _as_path(kind: Any, value: Any) -> Any:
    """A path from its text; nothing else that is no plain data can be read."""
    if isinstance(value, str) and isinstance(kind, type) and issubclass(kind, PurePath):
        return kind(value)
    raise ValueError(f"Expected `{getattr(kind, '__name__', kind)}`, got `{type(value).__name__}`")


def encode_as(value: Any, kind: Any, limit_bytes: int) -> bytes | None:
    """The bytes that this annotation reads back as an equal value; None if there are none so short."""
    decode = _decoder(kind)
    if decode is _natural:
        return None
    try:
        body = msgspec.msgpack.encode(value)
        return body if len(body) <= limit_bytes and decode(body) == value else None
    except Exception:  # no plain data, or it compares oddly
        return None
