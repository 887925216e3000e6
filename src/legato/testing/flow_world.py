"""Flows in a simulated world: random programs, run by the real conductor, harness and body, beside the same as plain Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, cast

from msgspec.structs import replace

from legato.declare.region import WHOLE
from legato.kernel.inputs import Input, Resolve, Signal
from legato.kernel.invariants import violations
from legato.plan.build import make_plan
from legato.plan.graph import Graph
from legato.plan.records import Plan
from legato.plan.stale import Facts
from legato.ports.storage import Storage
from legato.ports.store import Store
from legato.runtime.conductor import Conductor
from legato.terms.attempt import Argument, Wait
from legato.terms.codec import pack, unpack
from legato.terms.instant import Instant
from legato.testing import program_tasks as programs
from legato.testing.crash import Fuse, RandomFuse
from legato.testing.flow_witness import FlowWitness
from legato.testing.program import follow, follow_later, program_kit
from legato.testing.program_draw import Drawer, Luck
from legato.testing.program_tasks import Program
from legato.testing.witness import Violation, WitnessedStorage
from legato.testing.work import RealWork
from legato.testing.workers import SimulatedExecutor
from legato.testing.world import Faults, Site, Wish, World


class FlowWorld(World):
    """Programs under faults, and people who answer what they ask: once, twice, late.

    With `edited` somebody edits the code of these tasks between one conductor and the next, now and then.
    """

    witness: FlowWitness
    script: Luck

    def __init__(
        self, seed: int, luck: Luck, *, site: Site | None = None, fuse: Fuse | None = None, faults: Faults | None = None,
        edited: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.kit = program_kit()
        self.edited, self.edits = edited, dict[str, int]()
        super().__init__(seed, sample=(self.kit.project, luck), site=site, fuse=fuse, faults=faults)
        self.witness = FlowWitness(self.project, self.values, self.random)
        self.programs: dict[str, tuple[str, Program]] = {}
        self._signals: dict[str, list[str]] = {}
        self._answers: dict[tuple[str, int, Instant], float] = {}

    def wish(self, name: str, flow: str, program: Program) -> Wish:
        """The wish that this flow does what the program says."""
        self.programs[name] = flow, program
        self._signals[name] = list(_signals_in(program))
        self.witness.may_fail |= any(word in repr(program) for word in ("ruin", "stopper"))
        return Wish(name, frozenset((flow,)), False)

    def play(self, wishes: Iterable[Wish]) -> None:
        """The story, watched."""
        programs.watch(self.witness)
        try:
            self.witness.plain = self._plain
            super().play(wishes)
        finally:
            programs.watch(None)
            programs.edit({})

    def _plain(self, request: str) -> Any:
        """What the flow gives as a plain function of the code of now, as its bytes give it."""
        flow, program = self.programs[request]
        face: Any = {"follow": follow, "follow_later": follow_later}[flow]
        programs.watch(None)
        try:
            return unpack(pack(face.submit(program).result()), Any)
        finally:
            programs.watch(self.witness)

    def plan(self, store: Store, wish: Wish) -> Plan:
        """The plan for one flow with its program."""
        flow, program = self.programs[wish.name]
        outputs = {output for node in self.project.nodes.values() for output in node.outputs}
        facts = Facts(heads=store.heads(outputs), observed={})
        given = {flow: (Argument("program", value=pack(program)),)}
        return make_plan(self.graph, self.extents, facts, {flow: WHOLE}, request=wish.name, params=given)

    def open_executor(self, storage: Storage) -> SimulatedExecutor:
        """Workers that call the program's functions, and places for its flows."""
        if self.edited and self.lives > 1 and self.random.random() < 0.4:
            self._edit(self.random.choice(self.edited))
        storage = cast(Storage, WitnessedStorage(self.values, self.witness))
        work = RealWork(self.kit, storage, self.script, self.random, self.clock)
        return SimulatedExecutor(
            self.clock, work, self.witness, self.random, workers=self.random.randint(1, 3), flows=self.random.randint(1, 4),
            stutter=self.faults.stutter,
        )  # fmt: skip

    def _edit(self, name: str) -> None:
        """Somebody edits a task; who starts from now on has the new code."""
        self.edits[name] = self.edits.get(name, 0) + 1
        programs.edit(self.edits)
        node = self.kit.project.nodes[name]
        nodes = {**self.kit.project.nodes, name: replace(node, code=f"{name} {self.edits[name]}")}
        self.kit = dataclasses.replace(self.kit, project=replace(self.kit.project, nodes=nodes))
        self.graph = Graph(self.kit.project)

    def _requests(self, conductor: Conductor) -> Iterable[tuple[str, Input]]:
        asked = [*super()._requests(conductor), *self._answered(conductor), *self._untimely(conductor)]
        if self.random.random() < 0.05:
            for live in conductor.runs.values():
                if found := violations(live.state):
                    self.witness.refuse(f"run {live.state.run_id}: {'; '.join(found)}")
        return asked

    def _answered(self, conductor: Conductor) -> Iterable[tuple[str, Input]]:
        """What people say now: to each question after a while, sometimes twice; to some only when it is too late."""
        now = self.clock.now()
        for (run, step), since in list(self.witness.waiting.items()):
            wait = self.witness.calls[run, step].wait
            if run not in conductor.runs or wait is None or wait.kind == "sleep":
                continue
            moment = self.witness.moment(since, self._answers.setdefault((run, step, since), self._hesitate(wait)))
            if moment <= now:
                yield from self._say(run, step, wait, moment)

    def _hesitate(self, wait: Wait) -> float:
        """After how many seconds somebody answers; at the last moment, or too late, where the question says so."""
        early_s, late_s = self.random.choice(((0.0, 0.0), (1.0, 0.3), (2.0, 3.0)))
        limit_s = wait.seconds or 0.0
        return {"just": limit_s - 0.5 - early_s, "never": limit_s + late_s}.get(wait.name.partition(" ")[0], late_s)

    def _say(self, run: str, step: int, wait: Wait, at: Instant) -> Iterable[tuple[str, Input]]:
        said = [wait.name] if wait.kind == "signal" else programs.answer_to(wait.name) is True
        sent = Signal(f"{step} since {at}", wait.name, pack(said), "ann", at)
        answer = Resolve(step, pack(said), "ann", at, "" if said else "not now")
        yield run, sent if wait.kind == "signal" and self.random.random() < 0.5 else answer
        if self.random.random() < 0.3:
            yield run, Resolve(step, pack("another answer"), "bob", at)

    def _untimely(self, conductor: Conductor) -> Iterable[tuple[str, Input]]:
        """Signals that somebody sends at any time, also before a flow waits for them, and some twice."""
        now = self.clock.now()
        for run, live in conductor.runs.items():
            names = self._signals.get(live.state.plan.request)
            if names and self.random.random() < 0.02:
                name = self.random.choice(names)
                yield run, Signal(f"{name} {self.random.randint(1, 2)}", name, pack([name]), "bob", now)


def _signals_in(program: Program) -> Iterator[str]:
    """The names of the signals that a program waits for."""
    for op in program:
        if isinstance(op, list):
            yield from [op[1]] if op[:1] == ["signal"] else _signals_in(op)


def play_flows(seed: int, *wanted: tuple[str, Program], edited: tuple[str, ...] = ()) -> FlowWorld:
    """A world of this seed, of random programs or of these (each with the flow that follows it): whatever happens meanwhile, its
    flows give in the end what they give as plain functions; of the code of then, where tasks are edited meanwhile."""
    random = Random(f"flows {seed}")
    faults = Faults(
        stutter=random.choice((0.0, 0.2, 0.5)), cancel=random.choice((0.0, 0.0, 0.5)), drain=random.choice((0.0, 0.0, 0.01)),
        clock_jumps=random.choice(((0.0,), (0.0, 5.0, -3600.0, -0.5, 3600.0))),
        pause=Random(f"pauses {seed}").choice((0.0, 0.0, 0.03)),
    )  # fmt: skip
    luck = Luck(
        Random(random.random()), deaths=random.choice((0.0, 0.0, 0.05, 0.2)), hard=random.random() < 0.2,
        undo_fails=frozenset(node for node in ("book", "tour") if random.random() < 0.3),
    )  # fmt: skip
    world = FlowWorld(seed, luck, faults=faults, edited=edited)
    world.fuse = RandomFuse(random, random.choice((0.0, 0.01, 0.05)), most=8)
    drawn = wanted or [draw(random, name) for name in "pq"[: random.choice((1, 1, 1, 2))]]
    world.witness.may_fail = luck.hard
    try:
        world.play([world.wish(f"wish {number}", *each) for number, each in enumerate(drawn)])
    except BaseException as error:
        raise Violation(f"seed {seed}: {error}") from error
    return world


def draw(random: Random, name: str, *, flat: bool = False) -> tuple[str, Program]:
    """A random program, with the flow that follows it; a `flat` one calls no other flows."""
    drawer = Drawer(random, name, flat=flat)
    if random.random() < 0.3:
        return "follow_later", drawer.beside(random.randint(1, 6))
    return "follow", drawer.program(random.randint(1, 5), ruins=random.random() < 0.2)
