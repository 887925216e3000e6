"""Jobs elsewhere as plain functions, and what a flow under way makes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import legato as lg
from legato.declare.alone import Finished
from legato.declare.calling import CALLER
from legato.terms.errors import UsageError


class Site:
    """Where the jobs are: each needs so many looks."""

    looks = 0
    begun: list[str] = []


@lg.task
def start(what: str, size: int = 1) -> str:
    Site.begun.append(f"{what} {size}")
    return f"job {what}"


@lg.task
async def start_later(what: str) -> str:
    await asyncio.sleep(0)
    return start(what)


@lg.task
def poll(handle: str) -> str | None:
    Site.looks -= 1
    return None if Site.looks > 0 else f"{handle} is done"


@lg.task
async def poll_later(handle: str) -> str | None:
    await asyncio.sleep(0)
    return poll(handle)


@pytest.fixture(autouse=True)
def site() -> None:
    Site.looks, Site.begun = 3, []


def test_without_an_engine_it_calls_and_sleeps_and_calls_again() -> None:
    assert lg.external(start, poll, "a", size=2, every="1ms") == "job a is done"
    assert (Site.begun, Site.looks) == (["a 2"], 0)


@pytest.mark.parametrize(("begin", "look"), [(start, poll), (start_later, poll), (start, poll_later), (start_later, poll_later)])
def test_it_is_awaited_below_an_event_loop(begin: Any, look: Any) -> None:
    async def main() -> list[str]:
        return await asyncio.gather(lg.external(begin, look, "a", every=0.001), lg.external(begin, look, "b", every=0.001))

    assert asyncio.run(main()) == ["job a is done", "job b is done"]
    assert lg.external(begin, look, "c", every=0.001) == "job c is done"


def test_a_job_that_takes_too_long_is_a_timeout_error() -> None:
    Site.looks = 1_000_000
    with pytest.raises(TimeoutError, match="poll: the job goes on"):
        lg.external(start, poll, "a", every="1ms", timeout="20ms")

    async def main() -> None:
        await lg.external(start, poll, "a", every="1ms", timeout="20ms")

    with pytest.raises(TimeoutError, match="poll: the job goes on"):
        asyncio.run(main())


def test_a_job_that_cannot_be_begun_is_not_looked_after() -> None:
    @lg.task
    def refuse() -> str:
        raise ConnectionRefusedError("closed")

    with pytest.raises(ConnectionRefusedError):
        lg.external(refuse, poll)
    assert Site.looks == 3


@pytest.mark.parametrize(
    ("start", "poll", "how", "code"),
    [
        (len, poll, {}, "external"),
        (start, "poll", {}, "external"),
        (start, lg.flow(name="f")(lambda handle: 1), {}, "external"),
        (start, poll, {"every": "0s"}, "duration"),
        (start, poll, {"every": None}, "duration"),
        (start, poll, {"timeout": 0}, "duration"),
        (start, poll, {"timeout": "soon"}, "duration"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_begins(start: Any, poll: Any, how: Any, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        lg.external(start, poll, "a", **how)
    assert refused.value.code == code
    assert Site.begun == []


class Recording:
    """A caller that writes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def submit(self, face: Any, args: Any, kwargs: Any, *, name: str | None = None) -> Finished:
        self.asked.append((face.node.name, args, dict(kwargs), name))
        return Finished("handle")

    def poll(self, face: Any, handle: Any, every_s: float, limit_s: float | None) -> Finished:
        self.asked.append((face.node.name, handle.result(), every_s, limit_s))
        return Finished("result")


@pytest.mark.parametrize("is_async", [False, True])
def test_in_a_flow_it_is_two_calls_and_the_handle_is_passed_on(is_async: bool) -> None:
    async def main() -> Any:
        return await lg.external(start, poll, "a", size=2, every="2m", timeout="3d", name="export")

    caller = Recording()
    token = CALLER.set(caller)  # type: ignore[arg-type]
    try:
        made = asyncio.run(main()) if is_async else lg.external(start, poll, "a", size=2, every="2m", timeout="3d", name="export")
    finally:
        CALLER.reset(token)
    assert made == "result"
    assert caller.asked == [("start", ("a",), {"size": 2}, "export"), ("poll", "handle", 120.0, 259_200.0)]
