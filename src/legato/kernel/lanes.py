"""Ready steps in the order in which they are to start, and which of them may start now.

Steps that share the same pools stand in one *lane*. A lane whose pools are full is asleep at one of them: it costs nothing until
that pool has room again, however many steps stand in it, and however many lanes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush, heapreplace
from typing import Protocol

Share = tuple[str, str]
"""A pool, and the value of its key (empty: the pool as a whole)."""

Lane = tuple[Share, ...]


class Doors(Protocol):
    """Says which steps may start."""

    def shut(self, lane: Lane, taken: Mapping[Share, int]) -> Share | None:
        """The first share of the lane that allows no further attempt now; `taken` are attempts about to start."""
        ...

    def is_ready(self, key: int) -> bool:
        """Whether the entry still stands for a step that is ready, of a run that takes steps."""
        ...


class Lanes:
    """Keys in lanes; the lowest key of a lane that may go is first."""

    __slots__ = ("_asleep", "_awake", "_doors", "_found", "_lanes", "_reopened", "_where")

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._lanes: dict[Lane, list[int]] = {}
        self._awake: list[tuple[int, Lane]] = []
        self._asleep: dict[Share, list[tuple[int, Lane]]] = {}
        self._where: dict[Lane, Share] = {}
        self._reopened: set[Share] = set()
        self._found: tuple[list[tuple[int, Lane]], Lane] | None = None

    def __bool__(self) -> bool:
        """Whether anything may start that nobody has looked at since it came, or since its pool had room again."""
        return bool(self._awake or self._reopened)

    def put(self, lane: Lane, key: int) -> None:
        """Add an entry."""
        self.put_all(lane, (key,))

    def put_all(self, lane: Lane, keys: Iterable[int]) -> None:
        """Add entries, which cost least when they rise."""
        entries = self._lanes.setdefault(lane, [])
        former = entries[0] if entries else None
        for key in keys:
            heappush(entries, key)
        if entries[0] != former:
            heappush(self._heap_of(lane), (entries[0], lane))

    def reopen(self, share: Share) -> None:
        """A pool has room again: who sleeps at it is looked at when its turn comes."""
        if share in self._asleep:
            self._reopened.add(share)

    def first(self, taken: Mapping[Share, int]) -> int | None:
        """The key that is to start first, of those that may; it stays until `take`."""
        while (found := self._best()) is not None:
            heap, lane = found
            key = self._lanes[lane][0]
            if not self._doors.is_ready(key):
                self._drop(heap, lane)
                continue
            shut = self._doors.shut(lane, taken) if lane else None
            if shut is None:
                self._found = found
                return key
            if self._where.get(lane) == shut:
                self._reopened.discard(shut)
            else:
                self._sleep(heap, lane, shut)
        return None

    def take(self) -> None:
        """Remove the entry that `first` gave just now."""
        found, self._found = self._found or self._best(), None
        if found is not None:
            self._drop(*found)

    def keys(self) -> set[int]:
        """All entries."""
        return {key for entries in self._lanes.values() for key in entries}

    def sleeping(self) -> dict[Share, int]:
        """How many steps wait for room in a pool, by what they were last seen to wait for."""
        found: dict[Share, int] = {}
        for lane, share in self._where.items():
            if ready := sum(map(self._doors.is_ready, self._lanes[lane])):
                found[share] = found.get(share, 0) + ready
        return found

    def _heap_of(self, lane: Lane) -> list[tuple[int, Lane]]:
        share = self._where.get(lane)
        return self._awake if share is None else self._asleep[share]

    def _best(self) -> tuple[list[tuple[int, Lane]], Lane] | None:
        """The lane with the lowest key among those awake and those at pools that have room again, and the heap it heads."""
        best = self._awake if self._trim(self._awake, None) else None
        for share in list(self._reopened) if self._reopened else ():
            heap = self._asleep.get(share)
            if heap is None or not self._trim(heap, share):
                self._reopened.discard(share)
                self._asleep.pop(share, None)
            elif best is None or heap[0] < best[0]:
                best = heap
        return None if best is None else (best, best[0][1])

    def _trim(self, heap: list[tuple[int, Lane]], share: Share | None) -> bool:
        """Drop what does not stand for the head of a lane that is here; whether anything is left."""
        while heap:
            key, lane = heap[0]
            entries = self._lanes.get(lane)
            if entries is not None and entries[0] == key and self._where.get(lane) == share:
                return True
            heappop(heap)
        return False

    def _drop(self, heap: list[tuple[int, Lane]], lane: Lane) -> None:
        """Remove the first entry of a lane, which heads this heap."""
        entries = self._lanes[lane]
        heappop(entries)
        if entries:
            heapreplace(heap, (entries[0], lane))
        else:
            heappop(heap)
            del self._lanes[lane]
            self._where.pop(lane, None)

    def _sleep(self, heap: list[tuple[int, Lane]], lane: Lane, share: Share) -> None:
        heappop(heap)
        self._where[lane] = share
        heappush(self._asleep.setdefault(share, []), (self._lanes[lane][0], lane))
