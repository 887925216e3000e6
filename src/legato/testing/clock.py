"""Time that only a test moves."""

from __future__ import annotations

from random import Random

from legato.terms.instant import Instant, after

MORNING = Instant(1_730_000_000_000_000)
"""2024-10-27 03:33:20 UTC."""


class VirtualClock:
    """A `Clock` that stands still until it is advanced, and whose noise follows from a seed."""

    def __init__(self, start: Instant = MORNING, seed: int = 0) -> None:
        self._now = start
        self._random = Random(seed)

    def now(self) -> Instant:
        """The present instant."""
        return self._now

    def noise(self, bits: int) -> int:
        """The next so many bits of the seed's sequence."""
        return self._random.getrandbits(bits)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.advance_to(after(self._now, seconds))

    def advance_to(self, instant: Instant) -> None:
        """Let time pass until then; an instant that is over changes nothing."""
        self._now = max(self._now, instant)

    def set(self, instant: Instant) -> None:
        """Set the clock, also backwards: as a system's clock may be, between the end of one process and the start of the next."""
        self._now = instant
