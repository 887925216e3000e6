"""What a mapping means between two partition sets, dimension by dimension, and whether it is possible at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from legato.declare.partitions import (
    BETWEEN,
    All,
    ByDimension,
    Dimension,
    Dynamic,
    Explicit,
    LookBack,
    Mapping,
    Overlap,
    Partitions,
    Product,
    Same,
    Subset,
    Windows,
    describe,
    dimensions,
    key_fault,
    place_of,
)
from legato.terms.errors import LegatoError, NotFound

SINGLE = "keys"
"""What mappings call the dimension of an input that is no product."""

Dimensions = tuple[tuple[str, Dimension], ...]


class Link(NamedTuple):
    """A dimension of the input, with the asset's dimension (itself and its place) that decides what is needed of it."""

    mapping: Mapping
    up: Dimension
    down: Dimension | None = None
    at: int = -1


def default_mapping(down: Partitions | None, up: Partitions | None) -> Mapping:
    """What an edge means where nothing is said.

    The same windows and keys are `Same`, different cuts of time `Overlap`. Dimensions of products meet by name, else as
    equal definitions, else as the only times; of a dimension of the input that meets none, `All` is needed, and so it is
    by an asset that is not partitioned.
    """
    if down is None or up is None:
        return All()
    downs, ups = dimensions(down), dimensions(up)
    usual = _usual(downs, ups, _meet(downs, ups))
    if isinstance(up, Product) and down != up:
        return ByDimension(tuple((name, each) for (name, _), each in zip(ups, usual, strict=True)))
    return usual[0]


def fault(mapping: Mapping | None, down: Partitions | None, up: Partitions | None) -> str:
    """Empty if the mapping (None: the default one) is possible from an asset to its input; else why it is not."""
    try:
        settle(mapping, down, up)
    except LegatoError as error:
        return error.what
    return ""


def settle(mapping: Mapping | None, down: Partitions | None, up: Partitions | None) -> tuple[Link, ...] | Explicit:
    """A link for each dimension of the input, or the table of whole keys; LegatoError (`mapping`) if it is impossible."""
    if up is None and not isinstance(mapping, All | None):
        raise _impossible("the input is not partitioned, so no mapping applies to it")
    if mapping is None:
        mapping = default_mapping(down, up)
    if isinstance(mapping, Explicit):
        if down is None:
            raise _impossible("the asset is not partitioned, so there are no keys to map")
        _refuse(_row_faults(mapping, down, up))
        return mapping
    downs, ups = dimensions(down), dimensions(up)
    meeting = _meet(downs, ups)
    links = []
    for (name, part), at, each in zip(ups, meeting, _choose(mapping, downs, ups, meeting), strict=True):
        free = at < 0 or isinstance(each, All | Subset)
        link = Link(each, part) if free else Link(each, part, downs[at][1], at)
        _refuse(_link_faults(link), f"dimension {name}: " if name else "")
        links.append(link)
    return tuple(links)


def ahead(down: Dimension | None, up: Dimension) -> int | None:
    """How far the places of equal keys or windows lie apart; None where the two have nothing in common."""
    if isinstance(down, Windows) and isinstance(up, Windows):
        return down.ahead_of(up)
    return 0 if down == up else None


def pieces(parts: Partitions | None, key: str) -> list[tuple[Dimension, str]]:
    """Each dimension with its part of a key; none if the key has another number of parts."""
    texts = key.split(BETWEEN) if isinstance(parts, Product) else [key]
    cut = dimensions(parts)
    return [(part, text) for (_, part), text in zip(cut, texts, strict=True)] if len(cut) == len(texts) else []


def _meet(downs: Dimensions, ups: Dimensions) -> list[int]:
    """The place of the asset's dimension that each of the input's meets, or -1. None is met twice."""
    names = {name: place for place, (name, _) in enumerate(downs)}
    met = [names.get(name, -1) for name, _ in ups]
    for place, (_, part) in enumerate(ups):
        if met[place] < 0:
            met[place] = next((at for at, (_, own) in enumerate(downs) if at not in met and own == part), -1)
    times_up = [place for place, (_, part) in enumerate(ups) if met[place] < 0 and isinstance(part, Windows)]
    times_down = [at for at, (_, part) in enumerate(downs) if at not in met and isinstance(part, Windows)]
    if len(times_up) == len(times_down) == 1:
        met[times_up[0]] = times_down[0]
    return met


def _usual(downs: Dimensions, ups: Dimensions, meeting: list[int]) -> list[Mapping]:
    """The default mapping of each dimension of the input."""
    return [All() if at < 0 else _default(downs[at][1], part) for at, (_, part) in zip(meeting, ups, strict=True)]


def _default(down: Dimension, up: Dimension) -> Mapping:
    times = isinstance(down, Windows) and isinstance(up, Windows)
    return Overlap() if times and ahead(down, up) is None else Same()


def _choose(mapping: Mapping, downs: Dimensions, ups: Dimensions, meeting: list[int]) -> list[Mapping]:
    """The mapping of each dimension of the input: what was said of it, else the default."""
    usual = _usual(downs, ups, meeting)
    labels = [name or SINGLE for name, _ in ups]
    if isinstance(mapping, Overlap | LookBack) and len(ups) > 1:
        said: dict[str, Mapping] = {
            label: mapping
            for label, at, (_, part) in zip(labels, meeting, ups, strict=True)
            if at >= 0 and isinstance(part, Windows) and isinstance(downs[at][1], Windows)
        }
        if not said:
            raise _impossible("no time dimension of the input meets one of the asset")
    elif isinstance(mapping, ByDimension):
        said = dict(mapping.parts)
    elif isinstance(mapping, Subset):
        said = {name: Subset(((SINGLE, keys),)) for name, keys in mapping.fixed}
    else:
        return [mapping] * len(ups)
    unknown = sorted(set(said) - set(labels))
    if unknown:
        raise _impossible(f"the input has no dimension {unknown[0]}; it has {', '.join(labels)}")
    return [said.get(label, each) for label, each in zip(labels, usual, strict=True)]


def _link_faults(link: Link) -> Iterator[str]:
    """Why the link is impossible, if it is."""
    mapping, up, down = link.mapping, link.up, link.down
    if isinstance(mapping, All):
        return
    if isinstance(mapping, Subset):
        yield from (f"{text} of the input" for _, keys in mapping.fixed for text in _key_faults(up, keys))
        return
    if down is None:
        yield f"nothing about the asset's partitions says which of {describe(up)} it needs"
        return
    pair = f"the asset is {describe(down)}, its input {describe(up)}"
    times = isinstance(down, Windows) and isinstance(up, Windows)
    apart = ahead(down, up)
    if isinstance(mapping, Same) and apart is None:
        yield f"same() needs the same keys or windows on both sides, but {pair}"
    if isinstance(mapping, LookBack) and not (times and apart is not None):
        yield f"look_back() needs windows of the same cut and zone on both sides, but {pair}"
    if isinstance(mapping, Overlap) and not times:
        yield f"overlap() needs time windows on both sides, but {pair}"
    if isinstance(mapping, ByDimension):
        yield "by_dimension() does not nest"
    if isinstance(mapping, Explicit):
        yield from _row_faults(mapping, down, up)


def _row_faults(mapping: Explicit, down: Partitions | None, up: Partitions | None) -> Iterator[str]:
    for key, needed in mapping.table:
        yield from (f"{text} of the asset" for text in _key_faults(down, (key,)))
        yield from (f"{text} of the input" for text in _key_faults(up, needed))


def _key_faults(parts: Partitions | None, keys: Iterable[str]) -> Iterator[str]:
    """Which keys the partitions cannot have; a dynamic set may have any that is well formed."""
    for key in keys:
        found = pieces(parts, key)
        if not all(_may_have(part, text) for part, text in found) or not found:
            yield f"{key!r} is no partition ({describe(parts)})"


def _may_have(part: Dimension, key: str) -> bool:
    if isinstance(part, Dynamic):
        return not key_fault(key)
    try:
        place_of(part, key, {})
    except NotFound:
        return False
    return True


def _refuse(faults: Iterator[str], where: str = "") -> None:
    """Raises the first of the faults, if there is one."""
    for text in faults:
        raise _impossible(where + text)


def _impossible(what: str) -> LegatoError:
    return LegatoError("mapping", what, next="legato explain mapping")
