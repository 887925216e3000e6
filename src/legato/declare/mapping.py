"""Which partitions of an input one partition of an asset needs: plain records, given their meaning by `plan/spread`."""

from __future__ import annotations

from collections import abc

from msgspec import Struct

from legato.terms.errors import LegatoError


class Same(Struct, frozen=True, tag="same"):
    """The partition with the same key."""


class Overlap(Struct, frozen=True, tag="overlap"):
    """Every time window that shares an instant: a month needs its days, a day needs its month."""


class LookBack(Struct, frozen=True, tag="look_back"):
    """`count` windows of the same cut, the newest of them `skip` before this one. Clipped at the input's start."""

    count: int
    skip: int = 0


class All(Struct, frozen=True, tag="all"):
    """Every partition there is."""


class Subset(Struct, frozen=True, tag="subset"):
    """Only these keys of these dimensions of the input (`keys` where it has just one); the others by default."""

    fixed: tuple[tuple[str, tuple[str, ...]], ...]


class Explicit(Struct, frozen=True, tag="explicit"):
    """Each key of the asset with the keys of the input that it needs; a key that is not listed needs none."""

    table: tuple[tuple[str, tuple[str, ...]], ...]


class ByDimension(Struct, frozen=True, tag="by_dimension"):
    """A mapping for each named dimension of the input; the others by default."""

    parts: tuple[tuple[str, Mapping], ...]


Mapping = Same | Overlap | LookBack | All | Subset | Explicit | ByDimension


def same() -> Same:
    """Needs the partition with the same key."""
    return Same()


def overlap() -> Overlap:
    """Needs every time window that shares an instant with this one."""
    return Overlap()


def look_back(count: int, skip: int = 0) -> LookBack:
    """Needs this window and the `count - 1` before it; with `skip=1` the `count` windows before this one."""
    if count < 1 or skip < 0:
        raise LegatoError(
            "mapping", f"look_back({count}, skip={skip}) names no window",
            why="it counts windows back from this one: at least one, skipping none or more",
            next="write for example look_back(7), or look_back(1, skip=1) for the window before",
        )  # fmt: skip
    return LookBack(count, skip)


def all_partitions() -> All:
    """Needs every partition of the input."""
    return All()


def subset(**keys: abc.Iterable[str]) -> Subset:
    """Needs only these keys: `subset(airport=["EWR"])`, or `subset(keys=["EWR"])` for an input that is no product."""
    if not keys or not all(keys.values()):
        raise LegatoError("mapping", "subset() names no keys", next='write for example subset(airport=["EWR"])')
    return Subset(tuple((name, _as_keys(chosen)) for name, chosen in keys.items()))


def explicit(table: abc.Mapping[str, abc.Iterable[str]]) -> Explicit:
    """Needs what the table says: key of the asset -> keys of the input."""
    return Explicit(tuple((key, _as_keys(needed)) for key, needed in table.items()))


def by_dimension(**parts: Mapping) -> ByDimension:
    """Needs what each dimension's mapping says: `by_dimension(day=look_back(2))`."""
    return ByDimension(tuple(parts.items()))


def _as_keys(keys: abc.Iterable[str]) -> tuple[str, ...]:
    """A lone text counts as one key, not as its letters."""
    return (keys,) if isinstance(keys, str) else tuple(keys)
