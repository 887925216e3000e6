"""Time, identity and chance, as one port: a test hands in its own."""

from __future__ import annotations

from typing import Protocol

from legato.terms.instant import Instant


class Clock(Protocol):
    """The world's clock.

    `now` never goes backwards within a process, whatever is done to the system's clock, and advances at the pace of
    real time. `noise` gives so many random bits.
    """

    def now(self) -> Instant:
        """The present instant."""
        ...

    def noise(self, bits: int) -> int:
        """A random number of so many bits."""
        ...
