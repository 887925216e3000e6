"""What a pass over many triggers costs, beside a pass over few of which as many are due."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import legato as lg
from benchmarks.measure import Result, at_most, resident_bytes
from legato.declare.moment import Cron, Every
from legato.declare.node import Node, Project
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.service.ticker import Ticker
from legato.stores.sqlite import SqliteStore
from legato.terms.instant import Instant, after
from legato.triggers.decide import decide
from legato.triggers.inputs import RunEnded, TimePassed
from legato.triggers.state import State, load

DUE = 100
MIDNIGHT = Instant(1_798_761_600_000_000)  # 2027-01-01 UTC


class Nothing:
    """Nothing was ever published, and nothing is missing."""

    def last_published(self, node: Node) -> None:
        """Never."""

    def missing(self, node: Node) -> tuple[str, ...]:
        """None."""
        return ()


def passes(size: float) -> Result:
    """A pass in which 100 triggers are due, of 100,000 and of 1,000; each asks for windows of a million."""
    count = round(100_000 * size)
    few, many = _pass_us(1_000), _pass_us(count)
    return Result(
        f"a pass over {count:,} triggers, {DUE} due", f"{many:.0f} us a due trigger", f"{few:.0f} us (of 1,000 triggers)",
        f"{many / few:.2f} x", "at most 1.5 x", at_most(many / few, 1.5),
    )  # fmt: skip


def _pass_us(count: int) -> float:
    """The median of passes an hour apart, by due trigger, in the processor's time: what others do meanwhile is not counted."""
    state, times = _crowd(count), []
    for hour in range(1, 12):
        now = after(MIDNIGHT, hour * 3600)
        start = time.process_time()
        events = decide(state, TimePassed(), now)
        times.append((time.process_time() - start) / DUE * 1e6)
        assert len(events) == DUE, len(events)
        for event in events:
            decide(state, RunEnded(event.trigger, f"{event.trigger}/{event.key}"), now)  # type: ignore[union-attr]
    return median(times)


def turns(size: float) -> Result:
    """A turn of the ticker in which one key comes and one trigger is due, of 1,000,000 asset partitions and of 1,000."""
    count = round(1_000_000 * size)
    (few, _), (many, held) = _turn_us(1_000), _turn_us(count)
    return Result(
        f"a turn of the ticker, {count:,} asset partitions", f"{many:.0f} us, {held / count:.0f} bytes a partition",
        f"{few:.0f} us (of 1,000 partitions)", f"{many / few:.2f} x", "at most 1.5 x, 200 bytes",
        max(at_most(many / few, 1.5), at_most(held / count, 200.0)),
    )  # fmt: skip


def _turn_us(count: int) -> tuple[float, int]:
    """The median of turns an hour apart, in the processor's time; and how much memory the ticker takes."""
    node = Node(
        name="bills", kind="asset", outputs=("bills",), partitions=lg.dynamic("customers"),
        trigger=Cron(expression="0 * * * *", tz="UTC"),
    )  # fmt: skip
    project = Project(name="crowd", nodes={"bills": node}, makers={"bills": "bills"})
    with tempfile.TemporaryDirectory(prefix="legato-bench-") as folder:
        store = SqliteStore(Path(folder) / "state.db")
        store.open_writer("benchmark")
        store.add_dynamic_keys("customers", [f"customer-{number:07}" for number in range(count)])
        before, times = resident_bytes(), []
        ticker = Ticker(store, project, MIDNIGHT)
        held = resident_bytes() - before
        for hour in range(1, 12):
            now = after(MIDNIGHT, hour * 3600)
            store.add_dynamic_keys("customers", [f"new-{hour}"])
            start = time.process_time()
            ticker.look_for_keys(now)
            ticker.hear(now, lambda run: RunState(run, Plan("", "", [], {})))
            ticker.pass_time(now)
            (fired,) = ticker.waiting()
            times.append((time.process_time() - start) * 1e6)
            ticker.give_up(fired, "measured", now)
        store.close()
    return median(times), held


def _crowd(count: int) -> State:
    """So many triggers, of which a hundred are due each hour and all others once a day, at midnight."""
    hours = lg.hourly("1912-01-01")
    nodes = {}
    for number in range(count):
        daily = Cron(expression="0 0 * * *", tz="UTC") if number % 2 else Every(seconds=86_400.0)
        trigger = Cron(expression="0 * * * *", tz="UTC") if number < DUE else daily
        nodes[f"n{number}"] = Node(name=f"n{number}", kind="asset", outputs=(f"n{number}",), partitions=hours, trigger=trigger)
    project = Project(name="crowd", nodes=nodes, makers={name: name for name in nodes})
    return load(project, (), MIDNIGHT, dynamic={}, known=set(), premises=Nothing())
