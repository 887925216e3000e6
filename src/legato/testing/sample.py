"""Small random projects, and what their code does when it is run."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from legato.declare.mapping import All, LookBack, Mapping
from legato.declare.node import Cache, Dep, Node, Project, Retry
from legato.declare.partitions import Partitions, daily, static
from legato.declare.pool import Limit, Use
from legato.plan.links import fault
from legato.terms.attempt import Order

PARTITIONS: tuple[Partitions | None, ...] = (None, None, static(["x", "y", "z"]), daily("2024-01-01", "2024-01-04"))
MAPPINGS: tuple[Mapping | None, ...] = (None, None, None, All(), LookBack(2))
POOLS = {"single": Limit(1), "pair": Limit(2), "rated": Limit(None, 3, 1.0), "apart": Limit(1, 4, 2.0)}
USES = ((), (), (), (Use("single"),), (Use("pair"),), (Use("rated"),), (Use("apart", "partition"), Use("pair")))

Temper = Literal["sound", "flaky", "bad", "gate", "killer", "slow", "late", "declines"]
Ending = Literal["done", "raise", "pend", "gate", "die", "hang", "decline"]


@dataclass(frozen=True)
class Act:
    """What one attempt does, and for how long."""

    ending: Ending
    seconds: float


@dataclass
class Script:
    """What each node's code does. All values follow from the generation of the sources and from nothing else.

    Until it is `healed`, a node of a bad temper fails in its own way; a flaky or a late one in its first attempts only.
    """

    random: Random
    tempers: dict[str, Temper]
    seconds: dict[str, float]
    undo_fails: frozenset[str] = frozenset()
    deaths: float = 0.0
    healed: bool = False
    _tries: dict[tuple[str, int], int] = field(default_factory=dict)

    def act(self, order: Order) -> Act:
        """What this attempt will do."""
        seconds = self.seconds[order.node] * (0.5 + self.random.random())
        if not self.healed and self.random.random() < self.deaths:
            return Act("die", seconds * self.random.random())
        return Act(self._ending(order), seconds)

    def life_s(self, order: Order) -> float | None:
        """After how many seconds the process of this flow's attempt dies of itself; None if it does not."""
        return None

    def dies_too(self, flow: Order) -> bool:
        """Whether an attempt that kills its process may take along a flow that waits there."""
        return True

    def _ending(self, order: Order) -> Ending:
        temper = self.tempers[order.node]
        if temper == "declines" and order.mode == "run":
            return "decline"
        if self.healed:
            return "done"
        if order.mode == "undo":
            return "raise" if order.node in self.undo_fails else "done"
        tries = self._tries[order.run, order.step] = self._tries.get((order.run, order.step), 0) + 1
        if temper == "flaky":
            return "raise" if tries < 3 else "done"
        if temper == "late":
            return "pend" if tries < 3 else "done"
        if order.mode == "fallback":
            return "done"
        worst: dict[Temper, Ending] = {"bad": "raise", "gate": "gate", "killer": "die", "slow": "hang"}
        return worst.get(temper, "done")

    @staticmethod
    def value(name: str, partition: str, inputs: Any) -> str:
        """What the code makes of its inputs."""
        return f"{name}@{partition} of {zlib.crc32(repr(inputs).encode()):08x}"


def draw_project(random: Random, *, calm: bool = False) -> tuple[Project, Script]:
    """A project of three to seven nodes and the script of its code; with `calm` nothing of it ever fails."""
    nodes: dict[str, Node] = {}
    makers: dict[str, str] = {}
    tempers: dict[str, Temper] = {}
    for name in "abcdefg"[: random.randint(3, 7)]:
        node = _draw_node(random, name, [(product, nodes[maker]) for product, maker in makers.items()])
        nodes[name] = node
        makers.update((output, name) for output in node.outputs or (name,))
        tempers[name] = "declines" if node.when else _draw_temper(random, node)
    script = Script(
        Random(random.random()),
        tempers if not calm else {name: "declines" if each == "declines" else "sound" for name, each in tempers.items()},
        {name: random.choice((0.0002, 0.0002, 0.02, 0.3)) for name in nodes},
        frozenset(name for name in nodes if random.random() < 0.2),
        random.choice((0.0, 0.0, 0.05, 0.2)) * (not calm),
    )
    return Project(name="sample", nodes=nodes, makers=makers, pools=POOLS, fingerprint="p"), script


def _draw_node(random: Random, name: str, above: list[tuple[str, Node]]) -> Node:
    roll = random.random()
    partitions = random.choice(PARTITIONS)
    if not above or roll < 0.1:
        return Node(name=name, kind="source", outputs=(name,), partitions=partitions)
    deps = [
        _draw_dep(random, partitions, product, maker)
        for product, maker in random.sample(above, min(len(above), random.randint(1, 3)))
    ]
    asks = random.random() < 0.08
    kind: Literal["asset", "task"] = "task" if roll < 0.3 else "asset"
    several = (name, f"{name}_too") if random.random() < 0.2 else (name,)
    return Node(
        name=name, kind=kind, outputs=several if kind == "asset" else (), deps=tuple(deps), partitions=partitions, code=name,
        retry=_draw_retry(random),
        lost_retries=random.choice((0, 2, 2, 2)), timeout_s=random.choice((None, None, 1.0)),
        pools=random.choice(USES), priority=random.randint(-1, 1),
        on_failure=random.choice(("skip", "skip", "skip", "halt", "rollback")),
        fallback=name if random.random() < 0.15 and not asks else "", undo=random.random() < 0.4, when=asks,
        cache=_draw_cache(random) if kind == "task" else None,
    )  # fmt: skip


def _draw_retry(random: Random) -> Retry:
    limit = random.choice((None, None, 0.6))
    times = None if limit is not None and random.random() < 0.5 else random.randint(0, 2)
    delay_s = random.choice((0.1 if times is None else 0.0, 0.5))
    return Retry(times, delay_s=delay_s, max_delay_s=2.0, jitter=random.random() < 0.5, max_time=limit)


def _draw_cache(random: Random) -> Cache | None:
    ttl, key = random.choice((None, None, 1.0)), random.choice((None, None, True))
    return Cache(ttl, key) if random.random() < 0.8 else None


def _draw_dep(random: Random, partitions: Partitions | None, product: str, maker: Node) -> Dep:
    mapping = random.choice(MAPPINGS)
    if fault(mapping, partitions, maker.partitions):
        mapping = None if not fault(None, partitions, maker.partitions) else All()
    return Dep(product, product, mapping)


def _draw_temper(random: Random, node: Node) -> Temper:
    choices: list[Temper] = ["sound", "sound", "sound", "flaky", "late", "bad", "killer"]
    if node.kind == "asset":
        choices.append("gate")
    if node.timeout_s is not None:
        choices += ["slow", "slow"]
    return random.choice(choices) if random.random() < 0.5 else "sound"
