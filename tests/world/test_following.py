"""Triggers hear the runs of random worlds: what a run is to make itself is left to it, and nothing else is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from legato.declare.moment import AnyOf, Updated
from legato.declare.node import Node, Project
from legato.declare.partitions import keys
from legato.kernel import events as ev
from legato.kernel.fold import fold
from legato.kernel.state import IDLE, RunState
from legato.plan.records import Plan
from legato.plan.spread import Extents
from legato.ports.store import Commit, Run, Store
from legato.runtime.replay import read_state
from legato.service.ahead import Ahead
from legato.service.ticker import Ticker, decision_of
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.codec import unpack
from legato.testing.clock import MORNING
from legato.testing.flow_world import play_flows
from legato.testing.world import play
from legato.triggers.events import Fired
from legato.triggers.reach import about_version

SHORT, LONG = 30, 1000
NOTHING = Extents({}, MORNING)


def with_triggers(project: Project, random: Random) -> Project:
    """The project, each asset of which follows every asset that it reads, and one that may have nothing to do with it."""
    assets = [name for name, maker in project.makers.items() if project.nodes[maker].kind == "asset"]
    nodes = {}
    for name, node in project.nodes.items():
        if node.kind == "asset":
            followed = {*(dep.node for dep in node.deps), random.choice(assets)}.intersection(assets).difference(node.outputs)
            if followed:
                node = replace(node, trigger=AnyOf(tuple(Updated(asset=asset) for asset in sorted(followed))))
        nodes[name] = node
    return replace(project, nodes=nodes)


def follows(node: Node, asset: str) -> bool:
    return node.trigger is not None and Updated(asset=asset) in node.trigger.parts  # type: ignore[union-attr]


# -- what is decided --


def hear(past: Store, project: Project, pauses: Callable[[], str]) -> list[object]:
    """What triggers decide that hear a world's events again, with pauses in which others are committed, or the process ends."""
    store = MemoryStore(MemoryDisk())
    store.open_writer("test")
    ticker = Ticker(store, project, MORNING)
    runs: dict[str, Run] = {}
    for _, run, body in past.changes(0, 1_000_000):
        if run not in runs:
            runs[run] = replace(row_of(past, run), state="open")
            store.accept(runs[run], past.plan(run), [])
        event = ev.decode(body)
        row = runs[run] if not isinstance(event, ev.RunEnded) else replace(runs[run], state="failed")
        store.commit([Commit(run_id=run, events=[body], run=row)])
        match pauses():
            case "hear":
                ticker.hear(MORNING, lambda run: read_state(store, run))
            case "die":
                ticker = Ticker(store, project, MORNING)
    ticker.hear(MORNING, lambda run: read_state(store, run))
    return [decision_of(each) for _, each in store.decisions(limit=1_000_000)][::-1]


def row_of(store: Store, run: str) -> Run:
    found = store.run(run)
    assert found is not None
    return found


def expected(past: Store, project: Project) -> dict[tuple[str, str], set[str]]:
    """Which partitions are to be asked for, by trigger and what it was told: read off the kernel's own state of each run."""
    found: dict[tuple[str, str], set[str]] = {}
    states: dict[str, RunState] = {}
    left: dict[tuple[str, str], set[str]] = defaultdict(set)
    for number, (_, run, body) in enumerate(past.changes(0, 1_000_000), 1):
        event = ev.decode(body)
        state = states.get(run) or states.setdefault(run, RunState(run, unpack(past.plan(run), Plan)))
        fold(state, event)
        if isinstance(event, ev.StepSucceeded):
            step = state.plan.steps[event.step]
            for node, asset in ((node, out.ref.asset) for node in project.nodes.values() for out in event.outputs):
                if follows(node, asset):
                    about = reached(node, project, asset, step.partition)
                    later = about & idle(state, [node.name])
                    left[run, node.name] |= later
                    found.setdefault((node.name, f"version:{run}:{number}"), set()).update(about - later)
            left[run, step.node].discard(step.partition)
        elif isinstance(event, ev.RunEnded):
            for node in project.nodes.values():
                rest = left.pop((run, node.name), set())
                found[node.name, f"left:{run}:{number}"] = set() if event.outcome == "rolled_back" else rest
    return {key: asked for key, asked in found.items() if asked}


def reached(node: Node, project: Project, asset: str, partition: str) -> set[str]:
    about = about_version(node, project, asset, (partition,), NOTHING)
    return set(keys(node.partitions, NOTHING.of(node.partitions), {})) if about.rest else set(about.named)


def idle(state: RunState, names: Iterable[str]) -> set[str]:
    """The partitions of these nodes that the run has yet to begin."""
    steps = zip(state.plan.steps, state.status, strict=True)
    return {step.partition for step, status in steps if step.node in names and status in IDLE}


def check(seed: int) -> tuple[int, int]:
    """Decisions are what is expected, whenever they are made; how many firings were left to runs, and how many came after."""
    world = play(seed)
    random = Random(seed)
    past, project = world.site.read(), with_triggers(world.project, random)
    at_once = hear(past, project, lambda: "hear")
    assert at_once == hear(past, project, lambda: ""), f"seed {seed}: heard in the end"
    assert at_once == hear(past, project, lambda: random.choice(("hear", "die", "", "", ""))), f"seed {seed}: heard with pauses"
    asked: dict[tuple[str, str], set[str]] = {}
    for each in at_once:
        if isinstance(each, Fired):
            node, everything = project.nodes[each.trigger], each.request.everything
            there = keys(node.partitions, NOTHING.of(node.partitions), {}) if everything else each.request.partitions
            asked[each.trigger, each.key.partition("#")[0]] = set(there)
    assert asked == expected(past, project), f"seed {seed}"
    return len(at_once) - len(asked), sum(key.startswith("left:") for _, key in asked)


@pytest.mark.parametrize("first", range(0, SHORT, 10))
def test_what_runs_are_to_make_is_left_to_them(first: int) -> None:
    for seed in range(first, first + 10):
        check(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(SHORT, LONG, 100))
def test_what_many_runs_are_to_make_is_left_to_them(first: int) -> None:
    for seed in range(first, first + 100):
        check(seed)


def test_there_is_something_to_leave() -> None:
    skipped, after = map(sum, zip(*map(check, range(SHORT, SHORT + 20)), strict=True))
    assert skipped > 100
    assert after > 5


# -- what a run is yet to begin --


def states_of(past: Store) -> Iterator[tuple[RunState, ev.AnyEvent, bool]]:
    """Each run after each of its events, and whether it is its first."""
    for run in past.runs(limit=1_000):
        state = RunState(run.id, unpack(past.plan(run.id), Plan))
        for place, (_, body) in enumerate(past.events(run.id)):
            event = ev.decode(body)
            fold(state, event)
            yield state, event, place == 0


@pytest.mark.parametrize("seed", range(SHORT))
def test_what_is_ahead_of_a_flow_is_what_the_kernel_has_not_begun(seed: int) -> None:
    program: Any = [["tables"], ["sub", [["tables"], ["submit", "flaky", ["a", "b"]]]], ["chain", "c", 3], ["tables"]]
    world = play_flows(seed, ("follow", program))
    past = world.site.read()
    names = {name: False for name, node in world.project.nodes.items() if node.kind == "asset"}
    for state, event, is_first in states_of(past):
        if is_first:
            plan = unpack(past.plan(state.run_id), Plan)
            ahead = Ahead(plan, len(plan.steps), names)
        ahead.take(event)
        for name in names:
            assert set(ahead.keys.get(name, ())) == idle(state, [name]), (state.run_id, event)
