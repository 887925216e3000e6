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


def replacing(module: Any, name: str, value: Any, act: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """The rule, with one name of its module replaced while it runs."""

    def acting(turn: Any, told: Any) -> None:
        former = getattr(module, name)
        setattr(module, name, value)
        try:
            act(turn, told)
        finally:
            setattr(module, name, former)

    return acting
