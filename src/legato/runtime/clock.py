"""The real world's clock."""

from __future__ import annotations

import os
import time

from legato.terms.instant import Instant


class SystemClock:
    """Starts at the system's time and then advances with the monotonic clock, so setting the system's clock changes nothing."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now(self) -> Instant:
        """The present instant; it never goes backwards."""
        return Instant((time.monotonic_ns() + self._offset_ns) // 1000)

    def noise(self, bits: int) -> int:
        """Random bits from the operating system."""
        return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)
