from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flow_stage import Stage
from scene import Scene


@pytest.fixture
def play() -> Iterator[Callable[..., Scene]]:
    """Opens scenes; each is closed, and so checked, when the test ends."""
    opened: list[Scene] = []

    def open_scene(*args: object, **options: object) -> Scene:
        opened.append(Scene(*args, **options))
        return opened[-1]

    yield open_scene
    for scene in opened:
        scene.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A run of one flow; its events alone must give the same state when the test ends."""
    made = Stage()
    yield made
    made.replay()
