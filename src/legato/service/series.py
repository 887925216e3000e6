"""What the attempts that made an asset told, version by version: its metrics over time."""

from __future__ import annotations

from msgspec import Struct

from legato.kernel import events as ev
from legato.ports.store import Store, Version
from legato.terms.attempt import Fact
from legato.terms.fact import Metric
from legato.terms.instant import Instant
from legato.terms.key import split

Number = int | float
_TAG = str(ev.FactsNoted.__struct_config__.tag).encode()
MOST_EVENTS = 50_000
"""When so many events of runs were read for a page, it ends with what the last of them made."""


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
    runs = _Runs(store)
    points: list[SeriesPoint] = []
    older = page[limit - 1][0] if len(page) > limit else 0
    for place, (number, version) in enumerate(page[:limit]):
        if runs.count >= MOST_EVENTS and not runs.has(version.run):
            older = page[place - 1][0]
            break
        metrics = runs.of(version)
        if not metric or metric in metrics:
            points.append(_point(number, version, {metric: metrics[metric]} if metric else metrics))
    return SeriesPage(asset=asset, partition=partition, points=points, older=older)


def _point(number: int, version: Version, metrics: dict[str, Number]) -> SeriesPoint:
    return SeriesPoint(
        number=number, partition=version.ref.partition, version=version.ref.version, state=version.state, run=version.run,
        at=version.at, metrics=metrics,
    )  # fmt: skip


class _Runs:
    """The metrics of runs, by step and token. Events of other kinds are counted, and not looked into."""

    def __init__(self, store: Store) -> None:
        self._store, self._known = store, dict[str, dict[tuple[int, int], dict[str, Number]]]()
        self.count = 0

    def has(self, run: str) -> bool:
        """Whether the run was read already."""
        return run in self._known

    def of(self, version: Version) -> dict[str, Number]:
        """What the attempt that made a version told."""
        if version.run not in self._known:
            self._known[version.run] = self._read(version.run)
        return self._known[version.run].get((version.step, version.token), {})

    def _read(self, run: str) -> dict[tuple[int, int], dict[str, Number]]:
        found: dict[tuple[int, int], dict[str, Number]] = {}
        for _, body in self._store.events(run):
            self.count += 1
            event = ev.decode(body) if _TAG in body else None
            if isinstance(event, ev.FactsNoted):
                found.setdefault((event.step, event.token), {}).update(_metrics(event.facts))
        return found


def _metrics(facts: tuple[Fact, ...]) -> dict[str, Number]:
    return {fact.name: fact.value for fact in facts if isinstance(fact, Metric)}
