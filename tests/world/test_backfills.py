"""Backfills beside other runs, on virtual time: nothing is made twice, nobody is kept waiting, and a pause holds."""

from __future__ import annotations

from random import Random

import pytest

from legato.declare.node import Dep, Node, Project
from legato.declare.partitions import static
from legato.kernel import events as ev
from legato.kernel.inputs import Pause
from legato.plan.backfill import in_own_pool
from legato.plan.records import Backfill
from legato.terms.instant import after
from legato.testing.sample import Script
from legato.testing.world import Wish, World

KEYS = static([f"k{number}" for number in range(6)])


def open_world(*, workers=2, seconds=1.0):
    """A world of an asset with six partitions, which take so long each, one that reads it, and one beside them."""
    nodes = [
        Node(name="a", kind="asset", outputs=("a",), partitions=KEYS, code="a"),
        Node(name="b", kind="asset", outputs=("b",), partitions=KEYS, code="b", deps=(Dep("a", "a"),)),
        Node(name="quick", kind="asset", outputs=("quick",), code="quick"),
    ]
    project = Project(name="p", nodes={each.name: each for each in nodes}, makers={each.name: each.name for each in nodes})
    script = Script(Random(1), dict.fromkeys(project.nodes, "sound"), {"a": seconds, "b": seconds, "quick": 0.001})
    return World(1, sample=(project, script), workers=workers)


def plan_of(world, store, name, *nodes, force=False, **how):
    """A backfill's plan of these nodes; of a plain run where nothing is said of how."""
    plan = world.plan(store, Wish(name, frozenset(nodes), force))
    return in_own_pool(plan, Backfill(**how)) if how else plan


def made_by(world, run):
    """How each success of a run came about: by itself, or which run had made it."""
    events = [ev.decode(body) for _, body in world.site.read().events(run)]
    return [event.cached for event in events if isinstance(event, ev.StepSucceeded)]


def test_what_another_run_made_meanwhile_is_not_made_again():
    """Two backfills of the same partitions, and a plain run of some: each partition is made once, by whoever came first."""
    world = open_world()
    runs = []

    def begin(conductor):
        for name, nodes in (("first", "ab"), ("second", "ab"), ("third", "a")):
            runs.append(conductor.accept(plan_of(world, conductor.store, name, *nodes, at_once=4), actor="ann"))

    assert world.live(begin)
    assert [run.state for run in world.site.read().runs()] == ["succeeded"] * 3
    assert world.witness.made == 12
    first, second, third = (made_by(world, run) for run in runs)
    assert sum(map(len, (first, second, third))) == 12 + 12 + 6
    assert sum(each.count("") for each in (first, second, third)) == 12
    assert set(second) | set(third) <= {"", *runs}


def test_what_is_to_be_made_again_is_made_again():
    """With `again` nothing that others made counts, and neither does what was made of other code."""
    world = open_world()

    def begin(conductor):
        for name in ("first", "second"):
            conductor.accept(plan_of(world, conductor.store, name, "a", force=True, at_once=4), actor="ann")

    assert world.live(begin)
    assert world.witness.made == 12


def test_a_plain_run_makes_what_its_plan_says():
    """What joins is the backfill alone: a run that was planned to make a partition makes it, whoever else has."""
    world = open_world()

    def begin(conductor):
        plain = plan_of(world, conductor.store, "plain", "a")
        conductor.accept(plan_of(world, conductor.store, "backfill", "a", urgent=True), actor="ann")
        conductor.accept(plain, actor="ann")

    assert world.live(begin)
    assert world.witness.made >= 6
    plain = next(run.id for run in world.site.read().runs() if run.request == "plain")
    assert set(made_by(world, plain)) == {""}


@pytest.mark.parametrize(("spares", "most_s"), [(True, 0.01), (False, 10.0)])
def test_a_service_keeps_a_worker_free_of_backfills(spares, most_s):
    """A step that others wait for begins at once, even where every partition takes ten seconds; without, it waits for one."""
    world = open_world(seconds=10.0)
    asked = []

    def submit(conductor):
        if not asked and world.clock.now() >= after(world.begun, 15):
            asked.append(conductor.accept(plan_of(world, conductor.store, "now", "quick", force=True), actor="ann"))
        return []

    def begin(conductor):
        world.begun = world.clock.now()
        conductor.spares_a_worker = spares
        conductor.accept(plan_of(world, conductor.store, "year", "a", order="newest"), actor="ann")
        conductor.requests = lambda: submit(conductor)

    assert world.live(begin)
    store = world.site.read()
    events = [ev.decode(body) for _, body in store.events(asked[0])]
    waited = (next(event.at for event in events if isinstance(event, ev.AttemptsStarted)) - store.run(asked[0]).at) / 1e6
    assert waited <= most_s
    assert spares or waited > 1
    assert [run.state for run in store.runs()] == ["succeeded"] * 2


def test_a_paused_backfill_lets_the_next_one_go_on():
    """The older one has its turn first; while it stands still the other has all the room; what that makes is made."""
    world = open_world(workers=1)
    told, runs = [], []

    def pause_once(conductor):
        if told or world.site.read().run(runs[0]).backfill.done < 2:
            return []
        told.append(runs[0])
        return [(runs[0], Pause("ann"))]

    def begin(conductor):
        for name, force in (("older", False), ("newer", True)):
            runs.append(conductor.accept(plan_of(world, conductor.store, name, "a", force=force, at_once=1), actor="ann"))
        conductor.requests = lambda: pause_once(conductor)

    assert world.live(begin)
    store = world.site.read()
    older, newer = (store.run(run) for run in runs)
    assert (older.state, older.paused, newer.state) == ("open", True, "succeeded")
    assert older.backfill.done + older.backfill.pending == 6 > older.backfill.done
    world.live(lambda conductor: conductor.resume(runs[0], actor="ann"))
    assert store.run(runs[0]).state == "succeeded"
    assert made_by(world, runs[0]).count("") == older.backfill.done
    assert made_by(world, runs[0]).count(runs[1]) == older.backfill.pending
