"""A map's calls: bound once, and then made for many items at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        values: list[Item] = []
        digests = []
        begin, after, arguments = self._before.copy, self._after, self._arguments
        for place, item in enumerate(items):
            if self._is_partitioned:
                partition = partition_key(item, self._shape)
                mark, alone[place] = partition.encode(), replace(self._call, partition=partition)
            elif arguments.is_future(item):
                mark = framed(mark_of_future(item))
                alone[place] = replace(self._call, inputs=(*self._call.inputs, (self._over, item.key)))
            else:
                value, marked = arguments.store(self._shape, self._over, self._kind, item)
                mark = framed(marked)
                values.append(value)
            digest = begin()
            digest.update(mark + after)
            digests.append(digest.digest())
        keys = keys_of(digests)
        calls = [replace(call, keys=(keys[place],)) for place, call in alone.items()]
        if values:
            mine = tuple(key for place, key in enumerate(keys) if place not in alone) if alone else tuple(keys)
            calls.append(replace(self._call, keys=mine, over=self._over, items=tuple(values)))
        return keys, calls
