"""How results of earlier runs were taken over: what the newest run of a task or flow found in the cache."""

from __future__ import annotations

from msgspec import Struct

from legato.ports.store import Store
from legato.service.logbook import Logbook

_RUNS = 10
"""How far back a run of the node is looked for."""


class CacheUse(Struct, frozen=True, kw_only=True):
    """How many of a node's steps in `run` made nothing, of all that began, and the runs that had made their results."""

    run: str
    steps: int
    cached: int
    made_by: tuple[str, ...]


def cache_use(store: Store, node: str) -> CacheUse | None:
    """What the newest run of this node took over; None if there was none lately."""
    for run in store.runs(limit=_RUNS):
        book = Logbook(store, run.id)
        book.read(store)
        mine = {step for step, planned in enumerate(book.plan.steps) if planned.node == node}
        by_run = book.cached_by(frozenset(mine))
        begun = mine & {*(attempt.step for attempt in book.attempts.values()), *book.cached}
        if begun:
            return CacheUse(run=run.id, steps=len(begun), cached=sum(map(len, by_run.values())), made_by=tuple(by_run))
    return None
