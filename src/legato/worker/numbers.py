"""What tells equal calls apart: their number, from a table of eight bytes a place, since a flow may make a million."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

DIGEST_BYTES = 16
_SMALLEST, _GROWTH = 1 << 13, 4


class Numbers:
    """Counts digests, of which it remembers the first eight bytes: in an open table that is never more than half full."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _SMALLEST))
        self._count = 0
        self._repeats: dict[bytes, int] = {}

    def keys(self, digests: Sequence[bytes]) -> list[bytes]:
        """A key for each digest: itself at first, and later with the number of equal ones before."""
        keys = list(digests)
        for at in self._add(array("Q", b"".join(digests))[::2]):
            short = digests[at][:8]
            number = self._repeats[short] = self._repeats.get(short, 0) + 1
            keys[at] = b"%b-%d" % (digests[at], number)
        return keys

    def _add(self, shorts: Sequence[int]) -> Iterable[int]:
        """Remember these; the places of those that were known."""
        while 2 * (self._count + len(shorts)) > len(self._table):
            self._grow()
        table, last, known = self._table, len(self._table) - 1, []
        for at, each in enumerate(shorts):
            short = each or 1  # 0 is an empty place
            place = short & last
            while (found := table[place]) and found != short:
                place = (place + 1) & last
            if found:
                known.append(at)
            else:
                table[place] = short
        self._count += len(shorts) - len(known)
        return known

    def _grow(self) -> None:
        former, self._table, self._count = self._table, array("Q", bytes(8 * _GROWTH * len(self._table))), 0
        self._add(array("Q", filter(None, former)))
