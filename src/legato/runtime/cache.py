"""What earlier runs made, found again under a key of code and inputs; and under what the results of this one are to be found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from legato.declare.node import Node
from legato.kernel.inputs import Found
from legato.kernel.state import RunState
from legato.ports.storage import Storage
from legato.ports.store import Store
from legato.runtime.dispatch import Dispatch
from legato.terms.attempt import Argument, Order, Ref
from legato.terms.codec import fingerprint, pack, unpack
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant


class ResultCache:
    """Looks for results of earlier runs, and remembers the keys of attempts under way.

    A key is made of what an attempt is given, when it is: what was looked for a moment before may have had other inputs.
    """

    def __init__(self, store: Store, dispatch: Dispatch, storages: Mapping[str, Storage]) -> None:
        self._store, self._dispatch, self._storages = store, dispatch, storages
        self._keys: dict[str, dict[int, str]] = {}
        self._remarks: dict[tuple[str, int], str] = {}

    def find(self, state: RunState, steps: Iterable[int], now: Instant) -> list[Found]:
        """What other runs made that counts as the results of these steps, which are ready: in the cache or, of assets, published
        since the plan was made."""
        found = (self._find(state, index, now) for index in steps)
        return [each for each in found if each is not None]

    def _find(self, state: RunState, index: int, now: Instant) -> Found | None:
        if state.plan.force or not state.takes(index) or index in state.fallback_due or state.lacks_key(index):
            return None
        if state.handling(index).outputs:
            run = self._dispatch.maker(state, index)
            return Found(index, run) if run and run != state.run_id else None
        if state.calls.of(index):  # a flow that has begun goes on
            return None
        try:
            order = self._dispatch.order(state, index, 0, "run")
            cache = self._dispatch.node(order.node).cache
        except LegatoError:  # its attempt will say so
            return None
        key = self._key(state, order)
        found = self._store.cached(key) if key and cache is not None else None
        if found is None or cache is None or (cache.ttl_s is not None and now - found.at > cache.ttl_s * 1e6):
            return None
        if found.kept is not None and (gone := self._gone(found.kept)):
            self._remarks[state.run_id, index] = f"what run {found.run} made is in the cache, but {gone}: it is made again"
            return None
        return Found(index, found.run, found.value, found.kept)

    def prepare(self, state: RunState, order: Order) -> Order:
        """The order, with what is to be said in its log. Its key is remembered if its result is to be found again."""
        keys = self._keys.setdefault(order.run, {})
        key = self._key(state, order) if order.mode == "run" else ""
        if key:
            keys[order.step] = key
        else:
            keys.pop(order.step, None)
        remark = self._remarks.pop((order.run, order.step), "")
        return replace(order, remark=remark) if remark else order

    def take_key(self, run: str, step: int) -> str:
        """The key of a step that has its result; empty if that is not to be found again."""
        return self._keys.get(run, {}).pop(step, "")

    def has_key(self, node: str) -> bool:
        """Whether the node has a key function of its own, as the project is now."""
        cache = self._dispatch.node(node).cache
        return cache is not None and bool(cache.key)

    def forget(self, run: str) -> None:
        """Drop what is remembered of a run that has ended."""
        self._keys.pop(run, None)

    def _key(self, state: RunState, order: Order) -> str:
        node = self._dispatch.node(order.node)
        inputs = state.keys.get(order.step) or _inputs(order)
        return "" if inputs is None or node.cache is None else fingerprint(node.name, _code(node), order.partition, inputs)

    def _gone(self, ref: Ref) -> str:
        storage = self._storages.get(ref.storage)
        if storage is None:
            return f"the project has no storage {ref.storage!r} any more"
        try:
            storage.load((ref,), Path)
        except LegatoError as error:
            return error.what
        return ""


def _code(node: Node) -> str:
    assert node.cache is not None
    return f"version {node.cache.version}" if node.cache.version else node.code


def _inputs(order: Order) -> list[object] | None:
    """What tells an order's inputs from others; None where something stored has no digest."""
    if not all(ref.digest for argument in order.arguments for ref in argument.refs):
        return None
    return [_mark(argument) for argument in sorted(order.arguments, key=lambda each: each.param)]


def _mark(argument: Argument) -> tuple[object, ...]:
    """Equal for equal values, whatever the order in which dicts hold their items."""
    value = None if argument.value is None else pack(unpack(argument.value, object))
    return argument.param, argument.many, value, [(ref.partition, ref.format, ref.digest) for ref in argument.refs]
