"""What becomes of the value that a function returned: inline, stored, staged and judged, or refused."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.body import Body, Code, check_key
from legato.declare.node import Check, Node
from legato.ports.storage import Slot, Storage
from legato.quality.checks import judge_builtins, verdict_of
from legato.quality.contract import judge_contract
from legato.quality.schema import as_polars, describe, is_table
from legato.terms.attempt import Order, Output, Ref
from legato.terms.codec import NIL
from legato.terms.errors import LegatoError
from legato.terms.fact import Verdict
from legato.worker.failure import Refused
from legato.worker.inputs import Inputs, encode_as
from legato.worker.scalar import python_scalar

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_NO_HINT = object()


class Values:
    """Takes what functions return. `call` runs a function with keyword arguments, also an async one."""

    def __init__(
        self, code: Code, storages: Mapping[str, Storage], default: str, inputs: Inputs,
        call: Callable[[Body, dict[str, Any]], Any], inline_limit_bytes: int,
    ) -> None:  # fmt: skip
        self._code = code
        self._storages = storages
        self._default = default
        self._inputs = inputs
        self._call = call
        self.inline_limit_bytes = inline_limit_bytes
        self._hints: dict[Callable[..., Any], Any] = {}

    def keep(self, node: Node, order: Order, value: Any, body: Body) -> tuple[bytes | None, Ref | None]:
        """A task's value: inline if it is small plain data that comes back equal, else stored."""
        if value is None:
            return NIL, None
        value = python_scalar(value)
        if node.kind == "source":
            return _encode_version(node, value), None
        self._require_hinted(node, value, body)
        inline = _encode_plain(value, self.inline_limit_bytes)
        if inline is not None:
            return inline, None
        slot = Slot(node.name, order.partition, _version(order))
        return None, self._stage(node, slot, value).ref

    def hand(self, node: Node, partition: str, version: str, value: Any, kind: Any) -> tuple[bytes | None, Ref | None]:
        """A value that a flow hands to a parameter: inline if it comes back equal, read as the parameter asks, else stored."""
        inline = _encode_plain(value, self.inline_limit_bytes) or encode_as(value, kind, self.inline_limit_bytes)
        if inline is not None:
            return inline, None
        return None, self._stage(node, Slot(node.name, partition, version), value).ref

    def keep_file(self, node: Node, partition: str, version: str, path: Path) -> Ref:
        """A file that an attempt made beside its value, stored under its own name."""
        kept: Ref = self._stage(node, Slot(node.name, partition, version), path).ref
        return kept

    def stage(self, node: Node, order: Order, value: Any, body: Body | None) -> tuple[Output, ...]:
        """An asset's values, each staged and then judged. If one is refused, none stays staged. `body` is what says of which
        class the value is, if something does."""
        parts = self._split(node, value, body)
        outputs: list[Output] = []
        staged: list[Ref] = []
        try:
            for asset, part in parts:
                kept = self._stage(node, Slot(asset, order.partition, _version(order)), part)
                staged.append(kept.ref)
                verdicts = tuple(self._judge(node, order, asset, part, kept.ref))
                outputs.append(Output(kept.ref, kept.columns, verdicts))
        except BaseException:
            for ref in staged:
                with contextlib.suppress(Exception):
                    self._storage(node).discard(ref)
            raise
        return tuple(outputs)

    def _storage(self, node: Node) -> Storage:
        name = node.storage or self._default
        if name not in self._storages:
            raise Refused("value", f"{node.name} belongs in the storage {name!r}, which the project does not have")
        return self._storages[name]

    def _stage(self, node: Node, slot: Slot, value: Any) -> Any:
        try:
            return self._storage(node).stage(slot, value)
        except LegatoError as error:
            if error.code != "value-type":
                raise
            why = f": {error.why}" if error.why else ""
            raise Refused("value", f"{slot.asset}: {error.what}{why}") from error

    # -- what came back --

    def _split(self, node: Node, value: Any, body: Body | None) -> list[tuple[str, Any]]:
        """The value of each output, in their order."""
        if value is None:
            raise Refused("value", f"{node.name} returned nothing (None); is a return missing?")
        if body is not None:
            self._require_hinted(node, value, body)
        names = node.outputs
        if len(names) == 1 and not (isinstance(value, dict) and list(value) == [names[0]] and names[0] != node.name):
            return [(names[0], value)]
        wanted = ", ".join(names)
        if isinstance(value, tuple | list):
            if len(value) != len(names):
                raise Refused("value", f"{node.name} returned {len(value)} values for {len(names)} outputs: {wanted}")
            value = dict(zip(names, value, strict=True))
        if not isinstance(value, dict):
            got = describe(value)
            raise Refused("value", f"{node.name} returned {got}, not a dict or tuple of its outputs: {wanted}")
        for name in names:
            if value.get(name) is None:
                raise Refused("value", f"{node.name} returned nothing for its output {name}")
        for name in value:
            if name not in names:
                raise Refused("value", f"{node.name} returned {name!r}, which is none of its outputs: {wanted}")
        return [(name, value[name]) for name in names]

    def _require_hinted(self, node: Node, value: Any, body: Body) -> None:
        """Refuse a value that is not of the class that the function is annotated to return."""
        hint = self._hints.get(body.fn)
        if hint is None:
            hint = self._hints[body.fn] = _class_hint(body.fn)
        if hint is _NO_HINT:
            return
        try:
            fits = isinstance(value, hint) or (hint is float and isinstance(value, int))
        except TypeError:  # a class that cannot tell, such as a TypedDict
            return
        if not fits:
            raise Refused("value", f"{node.name} returned {describe(value)}, but says it returns {hint.__qualname__}")

    # -- judging --

    def _judge(self, node: Node, order: Order, asset: str, value: Any, ref: Ref) -> Iterator[Verdict]:
        contract = node.contracts.get(asset)
        checks = [check for check in node.checks if check.asset == asset]
        builtin = contract is not None or any(check.kind != "function" for check in checks)
        try:
            table = as_polars(value) if builtin and is_table(value) else value
            if contract is not None:
                yield from judge_contract(table, contract, dict(order.published).get(asset))
            yield from judge_builtins(table, [check for check in checks if check.kind != "function"])
            for check in checks:
                if check.kind == "function":
                    yield self._ask(node, order, check, value, ref)
        except LegatoError as error:
            raise Refused("value", f"{asset} cannot be judged: {error.what}: {error.why}") from error

    def _ask(self, node: Node, order: Order, check: Check, value: Any, ref: Ref) -> Verdict:
        """The verdict of a check function: the parameter named after the asset, or else the first, takes the value."""
        body = self._code.body(check_key(check.asset, check.name))
        kwargs = self._inputs.bind(body, node, order, prefix=f"{check.name}:")
        own = [binding for binding in body.bindings if binding.source == "input" and binding.param not in kwargs]
        target = next((binding for binding in own if binding.param == check.asset), own[0] if own else None)
        try:
            if target is not None:
                kwargs[target.param] = self._as_asked(node, value, ref, target.kind)
            return verdict_of(check, self._call(body, kwargs))
        except Exception as error:
            return verdict_of(check, None, error)

    def _as_asked(self, node: Node, value: Any, ref: Ref, kind: Any) -> Any:
        """The value itself if it is of the class asked for, else what was staged, loaded as that."""
        if kind is Any or not inspect.isclass(kind) or isinstance(value, kind):
            return value
        return self._storage(node).load((ref,), kind)


def _version(order: Order) -> str:
    return f"{order.run}-{order.token}"


def _encode_plain(value: Any, limit_bytes: int) -> bytes | None:
    try:
        body = _encode(value)
        plain = len(body) <= limit_bytes and bool(_decode(body) == value)
    except Exception:  # no plain data, or it compares oddly
        return None
    return body if plain else None


def _encode_version(node: Node, value: Any) -> bytes:
    if isinstance(value, str | int | float | bytes | datetime | date):
        return _encode(value)
    raise Refused("value", f"{node.name} returned {describe(value)}; a source returns text, a number, bytes or a time")


def _class_hint(fn: Callable[..., Any]) -> Any:
    """The class that a function is annotated to return; `_NO_HINT` where that is missing or more than a class."""
    try:
        hint = typing.get_type_hints(fn).get("return", _NO_HINT)
    except Exception:  # names that exist for type checkers alone
        return _NO_HINT
    is_class = inspect.isclass(hint) and typing.get_origin(hint) is None and hint not in (Any, object, type(None))
    return hint if is_class else _NO_HINT
