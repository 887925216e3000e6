"""Two versions of a project at work at once, in simulated worlds with deaths: runs stay with the workers of their own version."""

from __future__ import annotations

import gc
from random import Random
from typing import Any, cast

import pytest
from msgspec.structs import replace

from legato.declare.node import Node, Project
from legato.declare.pool import Limit, Use
from legato.kernel.inputs import Pause
from legato.kernel.inputs import Resume as GoOn
from legato.kernel.invariants import violations
from legato.plan.graph import Graph
from legato.plan.spread import Extents
from legato.ports.executor import Executor
from legato.ports.storage import Storage
from legato.ports.store import Store
from legato.runtime.asleep import Asleep
from legato.runtime.conductor import Conductor
from legato.storages.memory import MemoryStorage
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.attempt import Done, Order, Raised, Report
from legato.terms.errors import LegatoError, Unreachable
from legato.terms.instant import after
from legato.testing.clock import VirtualClock
from legato.testing.crash import Crash, CrashingExecutor, CrashingStore, RandomFuse
from legato.testing.witness import WitnessedStorage, WitnessedStore
from legato.testing.workers import SimulatedExecutor
from legato.testing.world import Wish, World


class Watched(SimulatedExecutor):
    """Remembers the runs whose orders it was handed."""

    seen: set[str]

    def start(self, orders: Any, worker: int, expected_s: float) -> None:
        self.__dict__.setdefault("seen", set()).update(order.run for order in orders)
        super().start(orders, worker, expected_s)


def changed(project: Project) -> Project:
    """The same project with other code."""
    nodes = {name: replace(node, code=f"{node.code}'") for name, node in project.nodes.items()}
    return replace(project, nodes=nodes, fingerprint=f"{project.fingerprint}'")


@pytest.mark.parametrize("seed", range(60))
def test_runs_stay_with_their_version(seed: int) -> None:
    world = World(seed, calm=True)
    former, newer = world.project, changed(world.project)
    random = Random(f"editions {seed}")
    fuse = RandomFuse(random, 0.02, most=3)
    wishes = [world.everything("first", force=True), world.everything("second", force=True)]
    for _ in range(40):
        if _live(world, former, newer, wishes, fuse, random):
            break
    outcomes = {run.request: (run.state, run.project) for run in world.site.read().runs()}
    assert outcomes == {"first": ("succeeded", former.fingerprint), "second": ("succeeded", newer.fingerprint)}
    world.witness.check_end(world.site.read())


def _live(world: World, former: Project, newer: Project, wishes: list[Wish], fuse: Any, random: Random) -> bool:
    """One conductor with both versions; whether it came to its end."""
    storage = cast(Storage, WitnessedStorage(world.values, world.witness))
    handle = world.site.open()
    handle.open_writer("a conductor")
    store = cast(Store, CrashingStore(cast(Store, WitnessedStore(handle, world.witness)), fuse))
    base = world.open_executor(storage)
    executors = [Watched(world.clock, base.work, world.witness, random, workers=2) for _ in range(2)]
    opened = [cast(Executor, CrashingExecutor(each, fuse)) for each in executors]
    try:
        world.project = former
        conductor = Conductor(store, opened[0], world.clock, Graph(former), world.extents, storages={world.values.name: storage})
        known = {run.request: run for run in store.runs()}
        for run in known.values():
            if run.state == "open" and run.project == former.fingerprint:
                assert not violations(conductor.adopt(run.id))
        if "first" not in known:
            conductor.accept(_plan(world, former, store, wishes[0]), actor="ann")
        for _ in range(random.randrange(20)):
            conductor.turn()
        conductor.open_edition(Graph(newer), world.extents, opened[1])
        for run in known.values():
            if run.state == "open" and run.project == newer.fingerprint:
                assert not violations(conductor.adopt(run.id))
        if "second" not in known:
            conductor.accept(_plan(world, newer, store, wishes[1]), actor="ann")
        conductor.drive()
    except (Crash, Unreachable):
        world.site.crash()
        return False
    finally:
        handle.close()
        for each in executors:
            each.close()
        world.witness.saw_conductor_die(world.clock.now())
    by_id = {run.id: run.project for run in world.site.read().runs()}
    for executor, version in zip(executors, (former, newer), strict=True):
        assert {by_id[run] for run in executor.__dict__.get("seen", set())} <= {version.fingerprint}
    return True


def _plan(world: World, project: Project, store: Store, wish: Wish) -> Any:
    world.project, world.graph = project, Graph(project)
    return world.plan(store, wish)


# -- in detail --


class Desk:
    """An executor whose work is done when the test says so."""

    def __init__(self, places: int = 1) -> None:
        self.orders: list[Order] = []
        self.killed: list[tuple[str, int, int]] = []
        self.reports: list[Report] = []
        self.is_closed = False
        self.places = places
        self._expected: dict[int, float] = {}

    def workers(self) -> int:
        return 1

    def load(self) -> list[float]:
        return [sum(self._expected.values())]

    def start(self, orders: list[Order], worker: int, expected_s: float) -> None:
        self.orders += orders
        if worker == 0:
            self._expected.update({id(order): 1.0 for order in orders})

    def free_for_flows(self) -> list[int]:
        return list(range(1, 1 + self.places))

    def place_of(self, run: str, step: int, token: int) -> int | None:
        return None

    def answer(self, answers: Any) -> None: ...

    def recall(self) -> None: ...

    def kill(self, run: str, step: int, token: int) -> None:
        self.killed.append((run, step, token))

    def poll(self, timeout_s: float) -> list[Report]:
        reports, self.reports = self.reports, []
        return reports

    def fileno(self) -> int:
        return -1

    def wake(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    def finish(self) -> None:
        """End everything that was handed out, well."""
        for order in self.orders:
            self.reports.append(Done(order.run, order.step, order.token, 0.001, b"\xc0"))
        self.orders, self._expected = [], {}


def project(version: str, **more: Any) -> Project:
    node = Node(name="work", kind="task", code=version, pools=(Use("crm"),), **more)
    return Project(name="p", nodes={"work": node}, makers={"work": "work"}, pools={"crm": Limit(1)}, fingerprint=version)


class Stage:
    """A conductor with one edition, and a plan for each version."""

    def __init__(self) -> None:
        self.clock = VirtualClock(seed=1)
        self.store = MemoryStore(MemoryDisk())
        self.store.open_writer("stage")
        self.desks = [Desk()]
        self.extents = Extents({}, self.clock.now())
        self.conductor = Conductor(
            self.store, cast(Executor, self.desks[0]), self.clock, Graph(project("one")), self.extents,
            storages={"memory": MemoryStorage()},
        )  # fmt: skip
        self.conductor.keeps_ended = False

    def open(self, version: str) -> None:
        self.desks.append(Desk())
        self.conductor.open_edition(Graph(project(version)), self.extents, cast(Executor, self.desks[-1]))

    def accept(self, version: str) -> str:
        from legato.plan.build import make_plan
        from legato.plan.stale import Facts

        graph = Graph(project(version))
        plan = make_plan(graph, self.extents, Facts(), {"work": self.extents.of(None)}, request="work", force=False)
        return self.conductor.accept(plan, actor="ann")

    def turns(self, times: int = 3) -> None:
        for _ in range(times):
            self.conductor.turn()


def test_an_edition_ends_with_its_last_run_and_pools_are_shared() -> None:
    stage = Stage()
    stage.accept("one")
    stage.turns()
    stage.open("two")
    stage.accept("two")
    stage.turns()
    assert [len(desk.orders) for desk in stage.desks] == [1, 0]  # the one slot is taken
    stage.desks[0].finish()
    stage.turns()
    assert [len(desk.orders) for desk in stage.desks] == [0, 1]
    assert [desk.is_closed for desk in stage.desks] == [True, False]
    stage.desks[1].finish()
    stage.turns()
    assert [desk.is_closed for desk in stage.desks] == [True, False]  # the newest stays
    assert not stage.conductor.runs


def test_a_plan_of_a_version_that_is_gone_is_refused() -> None:
    stage = Stage()
    stage.open("two")
    with pytest.raises(LegatoError) as caught:
        stage.accept("one")
    assert caught.value.code == "project-changed"


def test_runs_of_an_edition_that_lost_its_code_go_on_with_the_code_of_now() -> None:
    stage = Stage()
    run = stage.accept("one")
    stage.turns()
    former = stage.conductor.edition
    stage.open("two")
    stage.conductor.abandon(former)
    stage.turns()
    assert [len(desk.orders) for desk in stage.desks] == [1, 1]
    assert stage.desks[1].orders[0].token > stage.desks[0].orders[0].token
    assert stage.desks[0].is_closed
    stage.desks[1].finish()
    stage.turns()
    ended = stage.store.run(run)
    assert ended is not None
    assert (ended.state, ended.project) == ("succeeded", "two"), "it is of the version that it worked with last"


def test_a_version_of_before_is_at_work_for_runs_of_its_own() -> None:
    stage = Stage()
    run = stage.accept("one")
    stage.turns()
    again = Stage()
    again.store.close()
    again.store = stage.store
    again.desks, again.conductor = [Desk()], Conductor(
        stage.store, cast(Executor, Desk()), stage.clock, Graph(project("two")), stage.extents,
    )  # fmt: skip
    again.conductor.keeps_ended = False
    former = again.conductor.open_former(Graph(project("one")), stage.extents, Asleep())
    assert again.conductor.edition.fingerprint == "two"
    assert not again.conductor.has_work(former)
    state = again.conductor.adopt(run)
    again.turns()
    assert (again.conductor.has_work(former), state.running) == (True, {}), "it has no workers yet"
    again.conductor.renew(former, cast(Executor, again.desks[0]))
    again.turns()
    (order,) = again.desks[0].orders
    lost, again.desks = again.desks[0], [Desk()]
    again.conductor.renew(former, cast(Executor, again.desks[0]))
    again.turns()
    assert (lost.is_closed, again.desks[0].orders[0].token > order.token) == (True, True)
    again.desks[0].finish()
    again.turns()
    ended = stage.store.run(run)
    assert ended is not None
    assert (ended.state, ended.project) == ("succeeded", "one")
    again.conductor.close_editions()
    assert (again.desks[0].is_closed, len(again.conductor.editions)) == (True, 1)


def test_a_run_is_adopted_by_whichever_edition_is_wanted_and_can_be_moved() -> None:
    stage = Stage()
    run = stage.accept("one")
    stage.turns()
    desks = [Desk(), Desk()]
    conductor = Conductor(stage.store, cast(Executor, desks[0]), stage.clock, Graph(project("two")), stage.extents)
    former = conductor.open_former(Graph(project("one")), stage.extents, cast(Executor, desks[1]))
    state = conductor.adopt(run, conductor.edition)
    conductor.tell(run, Pause("ann"))
    conductor.turn()
    assert (former.runs, conductor.runs[run].book.run.project, not state.running) == (set(), "two", True)
    conductor.move(run, former)
    conductor.tell(run, GoOn("ann"))
    conductor.turn()
    conductor.turn()
    assert [len(desk.orders) for desk in desks] == [0, 1]
    known = stage.store.run(run)
    assert known is not None
    assert known.project == "one"
    assert not violations(state)


def test_sources_are_asked_as_orders() -> None:
    stage = Stage()
    heard: list[Any] = []
    stage.conductor.ask([("work", "a"), ("work", "b")], lambda answers, error: heard.append((answers, error)))
    stage.turns(1)
    first, second = stage.desks[0].orders
    assert [(order.run, order.node, order.partition) for order in (first, second)] == [
        ("observe", "work", "a"), ("observe", "work", "b"),
    ]  # fmt: skip
    stage.desks[0].reports += [Done("observe", order.step, order.token, 0.0, b"\x07") for order in (first, second)]
    stage.turns(1)
    assert heard == [({("work", "a"): "7", ("work", "b"): "7"}, None)]


def test_a_source_that_fails_or_never_answers_is_an_error() -> None:
    from legato.terms.fact import Error

    stage = Stage()
    heard: list[Any] = []
    stage.conductor.ask([("work", "a")], lambda answers, error: heard.append(error))
    stage.turns(1)
    order = stage.desks[0].orders.pop()
    stage.desks[0].reports.append(Raised("observe", order.step, order.token, 0.0, Error("raised", "boom")))
    stage.turns(1)
    assert "boom" in heard[0].what
    stage.desks[0].places = 0
    stage.conductor.ask([("work", "a")], lambda answers, error: heard.append(error))
    stage.turns(1)
    stage.clock.set(after(stage.clock.now(), 61))
    stage.turns(1)
    assert "no answer in time" in heard[1].what
    assert not stage.conductor.inquiries


def test_memory_is_level_over_ten_thousand_runs() -> None:
    stage = Stage()

    def lives(count: int) -> int:
        for _ in range(count):
            stage.clock.advance_to(after(stage.clock.now(), 0.01))
            stage.accept("one")
            stage.turns(2)
            stage.desks[0].finish()
            stage.turns(2)
        stage.store.disk.runs.clear()
        gc.collect()
        modules = [str(type(each).__module__) for each in gc.get_objects()]
        return sum(module.startswith("legato.") and "stores" not in module for module in modules)

    at_first = lives(200)
    at_last = lives(10_000)
    assert not stage.conductor.runs
    assert at_last <= at_first + 50
