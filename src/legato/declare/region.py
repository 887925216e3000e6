"""Sets of partitions as ranges of integer coordinates: their cost follows the number of ranges, never of keys.

A coordinate has one number per dimension. A box is one half-open range per dimension; a region is disjoint boxes in one
canonical form (slabs along the first dimension, each with a canonical rest), so equal sets are equal regions. What is
not partitioned has no dimension: its only coordinate and box is `()`, and its region is `WHOLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import groupby, pairwise
from operator import itemgetter, mul

Coord = tuple[int, ...]
Range = tuple[int, int]
Box = tuple[Range, ...]
Region = tuple[Box, ...]

EMPTY: Region = ()
WHOLE: Region = ((),)


def region(boxes: Iterable[Box]) -> Region:
    """The region of any boxes of one dimensionality, overlapping or not; empty boxes are dropped."""
    solid = [box for box in boxes if all(low < high for low, high in box)]
    if not solid:
        return EMPTY
    if len(solid) == 1:
        return (solid[0],)
    if len(solid[0]) == 1:
        return _merge(sorted(box[0] for box in solid))
    middle = len(solid) // 2
    return union(region(solid[:middle]), region(solid[middle:]))


def of_coords(coordinates: Iterable[Coord]) -> Region:
    """The region of these coordinates."""
    return region(tuple((place, place + 1) for place in coord) for coord in coordinates)


def union(left: Region, right: Region) -> Region:
    """What is in either."""
    return _combine(left, right, lambda a, b: a or b)


def intersection(left: Region, right: Region) -> Region:
    """What is in both."""
    return _combine(left, right, lambda a, b: a and b)


def difference(left: Region, right: Region) -> Region:
    """What is in the left one only."""
    return _combine(left, right, lambda a, b: a and not b)


def size(of: Region) -> int:
    """How many coordinates the region holds."""
    return sum(reduce(mul, (high - low for low, high in box), 1) for box in of)


def contains(of: Region, coord: Coord) -> bool:
    """Whether the region holds this coordinate."""
    return any(all(low <= place < high for (low, high), place in zip(box, coord, strict=True)) for box in of)


def coords(of: Region) -> Iterator[Coord]:
    """Every coordinate of the region, in lexicographic order."""
    if of == WHOLE:
        yield ()
        return
    for (low, high), rest in slabs(of):
        tails = list(coords(rest))
        for place in range(low, high):
            for tail in tails:
                yield (place, *tail)


def slabs(of: Region) -> list[tuple[Range, Region]]:
    """The region cut along its first dimension: each range with the region of the other dimensions there."""
    return [(first, tuple(box[1:] for box in boxes)) for first, boxes in groupby(of, itemgetter(0))]


def _merge(ranges: list[Range]) -> Region:
    merged: list[Range] = []
    for low, high in ranges:
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple((each,) for each in merged)


def _combine(left: Region, right: Region, keep: Callable[[bool, bool], bool]) -> Region:
    """Sweeps the first dimension once; where neither region changes, the other dimensions are combined in turn."""
    if not left or not right:
        return (left or right) if keep(bool(left), bool(right)) else EMPTY
    if left == WHOLE:
        return WHOLE if keep(True, True) else EMPTY
    lefts, rights = slabs(left), slabs(right)
    cuts = sorted({cut for bounds, _ in (*lefts, *rights) for cut in bounds})
    pieces: list[tuple[Range, Region]] = []
    at_left = at_right = 0
    for low, high in pairwise(cuts):
        at_left, here = _slab_at(lefts, at_left, low)
        at_right, there = _slab_at(rights, at_right, low)
        rest = _combine(here, there, keep)
        if not rest:
            continue
        if pieces and pieces[-1][0][1] == low and pieces[-1][1] == rest:
            pieces[-1] = ((pieces[-1][0][0], high), rest)
        else:
            pieces.append(((low, high), rest))
    return tuple((bounds, *box) for bounds, rest in pieces for box in rest)


def _slab_at(cut: list[tuple[Range, Region]], start: int, place: int) -> tuple[int, Region]:
    """The rest at a place of the first dimension, and the slab to look from next."""
    while start < len(cut) and cut[start][0][1] <= place:
        start += 1
    if start < len(cut) and cut[start][0][0] <= place:
        return start, cut[start][1]
    return start, EMPTY
