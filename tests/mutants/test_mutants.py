"""Every mutant is caught by the rings that should catch it, and the product itself passes the very same checks."""

from __future__ import annotations

import importlib
import inspect
from functools import cache

import pytest
from scene import Scene
from test_writes import run_world

import mutants
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
)
SEEDS = range(150)
DEATHS = [(seed, point) for seed in range(6) for point in range(0, 60, 4)]


def kernel() -> None:
    """The kernel's cases."""
    for module in KERNEL:
        for name, case in vars(importlib.import_module(module)).items():
            if name.startswith("test_") and list(inspect.signature(case).parameters) in ([], ["play"]):
                opened: list[Scene] = []

                def open_scene(*args: object, opened: list[Scene] = opened, **options: object) -> Scene:
                    opened.append(Scene(*args, **options))
                    return opened[-1]

                case(open_scene) if inspect.signature(case).parameters else case()
                for scene in opened:
                    scene.close()


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


RINGS = {ring.__name__: ring for ring in (kernel, worlds, deaths, conductors)}


@cache
def passes(ring: str) -> bool:
    """Whether the product itself passes the ring; asked once, before anything is broken."""
    RINGS[ring]()
    return True


CASES = [
    pytest.param(mutant, ring, id=f"{mutant.__name__}-{ring}") for mutant, rings in mutants.RINGS_OF.items() for ring in rings
]


@pytest.mark.long
@pytest.mark.parametrize(("mutant", "ring"), CASES)
def test_a_mutant_is_caught(mutant: mutants.Mutant, ring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring passes on the product, and fails on the mutant."""
    assert passes(ring)
    mutant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017  (whatever a broken product raises, it is caught)
        RINGS[ring]()


def test_there_are_enough_mutants() -> None:
    """A ring that no mutant is caught by proves nothing."""
    assert len(mutants.RINGS_OF) >= 30
    assert {ring for rings in mutants.RINGS_OF.values() for ring in rings} == set(RINGS)
