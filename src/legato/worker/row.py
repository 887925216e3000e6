"""A map's calls: bound once, and then made for many items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from legato.terms.attempt import Call, Item
from legato.worker.arguments import Arguments, Shape, framed, mark_of_future, partition_key


class Row:
    """The calls of a map: bound but for the first argument, for which there are many items."""

    def __init__(self, arguments: Arguments, shape: Shape, shared: Mapping[str, Any]) -> None:
        given = shape.match((None,), shared)
        self._arguments, self._shape = arguments, shape
        self._over = shape.positional[0]
        del given[self._over]
        self._is_partitioned = self._over == shape.partition
        partition = "" if self._is_partitioned else shape.take_partition(given)
        bound, inputs, marks = arguments.hand(shape, given)
        self._call = Call((), shape.node.name, partition, bound, inputs)
        place = 0 if self._is_partitioned else [param for param, *_ in shape.inputs].index(self._over)
        self._kind = None if self._is_partitioned else shape.inputs[place][1]
        self._before = shape.identity.copy()
        self._before.update(partition.encode() + b"".join(marks[:place]))
        self._after = b"".join(marks[place:] if self._is_partitioned else marks[place + 1 :])

    def calls(self, items: Sequence[Any], keys_of: Callable[[list[bytes]], list[bytes]]) -> tuple[list[bytes], list[Call]]:
        """The keys for these items, in their order, and the calls: one for all values that are handed over."""
        alone: dict[int, Call] = {}
        values: Sequence[Item] = ()
        if self._is_partitioned:
            partitions = [partition_key(item, self._shape) for item in items]
            alone = {place: replace(self._call, partition=partition) for place, partition in enumerate(partitions)}
            marks = [partition.encode() for partition in partitions]
        else:
            values, marks = self._hand(items, alone)
        keys = keys_of(self._digests(marks))
        calls = [replace(call, keys=(keys[place],)) for place, call in alone.items()]
        if values:
            mine = tuple(key for place, key in enumerate(keys) if place not in alone) if alone else tuple(keys)
            calls.append(replace(self._call, keys=mine, over=self._over, items=tuple(values)))
        return keys, calls

    def _hand(self, items: Sequence[Any], alone: dict[int, Call]) -> tuple[Sequence[Item], list[bytes]]:
        """The values that are handed over, and the mark of every item; a result that is passed on unseen is called with alone."""
        arguments, futures = self._arguments, {}
        if arguments.may_wait(items):
            futures = {place: item for place, item in enumerate(items) if arguments.is_future(item)}
        there = [item for place, item in enumerate(items) if place not in futures] if futures else items
        values, marks = arguments.store_all(self._shape, self._over, self._kind, there)
        for place, future in futures.items():  # in the order of places
            marks.insert(place, mark_of_future(future))
            alone[place] = replace(self._call, inputs=(*self._call.inputs, (self._over, future.key)))
        return values, list(map(framed, marks))

    def _digests(self, marks: Iterable[bytes]) -> list[bytes]:
        begin, after, digests = self._before.copy, self._after, []
        for mark in marks:
            digest = begin()
            digest.update(mark + after)
            digests.append(digest.digest())
        return digests
