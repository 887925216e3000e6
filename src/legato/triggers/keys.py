"""Sets of partition keys that may be "all but these": what a moment is about, and what of it has come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from legato.terms.key import NO_PARTITION


class Keys(NamedTuple):
    """Some partition keys; with `rest`, all keys but these. What is not partitioned has the one key ""."""

    named: frozenset[str] = frozenset()
    rest: bool = False

    def __bool__(self) -> bool:
        """Whether it holds any key."""
        return self.rest or bool(self.named)


NONE, ALL, WHOLE = Keys(), Keys(rest=True), Keys(frozenset((NO_PARTITION,)))


def of(keys: Iterable[str]) -> Keys:
    """These keys."""
    return Keys(frozenset(keys))


def other(keys: Keys) -> Keys:
    """All other keys."""
    return Keys(keys.named, not keys.rest)


def both(left: Keys, right: Keys) -> Keys:
    """What is in both."""
    if left.rest and right.rest:
        return Keys(left.named | right.named, True)
    if left.rest:
        return Keys(right.named - left.named)
    return Keys(left.named - right.named if right.rest else left.named & right.named)


def union(left: Keys, right: Keys) -> Keys:
    """What is in either."""
    return other(both(other(left), other(right)))


def minus(left: Keys, right: Keys) -> Keys:
    """What is in the left one only."""
    return both(left, other(right))
