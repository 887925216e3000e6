"""Programs: bodies of flows as plain data, so that random ones can be drawn, run durably, and run as plain Python.

A program is a list of operations, each a list: its name, and what it takes. What a call is given is a label that no other call
of the program has, so whoever watches can tell all calls apart.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from legato.declare.calling import CALLER
from legato.declare.draft import Site
from legato.declare.elsewhere import external
from legato.declare.faces import asset, flow, task
from legato.declare.node import Retry
from legato.declare.pool import Limit, Pool
from legato.declare.project import collect, freeze
from legato.declare.waiting import approval, signal, sleep
from legato.worker.preload import Kit

Program = list[Any]

POOLS = {"single": Limit(1), "pair": Limit(2), "rated": Limit(None, 3, 1.0), "apart": Limit(1, 5, 2.0), "door": Limit(1)}
LONG_S, SHORT_S = 30 * 86_400.0, 5.0
"""Time limits of questions that somebody answers, and of those that nobody does."""


class Watch(Protocol):
    """The world outside, as tasks and bodies can reach it: what they do there is done, whatever is on record."""

    def entered(self, node: str, label: str) -> None:
        """The function of a task begins."""
        ...

    def draw(self, label: str) -> int:
        """A number that nobody else gets."""
        ...

    def saw(self, label: str, number: int) -> None:
        """A body got this number for its call."""
        ...

    def is_busy(self, handle: str) -> bool:
        """Whether this job still goes on."""
        ...

    def undid(self, label: str) -> None:
        """What a task did is taken back."""
        ...

    def shuffle(self, items: list[str]) -> list[str]:
        """The items in an order that is another one each time."""
        ...


_watch: Watch | None = None


def watch(watching: Watch | None) -> None:
    """Let this one watch what programs do."""
    global _watch
    _watch = watching


def tag(node: str, *given: Any) -> str:
    """What a task makes of its inputs: other inputs give another value."""
    return f"{node} {zlib.crc32(repr(given).encode()):08x}"


def answer_to(question: str) -> Any:
    """What people say to it, or what the flow makes of it that nobody does."""
    return {"yes": True, "no": False, "just": True, "never": "nobody"}[question.partition(" ")[0]]


def limit_s(question: str) -> float:
    """How long somebody may answer it."""
    return SHORT_S if question.startswith(("just", "never")) else LONG_S


# Tasks ---------------------------------------------------------------------------------------------------


def _make(node: str, x: str) -> str:
    if _watch is not None:
        _watch.entered(node, x)
    return tag(node, x)


@task
def make(x: str) -> str:
    """A value."""
    return _make("make", x)


@task
async def make_later(x: str) -> str:
    """A value, from an async function."""
    await asyncio.sleep(0)
    return _make("make_later", x)


@task(pool="single")
def narrow(x: str) -> str:
    """A value, one at a time."""
    return _make("narrow", x)


@task(retries=Retry(3, delay_s=0.2, max_delay_s=2.0), pool="pair")
def flaky(x: str) -> str:
    """A value, after some tries."""
    return _make("flaky", x)


@task(pool="rated")
def polite(x: str) -> str:
    """A value, not too often."""
    return _make("polite", x)


@task(pool=Pool("apart", key="kind"))
def turn(x: str, kind: str) -> str:
    """A value, one at a time of each kind, and not too often."""
    return _make("turn", f"{x} {kind}")


@task(retries=Retry(2, delay_s=0.1, max_delay_s=2.0), timeout=1.0)
def slow(x: str) -> str:
    """A value, unless it takes too long."""
    return _make("slow", x)


@task
def stand_in(x: str) -> str:
    """What `weak` would have made."""
    return _make("weak", x)


@task(fallback=stand_in)
def weak(x: str) -> str:
    """A value, from somebody else."""
    return _make("weak", x)


@task
def balky(x: str) -> str:
    """A value, unless it fails at first, of which only a flow that is tried again gets over."""
    return _make("balky", x)


@task
def big(x: str) -> list[str]:
    """A value too large to travel inline."""
    return [_make("big", x)] * 40


@task
def pair(a: Any, b: Any) -> str:
    """A value of two others."""
    return _make("pair", repr((a, b)))


@task
def bad(x: str) -> None:
    """Always raises."""
    _make("bad", x)
    raise ValueError(f"bad {x}")


@task
def ticket(what: str) -> int:
    """Another number each time it is made."""
    return _watch.draw(what) if _watch is not None else 0


@task
async def ticket_later(what: str) -> int:
    """The same, from an async function."""
    return _watch.draw(what) if _watch is not None else 0


@task
def begin_job(x: str) -> str:
    """Begins a job elsewhere; its handle."""
    return _make("begin_job", x)


@task
def look_at_job(handle: str) -> str | None:
    """What the job gives, once it is over."""
    if _watch is not None and _watch.is_busy(handle):
        return None
    return _make("look_at_job", handle)


def unbook(x: str, result: str) -> None:
    """Takes a booking back; it has to be given what was booked."""
    assert result == tag("book", x), result
    if _watch is not None:
        _watch.undid(x)


@task(undo=unbook)
def book(x: str) -> str:
    """Does something that can be undone."""
    return _make("book", x)


@task(on_failure="rollback")
def ruin(x: str) -> str:
    """A value; where it fails, everything is undone."""
    return _make("ruin", x)


@task(on_failure="halt")
def stopper(x: str) -> str:
    """A value; where it fails, nothing new begins."""
    return _make("stopper", x)


@asset
def table() -> str:
    """An asset."""
    return _make("table", "")


@asset
def report(table: str) -> str:
    """An asset made of another."""
    return _make("report", table)


TASKS = {each.node.name: each for each in (make, narrow, polite, flaky, slow, weak, balky, big, bad, book, ruin, stopper)}


# Flows ---------------------------------------------------------------------------------------------------


@flow
def follow(program: Program) -> list[Any]:
    """Does what the program says; the results, in order."""
    return _do_all(program)


@flow
async def follow_later(program: Program) -> list[Any]:
    """Does everything that the program says at once."""
    return await _gather(program)


@task
def stand_for(program: Program) -> str:
    """What there is instead of a frail flow."""
    return tag("frail", program)


@flow(fallback=stand_for)
def frail(program: Program) -> None:
    """Does what the program says, and fails."""
    raise ValueError(repr(_do_all(program)))


@flow(retries=Retry(2, delay_s=0.1, max_delay_s=2.0))
def stubborn(program: Program) -> list[Any]:
    """Does what the program says, and is tried again where something fails."""
    return _do_all(program)


@flow(pool="door")
def guarded(program: Program) -> list[Any]:
    """Does what the program says; nobody else does so meanwhile."""
    return _do_all(program)


def _do(op: list[Any]) -> Any:
    name, *given = op
    return _DO[name](*given)


def _do_all(program: Program) -> list[Any]:
    return [_do(op) for op in program]


def _call(node: str, x: str) -> Any:
    return TASKS[node](x)


def _named(node: str, x: str) -> Any:
    return TASKS[node].submit(x, name=f"the {node} of {x}").result()


def _chain(x: str, times: int) -> str:
    for _ in range(times):
        x = make(x)
    return x


def _branch(x: str, yes: Program, no: Program) -> list[Any]:
    if int(make(x)[-1], 16) % 2:
        return _do_all(yes)
    return _do_all(no)


def _poll(what: str, times: int) -> str:
    seen: list[int] = []
    while len(seen) < times:
        seen.append(ticket(what))
        if _watch is not None:
            _watch.saw(f"{what} {len(seen)}", seen[-1])
    return tag("polls", len(seen))


def _attempt(program: Program, x: str) -> list[Any]:
    try:
        return _do_all(program)
    except ValueError as error:
        return ["caught", str(error), make(x)]


def _submit(node: str, labels: list[str]) -> list[Any]:
    futures = [TASKS[node].submit(x) for x in labels]
    return [future.result() for future in reversed(futures)]


def _loose(node: str, labels: list[str]) -> None:
    for x in labels:
        TASKS[node].submit(x)


def _ask_whether_done(node: str, labels: list[str]) -> list[Any]:
    futures = [TASKS[node].submit(x) for x in labels]
    for _ in range(40):
        if all(future.done() for future in futures):
            break
    return [future.result() for future in futures]


def _shuffled(node: str, labels: list[str]) -> list[Any]:
    order = labels if _watch is None else _watch.shuffle(labels)
    futures = {x: TASKS[node].submit(x) for x in order}
    return [futures[x].result() for x in labels]


def _passed(x: str, y: str) -> str:
    return pair(make.submit(x), pair.submit(flaky.submit(y), x))


def _map(node: str, x: str, count: int) -> str:
    return tag("map", TASKS[node].map(f"{x}.{number}" for number in range(count)))


def _map_shared(x: str, count: int) -> str:
    return tag("map", pair.map((f"{x}.{number}" for number in range(count)), b=big.submit(x)))


def _map_broken(x: str, count: int) -> str:
    def items() -> Iterator[str]:
        yield from (f"{x}.{number}" for number in range(count))
        raise LookupError(x)

    try:
        make.map(items())
    except LookupError as error:
        return make(f"{error.args[0]} broken")
    return "not broken"


def _sub(program: Program) -> list[Any]:
    return follow(program)


def _sub_later(program: Program) -> list[Any]:
    return follow_later.submit(program).result()


def _frail(program: Program) -> Any:
    return stand_for(program) if CALLER.get() is None else frail(program)


def _stubborn(program: Program) -> list[Any]:
    return stubborn(program)


def _guarded(programs: list[Program]) -> list[Any]:
    return [future.result() for future in [guarded.submit(program) for program in programs]]


def _turns(labels: list[str]) -> list[Any]:
    return [future.result() for future in [turn.submit(x, "odd" if place % 2 else "even") for place, x in enumerate(labels)]]


def _external(x: str) -> str:
    return str(external(begin_job, look_at_job, x, every=0.5, timeout=LONG_S))


def _tables() -> None:
    if CALLER.get() is not None:
        table.materialize()
        report.materialize()


def _sleep(seconds: float) -> None:
    if CALLER.get() is not None:
        sleep(seconds)


def _approval(question: str) -> Any:
    if CALLER.get() is None:
        return answer_to(question)
    try:
        return approval(question, timeout=limit_s(question))
    except TimeoutError:
        return "nobody"


def _signal(name: str) -> Any:
    return [name] if CALLER.get() is None else signal(name)


_DO: dict[str, Callable[..., Any]] = {
    "call": _call, "named": _named, "chain": _chain, "if": _branch, "while": _poll, "try": _attempt, "submit": _submit,
    "loose": _loose, "done": _ask_whether_done, "shuffled": _shuffled, "passed": _passed, "map": _map, "shared": _map_shared,
    "broken": _map_broken, "sub": _sub, "stubborn": _stubborn, "guarded": _guarded, "turns": _turns, "later": _sub_later,
    "frail": _frail, "external": _external, "tables": _tables, "sleep": _sleep, "approval": _approval, "signal": _signal,
}  # fmt: skip


# Beside each other ---------------------------------------------------------------------------------------


async def _do_later(op: list[Any]) -> Any:
    name, *given = op
    return await _DO_LATER[name](*given)


async def _gather(program: Program) -> list[Any]:
    return list(await asyncio.gather(*map(_do_later, program)))


async def _group(program: Program) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_do_later(op)) for op in program]
    return [task.result() for task in tasks]


async def _one_by_one(program: Program) -> list[Any]:
    return [await _do_later(op) for op in program]


async def _call_later(node: str, x: str) -> Any:
    return await TASKS[node].submit(x)


async def _chain_later(x: str, times: int) -> str:
    for _ in range(times):
        x = await make_later(x)
    return x


async def _poll_later(what: str, times: int) -> str:
    for number in range(times):
        drawn = await ticket_later(what)
        if _watch is not None:
            _watch.saw(f"{what} {number}", drawn)
    return tag("polls", times)


async def _passed_later(x: str, y: str) -> str:
    return await pair.submit(make.submit(x), make_later.submit(y))


async def _map_later(x: str, count: int) -> str:
    return tag("map", await make_later.map(f"{x}.{number}" for number in range(count)))


async def _attempt_later(op: list[Any], x: str) -> Any:
    try:
        return await _do_later(op)
    except ValueError as error:
        return ["caught", str(error), await make_later(x)]


async def _sub_from_loop(program: Program) -> list[Any]:
    return await follow.submit(program)


async def _sleep_later(seconds: float) -> None:
    if CALLER.get() is not None:
        await sleep(seconds)


async def _approval_later(question: str) -> Any:
    if CALLER.get() is None:
        return answer_to(question)
    try:
        return await approval(question, timeout=limit_s(question))
    except TimeoutError:
        return "nobody"


_DO_LATER: dict[str, Callable[..., Any]] = {
    "gather": _gather, "group": _group, "then": _one_by_one, "call": _call_later, "chain": _chain_later, "while": _poll_later,
    "passed": _passed_later, "map": _map_later, "try": _attempt_later, "sub": _sub_from_loop, "sleep": _sleep_later,
    "approval": _approval_later,
}  # fmt: skip


@cache
def program_kit() -> Kit:
    """The project of these tasks and flows; its storages are the world's, which puts them in."""
    project, code = freeze(collect([globals()]), Site(name="programs", pools=POOLS), code_of=lambda fn: fn.__name__)
    return Kit(project, code, dict, "memory", Path(__file__).parent)
