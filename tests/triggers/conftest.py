from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from stage import Stage


@pytest.fixture(params=["goes-on", "restarts"])
def play(request: pytest.FixtureRequest) -> Iterator[Callable[..., Stage]]:
    """Opens stages, once with a process that goes on and once with one that ends before each input; checks each at its end."""
    opened: list[Stage] = []

    def open_stage(*faces: object, **options: object) -> Stage:
        opened.append(Stage(*faces, restarts=request.param == "restarts", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_stage
    for stage in opened:
        stage.close()
