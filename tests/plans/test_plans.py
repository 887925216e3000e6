"""Plans as text pairs: a project, what happened to it, a request, and the plan that must follow, with reasons.

A case is a text file of sections, each begun by a line `--- NAME`:

* `project` is the module's code; a later `project` section replaces it (the code was edited).
* `sources` are lines `feed@2013-01-01 = token` (`gone`: no longer there).
* `failed` are lines `asset@partition: message`: the newest try failed.
* `make SELECTION` pretends that the plan for the selection ran and published everything.
* `publish ASSET@PARTITION` pretends that a flow did so with what only flows make.
* `plan SELECTION` is followed by the plan that is expected, one line a step. Behind the selection may stand `--force`, and steps
  that are made `--anew`, were `--recorded`, or are `--pinned`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from legato.declare.partitions import coord_of
from legato.plan.again import Again
from legato.plan.build import make_plan
from legato.plan.graph import Graph
from legato.plan.records import Plan
from legato.plan.select import Selector
from legato.plan.spread import Extents
from legato.plan.stale import Facts, Freshness, Needs
from legato.ports.store import Head
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.terms.key import show, split
from legato.worker.loading import load_project

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
NOW = Instant(1_388_534_400_000_000)  # 2014-01-01


class World:
    """A project and what is published of it, without any machinery."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "legato.toml").write_text('name = "case"\nmodules = ["pipeline"]\n')
        self.heads: dict[str, dict[str, Head]] = {}
        self.observed: dict[str, dict[str, str]] = {}
        self.troubles: dict[tuple[str, str], str] = {}
        self.made = 0

    def edit(self, code: str) -> None:
        """Save the project's module and load it again."""
        (self.folder / "pipeline.py").write_text("import legato as lg\n\n" + code)
        self.graph = Graph(load_project(self.folder).project)
        self.extents = Extents({}, NOW)

    def plan(self, words: str) -> Plan:
        """The plan for a selection, and for what is said behind it."""
        text, *options = f" {words}".split(" --")
        said = {name: [split(each) for each in steps] for name, *steps in map(str.split, options)}
        again = Again(*(frozenset(said.get(name, ())) for name in ("anew", "recorded", "pinned")))
        selection = Selector(self.graph, self.extents, self._by_status).select(text.strip())
        facts = self._facts()
        return make_plan(self.graph, self.extents, facts, selection, request=text.strip(), force="force" in said, again=again)

    def make(self, words: str) -> None:
        """Publish a new version of everything that the plan runs."""
        for step in self.plan(words).steps:
            node = self.graph.project.nodes[step.node]
            if not step.run or node.kind != "asset":
                continue
            needs = Needs(self.graph, self.extents)
            fresh = Freshness(needs, self._facts())
            coord = () if node.partitions is None else coord_of(node.partitions, step.partition, {})
            inputs = {edge.key: fresh.digest(edge, needs.region(edge, coord)) or "" for edge in self.graph.needs[node.name]}
            for asset in node.outputs:
                self.publish(asset, step.partition, node.code, fresh.contract(node, asset), inputs)

    def publish(self, asset: str, partition: str, code: str = "", judged: str = "", inputs: dict[str, str] | None = None) -> None:
        """Publish a new version of one asset partition."""
        self.made += 1
        ref = Ref(asset, partition, f"v{self.made}", "files", "", "json")
        head = Head(asset, partition, ref.version, f"d{self.made}", code, judged, inputs or {}, NOW, ref)
        self.heads.setdefault(asset, {})[partition] = head
        self.troubles.pop((asset, partition), None)

    def _facts(self) -> Facts:
        return Facts(self.heads, self.observed, self.troubles)

    def _by_status(self, status: str) -> dict[str, tuple]:  # type: ignore[type-arg]
        raise AssertionError(f"no case asks for status:{status}")


def _sections(text: str) -> Iterator[tuple[str, str, str]]:
    for match in re.finditer(r"^--- (\w+) ?(.*)\n((?:(?!--- ).*\n?)*)", text, re.M):
        yield match[1], match[2].strip(), match[3].strip("\n")


def _lines(plan: Plan) -> str:
    return "\n".join(f"{'run ' if step.run else 'skip'} {show(step.node, step.partition)}: {step.reason}" for step in plan.steps)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_plan(case: Path, tmp_path: Path) -> None:
    """The plan says what runs, what is skipped, and why."""
    world, asked = World(tmp_path), 0
    for kind, words, body in _sections(case.read_text()):
        if kind == "project":
            world.edit(body)
        elif kind == "sources":
            for line in body.splitlines():
                name, token = line.split(" = ")
                asset, partition = split(name)
                seen = world.observed.setdefault(asset, {})
                seen[partition] = token
                if token == "gone":
                    del seen[partition]
        elif kind == "failed":
            for line in body.splitlines():
                name, message = line.split(": ", 1)
                world.troubles[split(name)] = message
        elif kind == "make":
            world.make(words)
        elif kind == "publish":
            world.publish(*split(words))
        else:
            assert kind == "plan", f"{kind} is no section"
            asked += 1
            try:
                found = _lines(world.plan(words))
            except LegatoError as error:
                found = str(error)
            assert found == body
    assert asked, "the case asks for no plan"


def test_every_step_stands_after_what_it_needs(tmp_path: Path) -> None:
    """A plan's order is an order in which it can run."""
    world = World(tmp_path)
    world.edit(CASES[0].read_text().split("--- project\n", 1)[1].split("\n--- ", 1)[0])
    for index, step in enumerate(world.plan("").steps):
        assert all(stop <= index for stop in step.deps[1::2])
