"""A service for hours and days, in virtual time: what it holds in memory, on disk and in handles stays as it is."""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from legato.declare.keep import Keep
from legato.declare.node import Cache, Dep, Node, Project
from legato.service.keeping import Keeper
from legato.stores.sqlite import SqliteStore
from legato.testing.sample import Script
from legato.testing.world import Wish, World

KEEP = Keep(runs_s=600.0, versions=3, logs_s=None)
NODES = {
    each.name: each
    for each in (
        Node(name="feed", kind="source", outputs=("feed",)),
        Node(name="made", kind="asset", outputs=("made",), deps=(Dep("feed", "feed"),), code="1"),
        Node(name="taken", kind="task", deps=(Dep("feed", "feed"),), code="2", cache=Cache("5m")),
        Node(name="large", kind="task", deps=(Dep("made", "made"), Dep("taken", "taken")), code="3"),
        Node(name="wrong", kind="asset", outputs=("wrong",), deps=(Dep("made", "made"),), code="4"),
    )
}


class QuickStore(SqliteStore):
    """Does not wait for the disk."""

    def open_writer(self, holder: str) -> int:
        epoch = super().open_writer(holder)
        self._writer.execute("pragma synchronous = off")
        return epoch


class Site:
    """A store in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.db"
        self._reader: SqliteStore | None = None

    def open(self) -> SqliteStore:
        return QuickStore(self.path)

    def read(self) -> SqliteStore:
        if self._reader is None:
            self._reader = SqliteStore(self.path, read_only=True)
        return self._reader

    def crash(self) -> None:
        raise AssertionError("nothing dies here")


class Service(World):
    """A conductor that is asked for fifty runs a minute, and keeps house meanwhile."""

    def __init__(self, folder: Path) -> None:
        script = Script(Random(1), {**dict.fromkeys(NODES, "sound"), "wrong": "gate"}, dict.fromkeys(NODES, 0.01))
        project = Project(name="p", nodes=NODES, makers={name: name for name in NODES})
        super().__init__(1, sample=(project, script), site=Site(folder), workers=2)

    def keep_house(self, conductor, storage):
        conductor.keeps_ended = False
        place = SimpleNamespace(keep=KEEP, storages={self.values.name: storage}, logs=None)
        keeper = Keeper(conductor.store, lambda: place, conductor.open_states, grace_s=60.0)
        parts = iter(())

        def keep_on():
            nonlocal parts
            part = next(parts, None)
            if part is None:
                parts = keeper.round(self.clock.now())
            else:
                keeper.do(part)

        conductor.on_turn = keep_on

    def work(self, minutes):
        """What is held after each of these minutes of fifty runs."""
        held = {}

        def begin(conductor):
            for minute in range(1, max(minutes) + 1):
                for _ in range(50):
                    self.clock.advance(1.2)
                    self.generation += 1
                    wish = Wish("again", frozenset(NODES), False)
                    conductor.accept(self.plan(conductor.store, wish), actor="ann")
                    conductor.drive()
                    self._forget(conductor.executor._executor)
                if minute in minutes:
                    held[minute] = self._held(conductor.store)

        assert self.live(begin)
        return held

    def _forget(self, executor):
        """What the witness, the script and the simulated workers remember is not the service's."""
        executor._polls = 0
        witness = self.witness
        for memory in (witness.began, witness.first, witness.plans, witness.done, witness.handed_out, self.script._tries):
            memory.clear()

    def _held(self, store):
        gc.collect()
        tables = [row[0] for row in store._writer.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: store._writer.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}
        objects = Counter(type(each).__module__ for each in gc.get_objects())
        ours = sum(n for name, n in objects.items() if str(name).startswith("legato.") and "testing" not in str(name))
        pages, free = (store._writer.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        handles = len(os.listdir("/proc/self/fd"))
        return {
            "rows": sum(rows.values()), "values": len(self.values.values), "objects": ours, "handles": handles,
            "pages": pages - free,
        }  # fmt: skip


def is_level(early, late):
    assert late["handles"] == early["handles"]
    for what in ("rows", "values", "objects", "pages"):
        assert late[what] <= early[what] * 1.1 + 100, (what, early, late)


@pytest.mark.parametrize(
    ("early", "late"), [(20, 45), pytest.param(60, 24 * 60, marks=pytest.mark.long)], ids=["an hour", "a day"]
)
def test_what_a_service_holds_is_level(tmp_path, early, late):
    held = Service(tmp_path).work({early, late})
    print(held)
    is_level(held[early], held[late])
    assert held[late]["rows"] > 500
