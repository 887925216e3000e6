"""What a plan takes over from earlier runs, and what it makes anew in any case."""

from __future__ import annotations

from msgspec import Struct

Spot = tuple[str, str]
"""A node and a partition."""


class Again(Struct, frozen=True):
    """Which steps are made `anew`, and which are reused: `recorded` ones unless what they read runs, `pinned` ones always."""

    anew: frozenset[Spot] = frozenset()
    recorded: frozenset[Spot] = frozenset()
    pinned: frozenset[Spot] = frozenset()
