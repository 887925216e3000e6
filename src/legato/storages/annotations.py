"""Annotations of parameters: what they allow, and how people write them."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

ANYTHING = (Any, object)


def options_of(kind: Any) -> tuple[Any, ...]:
    """The plain annotations that an annotation allows: `Annotated`, unions and type aliases are opened."""
    origin = get_origin(kind)
    if origin is Annotated:
        return options_of(kind.__origin__)
    if origin in (Union, UnionType):
        return tuple(option for each in get_args(kind) for option in options_of(each))
    alias = getattr(kind, "__value__", None) or getattr(kind, "__supertype__", None)  # `type X = ...`, NewType
    return options_of(alias) if alias is not None else (kind,)


def allows_anything(kind: Any) -> bool:
    """Whether a value may come in its natural type."""
    return any(option in ANYTHING for option in options_of(kind))


def word(kind: Any) -> str:
    """An annotation as people write it."""
    if not isinstance(kind, type) or get_origin(kind) is not None:
        return str(kind).removeprefix("typing.")
    library = kind.__module__.partition(".")[0].lstrip("_")
    return kind.__qualname__ if library in ("builtins", "typing") else f"{library}.{kind.__qualname__}"
