"""Every mutant is caught by the rings that should catch it, and the product itself passes the very same checks."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache

import mutants
import pytest
from scene import Scene
from test_writes import run_world

from legato.testing.world import MemorySite, play

KERNEL = ("test_report", "test_failure", "test_grant", "test_control", "test_timing", "test_rollback", "test_finish", "test_joints")
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
def sound(ring: str) -> bool:
    """Whether the product itself passes the ring."""
    RINGS[ring]()
    return True


def caught(ring: Callable[[], None]) -> bool:
    try:
        ring()
    except Exception:
        return True
    return False
