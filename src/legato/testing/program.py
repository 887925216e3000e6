"""Programs: bodies of flows as plain data, so that random ones can be drawn, run durably, and run as plain Python.

A program is a list of operations, each a list: its name, and what it takes. What a call is given is a label that no other call
of the program has, so whoever watches can tell all calls apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from legato.declare.calling import CALLER, TaskFailed
from legato.declare.draft import Site
from legato.declare.elsewhere import external
from legato.declare.faces import flow, task
from legato.declare.node import Retry
from legato.declare.project import collect, freeze
from legato.declare.waiting import approval, signal, sleep
from legato.testing import program_tasks
from legato.testing.program_tasks import (
    LONG_S,
    POOLS,
    TASKS,
    Program,
    answer_to,
    begin_elsewhere,
    big,
    endless,
    flaky,
    limit_s,
    look_elsewhere,
    make,
    make_later,
    pair,
    report,
    table,
    tag,
    tell,
    ticket,
    ticket_later,
    turn,
    watching,
)
from legato.worker.preload import Kit

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


@flow(timeout=0.4, retries=Retry(100, delay_s=0.1, max_delay_s=1.0))
def hurried(program: Program) -> list[Any]:
    """Does what the program says; where that takes too long, it is tried again."""
    return _do_all(program)


@flow(timeout=0.4)
def overdue(x: str) -> None:
    """Looks at what does not come to an end, until its time is over."""
    future = endless.submit(x)
    while not future.done():
        pass


def untour(x: str, program: Program, result: str) -> None:
    """Takes a tour back."""
    if (watch := watching()) is not None:
        watch.undid("tour", x, result)


@flow(undo=untour)
def tour(x: str, program: Program) -> str:
    """Does what the program says, and can be undone."""
    _do_all(program)
    if (watch := watching()) is not None:
        watch.entered("tour", x)
    return tag("tour", x, program)


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
        if (watch := watching()) is not None:
            watch.saw(f"{what} {len(seen)}", seen[-1])
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
    watch = watching()
    order = labels if watch is None else watch.shuffle(labels)
    futures = {x: TASKS[node].submit(x) for x in order}
    return [futures[x].result() for x in labels]


def _twice(node: str, x: str) -> list[Any]:
    return [TASKS[node](x), make(f"{x} between"), TASKS[node](x)]


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


def _hurried(program: Program) -> list[Any]:
    return hurried(program)


def _overdue(x: str) -> str:
    if CALLER.get() is not None:
        try:
            overdue(x)
        except TaskFailed:
            return make(f"{x} over")
        return "not over"
    return make(f"{x} over")


def _tour(x: str, program: Program) -> str:
    return tour(x, program)


def _tell(x: str, times: int) -> list[str]:
    made = []
    for number in range(times):
        tell(x, number)
        made.append(make(f"{x} {number}"))
    return made


def _guarded(programs: list[Program]) -> list[Any]:
    return [future.result() for future in [guarded.submit(program) for program in programs]]


def _turns(labels: list[str]) -> list[Any]:
    return [future.result() for future in [turn.submit(x, "odd" if place % 2 else "even") for place, x in enumerate(labels)]]


def _external(x: str) -> str:
    return str(external(begin_elsewhere, look_elsewhere, x, every=0.5, timeout=LONG_S))


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
    "twice": _twice, "hurried": _hurried, "overdue": _overdue, "tour": _tour, "tell": _tell,
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
        if (watch := watching()) is not None:
            watch.saw(f"{what} {number}", drawn)
    return tag("polls", times)


async def _passed_later(x: str, y: str) -> str:
    return await pair.submit(make.submit(x), make_later.submit(y))


async def _tell_later(x: str, times: int) -> list[str]:
    made = []
    for number in range(times):
        tell(x, number)
        made.append(await make_later(f"{x} {number}"))
    return made


async def _map_later(x: str, count: int) -> str:
    return tag("map", await make_later.map(f"{x}.{number}" for number in range(count)))


async def _attempt_later(op: list[Any], x: str) -> Any:
    try:
        return await _do_later(op)
    except ValueError as error:
        return ["caught", str(error), await make_later(x)]


async def _sub_from_loop(program: Program) -> list[Any]:
    return await follow.submit(program)


async def _external_later(x: str) -> Any:
    return await external(begin_elsewhere, look_elsewhere, x, every=7.0)


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
    "approval": _approval_later, "external": _external_later, "tell": _tell_later,
}  # fmt: skip


@cache
def program_kit() -> Kit:
    """The project of these tasks and flows; its storages are the world's, which puts them in."""
    project, code = freeze(
        collect([vars(program_tasks), globals()]), Site(name="programs", pools=POOLS), code_of=lambda fn: fn.__name__
    )
    return Kit(project, code, dict, "memory", Path(__file__).parent)
