"""Digests over a graph of texts that refer to one another, in linear time, knots included."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from legato.terms.codec import fingerprint

K = TypeVar("K", bound=Hashable)
Refs = Mapping[str, K]


class Merkle(Generic[K]):
    """A digest for each key: equal for equal texts that refer, by equal labels, to equal digests.

    `expand` gives a key's text and what it refers to, by label. Keys that refer to each other in a circle share what they
    all refer to. Every key is expanded once, however many others refer to it.
    """

    def __init__(self, expand: Callable[[K], tuple[str, Refs[K]]]) -> None:
        self._expand = expand
        self._done: dict[K, str] = {}

    def digest(self, root: K) -> str:
        """The digest of this key (Tarjan's search for knots, without recursion)."""
        if root in self._done:
            return self._done[root]
        units: dict[K, tuple[str, Refs[K]]] = {}
        low: dict[K, int] = {}
        open_keys: list[K] = []
        work: list[tuple[K, int, Iterator[K]]] = []

        def enter(key: K) -> None:
            units[key] = self._expand(key)
            low[key] = len(low)
            open_keys.append(key)
            work.append((key, low[key], iter(units[key][1].values())))

        enter(root)
        while work:
            key, number, refs = work[-1]
            for ref in refs:
                if ref in self._done:
                    continue
                if ref not in low:
                    enter(ref)
                    break
                low[key] = min(low[key], low[ref])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[key])
                if low[key] == number:
                    start = open_keys.index(key) if open_keys[-1] != key else len(open_keys) - 1
                    self._close({each: units[each] for each in open_keys[start:]})
                    del open_keys[start:]
        return self._done[root]

    def _close(self, knot: dict[K, tuple[str, Refs[K]]]) -> None:
        """Gives the keys of one knot (nearly always a single key) their digests."""
        outside = sorted((label, self._done[ref]) for _, refs in knot.values() for label, ref in refs.items() if ref not in knot)
        if len(knot) == 1 and not outside:
            shared: object = None
        else:
            shared = [sorted(text for text, _ in knot.values()), outside]
        self._done.update({key: fingerprint(text, shared) for key, (text, _) in knot.items()})
