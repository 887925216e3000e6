"""The workers of an edition that has none for now: no places, nothing to tell."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from contextlib import suppress

from legato.terms.attempt import Answers, Order, Report, Returned


class Asleep:
    """An executor with no places. What is handed to it all the same comes back."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._returned: list[Report] = []

    def workers(self) -> int:
        """None."""
        return 0

    def load(self) -> Sequence[float]:
        """No worker may take anything."""
        return ()

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Give the orders back."""
        self._returned += [Returned(order.run, order.step, order.token) for order in orders]
        self.wake()

    def free_for_flows(self) -> Sequence[int]:
        """No place takes a flow."""
        return ()

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """No place holds anything."""
        return None

    def answer(self, answers: Sequence[Answers]) -> None:
        """There is no flow to tell."""

    def recall(self) -> None:
        """There is nothing to give back."""

    def kill(self, run: str, step: int, token: int) -> None:
        """There is nothing to stop."""

    def poll(self, timeout_s: float) -> list[Report]:
        """What came back; waits so long for `wake`."""
        if not self._returned:
            select.select([self._bell], [], [], max(0.0, timeout_s))
        with suppress(BlockingIOError):  # nobody called
            os.eventfd_read(self._bell)
        returned, self._returned = self._returned, []
        return returned

    def fileno(self) -> int:
        """Readable after `wake`."""
        return self._bell

    def wake(self) -> None:
        """Make a `poll` that waits return now; safe from a signal handler."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """There is nothing to stop."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
