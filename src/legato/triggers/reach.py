"""Which partitions of a node a moment is about.

The clock is about the windows that ended since its tick before; where none did, about the newest that is over. A new version is
about the partitions that need it. A file, a call or a message is about its key. What says nothing of partitions is about the
newest window, and about all keys that are not of time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import product as combine

from legato.declare.keyed import Dynamic, DynamicKeys
from legato.declare.node import Node, Project
from legato.declare.partitions import (
    BETWEEN,
    Dimension,
    Partitions,
    Region,
    Static,
    Windows,
    dimensions,
    key_fault,
    keys,
    keys_between,
    of_coords,
    union,
)
from legato.declare.region import WHOLE as WHOLE_REGION
from legato.plan.spread import Extents, downstream
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant
from legato.triggers.keys import ALL, NONE, WHOLE, Keys, both, minus, of


def about_time(parts: Partitions | None, since: Instant | None, at: Instant, dynamic: DynamicKeys) -> Keys:
    """What a tick of the clock is about, whose tick before was at `since`."""
    return _newest(parts, since, at, dynamic, None)


def about_event(parts: Partitions | None, at: Instant, dynamic: DynamicKeys) -> Keys:
    """What an event without a key is about."""
    return _newest(parts, None, at, dynamic, None)


def about_key(parts: Partitions | None, key: str, at: Instant, dynamic: DynamicKeys) -> tuple[Keys, str]:
    """What an event with a key is about, and why there is no such partition, if so. A dynamic set need not know the key yet."""
    cut = dimensions(parts)
    if not cut:
        return WHOLE, ""
    if len(cut) == 1 or BETWEEN in key:
        texts = key.split(BETWEEN) if len(cut) > 1 else [key]
        wrong = _faults(cut, texts, at) if len(texts) == len(cut) else f"it has {len(texts)} parts, not {len(cut)}"
        return (NONE, wrong) if wrong else (of((key,)), "")
    by_key = [place for place, (_, part) in enumerate(cut) if not isinstance(part, Windows)]
    chosen = next((place for place in by_key if isinstance(cut[place][1], Dynamic)), by_key[0] if by_key else -1)
    if chosen < 0:
        return about_event(parts, at, dynamic), ""
    wrong = _faults((cut[chosen],), [key], at)
    return (NONE, wrong) if wrong else (_newest(parts, None, at, dynamic, (chosen, key)), "")


def about_version(node: Node, project: Project, asset: str, partitions: Sequence[str], extents: Extents) -> Keys:
    """What new versions of these partitions of an asset are about: the node's partitions that need them."""
    if node.partitions is None:
        return WHOLE
    up = project.maker(asset).partitions
    mappings = [dep.mapping for dep in node.deps if dep.node == asset] or [None]
    if up == node.partitions and mappings == [None]:
        return of(partitions)
    places = (extents.coord(up, key) for key in partitions)
    made = WHOLE_REGION if up is None else of_coords(place for place in places if place is not None)
    found: Region = ()
    try:
        for mapping, box in combine(mappings, made):
            found = union(found, downstream(mapping, node.partitions, up, box, extents))
    except LegatoError:  # it is no input, and nothing maps the one's partitions to the other's
        return ALL
    return ALL if found and found == extents.of(node.partitions) else of(keys(node.partitions, found, extents.dynamic))


def set_apart(node: Node, about: Keys, ahead: Collection[str], extents: Extents) -> tuple[Keys, Keys]:
    """What a new version is about in two parts: what its run is not about to make, and what it is."""
    if not about.rest:
        later = of(key for key in about.named if key in ahead)
        return (minus(about, later), later) if later else (about, NONE)
    there = of(keys(node.partitions, extents.of(node.partitions), extents.dynamic))
    later = both(there, of(ahead))
    return (minus(there, later), later) if later else (about, NONE)


def ended_windows(parts: Partitions | None, since: Instant, at: Instant, dynamic: DynamicKeys) -> Keys:
    """The partitions whose window ended after one instant and not after another."""
    cut = dimensions(parts)
    times = [(place, part) for place, (_, part) in enumerate(cut) if isinstance(part, Windows)]
    found: set[str] = set()
    for place, part in times:
        low, high = _ended(part, since, at)
        if low < high:
            lists = [_over(other, at, dynamic) for _, other in cut]
            lists[place] = keys_between(part, low, high, dynamic)
            found.update(map(BETWEEN.join, combine(*lists)))
    return of(found)


def next_end(parts: Partitions | None, after: Instant) -> Instant | None:
    """When the next window is over; None if there is none to come."""
    ends = []
    for _, part in dimensions(parts):
        if isinstance(part, Windows):
            index = max(0, part.index_at(after))
            if part.bound is None or index < part.bound:
                ends.append(part.opening(index + 1))
    return min(ends, default=None)


def new_keys(parts: Partitions | None, wanted: Iterable[str], dynamic: DynamicKeys) -> tuple[tuple[str, str], ...]:
    """The keys of dynamic sets that these partitions have and the sets do not know: set and key, each once."""
    found: dict[tuple[str, str], None] = {}
    sets = [(place, part.name) for place, (_, part) in enumerate(dimensions(parts)) if isinstance(part, Dynamic)]
    for place, name in sets:
        known = dynamic.get(name, ())
        for key in wanted:
            text = key.split(BETWEEN)[place] if len(dimensions(parts)) > 1 else key
            if text not in known:
                found[name, text] = None
    return tuple(found)


def _newest(
    parts: Partitions | None, since: Instant | None, at: Instant, dynamic: DynamicKeys, chosen: tuple[int, str] | None
) -> Keys:
    """Windows ended since, or the newest; of every other dimension all keys, but for the one that is chosen."""
    cut = dimensions(parts)
    if not cut:
        return WHOLE
    if chosen is None and not any(isinstance(part, Windows) for _, part in cut):
        return ALL
    lists = []
    for place, (_, part) in enumerate(cut):
        if chosen is not None and place == chosen[0]:
            lists.append([chosen[1]])
        elif isinstance(part, Windows):
            low, high = _ended(part, since, at) if since is not None else (0, 0)
            if low >= high:
                high = _count_over(part, at)
                low = max(0, high - 1)
            lists.append(keys_between(part, low, high, dynamic))
        else:
            lists.append(_over(part, at, dynamic))
    return of(map(BETWEEN.join, combine(*lists)))


def _ended(part: Windows, since: Instant, at: Instant) -> tuple[int, int]:
    return max(0, part.index_at(since)), _count_over(part, at)


def _count_over(part: Windows, at: Instant) -> int:
    over = max(0, part.index_at(at))
    return over if part.bound is None else min(over, part.bound)


def _over(part: Dimension, at: Instant, dynamic: DynamicKeys) -> list[str]:
    """All keys of a dimension; of windows those that are over."""
    return part.keys_between(0, _count_over(part, at)) if isinstance(part, Windows) else _all(part, dynamic)


def _all(part: Static | Dynamic, dynamic: DynamicKeys) -> list[str]:
    return part.keys() if isinstance(part, Static) else list(dynamic.get(part.name, ()))


def _faults(cut: Sequence[tuple[str, Dimension]], texts: Sequence[str], at: Instant) -> str:
    """Why these texts are no keys of these dimensions; empty if they are."""
    for (_, part), text in zip(cut, texts, strict=True):
        wrong = key_fault(text)
        if wrong:
            return f"{text!r} cannot be a partition key: {wrong}"
        if isinstance(part, Dynamic):
            continue
        try:
            index = part.index(text)
        except NotFound as error:
            return error.what + (f": {error.why}" if error.why else "")
        if isinstance(part, Windows) and index >= _count_over(part, at):
            return f"the window of {text!r} is not over yet"
    return ""
