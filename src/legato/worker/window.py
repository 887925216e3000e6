"""Calls over many items: made as the earlier ones end, so that neither side ever holds more than a window of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from legato.worker.pending import Pending, wake

if TYPE_CHECKING:
    import asyncio

WINDOW = 1_000
"""How many calls of one map are under way at once."""
CHUNK = 250
"""How many have to end before more are made: they travel together."""


class Window:
    """One `map`: results in the order of the items. After the first failure that is seen no more calls are made."""

    def __init__(self, items: Iterable[Any], begin: Callable[[Any], Pending]) -> None:
        self._items = iter(items)
        self._begin = begin
        self._open: dict[int, Pending] = {}
        self._errors: dict[int, Exception] = {}
        self._results: list[Any] = []
        self._has_more = True
        self.wakers: list[asyncio.Future[None]] = []

    def go_on(self) -> bool:
        """Make as many calls as there is room for; whether there is anything left to wait for."""
        if self._has_more and not self._errors and len(self._open) <= WINDOW - CHUNK:
            for item in self._items:
                pending = self._begin(item)
                pending.on_end = partial(self._end, len(self._results))
                self._open[len(self._results)] = pending
                self._results.append(None)
                if len(self._open) >= WINDOW:
                    break
            else:
                self._has_more = False
        return self.is_stuck()

    def is_stuck(self) -> bool:
        """Whether nothing can be done before more calls have ended."""
        if self._errors:
            first = min(self._errors)
            return any(place < first for place in self._open)
        return len(self._open) > WINDOW - CHUNK if self._has_more else bool(self._open)

    def waits(self) -> list[Pending]:
        """The last ones made: a flow that gives its process back meanwhile is entered again when most are over, not at each."""
        waiting = list(self._open.values())
        return waiting[-max(1, len(waiting) // 4) :]

    def results(self) -> list[Any]:
        """All results; or the error of the first item that failed, raised, after which nobody asks for the others."""
        if not self._errors:
            return self._results
        for pending in self._open.values():
            pending.is_seen = True
        raise self._errors[min(self._errors)]

    def _end(self, place: int, pending: Pending) -> None:
        del self._open[place]
        try:
            self._results[place] = pending.result()
        except Exception as error:
            self._errors[place] = error
        if not self.is_stuck():
            wake(self.wakers)
