"""Every mutant is caught by the rings that should catch it, and the product itself passes the very same checks."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable
from functools import partial

import pytest
import test_backfills
import test_changed_code
import test_jobs
import test_reuse
from flow_stage import Stage
from marks import RINGS_OF, Mutant
from scene import Scene
from test_flow_worlds import CONSTRUCTS, edit, gather
from test_repeated_flows import repeat
from test_writes import run_world

from legato.plan.records import Reused
from legato.testing.flow_world import play_flows
from legato.testing.world import MemorySite, play

KERNEL = (
    "test_report",
    "test_failure",
    "test_grant",
    "test_limits",
    "test_control",
    "test_timing",
    "test_rollback",
    "test_finish",
    "test_joints",
    "test_facts",
    "test_flow_steps",
    "test_flow_waits",
    "test_flow_ends",
    "test_recall",
    "test_pause",
    "test_backfill",
)
SUBJECTS = (
    "of_records", "of_tries", "of_pools", "of_control", "of_flows", "of_bodies", "of_answers", "of_reuse", "of_cache",
    "of_backfills",
)  # fmt: skip
SEEDS = range(150)
DEATHS = [(seed, point) for seed in range(6) for point in range(0, 60, 4)]


def kernel() -> None:
    """The kernel's cases."""
    for module in KERNEL:
        for name, case in vars(importlib.import_module(module)).items():
            if name.startswith("test_"):
                _play(case)


def _play(told: Callable[..., None]) -> None:
    """A case with the fixture that it asks for; those that ask for more are left out."""
    opened: list[Scene] = []

    def open_scene(*args: object, **options: object) -> Scene:
        opened.append(Scene(*args, **options))
        return opened[-1]

    match list(inspect.signature(told).parameters):
        case []:
            told()
        case ["play"]:
            told(open_scene)
            for scene in opened:
                scene.close()
        case ["stage"]:
            stage = Stage()
            told(stage)
            stage.replay()


def worlds() -> None:
    """A few random worlds."""
    for seed in SEEDS:
        play(seed)


def deaths() -> None:
    """A few worlds whose process dies."""
    for seed, point in DEATHS:
        run_world(seed, MemorySite(), point)


def conductors() -> None:
    """The conductor's cases."""
    for name, case in vars(importlib.import_module("test_conductor")).items():
        if name.startswith("test_"):
            case()


def backfills() -> None:
    """Backfills beside other runs."""
    for name, case in vars(test_backfills).items():
        if name.startswith("test_"):
            case(*((True, 0.01) if inspect.signature(case).parameters else ()))


def jobs() -> None:
    """The kernel's cases of jobs elsewhere."""
    for name, case in vars(test_jobs).items():
        if name.startswith("test_"):
            stage = test_jobs.Waiting()
            case(stage)
            stage.replay()


def caches() -> None:
    """The cache's cases."""
    for name, case in vars(importlib.import_module("test_cache")).items():
        if name.startswith("test_"):
            case()


def flows() -> None:
    """Each construct of flows in a few worlds, and a few random programs."""
    for seed in range(10):
        for op in CONSTRUCTS.values():
            play_flows(seed, ("follow", [op, ["call", "make", "last"]]))
    for seed in range(60):
        play_flows(seed)


def gathers() -> None:
    """Calls beside each other, in a few worlds."""
    for seed in range(40):
        gather(seed)


def edits() -> None:
    """The kernel's cases of changed code and of reused results."""
    for name, case in [*vars(test_changed_code).items(), *vars(test_reuse).items()]:
        if not name.startswith("test_"):
            continue
        made: list[Stage] = []
        match list(inspect.signature(case).parameters):
            case []:
                case()
            case ["stage"]:
                made.append(test_changed_code.Edited())
                case(made[0])
            case ["repeat"]:
                case(partial(_begin, made))
        for stage in made:
            stage.replay()


def _begin(made: list[Stage], *reused: Reused) -> Stage:
    made.append(test_reuse.Repeating(*reused))
    return made[-1]


def repeats() -> None:
    """Random programs, repeated from a random call."""
    for seed in range(120):
        repeat(seed)


def edited() -> None:
    """Flows whose tasks are edited meanwhile, in a few worlds."""
    for seed in range(60):
        edit(seed)


RINGS = {
    ring.__name__: ring
    for ring in (kernel, worlds, deaths, conductors, backfills, jobs, caches, flows, gathers, edited, edits, repeats)
}
for _subject in SUBJECTS:
    importlib.import_module(_subject)


CASES = [pytest.param(mutant, ring, id=f"{mutant.__name__}-{ring}") for mutant, rings in RINGS_OF.items() for ring in rings]


@pytest.mark.long
@pytest.mark.parametrize("ring", RINGS)
def test_the_product_passes(ring: str) -> None:
    """What each ring says of a mutant counts because of this: it finds nothing wrong where nothing is broken."""
    RINGS[ring]()


@pytest.mark.long
@pytest.mark.parametrize(("mutant", "ring"), CASES)
def test_a_mutant_is_caught(mutant: Mutant, ring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring fails on the mutant."""
    mutant(monkeypatch)
    with pytest.raises(Exception) as caught:
        RINGS[ring]()
    assert not is_stale(mutant, caught.value), "the mutant no longer fits the code that it breaks"


def is_stale(mutant: Mutant, error: BaseException | None) -> bool:
    """Whether the mutant's own code broke, or could not be called: it says nothing of the ring then."""
    while error is not None:
        raised = traceback.extract_tb(error.__traceback__)[-1]
        if isinstance(error, (TypeError, AttributeError, NameError)) and (
            raised.filename == inspect.getfile(mutant) or f"{mutant.__name__}.<locals>" in str(error)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def test_there_are_enough_mutants() -> None:
    """A ring that no mutant is caught by proves nothing."""
    assert len(RINGS_OF) >= 60
    assert {ring for rings in RINGS_OF.values() for ring in rings} == set(RINGS)
