"""A simulated world in one thread: the real conductor and kernel over simulated workers, on virtual time, with seeded faults.

Conductors live one after the other, as with SQLite: when one dies, with all its workers, the next one takes over what is stored.
Every fault follows from the seed, so a seed that breaks a guarantee breaks it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol, cast

from msgspec import Struct

from legato.declare.node import Project
from legato.declare.partitions import keys
from legato.declare.region import Region
from legato.kernel.inputs import Cancel, Input, Pause, Resume
from legato.kernel.invariants import violations
from legato.plan.backfill import in_own_pool
from legato.plan.build import make_plan
from legato.plan.graph import Graph
from legato.plan.records import Backfill, Plan
from legato.plan.spread import Extents
from legato.plan.stale import Facts
from legato.ports.executor import Executor
from legato.ports.storage import Storage
from legato.ports.store import Store
from legato.runtime.conductor import Conductor
from legato.runtime.replay import read_state
from legato.storages.memory import MemoryStorage
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.errors import Unreachable
from legato.terms.instant import Instant, after
from legato.testing.clock import VirtualClock
from legato.testing.crash import Crash, CrashingExecutor, CrashingStorage, CrashingStore, Fuse, NoFuse, RandomFuse
from legato.testing.sample import Script, draw_project
from legato.testing.witness import Violation, Witness, WitnessedStorage, WitnessedStore
from legato.testing.work import MadeUpWork
from legato.testing.workers import SimulatedExecutor

_GOES_ON = 0.7
"""How likely it is that somebody lets a paused run go on when the next conductor takes it up."""
_MOST_LIVES = 60
"""More conductors than this in one world mean that it makes no progress."""
_LAST_PAUSE = 30
"""With later conductors nobody pauses any more: a long story would be paused for ever."""


class Site(Protocol):
    """Where a world's store lives, from one conductor to the next."""

    def open(self) -> Store:
        """A handle for the next conductor, which opens it for writing."""
        ...

    def read(self) -> Store:
        """A handle to read with, between conductors."""
        ...

    def crash(self) -> None:
        """The conductor's process dies: the next handle finds what it had written, and nothing more."""
        ...


class MemorySite:
    """A store in memory."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()

    def open(self) -> Store:
        """A handle on the same disk."""
        return MemoryStore(self.disk)

    def read(self) -> Store:
        """Another one."""
        return MemoryStore(self.disk)

    def crash(self) -> None:
        """What was written is there."""


class Wish(Struct, frozen=True):
    """What somebody wants run; `name` is how they find it again if they were not told that it was accepted. A backfill has an
    order and a pool of its own."""

    name: str
    nodes: frozenset[str]
    force: bool
    backfill: bool = False


class Faults(Struct, frozen=True, kw_only=True):
    """What goes wrong around the code: reports that come late or twice, cancels, pauses, graceful stops, clocks that are set."""

    stutter: float = 0.0
    cancel: float = 0.0
    pause: float = 0.0
    drain: float = 0.0
    clock_jumps: tuple[float, ...] = (0.0,)


class World:
    """One seed's project (or a given sample), its runs and faults. `play` ends well or raises `Violation`."""

    def __init__(
        self, seed: int, *, sample: tuple[Project, Script] | None = None, site: Site | None = None, fuse: Fuse | None = None,
        faults: Faults | None = None, calm: bool = False, workers: int | None = None,
    ) -> None:  # fmt: skip
        self.random = Random(f"world {seed}")
        self.project, self.script = sample or draw_project(Random(seed), calm=calm)
        self.clock = VirtualClock(seed=seed)
        self.graph, self.extents = Graph(self.project), Extents({}, self.clock.now())
        self.site = site or MemorySite()
        self.values: Storage = MemoryStorage()
        self.witness = Witness(self.project, self.values)
        self.fuse: Fuse = fuse or NoFuse()
        self.faults = faults or Faults()
        self.workers = workers
        self.generation = 0
        self.lives = 0
        self._cancels: list[tuple[Instant, str]] = []
        self._draining = False

    # -- the story --

    def play(self, wishes: Iterable[Wish]) -> None:
        """Run the wishes through all faults; then everything heals, and what did not succeed is resumed until it does."""
        self._live_until_done(list(wishes))
        self.script.healed = True
        self._cancels.clear()
        while unfinished := [run.id for run in self.site.read().runs() if run.state != "succeeded"]:
            self.live(lambda conductor: [conductor.resume(run, actor="ann") for run in unfinished])
        self.witness.check_end(self.site.read())

    def everything(self, name: str, *, force: bool = False, backfill: bool = False) -> Wish:
        """The wish for the whole project."""
        return Wish(name, frozenset(self.project.nodes), force, backfill)

    def something(self, name: str) -> Wish:
        """The wish for a random node and all that it needs, made anew."""
        wanted = {self.random.choice(self.graph.order)}
        for node in reversed(self.graph.order):
            if node in wanted:
                wanted.update(edge.up for edge in self.graph.needs[node])
        return Wish(name, frozenset(wanted), True)

    def published(self) -> dict[tuple[str, str], Any]:
        """What readers read at the end."""
        heads = self.site.read().heads({output for node in self.project.nodes.values() for output in node.outputs})
        return {
            (asset, key): self.values.load((head.ref,), Any)
            for asset, found in heads.items() for key, head in found.items() if head.ref.format != "observed"
        }  # fmt: skip

    # -- conductors, one after the other --

    def _live_until_done(self, wishes: list[Wish]) -> None:
        """Conductors come and go until every wish is accepted and every run has ended."""
        while True:
            came_to_an_end = self.live(lambda conductor: self._take_on(conductor, wishes))
            done = {run.request: run.state for run in self.site.read().runs()}
            if came_to_an_end and all(done.get(wish.name, "open") != "open" for wish in wishes):
                return

    def _take_on(self, conductor: Conductor, wishes: list[Wish]) -> None:
        """Own what is open, and accept what nobody has accepted yet."""
        known = conductor.store.runs()
        for run in known:
            if run.state == "open":
                state = conductor.adopt(run.id)
                if faults := violations(state):
                    self.witness.refuse(f"after the take-over: {faults}")
                seen = run.paused, run.id in self.witness.paused
                if state.ended is None and seen != (state.paused, state.paused):  # its end is not on record yet
                    self.witness.refuse(f"run {run.id} does not know any more whether it is paused")
                if state.paused and self.random.random() < _GOES_ON:
                    conductor.resume(run.id, actor="ann")
        for wish in wishes:
            if wish.name not in {run.request for run in known}:
                run_id = conductor.accept(self.plan(conductor.store, wish), actor="ann")
                if self.random.random() < self.faults.cancel:
                    self._cancels.append((after(self.clock.now(), self.random.random()), run_id))

    def plan(self, store: Store, wish: Wish) -> Plan:
        """The plan for a wish, from what is published now."""
        selection: dict[str, Region] = {
            name: self.extents.of(self.project.nodes[name].partitions) for name in self.graph.order if name in wish.nodes
        }
        observed = {
            name: {key: f"{name}@{key} {self.generation}" for key in self._keys(name)}
            for name in wish.nodes if self.project.nodes[name].kind == "source"
        }  # fmt: skip
        outputs = {output for node in self.project.nodes.values() for output in node.outputs}
        facts = Facts(heads=store.heads(outputs), observed=observed)
        plan = make_plan(self.graph, self.extents, facts, selection, request=wish.name, force=wish.force)
        return self._as_backfill(plan) if wish.backfill else plan

    def _as_backfill(self, plan: Plan) -> Plan:
        random = Random(f"backfill {plan.request} {len(plan.steps)}")
        turns = random.sample(range(len(plan.steps)), len(plan.steps))
        backfill = Backfill(turns=tuple(turns), at_once=random.choice((1, 2)), urgent=random.random() < 0.3)
        return in_own_pool(plan, backfill)

    def _keys(self, name: str) -> list[str]:
        parts = self.project.nodes[name].partitions
        return [""] if parts is None else keys(parts, self.extents.of(parts), {})

    def live(self, begin: Callable[[Conductor], Any]) -> bool:
        """One conductor's life; whether it came to its natural end."""
        self.lives += 1
        if self.lives > _MOST_LIVES:
            self.witness.refuse("the runs never end")
        seen = cast(Storage, WitnessedStorage(self.values, self.witness))
        storage = cast(Storage, CrashingStorage(seen, self.fuse))
        executor = self.open_executor(storage)
        self.witness.saw_conductor_begin(self.clock.now())
        handle = self.site.open()
        handle.open_writer("a conductor")
        store = cast(Store, CrashingStore(cast(Store, WitnessedStore(handle, self.witness)), self.fuse))
        try:
            conductor = Conductor(
                store, cast(Executor, CrashingExecutor(executor, self.fuse)), self.clock, self.graph, self.extents,
                storages={self.values.name: storage},
            )  # fmt: skip
            self.keep_house(conductor, storage)
            conductor.requests = lambda: self._requests(conductor)
            begin(conductor)
            conductor.drive()
            self._check_rest(conductor)
            return True
        except Crash:
            self.site.crash()
            return False
        except Unreachable:
            if not executor.closed:
                self.witness.refuse("a write failed, but the workers go on")
            return False
        finally:
            handle.close()
            executor.close()
            self.witness.saw_conductor_die(self.clock.now())
            self.clock.set(after(self.clock.now(), self.random.choice(self.faults.clock_jumps)))

    def keep_house(self, conductor: Conductor, storage: Storage) -> None:
        """Have the conductor do in its turns what is not about runs; here nothing."""

    def open_executor(self, storage: Storage) -> SimulatedExecutor:
        """The workers of the next conductor."""
        work, workers = MadeUpWork(storage, self.script, self.witness), self.workers or self.random.randint(1, 3)
        return SimulatedExecutor(self.clock, work, self.witness, self.random, workers=workers, stutter=self.faults.stutter)

    def _requests(self, conductor: Conductor) -> Iterable[tuple[str, Input]]:
        if self.random.random() < self.faults.drain:
            conductor.drain()
        due = [run for moment, run in self._cancels if moment <= self.clock.now()]
        self._cancels = [each for each in self._cancels if each[1] not in due]
        return [*((run, Cancel("ann")) for run in due), *self._pauses(conductor)]

    def _pauses(self, conductor: Conductor) -> Iterable[tuple[str, Input]]:
        if not self.faults.pause or self.script.healed or self.lives > _LAST_PAUSE or not conductor.runs:
            return
        if self.random.random() < self.faults.pause:
            live = self.random.choice(list(conductor.runs.values()))
            if live.state.ended is None:
                yield live.state.run_id, Resume("bob") if live.state.paused else Pause("bob")

    def _check_rest(self, conductor: Conductor) -> None:
        """Where nothing runs any more, no slot is held but by flows that wait, and what is stored says the same as what is in
        memory."""
        seats = sum(len(lane) for live in conductor.runs.values() for lane in live.state.seats.values())
        for live in conductor.runs.values():
            state = live.state
            found = violations(state)
            if sum(state.board.used.values()) != seats or state.board.claims:
                found.append(f"slots {state.board.used} and claims {state.board.claims} are still held")
            if state.ended and read_state(conductor.store, state.run_id).status != state.status:
                found.append("a replay gives other outcomes")
            if found:
                self.witness.refuse(f"run {state.run_id}: {'; '.join(found)}")


def play(seed: int) -> World:
    """A random world of this seed, disturbed in every way, beside an undisturbed one: in the end both publish the same."""
    random = Random(f"faults {seed}")
    faults = Faults(
        stutter=random.choice((0.0, 0.2, 0.5)), cancel=random.choice((0.0, 0.0, 0.5)), drain=random.choice((0.0, 0.0, 0.01)),
        clock_jumps=random.choice(((0.0,), (0.0, 5.0, -3600.0, -0.5, 3600.0))), pause=random.choice((0.0, 0.0, 0.05)),
    )  # fmt: skip
    world = World(seed, faults=faults)
    calm = World(seed, calm=True)
    try:
        calm.generation = 1
        calm.play([calm.everything("calm")])
        if random.random() < 0.5:
            world.script.healed = True
            world.play([world.everything("of old")])
            world.script.healed = False
        world.generation = 1
        world.fuse = RandomFuse(random, random.choice((0.0, 0.01, 0.05, 0.2)), most=8)
        wishes = [world.everything("all", force=random.random() < 0.5)]
        if random.random() < 0.6:
            wishes.insert(random.randint(0, 1), world.something("some"))
        if random.random() < 0.4:
            wishes.append(world.everything("again"))
        if random.random() < 0.4:
            wishes.append(world.everything("of all days", backfill=True))
        world.play(wishes)
        if world.published() != calm.published():
            raise Violation(f"published is {world.published()}, but undisturbed it is {calm.published()}")
    except BaseException as error:
        raise Violation(f"seed {seed}: {error}") from error
    return world
