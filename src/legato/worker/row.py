"""A map's calls: bound once, and then made for many items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from legato.terms.attempt import Call
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

    def calls(self, items: Iterable[Any], key_of: Callable[[bytes], bytes]) -> tuple[list[bytes], list[Call]]:
        """The keys for these items, in their order, and the calls: one for all values that are handed over."""
        keys, mine, values, calls = [], [], [], []
        for item in items:
            if self._is_partitioned:
                partition = partition_key(item, self._shape)
                keys.append(key := key_of(self._digest(partition.encode())))
                calls.append(replace(self._call, keys=(key,), partition=partition))
            elif self._arguments.is_future(item):
                keys.append(key := key_of(self._digest(framed(mark_of_future(item)))))
                calls.append(replace(self._call, keys=(key,), inputs=(*self._call.inputs, (self._over, item.key))))
            else:
                value, mark = self._arguments.store(self._shape, self._over, self._kind, item)
                keys.append(key := key_of(self._digest(framed(mark))))
                mine.append(key)
                values.append(value)
        if mine:
            calls.append(replace(self._call, keys=tuple(mine), over=self._over, items=tuple(values)))
        return keys, calls

    def _digest(self, mark: bytes) -> bytes:
        digest = self._before.copy()
        digest.update(mark + self._after)
        return digest.digest()
