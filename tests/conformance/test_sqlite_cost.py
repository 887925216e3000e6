"""What the SQLite store costs, beside a bare SQLite on the same disk. Prints figures; fails only far beyond them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_site import SqliteSite

from legato.ports.store import Commit
from legato.stores.sqlite import SqliteStore
from legato.testing.store_records import publish

pytestmark = pytest.mark.timing


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SqliteSite]:
    with SqliteSite(tmp_path) as site:
        yield site


@pytest.fixture
def store(site: SqliteSite) -> SqliteStore:
    return site.open_with_run()


def _floor(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table event (seq integer primary key, run integer not null, body blob not null)")
    return db


def _insert(db: sqlite3.Connection, rows: list[tuple[int, bytes]]) -> None:
    db.execute("begin immediate")
    db.executemany("insert into event (run, body) values (?, ?)", rows)
    db.execute("commit")


def _timed(call: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


@pytest.mark.long
def test_a_lone_commit_costs_about_a_bare_insert(store: SqliteStore, tmp_path: Path) -> None:
    floor, body = _floor(tmp_path), b"x" * 100
    group = [Commit(run_id="r1", events=[body])]
    ratios = []
    for _ in range(9):
        bare = _timed(lambda: floor.execute("insert into event (run, body) values (1, ?)", (body,)), 300)
        ratios.append(_timed(lambda: store.commit(group), 300) / bare)
    floor.close()
    print(f"\nlone commit: {sorted(ratios)[4]:.2f} x a bare insert and commit (budget 1.5; {bare / 300 * 1e6:.0f} us)")
    assert sorted(ratios)[4] < 3


@pytest.mark.long
def test_large_groups_are_written_fast_and_history_costs_nothing(store: SqliteStore, tmp_path: Path) -> None:
    floor = _floor(tmp_path)
    group = [Commit(run_id="r1", events=[b"x" * 100] * 20) for _ in range(128)]
    small = [publish("v", "p")]

    def measure() -> tuple[float, float]:
        """A commit, beside a bare one on the same disk in the same moment: it may be busy with what was written before; heads."""
        ratios = [_timed(lambda: store.commit(small), 100) / _timed(lambda: _insert(floor, bodies[:1]), 100) for _ in range(7)]
        return sorted(ratios)[3], min(_timed(lambda: store.heads(["a"]), 500) for _ in range(5))

    bodies = [(1, b"x" * 100)] * 2_560
    measure()
    empty = measure()
    ours, bare, rows = 0.0, 0.0, 0
    while rows < 1_000_000:
        ours += _timed(lambda: store.commit(group), 1)
        bare += _timed(lambda: _insert(floor, bodies), 1)
        rows += len(bodies)
    full = measure()
    floor.close()
    began = time.perf_counter()
    assert sum(1 for _ in store.events("r1")) > rows
    read = rows / (time.perf_counter() - began)
    print(f"\n{rows / ours:,.0f} event rows/s written in groups of 2,560 (target 300,000), {read:,.0f}/s read")
    print(f"that is {ours / bare:.2f} x the time of a bare SQLite table without an index")
    print(f"with {rows:,} events: commit {full[0] / empty[0]:.2f} x, heads {full[1] / empty[1]:.2f} x of an empty store")
    assert ours / bare < 6
    assert full[0] / empty[0] < 2


@pytest.mark.long
def test_opening_and_the_first_read_are_quick(store: SqliteStore, site: SqliteSite) -> None:
    program = (
        "import time, msgspec, legato.ports.store\n"
        "began = time.perf_counter()\n"
        "from legato.stores.sqlite import SqliteStore\n"
        f"SqliteStore({str(site.path)!r}, read_only=True).runs()\n"
        "print(time.perf_counter() - began)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(7)]
    print(f"\nimport sqlite3, open and first read: {sorted(times)[3] * 1e3:.1f} ms (target 15)")
    assert sorted(times)[3] < 0.045
