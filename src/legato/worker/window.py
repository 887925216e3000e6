"""Calls over many items: made as the earlier ones end, so that neither side ever holds more than a window of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from legato.terms.attempt import Answer
from legato.worker.pending import wake

if TYPE_CHECKING:
    import asyncio

WINDOW = 4_000
"""How many calls of one map are under way at once: enough that the next commit finds much to record, however short they are."""
WINDOW_BYTES = 16 * 2**20
"""How much all of them together may be called with; so there are fewer of them where items are large."""
FEWEST = 1_000
"""How many may be under way at once however large they are."""
CHUNK = 1_000
"""How many are made together at most: they travel and are recorded together. Never more than a quarter of the window. The first
ones are fewer, so that work on them begins while the others are made."""
_FIRST = 50

Begin = Callable[["Window", Sequence[Any]], tuple[list[bytes], int]]
"""Makes calls for these items, whose ends the window is to be told; their keys, in this order, and how many bytes they carry."""


class Window:
    """One `map`: results in the order of the items. After the first failure that is seen no more calls are made.

    `read` gives the value of a call that has ended, or raises its error.
    """

    def __init__(self, items: Iterable[Any], begin: Begin, read: Callable[[Answer], Any]) -> None:
        self._items = iter(items)
        self._begin, self._read = begin, read
        self._open: dict[bytes, int] = {}
        self._errors: dict[int, Exception] = {}
        self._results: list[Any] = []
        self._has_more = True
        self._size_bytes, self._most, self._chunk = 0, WINDOW, _FIRST
        self.wakers: list[asyncio.Future[None]] = []

    def go_on(self) -> bool:
        """Make as many calls as there is room for; whether there is anything left to wait for."""
        while self._has_more and not self._errors and self._has_room():
            items: list[Any] = []
            try:
                for item in islice(self._items, self._chunk):
                    items.append(item)  # noqa: PERF402 - what was drawn is called, also where the next one raises
                self._has_more = len(items) == self._chunk
            finally:
                self._make(items)
            self._chunk = min(CHUNK, 4 * self._chunk, self._most // 4)
        return self.is_stuck()

    def _make(self, items: list[Any]) -> None:
        keys, size_bytes = self._begin(self, items)
        self._open.update(zip(keys, range(len(self._results), len(self._results) + len(keys)), strict=True))
        self._results += [None] * len(keys)
        self._size_bytes += size_bytes
        mean_bytes = self._size_bytes / max(1, len(self._results))
        self._most = max(FEWEST, min(WINDOW, int(WINDOW_BYTES / max(1, mean_bytes))))

    def _has_room(self) -> bool:
        return len(self._open) + self._chunk <= self._most

    def is_stuck(self) -> bool:
        """Whether nothing can be done before more calls have ended."""
        if self._errors:
            first = min(self._errors)
            return any(place < first for place in self._open.values())
        return not self._has_room() if self._has_more else bool(self._open)

    def waits(self) -> list[bytes]:
        """The last ones made: a flow that gives its process back meanwhile is entered again when most are over, not at each."""
        waiting = list(self._open)
        return waiting[-max(1, len(waiting) // 4) :]

    def results(self) -> list[Any]:
        """All results; or the error of the first item that failed, raised, after which nobody asks for the others."""
        if not self._errors:
            return self._results
        raise self._errors[min(self._errors)]

    def end(self, answer: Answer) -> None:
        """Take an outcome."""
        place = self._open.pop(answer.key)
        try:
            self._results[place] = self._read(answer)
        except Exception as error:
            self._errors[place] = error
        if self.wakers and not self.is_stuck():
            wake(self.wakers)
