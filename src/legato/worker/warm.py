"""Tables that a worker has read before: reference data is asked for by every partition of what depends on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from legato.terms.attempt import Argument

MOST_BYTES = 16 * 2**20
"""How much a worker keeps, by what the tables take where they are stored."""
LARGEST_BYTES = MOST_BYTES // 4

_Key = tuple[Any, ...]


class Warm:
    """The polars tables read last. Stored versions never change, so a table that was read stays right.

    Each asker gets a clone of its own (no rows are copied): columns that it adds or replaces are not seen by the next.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, argument: Argument, kind: Any, load: Callable[[], Any]) -> Any:
        """The table that the argument names, read if it has to be; anything that is no polars table is always read."""
        size = sum(ref.size_bytes for ref in argument.refs)
        if not _is_frame(kind) or size > LARGEST_BYTES:
            return load()
        key = (argument.many, *((ref.storage, ref.location, ref.digest) for ref in argument.refs))
        known = self._tables.pop(key, None)
        if known is None:
            known = (load(), size)
            self._bytes += size
        self._tables[key] = known
        while self._bytes > MOST_BYTES:
            _, (_, gone) = self._tables.popitem(last=False)
            self._bytes -= gone
        return known[0].clone()


def _is_frame(kind: Any) -> bool:
    return getattr(kind, "__name__", "") == "DataFrame" and str(getattr(kind, "__module__", "")).startswith("polars")
