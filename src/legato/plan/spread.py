"""Which partitions of an input a partition needs, and the other way round: pure arithmetic on regions.

A mapping between two partition sets is settled once (`plan/links`); after that any box spreads at a cost that follows
the number of ranges. Only `Explicit` costs by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from itertools import product as combine

from legato.declare.partitions import (
    EMPTY,
    All,
    Box,
    Coord,
    Dimension,
    Dynamic,
    DynamicKeys,
    Explicit,
    LookBack,
    Mapping,
    Overlap,
    Partitions,
    Range,
    Region,
    Subset,
    Windows,
    contains,
    coords,
    extent,
    intersection,
    length,
    of_coords,
    place_of,
    region,
    size,
)
from legato.plan.links import Link, ahead, default_mapping, fault, pieces, settle
from legato.terms.errors import NotFound
from legato.terms.instant import Instant

__all__ = ["Extents", "Spread", "default_mapping", "downstream", "fault", "upstream"]

Move = Callable[[Range], Sequence[Range]]
Rows = dict[Coord, list[Coord]]

ANY: Range = (0, 1)
"""Stands in for the asset's dimension where none decides."""


def upstream(mapping: Mapping | None, down: Partitions | None, up: Partitions | None, box: Box, extents: Extents) -> Region:
    """What a box of the asset (`down`) needs of its input (`up`), as far as it exists."""
    return extents.spread(mapping, down, up).upstream(box)


def downstream(mapping: Mapping | None, down: Partitions | None, up: Partitions | None, box: Box, extents: Extents) -> Region:
    """What of the asset (`down`) needs any of this box of its input (`up`), as far as it exists."""
    return extents.spread(mapping, down, up).downstream(box)


class Extents:
    """What exists at one moment: the keys of dynamic sets and the present instant, with what was worked out from them."""

    def __init__(self, dynamic: DynamicKeys, now: Instant) -> None:
        self.dynamic, self.now = dynamic, now
        self._regions: dict[int, tuple[object, Region]] = {}
        self._spreads: dict[tuple[int, int, int], tuple[object, Spread]] = {}
        self._places: dict[str, dict[str, int]] = {}

    def of(self, parts: Partitions | None) -> Region:
        """All partitions that exist."""
        known = self._regions.get(id(parts))
        if known is None:
            known = self._regions[id(parts)] = (parts, extent(parts, self.dynamic, self.now))
        return known[1]

    def spread(self, mapping: Mapping | None, down: Partitions | None, up: Partitions | None) -> Spread:
        """The mapping, settled between these two. Kept by identity: to compare records may cost by key."""
        name = (id(mapping), id(down), id(up))
        known = self._spreads.get(name)
        if known is None:
            known = self._spreads[name] = ((mapping, down, up), Spread(mapping, down, up, self))
        return known[1]

    def place(self, part: Dimension, key: str) -> int | None:
        """The place of a key in a dimension; None if it has none."""
        if isinstance(part, Dynamic):
            places = self._places.get(part.name)
            if places is None:
                listed = self.dynamic.get(part.name, ())
                places = self._places[part.name] = {each: place for place, each in enumerate(listed)}
            return places.get(key)
        try:
            return place_of(part, key, self.dynamic)
        except NotFound:
            return None

    def coord(self, parts: Partitions | None, key: str) -> Coord | None:
        """The coordinate of a key; None if it has none."""
        places = [self.place(part, text) for part, text in pieces(parts, key)]
        found = tuple(place for place in places if place is not None)
        return found if found and len(found) == len(places) else None


class Spread:
    """A mapping between an asset and its input, ready for any box of either."""

    def __init__(self, mapping: Mapping | None, down: Partitions | None, up: Partitions | None, extents: Extents) -> None:
        settled = settle(mapping, down, up)
        self._down, self._up = extents.of(down), extents.of(up)
        self._table: tuple[Rows, Rows] | None = None
        self._links: list[tuple[int, Move, Move]] = []
        if isinstance(settled, Explicit):
            self._table = _rows(settled, down, up, extents)
        else:
            self._links = [(link.at, *_moves(link, extents)) for link in settled]

    def upstream(self, box: Box) -> Region:
        """What a box of the asset needs of its input."""
        if self._table:
            return intersection(_gather(self._table[0], box), self._up)
        return _within(self._up, [pull(box[at] if at >= 0 else ANY) for at, pull, _ in self._links])

    def downstream(self, box: Box) -> Region:
        """What of the asset needs any of a box of its input."""
        if self._table:
            return intersection(_gather(self._table[1], box), self._down)
        if not self._down:
            return EMPTY
        touched: list[Sequence[Range]] = [[bounds] for bounds in self._down[0]]
        for bounds, (at, _, push) in zip(box, self._links, strict=True):
            ranges = push(bounds)
            if not ranges:
                return EMPTY
            if at >= 0:
                touched[at] = ranges
        return _within(self._down, touched)


def _within(whole: Region, ranges: Iterable[Sequence[Range]]) -> Region:
    """Every combination of the ranges of each dimension, as far as it exists. All that exists is one box."""
    if not whole:
        return EMPTY
    clipped = (
        [(max(low, first), min(high, last)) for low, high in found] for found, (first, last) in zip(ranges, whole[0], strict=True)
    )
    return region(combine(*clipped))


def _moves(link: Link, extents: Extents) -> tuple[Move, Move]:
    """From a range of the asset's dimension to ranges of the input's, and back."""
    mapping, up, down = link.mapping, link.up, link.down
    if isinstance(mapping, Explicit):
        forth, back = _rows(mapping, down, up, extents)
        return _by_rows(forth), _by_rows(back)
    if isinstance(mapping, Overlap) and isinstance(down, Windows) and isinstance(up, Windows):
        return _by_time(down, up), _by_time(up, down)
    if isinstance(mapping, All | Subset):
        targets = [(0, length(up, extents.dynamic, extents.now))]
        if isinstance(mapping, Subset):
            places = (extents.place(up, key) for _, keys in mapping.fixed for key in keys)
            targets = [box[0] for box in of_coords((place,) for place in places if place is not None)]
        return lambda _: targets, lambda bounds: [ANY] if _meets(bounds, targets) else []
    count, skip = (mapping.count, mapping.skip) if isinstance(mapping, LookBack) else (1, 0)
    newest = (ahead(down, up) or 0) - skip
    oldest = newest - count + 1
    return (
        lambda bounds: [(bounds[0] + oldest, bounds[1] + newest)],
        lambda bounds: [(bounds[0] - newest, bounds[1] - oldest)],
    )


def _by_time(here: Windows, there: Windows) -> Move:
    def move(bounds: Range) -> Sequence[Range]:
        begin, end = here.opening(bounds[0]), here.opening(bounds[1])
        return [(there.index_at(begin), there.index_at(Instant(end - 1)) + 1)] if begin < end else []

    return move


def _by_rows(rows: Rows) -> Move:
    return lambda bounds: [box[0] for box in _gather(rows, (bounds,))]


def _meets(bounds: Range, targets: Iterable[Range]) -> bool:
    return any(max(low, bounds[0]) < min(high, bounds[1]) for low, high in targets)


def _rows(table: Explicit, down: Partitions | None, up: Partitions | None, extents: Extents) -> tuple[Rows, Rows]:
    """The table by coordinates, forth and back, without keys that do not exist yet."""
    forth: Rows = {}
    back: Rows = {}
    for key, needed in table.table:
        here = extents.coord(down, key)
        for there in filter(None, (extents.coord(up, each) for each in needed)):
            if here is not None:
                forth.setdefault(here, []).append(there)
                back.setdefault(there, []).append(here)
    return forth, back


def _gather(rows: Rows, box: Box) -> Region:
    """The targets of all rows in a box, at the cost of the smaller of the two."""
    asked = (box,)
    if size(asked) < len(rows):
        found = (rows[coord] for coord in coords(asked) if coord in rows)
    else:
        found = (targets for coord, targets in rows.items() if contains(asked, coord))
    return of_coords(chain.from_iterable(found))
