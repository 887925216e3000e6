"""A pass costs what is due, not what exists."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from stage import instant

import legato as lg
from legato.declare.moment import AllOf, Cron, Every, File, Missing, Stale, Updated, Webhook
from legato.declare.node import Node, Project
from legato.terms.instant import after
from legato.triggers import inputs
from legato.triggers.decide import decide
from legato.triggers.state import State, load

NOON = instant("2026-03-01T12:00")
HOURS = lg.hourly("1912-01-01")  # a million partitions


class Nothing:
    """Nothing was ever published, and nothing is missing."""

    def last_published(self, node: Node) -> None:
        return None

    def missing(self, node: Node) -> tuple[str, ...]:
        return ()


def crowd(count: int) -> State:
    """So many triggers of all kinds that are not due before midnight, and ten that are due at one."""
    kinds: list[Callable[[int], Any]] = [
        lambda n: Cron(expression=f"{n % 60} {n // 60 % 12} * * *"),
        lambda n: Every(seconds=86_400.0),
        lambda n: Updated(asset=f"crowd{n - 1}"),
        lambda n: Webhook(name=f"hook{n}"),
        lambda n: AllOf((Cron(expression="0 3 * * *"), Updated(asset=f"crowd{n - 1}"))),
        lambda n: Stale(seconds=86_400.0 + n),
        lambda n: Missing(),
        lambda n: File(pattern=f"in{n}/*.csv"),
    ]
    days = lg.daily("2013-01-01")
    triggers = {f"crowd{n}": kinds[n % len(kinds)](n) for n in range(count)}
    triggers |= {f"due{n}": Cron(expression="0 13 * * *") for n in range(10)}
    nodes = {
        name: Node(name=name, kind="asset", outputs=(name,), partitions=HOURS if name[0] == "d" else days, trigger=trigger)
        for name, trigger in triggers.items()
    }
    nodes["base"] = Node(name="base", kind="asset", outputs=("base",), partitions=HOURS)
    nodes["below"] = Node(name="below", kind="asset", outputs=("below",), partitions=HOURS, trigger=Updated(asset="base"))
    project = Project(name="crowd", nodes=nodes, makers={name: name for name in nodes})
    return load(project, (), NOON, dynamic={}, known=set(), premises=Nothing())


def calls(work: Callable[[], object]) -> int:
    """How many functions are called: a cost that no other program on the machine changes."""
    found = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def costs(state: State) -> list[int]:
    """What it costs to decide one thing after another."""
    one_pm = after(NOON, 3600)
    told: list[tuple[inputs.Input, Any]] = [
        (inputs.TimePassed(), after(NOON, 60)),
        (inputs.TimePassed(), one_pm),
        (inputs.Published("v1", ("base",), ("2026-03-01T10", "2026-03-01T11")), one_pm),
        (inputs.Delivered("webhook", "c1", "hook3"), one_pm),
        (inputs.FileArrived("in7/x.csv", "d1"), one_pm),
        (inputs.Pause("due1"), one_pm),
        (inputs.RunEnded("due2", "due2/2026-03-01T13:00:00Z"), one_pm),
    ]
    found = []
    for each, now in told:
        events: list[Any] = []
        found.append(calls(lambda each=each, now=now, events=events: events.extend(decide(state, each, now))))  # type: ignore[misc]
        assert len(events) == (0 if now != one_pm else 10 if isinstance(each, inputs.TimePassed) else 1)
    return found


def check(count: int) -> None:
    costs(crowd(80))  # whatever is remembered is remembered now
    few, many = costs(crowd(80)), costs(crowd(count))
    assert all(large <= small + 60 for small, large in zip(few, many, strict=True)), (few, many)


def test_ten_thousand_triggers_cost_what_eighty_do() -> None:
    check(10_000)


@pytest.mark.long
def test_a_hundred_thousand_triggers_cost_what_eighty_do() -> None:
    check(100_000)


@pytest.mark.timing
def test_a_hundred_thousand_triggers_are_loaded_in_seconds_and_asked_in_microseconds() -> None:
    started = process_time()
    state = crowd(100_000)
    assert process_time() - started < 20
    started = process_time()
    for second in range(1000):
        decide(state, inputs.TimePassed(), after(NOON, second))
    assert process_time() - started < 0.1
