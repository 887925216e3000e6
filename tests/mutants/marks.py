"""Deliberately broken variants of the product, one function each: it breaks what its docstring says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Mutant = Callable[[Any], None]

RINGS_OF: dict[Mutant, tuple[str, ...]] = {}


def caught_by(*rings: str) -> Callable[[Mutant], Mutant]:
    """Each of these rings, on its own, must catch the mutant."""

    def note(mutant: Mutant) -> Mutant:
        RINGS_OF[mutant] = rings
        return mutant

    return note
