"""What the suite for flows stands on: flows of all kinds."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from legato.declare.draft import Site
from legato.declare.faces import flow
from legato.declare.project import collect, freeze
from legato.declare.waiting import approval, signal, sleep
from legato.storages.files import FileStorage
from legato.terms.errors import LegatoError
from legato.testing import flow_parts
from legato.testing.flow_parts import (
    Lead,
    add,
    add_later,
    die_once,
    fail,
    fail_oddly,
    grade,
    inspect,
    leads,
    look,
    measure,
    nap,
    numbers,
    swap,
    total,
)
from legato.worker.preload import Kit
from legato.worker.telling import markdown, metric, progress


@flow
def chain(count: int) -> int:
    """Calls one after the other."""
    value = 0
    for _ in range(count):
        value = add(value)
    return value


@flow
def poll_equal(count: int) -> list[int]:
    """Makes the same call again and again."""
    return [add(1, b=1) for _ in range(count)]


@flow
def spread(count: int) -> list[int]:
    """Begins many calls, passes futures on, and asks in another order."""
    futures = [add.submit(number, 0) for number in range(count)]
    doubled = [add.submit(each, each) for each in futures]
    return [each.result() for each in reversed(doubled)]


@flow
def mapped(count: int) -> int:
    """Calls over a lazy iterable."""
    return sum(add.map((number for number in range(count)), b=2))


@flow
def mapped_nothing() -> list[int]:
    """Calls over nothing."""
    return add.map([])


@flow
def mapped_failing(bad: list[int]) -> str:
    """Calls of which some fail."""
    try:
        inspect.map(range(10), bad=bad)
    except ValueError as error:
        return str(error)
    return "nothing"


@flow
def mapped_broken() -> None:
    """Calls over a generator that raises half-way."""

    def items() -> Iterable[int]:
        yield from range(3)
        raise LookupError("no more")

    add.map(items())


@flow
async def gathered(count: int) -> list[int]:
    """Calls beside each other in an event loop."""
    return list(await asyncio.gather(*(add_later(number, 10) for number in range(count))))


@flow
async def gathered_failing() -> list[str]:
    """Looks at errors as values."""
    calls = (add_later(1), fail.submit("no"), add_later(2))
    return [type(each).__name__ for each in await asyncio.gather(*calls, return_exceptions=True)]


@flow
async def async_mix(count: int) -> list[int]:
    """Everything that an async body can do: tasks of its own, a group, a sync task, a map."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(add_later(number)) for number in range(count)]
    return [*(each.result() for each in tasks), add(1, 1), *(await add_later.map(range(count))), await add.submit(5, 5)]


@flow
def catching() -> str:
    """Sees a failure as an exception of its own class."""
    try:
        fail("closed")
    except ConnectionRefusedError as error:
        return f"{type(error).__name__} {error} {error.error.kind}"  # type: ignore[attr-defined]
    return "nothing"


@flow
def catching_odd() -> str:
    """Sees a failure whose class cannot be made from its text."""
    try:
        fail_oddly()
    except Exception as error:
        return f"{type(error).__name__} {error.error.types[0]}"  # type: ignore[attr-defined]
    return "nothing"


@flow
def careless() -> int:
    """Looks at no outcome."""
    fail.submit("unseen")
    add.submit(1, 1)
    return 5


@flow
def failing() -> None:
    """Fails as its task does."""
    fail("loud")


@flow
def typed() -> tuple[str, int, list[int], str]:
    """Values come back as what the functions are annotated with, arguments as what they were."""
    lead = grade(Lead("ann"))
    pair = swap((1, 2))
    return type(lead).__name__, lead.score, list(pair), type(pair).__name__


@flow
def holding() -> None:
    """Hands on what cannot be stored."""
    swap(threading.Lock())


@flow
def wrongly() -> None:
    """Calls with arguments that do not fit."""
    add(1, 2, 3)  # type: ignore[call-arg]


@flow
def sleeping(seconds: float) -> str:
    """Sleeps, and says so."""
    before = add(1, 1)
    sleep(seconds)
    return f"slept after {before}"


@flow
async def sleeping_async() -> list[Any]:
    """Sleeps beside a task."""
    return list(await asyncio.gather(sleep(100), add_later(1)))


@flow
async def first_of() -> int:
    """Goes on with whichever of two waits comes first."""
    both = [asyncio.ensure_future(sleep(100)), asyncio.ensure_future(approval("Go?"))]
    done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    return await add_later(len(done))


@flow
async def chained() -> int:
    """Goes on with one branch while another waits for people."""

    async def chain() -> int:
        await asyncio.gather(sleep(100), sleep(110))
        return await add_later(1)

    async with asyncio.TaskGroup() as group:
        branch = group.create_task(chain())
        group.create_task(asked())
    return branch.result()


async def asked() -> None:
    await approval("Go?")


@flow
async def impatient() -> int:
    """Waits for people no longer than asyncio lets it."""
    try:
        await asyncio.wait_for(approval("Go?"), 1.0)
    except TimeoutError:
        return await add_later(1)
    return 0


@flow
def telling(rounds: int) -> None:
    """Tells facts, and sleeps, and tells more."""
    for number in range(rounds):
        metric("round", number)
        metric("same", 7)
        markdown("where", f"round {number}")
        progress(number + 1, rounds)
        sleep(1000)


@flow
def telling_beside(count: int) -> None:
    """Tells what its tasks tell too."""
    for number in range(count):
        metric("measured", measure(number))


@flow
def asking() -> list[Any]:
    """Waits for people."""
    return [approval("Publish?", who="finance"), signal("file-ready")]


@flow
def overtime() -> str:
    """Waits for somebody who never comes."""
    try:
        approval("Publish?", timeout=5)
    except TimeoutError:
        return "too late"
    return "in time"


@flow
def swallowing(then: str) -> str:
    """Catches everything while it sleeps."""
    try:
        sleep(100)
    except BaseException:
        if then == "raise":
            raise ValueError("mine") from None
        if then == "call":
            add(1, 1)
    return "went on"


@flow
def stubborn(calling: bool) -> None:
    """Does not end, whatever is raised in it."""
    while True:
        try:
            add(1, 1) if calling else sleep(100)
        except BaseException:
            continue


@flow
async def stubborn_async() -> None:
    """The same below an event loop."""
    while True:
        try:
            await sleep(100)
        except BaseException:
            continue


@flow
def submitting() -> None:
    """Begins calls without end, and waits for none."""
    for number in itertools.count():
        add.submit(number)


@flow
def outer(count: int) -> int:
    """Calls another flow, and makes an asset."""
    numbers.materialize()
    return chain(count) + chain.submit(count).result()


@flow
def publishing(count: int) -> list[str]:
    """Makes an asset of what it has, of a future and of what a task is still at; and is refused what does not fit."""
    leads.materialize(found=spread.submit(count), first=grade.submit(Lead("Ann", 1)))
    leads.materialize(found=[1, 2, 3], first=Lead("Bob", 2), limit=3)
    refused = []
    for partition, given in (("", {"found": []}), ("", {"found": [], "first": 1, "more": 2}), ("x", {"found": [], "first": 1})):
        try:
            leads.materialize(partition, **given)
        except (TypeError, LegatoError) as error:
            refused.append(str(error).partition("\n")[0])
    return refused


@flow
def waiting(seconds: float) -> float:
    """Waits for one task."""
    return nap(seconds)


@flow
def dying(witness: str) -> str:
    """Calls what kills its process."""
    return die_once(witness)


@flow
def wandering(folder: str) -> list[Any]:
    """Changes the process around it, and speaks."""
    os.chdir(folder)
    os.environ["FLOW_PLANTED"] = "yes"
    print("the flow speaks")
    seen = look()
    print("and again", file=sys.stderr)
    return [*seen, os.getcwd(), os.environ.get("FLOW_PLANTED")]


@flow
def watching(count: int) -> int:
    """Asks whether it is there yet, again and again."""
    futures = [add.submit(number) for number in range(count)]
    until = time.monotonic() + 60
    while not all(each.done() for each in futures):
        assert time.monotonic() < until
    return sum(each.result() for each in futures)


@flow
def threaded() -> str:
    """Calls from another thread."""
    said: list[str] = []

    def work() -> None:
        try:
            future.result()
        except LegatoError as error:
            said.append(error.code)

    future = add.submit(1, 1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return said[0]


@flow
def named() -> list[int]:
    """Calls that have names."""
    return [add.submit(each, name=f"call-{each}").result() for each in (1, 2)]


@flow
def named_twice() -> None:
    """Two calls of one name."""
    add.submit(1, name="same")
    add.submit(2, name="same")


@flow
def spinning() -> None:
    """Never comes to an end, nor to a call."""
    add(1, 1)
    time.sleep(600)


@flow
async def racing(count: int, witness: str) -> list[int]:
    """Gathers beside a task that ends its process."""
    dying = die_once.submit(witness)
    found = await asyncio.gather(*(add_later(number, 10) for number in range(count)))
    assert await dying == "alive"
    return list(found)


@flow
def unruly(seed: int) -> dict[str, int]:
    """Calls in another order each time it is entered, as with sets and races."""
    names = [f"n{number}" for number in range(20)]
    random.Random(f"{seed}{os.urandom(4).hex()}").shuffle(names)
    futures = {name: total.submit([len(name), int(name[1:])]) for name in names}
    sleep(5)
    return {name: futures[name].result() for name in sorted(names)}


def flow_kit(folder: str) -> Kit:
    """The project of these flows, with a file storage below the folder."""
    site = Site(name="flows")
    project, code = freeze(collect([vars(flow_parts), globals()]), site, code_of=lambda fn: fn.__name__)
    storages = {"files": FileStorage(Path(folder) / "data", durable=False, unpickle=True)}
    return Kit(project, code, lambda: storages, "files", Path(__file__).parent)
