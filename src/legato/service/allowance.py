"""How much a look may read: so a quick look takes the same time, however much there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

UNLIMITED = (1 << 62) - 1


class UsedUp(Exception):
    """There is more than may be read."""


class Allowance:
    """So many things may be read, and no more; each look has one of its own."""

    def __init__(self, left: int = UNLIMITED) -> None:
        self.left = left

    def take(self, number: int = 1) -> None:
        """Count what is read; `UsedUp` if it is more than is left, and then nothing was taken."""
        if number > self.left:
            raise UsedUp
        self.left -= number

    def each(self, found: Iterable[T]) -> Iterator[T]:
        """These things, each one counted; `UsedUp` at the first that is too much."""
        for one in found:
            self.take()
            yield one
