"""The metrics of an asset's versions: those of the attempt that made each, in pages that cost what they show."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from legato.ports.store import Commit
from legato.service.series import read_series
from legato.stores.memory import MemoryStore
from legato.testing.store_records import make_version


@pytest.fixture
def store() -> MemoryStore:
    """Three versions of each of two partitions of an asset."""
    made = MemoryStore()
    made.open_writer("test")
    for number in range(3):
        versions = [
            replace(make_version("a", partition, f"v{number}"), run=f"r{number}", metrics=metrics)
            for partition, metrics in (("p0", {"rows": 10 * number, "share": 0.5}), ("p1", {"rows": 10 * number + 1}))
        ]
        made.commit([Commit(run_id=f"r{number}", versions=versions)])
    return made


def told(store: MemoryStore, key: str = "a", **more: object) -> list[tuple[str, str, dict[str, int | float]]]:
    page = read_series(store, key, **more)  # type: ignore[arg-type]
    return [(each.run, each.partition, each.metrics) for each in page.points]


def test_each_version_has_its_metrics_or_the_one_that_is_asked_for(store: MemoryStore) -> None:
    assert told(store)[:2] == [("r2", "p1", {"rows": 21}), ("r2", "p0", {"rows": 20, "share": 0.5})]
    assert told(store, "a@p0", metric="share") == [(f"r{run}", "p0", {"share": 0.5}) for run in (2, 1, 0)]
    assert told(store, metric="nothing") == []
    assert told(store, "nobody") == []


def test_pages_have_so_many_at_most(store: MemoryStore) -> None:
    first = read_series(store, "a", limit=4)
    assert (len(first.points), first.older) == (4, first.points[-1].number)
    assert read_series(store, "a", limit=4, before=first.older).older == 0
    assert read_series(store, "a", limit=6).older == 0


def test_no_run_is_read_for_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "events", None)
    assert len(told(store)) == 6
