"""What the attempts that made an asset told, version by version: its metrics over time."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from legato.kernel import events as ev
from legato.ports.store import Store, Version
from legato.terms.attempt import Fact
from legato.terms.fact import Metric
from legato.terms.instant import Instant
from legato.terms.key import split

Number = int | float
_TAG = str(ev.FactsNoted.__struct_config__.tag).encode()
MOST_RUNS = 20
"""Of so many runs are the events read for one page, which ends there."""


class SeriesPoint(Struct, frozen=True, kw_only=True):
    """One version with the metrics that its attempt told, each the last of its name."""

    number: int
    partition: str
    version: str
    state: str
    run: str
    at: Instant
    metrics: dict[str, Number]


class SeriesPage(Struct, frozen=True, kw_only=True):
    """Versions of an asset, or of one of its partitions, newest first; `older` is the number for the next page, 0 if there is
    none."""

    asset: str
    partition: str
    points: list[SeriesPoint]
    older: int


def read_series(store: Store, key: str, *, metric: str = "", limit: int = 50, before: int = 0) -> SeriesPage:
    """The metrics of an asset's versions; or one of them, of those versions that have it. The asset is known to exist."""
    asset, partition = split(key)
    page = store.versions(asset, partition or None, limit=limit + 1, before=before)
    known: dict[str, Mapping[tuple[int, int], dict[str, Number]]] = {}
    points: list[SeriesPoint] = []
    older = page[limit - 1][0] if len(page) > limit else 0
    for place, (number, version) in enumerate(page[:limit]):
        if version.run not in known and len(known) == MOST_RUNS:
            older = page[place - 1][0]
            break
        told = known[version.run] if version.run in known else known.setdefault(version.run, _read(store, version.run))
        metrics = told.get((version.step, version.token), {})
        if not metric or metric in metrics:
            points.append(_point(number, version, {metric: metrics[metric]} if metric else metrics))
    return SeriesPage(asset=asset, partition=partition, points=points, older=older)


def _point(number: int, version: Version, metrics: dict[str, Number]) -> SeriesPoint:
    return SeriesPoint(
        number=number, partition=version.ref.partition, version=version.ref.version, state=version.state, run=version.run,
        at=version.at, metrics=metrics,
    )  # fmt: skip


def _read(store: Store, run: str) -> Mapping[tuple[int, int], dict[str, Number]]:
    """The metrics of a run, by step and token. Events of other kinds are not looked into."""
    found: dict[tuple[int, int], dict[str, Number]] = {}
    for _, body in store.events(run):
        if _TAG in body:
            event = ev.decode(body)
            if isinstance(event, ev.FactsNoted):
                found.setdefault((event.step, event.token), {}).update(_metrics(event.facts))
    return found


def _metrics(facts: tuple[Fact, ...]) -> dict[str, Number]:
    return {fact.name: fact.value for fact in facts if isinstance(fact, Metric)}
