"""The metrics of an asset's versions: those of the attempt that made each, in pages that cost what they read."""

from __future__ import annotations

import pytest

from legato.kernel import events as ev
from legato.ports.store import Commit, Version
from legato.service.series import read_series
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.fact import Metric
from legato.terms.instant import Instant
from legato.testing.store_records import make_ref, make_run

NOW = Instant(1_700_000_000_000_000)


@pytest.fixture
def store() -> MemoryStore:
    """Three runs of an asset with two partitions; in each, a first try of the first one failed after it told something."""
    made = MemoryStore(MemoryDisk())
    made.open_writer("test")
    for run in range(3):
        told = [
            ev.FactsNoted(NOW, 0, 1, (Metric("rows", -1),)),
            ev.FactsNoted(NOW, 0, 2, (Metric("rows", 1), Metric("rows", 10 * run), Metric("share", 0.5))),
            ev.FactsNoted(NOW, 1, 3, (Metric("rows", 10 * run + 1),)),
        ]
        versions = [
            Version(
                ref=make_ref("a", f"p{step}", f"r{run}-{token}"), state="published", run=f"r{run}", step=step, token=token, at=NOW
            )
            for step, token in ((0, 2), (1, 3))
        ]
        made.accept(make_run(f"r{run}"), b"", [])
        made.commit([Commit(run_id=f"r{run}", events=[ev.encode(each) for each in told], versions=versions)])
    return made


def told(store: MemoryStore, key: str = "a", **more: object) -> list[tuple[str, str, dict[str, int | float]]]:
    page = read_series(store, key, **more)  # type: ignore[arg-type]
    return [(each.run, each.partition, each.metrics) for each in page.points]


def test_a_version_has_what_its_own_attempt_told_last(store: MemoryStore) -> None:
    assert told(store)[:2] == [("r2", "p1", {"rows": 21}), ("r2", "p0", {"rows": 20, "share": 0.5})]
    assert told(store, "a@p0", metric="share") == [(f"r{run}", "p0", {"share": 0.5}) for run in (2, 1, 0)]
    assert told(store, metric="nothing") == []
    assert told(store, "nobody") == []


@pytest.mark.parametrize(("most", "pages"), [(1, [2, 2, 2]), (4, [4, 2]), (100, [6])])
def test_a_page_ends_when_enough_was_read(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, most: int, pages: list[int]
) -> None:
    monkeypatch.setattr("legato.service.series.MOST_EVENTS", most)
    found, before = [], 0
    while not found or before:
        page = read_series(store, "a", before=before)
        found.append([each.number for each in page.points])
        before = page.older
    assert list(map(len, found)) == pages
    assert [number for page in found for number in page] == [number for number, _ in store.versions("a")]


def test_pages_have_so_many_at_most(store: MemoryStore) -> None:
    first = read_series(store, "a", limit=4)
    assert (len(first.points), first.older) == (4, first.points[-1].number)
    assert read_series(store, "a", limit=4, before=first.older).older == 0
    assert read_series(store, "a", limit=6).older == 0
