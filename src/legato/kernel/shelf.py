"""Results of earlier runs that a plan gives to the calls of its flows instead of having them made."""

from __future__ import annotations

from collections.abc import Sequence

from legato.plan.again import Spot
from legato.plan.records import Reused

Path = tuple[int | bytes, ...]
"""A step of the plan, and the keys of the calls that lead from there to another one."""


class Shelf:
    """Finds what a call takes. That follows from the plan and from the calls before: it is told of each, once, in order."""

    def __init__(self, reused: Sequence[Reused]) -> None:
        self._by_path: dict[Path, Reused] = {(each.step, *each.path): each for each in reused if each.path and each.step >= 0}
        self._entered = {path[:cut] for path in self._by_path for cut in range(1, len(path))}
        self._paths: dict[int, Path] = {path[0]: path for path in self._entered if len(path) == 1}  # type: ignore[misc]
        self._pinned: dict[Spot, dict[bytes | int, Reused]] = {}
        self._asked: dict[Spot, int] = {}
        for each in reused:
            if each.step < 0:
                pinned = self._pinned.setdefault((each.node, each.partition), {})
                pinned.setdefault(each.path[-1], each)
                if each.number:
                    pinned[each.number] = each

    def take(self, parent: int, index: int, spot: Spot, key: bytes) -> Reused | None:
        """What a call of this node and partition takes, which is step `index` and was made by flow `parent`; None: it is made."""
        found = self._take_pinned(spot, key) if self._pinned else None
        above = self._paths.get(parent)
        if above is None:
            return found
        path = (*above, key)
        if found is None:
            found = self._by_path.get(path)
        if found is None and path in self._entered:
            self._paths[index] = path
        return found

    def _take_pinned(self, spot: Spot, key: bytes) -> Reused | None:
        """The result of the call with the same key, else that of the one with the same number."""
        pinned = self._pinned.get(spot)
        if pinned is None:
            return None
        number = self._asked[spot] = self._asked.get(spot, 0) + 1
        return pinned.get(key) or pinned.get(number)
