"""The process dies before and after each write: of the store, of the storage, of commands to workers.

The product holds no hooks for this: wrappers around its ports raise `Crash`. After each crash a new conductor takes over what is
stored. In the end everything must be published as if nothing had happened, and the witness must have seen no guarantee broken.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from legato.stores.sqlite import SqliteStore
from legato.testing.crash import CountedFuse
from legato.testing.flow_world import FlowWorld, draw
from legato.testing.program_draw import Luck
from legato.testing.world import MemorySite, Site, World

SHORT, LONG, LONG_FLOWS = 100, 5000, 1000

Run = Callable[..., CountedFuse]
"""Runs a world of a seed at a site, which dies at some points."""


class QuickStore(SqliteStore):
    """Does not wait for the disk: what dies here is a process, not the machine."""

    def open_writer(self, holder: str) -> int:
        epoch = super().open_writer(holder)
        self._writer.execute("pragma synchronous = off")
        return epoch


class SqliteSite:
    """A store in a file. After a crash the next conductor opens a copy of the files as they lay there, log and all."""

    def __init__(self, folder: Path, template: Path) -> None:
        folder.mkdir()
        self._folder, self._number = folder, 0
        self._path = folder / "0.db"
        self._reader: SqliteStore | None = None
        shutil.copy(template, self._path)

    def open(self) -> SqliteStore:
        return QuickStore(self._path)

    def read(self) -> SqliteStore:
        if self._reader is None:
            self._reader = SqliteStore(self._path, read_only=True)
        return self._reader

    def crash(self) -> None:
        former, self._number = self._path, self._number + 1
        self._path = self._folder / f"{self._number}.db"
        for suffix in ("", "-wal"):
            if (lying := Path(f"{former}{suffix}")).exists():
                shutil.copy(lying, f"{self._path}{suffix}")
        self._close_reader()

    def remove(self) -> None:
        self._close_reader()
        shutil.rmtree(self._folder)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def run_world(seed: int, site: Site, *deadly: int) -> CountedFuse:
    """One world that dies at these points of its life; how many points and crashes there were."""
    calm = World(seed, calm=True)
    calm.play([calm.everything("calm", force=True)])
    fuse = CountedFuse(*deadly)
    world = World(seed, site=site, fuse=fuse)
    try:
        world.play([world.everything("all"), world.something("some")])
        assert world.published() == calm.published()
    except BaseException as error:
        raise AssertionError(f"seed {seed}, dying at {deadly}: {error}") from error
    return fuse


def run_flows(seed: int, site: Site, *deadly: int) -> CountedFuse:
    """The same for a random program of flows, which has to give what it gives as plain Python."""
    random, fuse = Random(f"deaths {seed}"), CountedFuse(*deadly)
    world = FlowWorld(seed, Luck(random), site=site, fuse=fuse)
    try:
        world.play([world.wish("a flow", *draw(random, "x"))])
    except BaseException as error:
        raise AssertionError(f"seed {seed}, dying at {deadly}: {error}") from error
    return fuse


def crash_everywhere(
    open_site: Callable[[], Site], close_site: Callable[[Site], None], least: int, start: int, run: Run = run_world
) -> int:
    """World after world, dies at each of its points, and once more a few points later; how many crashes there were."""
    crashes = 0
    for seed in count(start):
        points = run(seed, MemorySite()).passed
        for point in range(points):
            site = open_site()
            try:
                crashes += run(seed, site, point, point + 2 + point % 7).crashes
            finally:
                close_site(site)
            if crashes >= least:
                return crashes
    raise AssertionError("unreachable")


@pytest.fixture
def sqlite_sites(tmp_path: Path) -> Iterator[Callable[[], SqliteSite]]:
    template = tmp_path / "template.db"
    store = SqliteStore(template)
    store.open_writer("the template")
    store.close()
    numbers = count()
    return lambda: SqliteSite(tmp_path / f"site {next(numbers)}", template)


def in_memory(least: int, start: int) -> int:
    return crash_everywhere(MemorySite, lambda site: None, least, start)


def test_dying_anywhere_loses_and_repeats_nothing_in_memory():
    """At every point of a small world's life, and again soon after."""
    assert in_memory(SHORT, start=0) >= SHORT


def test_dying_anywhere_loses_and_repeats_nothing_in_sqlite(sqlite_sites):
    """The same on real files."""
    assert crash_everywhere(sqlite_sites, SqliteSite.remove, SHORT, start=1) >= SHORT


def test_flows_survive_dying_anywhere(sqlite_sites):
    """At every point of a flow's life, half of it on real files."""
    assert crash_everywhere(MemorySite, lambda site: None, SHORT, 0, run_flows) >= SHORT
    assert crash_everywhere(sqlite_sites, SqliteSite.remove, SHORT, 1, run_flows) >= SHORT


@pytest.mark.long
@pytest.mark.parametrize("block", range(2))
def test_two_thousand_crashes_of_flows(block, sqlite_sites):
    """Half of them in memory, half on real files."""
    crash_everywhere(MemorySite, lambda site: None, LONG_FLOWS // 2, 100 * (block + 1), run_flows)
    crash_everywhere(sqlite_sites, SqliteSite.remove, LONG_FLOWS // 2, 1000 * (block + 1), run_flows)


@pytest.mark.long
@pytest.mark.parametrize("block", range(5))
def test_ten_thousand_crashes_half_of_them_in_memory(block):
    """5,000 crashes in worlds of many shapes."""
    assert in_memory(LONG // 5, start=100 * (block + 1)) >= LONG // 5


@pytest.mark.long
@pytest.mark.parametrize("block", range(5))
def test_ten_thousand_crashes_half_of_them_in_sqlite(block, sqlite_sites):
    """5,000 crashes on real files."""
    assert crash_everywhere(sqlite_sites, SqliteSite.remove, LONG // 5, start=1000 * (block + 1)) >= LONG // 5
