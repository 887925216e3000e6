"""What a pass over many triggers costs, beside a pass over few of which as many are due."""

from __future__ import annotations

import time
from statistics import median

import legato as lg
from benchmarks.measure import Result, at_most
from legato.declare.moment import Cron, Every
from legato.declare.node import Node, Project
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
