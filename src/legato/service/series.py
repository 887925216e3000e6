"""What the attempts that made an asset told, version by version: its metrics over time."""

from __future__ import annotations

from msgspec import Struct

from legato.ports.store import Store, Version
from legato.terms.instant import Instant
from legato.terms.key import split

Number = int | float


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
    """The metrics of so many of an asset's versions; or one of them, of those versions that have it. The asset is known to
    exist."""
    asset, partition = split(key)
    page = store.versions(asset, partition or None, limit=limit + 1, before=before)
    points = [_point(number, version, metric) for number, version in page[:limit] if not metric or metric in version.metrics]
    older = page[limit - 1][0] if len(page) > limit else 0
    return SeriesPage(asset=asset, partition=partition, points=points, older=older)


def _point(number: int, version: Version, metric: str) -> SeriesPoint:
    return SeriesPoint(
        number=number, partition=version.ref.partition, version=version.ref.version, state=version.state, run=version.run,
        at=version.at, metrics={metric: version.metrics[metric]} if metric else version.metrics,
    )  # fmt: skip
