"""Partition sets: how an asset is cut into slices, and how keys and coordinates of slices turn into one another.

Sets of slices are regions of integer coordinates (`declare/region`), so ten years of days cost as much as one day. The
keys of dynamic sets come from outside, as `dynamic: name -> keys in order of arrival`.
"""

from __future__ import annotations

from datetime import datetime
from itertools import product as combine
from shlex import quote

from msgspec import Struct

from legato.declare.keyed import Dynamic, DynamicKeys, Static, dynamic, key_not_found, static
from legato.declare.mapping import (
    All,
    ByDimension,
    Explicit,
    LookBack,
    Mapping,
    Overlap,
    Same,
    Subset,
    all_partitions,
    by_dimension,
    explicit,
    look_back,
    overlap,
    same,
    subset,
)
from legato.declare.partition import BETWEEN, Partition, key_fault
from legato.declare.region import (
    EMPTY,
    WHOLE,
    Box,
    Coord,
    Range,
    Region,
    contains,
    coords,
    difference,
    intersection,
    of_coords,
    region,
    size,
    slabs,
    union,
)
from legato.declare.windows import Cut, Windows, daily, hourly, monthly, weekly
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant

__all__ = [
    "BETWEEN", "EMPTY", "WHOLE", "All", "Box", "ByDimension", "Coord", "Cut", "Dimension", "Dynamic", "DynamicKeys",
    "Explicit", "LookBack", "Mapping", "Overlap", "Partition", "Partitions", "Product", "Range", "Region", "Same",
    "Static", "Subset", "Windows", "all_partitions", "by_dimension", "contains", "coord_of", "coords", "daily",
    "describe", "difference", "dimensions", "dynamic", "explicit", "extent", "hourly", "intersection", "key_fault",
    "key_of", "keys", "keys_between", "length", "look_back", "monthly", "of_coords", "overlap", "parse_region",
    "partition_of", "place_of", "product", "region", "same", "size", "static", "subset", "union", "weekly",
    "window_of",
]  # fmt: skip

Dimension = Windows | Static | Dynamic


class Product(Struct, frozen=True, tag="product"):
    """Every combination of the keys of several named dimensions; key texts are joined by `|`."""

    parts: tuple[tuple[str, Dimension], ...]

    def partition(self, key: str) -> Partition:
        """The whole partition of a key, as a function receives it."""
        texts = _split(self, key)
        slices = [part.partition(text) for (_, part), text in zip(self.parts, texts, strict=True)]
        names = [name for name, _ in self.parts]
        windows = {name: each.windows[""] for name, each in zip(names, slices, strict=True) if each.windows}
        return Partition(key, dict(zip(names, texts, strict=True)), windows)

    def keys(self) -> list[str]:
        """All keys, in order of the dimensions; `LegatoError` (`partition-keys`) where a dimension cannot list its own."""
        return [BETWEEN.join(texts) for texts in combine(*(part.keys() for _, part in self.parts))]


Partitions = Windows | Static | Dynamic | Product


def product(**parts: Dimension) -> Product:
    """A partition for every combination of keys: `product(day=days, airport=airports)`."""
    for name, part in parts.items():
        if not isinstance(part, Dimension):
            raise LegatoError(
                "partitions", f"dimension {name!r} of a product is a {type(part).__name__}",
                why="a dimension is cut by time or by keys; products do not nest",
                next="give all dimensions to one product()",
            )  # fmt: skip
    if not parts:
        raise LegatoError(
            "partitions", "a product has no dimensions", next="write for example product(day=days, airport=airports)"
        )
    return Product(tuple(parts.items()))


def dimensions(parts: Partitions | None) -> tuple[tuple[str, Dimension], ...]:
    """The dimensions with their names: none for what is not partitioned, one named "" for all but products."""
    if parts is None:
        return ()
    return parts.parts if isinstance(parts, Product) else (("", parts),)


def length(part: Dimension, dynamic: DynamicKeys, now: Instant) -> int:
    """How many keys a dimension has."""
    if isinstance(part, Windows):
        return part.count(now)
    return len(part.listed) if isinstance(part, Static) else len(dynamic.get(part.name, ()))


def extent(parts: Partitions | None, dynamic: DynamicKeys, now: Instant) -> Region:
    """All partitions there are; of windows without end, those that are over at `now`."""
    return region([tuple((0, length(part, dynamic, now)) for _, part in dimensions(parts))])


def key_of(parts: Partitions | None, coord: Coord, dynamic: DynamicKeys) -> str:
    """The key at a coordinate; "" for what is not partitioned."""
    return "".join(keys(parts, (tuple((place, place + 1) for place in coord),), dynamic))


def coord_of(parts: Partitions | None, key: str, dynamic: DynamicKeys) -> Coord:
    """The coordinate of a key; `NotFound` (`partition-key`) says what is valid."""
    cut = dimensions(parts)
    if not cut:
        if key:
            raise NotFound(
                "partition-key", f"there is no partition {key!r}", why="it is not partitioned", next="leave the key out"
            )
        return ()
    texts = _split(parts, key)
    return tuple(place_of(part, text, dynamic) for (_, part), text in zip(cut, texts, strict=True))


def place_of(part: Dimension, key: str, dynamic: DynamicKeys) -> int:
    """The place of a key in its dimension; `NotFound` (`partition-key`) says what is valid."""
    if not isinstance(part, Dynamic):
        return part.index(key)
    known = dynamic.get(part.name, ())
    try:
        return known.index(key)
    except ValueError:
        raise key_not_found(key, known, f"legato keys {part.name} --add {quote(key)}") from None


def keys(parts: Partitions | None, of: Region, dynamic: DynamicKeys) -> list[str]:
    """The keys of a region, in order of their coordinates."""
    return _keys(tuple(part for _, part in dimensions(parts)), of, dynamic)


def window_of(parts: Partitions | None, coord: Coord) -> tuple[datetime, datetime]:
    """Start and end of the only time window at a coordinate, as aware datetimes in its zone."""
    cut = zip(dimensions(parts), coord, strict=True)
    times = [(part, place) for (_, part), place in cut if isinstance(part, Windows)]
    if len(times) != 1:
        count = "several time windows" if times else "no time window"
        raise LegatoError(
            "partition-window", f"a partition has {count} where the asset is {describe(parts)}", next="ask one dimension"
        )
    return times[0][0].window(times[0][1])


def partition_of(parts: Partitions | None, key: str) -> Partition:
    """The whole partition of a key, as a function receives it. Keys of dynamic sets are taken on trust."""
    return Partition(key) if parts is None else parts.partition(key)


def describe(parts: Partitions | None) -> str:
    """The partitions in a few words for people: `daily from 2013-01-01 to 2013-12-31`."""
    match parts:
        case None:
            return "not partitioned"
        case Windows():
            return f"{parts.cut} {parts.reach()}" + ("" if parts.tz == "UTC" else f" ({parts.tz})")
        case Static():
            return f"{len(parts.listed)} static key" + ("" if len(parts.listed) == 1 else "s")
        case Dynamic():
            return f"dynamic keys {parts.name}"
        case Product():
            return " x ".join(f"{name} ({describe(part)})" for name, part in parts.parts)


def parse_region(parts: Partitions | None, text: str, dynamic: DynamicKeys, now: Instant) -> Region:
    """The region that a person wrote, never empty; `NotFound` (`partition-key`) says what is valid.

    `2013-01-05` is one key; `2013-01` or `2013` all windows that start in it; `a..b` from a to b, both included, either
    may be left out; `*` all; `x|y` one of these for each dimension; commas stand between several.
    """
    cut = dimensions(parts)
    if not cut:
        coord_of(parts, text, dynamic)
        return WHOLE
    return region(
        tuple(_span(part, each, dynamic, now) for (_, part), each in zip(cut, _split(parts, item), strict=True))
        for item in text.split(",")
    )


def _span(part: Dimension, text: str, dynamic: DynamicKeys, now: Instant) -> Range:
    """The part of a dimension that a text names, within its extent and not empty."""
    count = length(part, dynamic, now)
    if text == "*":
        low, high = 0, count
    elif text.count("..") == 1:
        begin, _, end = text.partition("..")
        low = _span(part, begin, dynamic, now)[0] if begin else 0
        high = _span(part, end, dynamic, now)[1] if end else count
        if low >= high and begin and end:
            raise NotFound("partition-key", f"{text!r} ends before it starts", next=f"write {end}..{begin}")
    else:
        period = part.period(text) if isinstance(part, Windows) else (0, 0)
        low, high = period if period[0] < period[1] else _one(place_of(part, text, dynamic))
    high = min(high, count)
    if low >= high:
        known = keys_between(part, max(0, count - 1), count, dynamic)
        why = f"the last one now is {known[0]}" if known else "there are none yet"
        raise NotFound("partition-key", f"there is no partition in {text!r}", why=why, next="name one that is there")
    return low, high


def _one(place: int) -> Range:
    return place, place + 1


def keys_between(part: Dimension, low: int, high: int, dynamic: DynamicKeys) -> list[str]:
    """The keys of a range of one dimension."""
    if isinstance(part, Windows):
        return part.keys_between(low, high)
    return list((part.listed if isinstance(part, Static) else dynamic.get(part.name, ()))[low:high])


def _keys(parts: tuple[Dimension, ...], of: Region, dynamic: DynamicKeys) -> list[str]:
    if of == WHOLE:
        return [""]
    if len(parts) == 1:
        return [key for ((low, high),) in of for key in keys_between(parts[0], low, high, dynamic)]
    found: list[str] = []
    for (low, high), rest in slabs(of):
        tails = _keys(parts[1:], rest, dynamic)
        found += [head + BETWEEN + tail for head in keys_between(parts[0], low, high, dynamic) for tail in tails]
    return found


def _split(parts: Partitions | None, key: str) -> list[str]:
    """The key's text for each dimension."""
    if not isinstance(parts, Product):
        return [key]
    texts = key.split(BETWEEN)
    if len(texts) != len(parts.parts):
        pattern = BETWEEN.join(name for name, _ in parts.parts)
        raise NotFound(
            "partition-key", f"there is no partition {key!r}", why=f"keys have {len(parts.parts)} parts here: {pattern}",
            next="write all parts",
        )  # fmt: skip
    return texts
