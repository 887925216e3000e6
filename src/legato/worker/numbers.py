"""The number of a call among equal ones, from a table of eight bytes a call: a flow may make a million."""

from __future__ import annotations

from array import array

_SMALLEST = 1 << 10


class Numbers:
    """Counts digests, of which it remembers the first eight bytes: in an open table that is never more than half full."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _SMALLEST))
        self._count = 0
        self._repeats: dict[int, int] = {}

    def next(self, digest: bytes) -> int:
        """How many equal ones there were before this one."""
        short = int.from_bytes(digest[:8], "little") or 1  # 0 is an empty place
        if self._is_new(short):
            return 0
        self._repeats[short] = number = self._repeats.get(short, 0) + 1
        return number

    def _is_new(self, short: int) -> bool:
        table, last = self._table, len(self._table) - 1
        place = short & last
        while found := table[place]:
            if found == short:
                return False
            place = (place + 1) & last
        table[place] = short
        self._count += 1
        if 2 * self._count > len(table):
            self._grow()
        return True

    def _grow(self) -> None:
        former, self._table, self._count = self._table, array("Q", bytes(16 * len(self._table))), 0
        for short in filter(None, former):
            self._is_new(short)
