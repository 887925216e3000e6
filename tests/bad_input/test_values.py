"""Values of awkward sizes and number reach who asked for them."""

from pathlib import Path

from legato.kernel.state import RunState
from legato.service.request import Request
from legato.service.running import run, session
from legato.wiring.code import open_workspace

PIPELINE = """
import legato as lg

parts = lg.static(["a", "b", "c"])


@lg.task(partitions=parts)
def value(part: lg.Partition) -> list:
    return [part.key] * (100_000 if part.key == "b" else 1)


@lg.task
def by_key(value: dict[str, list]) -> None:
    assert {key: len(each) for key, each in value.items()} == {"a": 1, "b": 100_000, "c": 1}


@lg.task
def in_order(value: list[list]) -> None:
    assert [each[0] for each in value] == ["a", "b", "c"]


@lg.task
def unsaid(value) -> None:
    assert list(value) == ["a", "b", "c"]


@lg.task(partitions=parts)
def one(value: list, part: lg.Partition) -> None:
    assert value[0] == part.key


@lg.task(partitions=parts)
def small(part: lg.Partition) -> int:
    return ord(part.key)


@lg.task
def sums(small: list[int]) -> None:
    assert sum(small) == 294
"""


def _run(folder: Path) -> RunState:
    (folder / "legato.toml").write_text('name = "values"\nmodules = ["pipeline"]\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    with session(open_workspace(folder, executor="inline"), "test") as opened:
        _, state = run(opened, Request(), lambda *_: None)
    assert state is not None
    return state


def test_small_and_large_values_travel_together(tmp_path: Path) -> None:
    state = _run(tmp_path)
    assert state.ended == "succeeded", [error.message for error in state.errors.values()]
