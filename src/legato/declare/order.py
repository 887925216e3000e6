"""Topological order in linear time, and the cycles that stand in its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def sort(needs: Mapping[T, Sequence[T]]) -> list[T]:
    """Names with what they need before them, else in the order given; names on or behind a cycle are left out."""
    waiting = {name: len(needed) for name, needed in needs.items()}
    followers: dict[T, list[T]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for each in needed:
            followers[each].append(name)
    ready = deque(name for name, count in waiting.items() if not count)
    ordered = []
    while ready:
        name = ready.popleft()
        ordered.append(name)
        for follower in followers[name]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return ordered


def cycles(needs: Mapping[T, Sequence[T]]) -> list[list[T]]:
    """Cycles that share no name, each in the order in which data would flow; every knot of cycles gives at least one."""
    sound = set(sort(needs))
    left = {name: [each for each in needed if each not in sound] for name, needed in needs.items() if name not in sound}
    found, seen = [], set[T]()
    for start in left:
        path: dict[T, int] = {}
        name = start
        while name not in seen and name not in path:
            path[name] = len(path)
            name = left[name][0]
        if name in path:
            _, *rest = list(path)[path[name] :]
            found.append([name, *reversed(rest)])
        seen.update(path)
    return found
