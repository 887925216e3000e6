"""A simulated day of a service: 50 runs a minute that a trigger asks for, with what is old let go. Memory stays level."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_editions import Desk

from legato.declare.keep import Keep
from legato.declare.moment import Every
from legato.declare.node import Node, Project
from legato.plan.build import make_plan
from legato.plan.graph import Graph
from legato.plan.spread import Extents
from legato.plan.stale import Facts
from legato.ports.executor import Executor
from legato.runtime.conductor import Conductor
from legato.runtime.replay import read_state
from legato.service.keeping import Keeper
from legato.service.ticker import Ticker
from legato.storages.memory import MemoryStorage
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.instant import after
from legato.testing.clock import VirtualClock

PERIOD_S = 1.2
HOUR_RUNS = 3_000
KEPT_S = 600.0


class Day:
    """A conductor with its ticker and its keeper; workers that end at once what they are handed."""

    def __init__(self, logs: Path) -> None:
        node = Node(name="work", kind="task", code="one", trigger=Every(seconds=PERIOD_S, catch_up="all"))
        self.project = Project(name="p", nodes={"work": node}, makers={"work": "work"}, fingerprint="one")
        self.clock, self.desk = VirtualClock(seed=1), Desk()
        self.store = MemoryStore(MemoryDisk())
        self.store.open_writer("a day")
        self.graph, self.extents = Graph(self.project), Extents({}, self.clock.now())
        storages: Any = {"memory": MemoryStorage()}
        self.conductor = Conductor(
            self.store, cast(Executor, self.desk), self.clock, self.graph, self.extents, storages=storages
        )  # fmt: skip
        self.conductor.keeps_ended = False
        self.ticker = Ticker(self.store, self.project, self.clock.now())
        room: Any = SimpleNamespace(keep=Keep(runs_s=KEPT_S), logs=logs, clock=self.clock, storages=storages)
        self.keeper = Keeper(self.store, lambda: room, self.conductor.open_states)

    def pass_hour(self) -> None:
        """An hour of ticks, each with its run; at its end what is old goes."""
        for _ in range(HOUR_RUNS):
            self.clock.advance_to(after(self.clock.now(), PERIOD_S))
            now = self.clock.now()
            self.ticker.hear(now, lambda run: read_state(self.store, run))
            self.ticker.pass_time(now)
            for fired in self.ticker.waiting():
                plan = make_plan(
                    self.graph, self.extents, Facts(), {"work": self.extents.of(None)}, request="work", force=True
                )  # fmt: skip
                self.conductor.accept(plan, actor="trigger work", key=fired.request.key)
            for _ in range(2):
                self.conductor.turn()
                self.desk.finish()
            self.conductor.turn()
        for part in self.keeper.round(self.clock.now()):
            self.keeper.do(part)


def census() -> int:
    """How many objects of Legato's there are, and of dictionaries and sets; lists are what the simulated disk is made of."""
    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    return sum(str(kind.__module__).startswith("legato.") or kind in (dict, set) for kind in kinds)


@pytest.mark.long
def test_a_day_leaves_nothing_behind(tmp_path: Path) -> None:
    day = Day(tmp_path)
    ran: Callable[[], int] = lambda: sum(1 for _ in day.store.runs(limit=1_000_000))  # noqa: E731
    counts, kept = [], []
    for hour in range(24):
        day.pass_hour()
        if hour >= 2:
            counts.append(census())
            kept.append(ran())
    assert not day.conductor.runs
    assert max(kept) <= KEPT_S / PERIOD_S + 5
    assert counts[-1] <= counts[0] * 1.02 + 50
    ticks = [number for number, _ in day.store.decisions("work", limit=10_000_000)]
    assert len(ticks) <= KEPT_S / PERIOD_S + 5
    print(f"72,000 runs; kept {kept[-1]}; objects {counts[0]:,} then {counts[-1]:,}")
