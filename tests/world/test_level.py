"""A service for hours and days, in virtual time, with 50 runs a minute that a trigger asks for: what is old is let go, and what
it holds in memory, on disk and in handles stays as it is."""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from legato.declare.keep import Keep
from legato.declare.moment import Every
from legato.declare.node import Cache, Dep, Node, Project
from legato.runtime.replay import read_state
from legato.service.keeping import NEWEST, Keeper
from legato.service.ticker import Ticker
from legato.stores.sqlite import SqliteStore
from legato.terms.instant import after
from legato.testing.sample import Script
from legato.testing.world import Wish, World

PERIOD_S, KEPT_S, ROUND_S = 1.2, 600.0, 60.0
KEEP = Keep(runs_s=KEPT_S, versions=3)
EVERY = Every(seconds=PERIOD_S, catch_up="all")
NODES = {
    each.name: each
    for each in (
        Node(name="feed", kind="source", outputs=("feed",)),
        Node(name="made", kind="asset", outputs=("made",), deps=(Dep("feed", "feed"),), code="1"),
        Node(name="taken", kind="task", deps=(Dep("feed", "feed"),), code="2", cache=Cache("5m")),
        Node(name="large", kind="task", deps=(Dep("made", "made"), Dep("taken", "taken")), code="3", trigger=EVERY),
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
    """A conductor with its ticker, which asks for fifty runs a minute, and with its keeper, which goes round every minute."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder
        script = Script(Random(1), {**dict.fromkeys(NODES, "sound"), "wrong": "gate"}, dict.fromkeys(NODES, 0.01))
        project = Project(name="p", nodes=NODES, makers={name: name for name in NODES}, fingerprint="one")
        super().__init__(1, sample=(project, script), site=Site(folder), workers=2)

    def keep_house(self, conductor, storage):
        conductor.keeps_ended = False
        place = SimpleNamespace(keep=KEEP, storages={self.values.name: storage}, logs=self.logs)
        keeper = Keeper(conductor.store, lambda: place, conductor.open_states, grace_s=60.0)
        parts, due = iter(()), self.clock.now()

        def keep_on():
            nonlocal parts, due
            part = next(parts, None)
            if part is not None:
                keeper.do(part)
            elif due <= self.clock.now():
                parts, due = keeper.round(self.clock.now()), after(self.clock.now(), ROUND_S)

        conductor.on_turn = keep_on

    def work(self, minutes):
        """What is held after each of these minutes."""
        held = {}

        def begin(conductor):
            born = self.clock.now()
            ticker = Ticker(conductor.store, self.project, born)
            for minute in range(1, max(minutes) + 1):
                while self.clock.now() < after(born, 60.0 * minute):
                    self.clock.advance_to(max(ticker.due(), self.clock.now()))
                    self._tick(conductor, ticker)
                if minute in minutes:
                    held[minute] = self._held(conductor)

        assert self.live(begin)
        return held

    def _tick(self, conductor, ticker):
        """What is due is decided and run to its end."""
        now = self.clock.now()
        ticker.hear(now, lambda run: read_state(conductor.store, run))
        ticker.pass_time(now)
        for fired in ticker.waiting():
            self.generation += 1
            plan = self.plan(conductor.store, Wish("again", frozenset(NODES), False))
            conductor.accept(plan, actor="trigger large", key=fired.request.key)
        conductor.drive()
        self._forget(conductor.executor._executor)

    def _forget(self, executor):
        """What the witness, the script and the simulated workers remember is not the service's."""
        executor._polls = 0
        witness = self.witness
        for memory in (witness.began, witness.first, witness.plans, witness.done, witness.handed_out, self.script._tries):
            memory.clear()

    def _held(self, conductor):
        gc.collect()
        store = conductor.store
        tables = [row[0] for row in store._writer.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: store._writer.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}
        kinds = [type(each) for each in gc.get_objects()]
        modules = Counter(str(kind.__module__) for kind in kinds)
        pages, free = (store._writer.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return {
            "open": len(conductor.runs), "runs": rows["run"], "decisions": rows["decision"], "rows": sum(rows.values()),
            "values": len(self.values.values), "pages": pages - free, "handles": len(os.listdir("/proc/self/fd")),
            "objects": sum(n for name, n in modules.items() if name.startswith("legato.") and "testing" not in name),
            "containers": sum(kind in (dict, list, set) for kind in kinds),
        }  # fmt: skip


def is_level(early, late):
    assert late["handles"] == early["handles"]
    assert late["open"] == 0
    for what in ("runs", "decisions"):
        assert NEWEST <= late[what] <= (KEPT_S + ROUND_S) / PERIOD_S + 5, (what, late)
    for what in ("rows", "values", "objects", "pages"):
        assert late[what] <= early[what] * 1.1 + 100, (what, early, late)
    assert late["containers"] <= early["containers"] * 1.02 + 50, (early, late)


@pytest.mark.parametrize(
    ("early", "late"), [(20, 45), pytest.param(60, 24 * 60, marks=pytest.mark.long)], ids=["an hour", "a day"]
)
def test_what_a_service_holds_is_level(tmp_path, early, late):
    service = Service(tmp_path)
    held = service.work({early, late})
    print(held)
    assert service.generation >= 50 * late - 1
    is_level(held[early], held[late])
    assert held[late]["rows"] > 500
