"""Partitions by key: a fixed list of keys, or a named list that grows while the system runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property

from msgspec import Struct

from legato.declare.partition import Partition, key_fault
from legato.terms.errors import LegatoError, NotFound
from legato.terms.key import NAME_HINT, is_name

DynamicKeys = Mapping[str, Sequence[str]]
"""The keys of each dynamic set, in order of arrival."""

_COMPARED = 2_000
"""How many keys at most are compared letter by letter for a close match."""


class Static(Struct, frozen=True, tag="static", dict=True):
    """A fixed list of keys; a key's coordinate is its place in the list."""

    listed: tuple[str, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """Key -> coordinate."""
        return {key: place for place, key in enumerate(self.listed)}

    def index(self, key: str) -> int:
        """The place of a key; `NotFound` with close matches."""
        place = self.places.get(key)
        if place is None:
            raise key_not_found(key, self.listed, "name one of the declared keys")
        return place

    def partition(self, key: str) -> Partition:
        """The partition of a key, as a function receives it."""
        self.index(key)
        return Partition(key)

    def keys(self) -> list[str]:
        """All keys, in the order given."""
        return list(self.listed)


class Dynamic(Struct, frozen=True, tag="dynamic"):
    """A named list of keys, kept outside the project, that only grows; a key's coordinate is its place of arrival."""

    name: str

    def partition(self, key: str) -> Partition:
        """The partition of a key, as a function receives it."""
        return Partition(key)

    def keys(self) -> list[str]:
        """Refused (`partition-keys`): the definition alone knows none of them."""
        raise LegatoError(
            "partition-keys", f"the definition does not say which keys {self.name} has",
            why="keys of a dynamic set are kept in the project's store", next=f"legato keys {self.name}",
        )  # fmt: skip


def static(keys: Iterable[str]) -> Static:
    """A partition a key, in the order given."""
    listed = (keys,) if isinstance(keys, str) else tuple(keys)
    if not listed:
        raise LegatoError("partitions", "static partitions have no keys", next="give at least one key")
    for key in listed:
        fault = key_fault(key)
        if fault:
            raise LegatoError("partitions", f"{key!r} cannot be a partition key", why=fault, next="rename the key")
    if len(set(listed)) < len(listed):
        seen: set[str] = set()
        twice = next(key for key in listed if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise LegatoError("partitions", f"the partition key {twice!r} is given twice", next="remove one of them")
    return Static(listed)


def dynamic(name: str) -> Dynamic:
    """A partition for each key that is added to the list of this name."""
    if not isinstance(name, str) or not is_name(name):
        raise LegatoError("partitions", f"{name!r} cannot name a list of partition keys", why=NAME_HINT, next="rename it")
    return Dynamic(name)


def key_not_found(key: str, known: Sequence[str], advice: str) -> NotFound:
    """The error for a key that is not in a list, with the keys that come close."""
    folded = key.casefold()
    close = [each for each in known if each.casefold() == folded] or get_close_matches(key, known[:_COMPARED])
    if close:
        why = "close to it: " + ", ".join(close)
    elif known:
        why = f"there are {len(known)} keys, from {known[0]} to {known[-1]}" if len(known) > 1 else f"there is only {known[0]}"
    else:
        why = "there are no keys yet"
    return NotFound("partition-key", f"there is no partition {key!r}", why=why, next=advice)
