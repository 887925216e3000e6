"""Ctrl-C and SIGTERM: once, what runs may end; twice, everything stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopper:
    """Counts the requests to stop. Before a run has begun the first one ends the command, as anywhere."""

    def __init__(self) -> None:
        self._presses = 0
        self._told = False
        self._drain: Callable[[], None] | None = None

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Take the signals while the block runs."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def serve(self, drain: Callable[[], None]) -> None:
        """From here on the first request drains."""
        self._drain = drain

    def news(self) -> str:
        """What to tell people since the last call; empty if nothing."""
        if not self._presses or self._told:
            return ""
        self._told = True
        return "stopping: what runs may end; press Ctrl-C again to stop at once"

    def raise_if_hurried(self) -> None:
        """Leave now, after the second request: also where user code in this process has swallowed the interrupt."""
        if self._presses > 1:
            raise KeyboardInterrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        # Nothing is printed here: the signal may have come in the middle of a line
        self._presses += 1
        if self._drain is None or self._presses > 1:
            raise KeyboardInterrupt
        self._drain()
