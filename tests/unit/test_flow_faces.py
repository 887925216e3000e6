"""Flows as plain functions: with no engine everything just runs; what needs one says so."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import legato as lg
from legato.declare.calling import CALLER
from legato.declare.pool import Use
from legato.terms.attempt import Wait
from legato.terms.errors import LegatoError, UsageError


@lg.task
def double(number: int, times: int = 1) -> int:
    return number * 2**times


@lg.task
async def triple(number: int) -> int:
    await asyncio.sleep(0)
    return number * 3


@lg.task
def fail(message: str) -> int:
    raise ValueError(message)


@lg.task
def greet(name: str) -> str:
    return f"hello {name}"


@lg.asset
def prices() -> dict[str, int]:
    return {"apples": 2}


@lg.flow
def inner(number: int) -> int:
    return double(number) + 1


@lg.flow
def outer(limit: int = 3) -> list[int]:
    """All that a flow can do."""
    first = double.submit(1)
    second = double.submit(first, times=2)
    return [first.result(), second.result(), *double.map(range(limit), times=2), inner(10)]


@lg.flow
async def beside(numbers: list[int]) -> list[int]:
    begun = triple.submit(100)
    found = await asyncio.gather(*(triple(each) for each in numbers))
    mapped = await triple.map(numbers)
    after = await double.submit(begun)
    await lg.sleep(0)
    return [*found, *mapped, await begun, after, double(1)]


# -- with no engine --


def test_a_flow_called_as_a_function_just_runs() -> None:
    assert outer() == [2, 8, 0, 4, 8, 21]
    assert outer(limit=0) == [2, 8, 21]


def test_an_async_flow_called_as_a_function_just_runs() -> None:
    assert asyncio.run(beside([1, 2])) == [3, 6, 3, 6, 300, 600, 2]


def test_an_async_task_is_awaited_wherever_it_is_called() -> None:
    assert inspect.iscoroutinefunction(triple.fn)
    assert asyncio.run(triple(2)) == 6
    assert asyncio.run(triple.map([1, 2])) == [3, 6]
    assert triple.submit(2).result() == 6


def test_a_future_is_over_at_once() -> None:
    future = double.submit(2)
    assert future.done()
    assert isinstance(future, lg.Future)
    assert [future.result(), future.result()] == [4, 4]


def test_a_future_below_a_loop_is_awaited() -> None:
    async def body() -> None:
        future = triple.submit(1)
        assert not future.done()
        with pytest.raises(LegatoError, match="future-pending"):
            future.result()
        assert await future == 3
        assert (future.done(), future.result()) == (True, 3)

    asyncio.run(body())


def test_a_future_is_no_truth() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        assert double.submit(0)


def test_an_error_comes_where_the_result_is_asked_for() -> None:
    future = fail.submit("no")
    assert future.done()
    with pytest.raises(ValueError, match="no"):
        future.result()
    with pytest.raises(ValueError, match="now"):
        fail("now")
    with pytest.raises(ValueError, match="given"):
        double(fail.submit("given"))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_error_that_nobody_asks_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda seen: told.append(seen.exc_value))
    fail.submit("unseen")
    assert [str(each) for each in told] == ["unseen"]


def test_map_over_nothing_and_over_what_raises_half_way() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the list broke off")

    assert double.map([]) == []
    with pytest.raises(OSError, match="broke off"):
        double.map(broken())


def test_a_parameter_called_name_is_the_functions() -> None:
    assert greet.submit(name="Ann").result() == "hello Ann"
    assert double.submit(1, name="first").result() == 2


def test_sleep_sleeps() -> None:
    assert lg.sleep("1ms") is None


@pytest.mark.parametrize("duration", ["soon", -1, float("inf"), float("nan")])
def test_a_sleep_without_end_is_refused(duration: Any) -> None:
    with pytest.raises(LegatoError, match="duration"):
        lg.sleep(duration)


def test_what_needs_a_run_says_so() -> None:
    for ask in (lambda: lg.approval("Publish?"), lambda: lg.signal("ready"), prices.materialize):
        with pytest.raises(LegatoError, match=r"\[no-flow\]"):
            ask()


@pytest.mark.parametrize("ask", [lambda: lg.approval(" "), lambda: lg.signal(7)])  # type: ignore[arg-type]
def test_a_wait_without_a_name_is_refused(ask: Any) -> None:
    with pytest.raises(UsageError, match="wait-name"):
        ask()


@pytest.mark.parametrize(
    "ask", [lambda: prices.submit(), lambda: prices.map([1]), lambda: double.materialize(), lambda: outer.materialize()]
)
def test_what_a_kind_cannot_do_is_refused(ask: Any) -> None:
    with pytest.raises(UsageError, match="call-kind"):
        ask()


# -- with a caller --


class Recorder:
    """A caller that notes what it is asked for."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def call(self, face: Any, args: Any, kwargs: Any, *, name: str | None = None) -> str:
        self.heard.append(("call", face.node.name, args, dict(kwargs), name))
        return "called"

    def submit(self, face: Any, args: Any, kwargs: Any, *, name: str | None = None) -> Any:
        self.heard.append(("submit", face.node.name, args, dict(kwargs), name))
        return "submitted"

    def map(self, face: Any, items: Any, shared: Any) -> str:
        self.heard.append(("map", face.node.name, list(items), dict(shared)))
        return "mapped"

    def materialize(self, face: Any, partition: str, arguments: Any) -> str:
        self.heard.append(("materialize", face.node.name, partition, dict(arguments)))
        return "made"

    def wait(self, wait: Wait) -> str:
        self.heard.append(("wait", wait))
        return "waited"


@pytest.fixture
def caller() -> Iterator[Recorder]:
    recorder = Recorder()
    token = CALLER.set(recorder)
    yield recorder
    CALLER.reset(token)


def test_in_a_run_calls_go_to_its_caller(caller: Recorder) -> None:
    days = lg.daily("2013-01-01", end="2013-02-01")
    answers: list[Any] = [
        double(1, times=2), double.submit(3, name="third"), double.map(iter([1, 2]), times=3), inner(4),
        prices.materialize(), prices.materialize("x"), prices.materialize(days.partition("2013-01-05")),
        prices.materialize(partition="x", found=[1]),
    ]  # fmt: skip
    assert answers == ["called", "submitted", "mapped", "called", "made", "made", "made", "made"]
    assert caller.heard == [
        ("call", "double", (1,), {"times": 2}, None),
        ("submit", "double", (3,), {}, "third"),
        ("map", "double", [1, 2], {"times": 3}),
        ("call", "inner", (4,), {}, None),
        ("materialize", "prices", "", {}),
        ("materialize", "prices", "x", {}),
        ("materialize", "prices", "2013-01-05", {}),
        ("materialize", "prices", "x", {"found": [1]}),
    ]


def test_in_a_run_waits_go_to_its_caller(caller: Recorder) -> None:
    assert [lg.sleep("3d"), lg.approval("Publish?", who="finance", timeout="2d"), lg.signal("ready")] == ["waited"] * 3
    assert [each for _, each in caller.heard] == [
        Wait("sleep", seconds=259_200.0), Wait("approval", "Publish?", 172_800.0, "finance"), Wait("signal", "ready"),
    ]  # fmt: skip


def test_in_a_run_an_asset_called_is_a_function_called(caller: Recorder) -> None:
    assert prices() == {"apples": 2}
    assert caller.heard == []


# -- declared --


def test_a_flow_is_a_node_without_outputs() -> None:
    assert (outer.node.kind, outer.node.outputs, outer.names) == ("flow", (), ("outer",))
    assert outer.node.description == "All that a flow can do."
    assert repr(outer) == "<flow outer>"


def test_keywords_of_a_flow() -> None:
    def give_back(region: str) -> None: ...

    @lg.flow(
        name="month.end", owner="finance", tags=["monthly"], domain="books", retries=2, timeout="3d", pool="books",
        on_failure="rollback", fallback=double, undo=give_back, version="7",
    )  # fmt: skip
    def month_end(region: str) -> None: ...

    node = month_end.node
    assert (node.name, node.owner, node.tags, node.domain, node.version) == ("month.end", "finance", ("monthly",), "books", "7")
    assert (node.retry.times, node.timeout_s, node.on_failure, node.undo) == (2, 259_200.0, "rollback", True)
    assert node.pools == (Use("books"),)
    assert (month_end.faults, month_end.undo) == ([], give_back)
