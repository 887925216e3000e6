"""The tasks that programs call, and the world outside that watches them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from legato.declare.faces import asset, task
from legato.declare.node import Cache, Retry
from legato.declare.pool import Limit, Pool
from legato.worker import telling
from legato.worker.context import current

Program = list[Any]
Told = tuple[Any, ...]
"""A fact as whoever tells it knows it: its kind, and what it says."""

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
        """Whether this job, or what somebody else waits for, still goes on."""
        ...

    def undid(self, node: str, label: str, result: str) -> None:
        """What a task or a flow did is taken back, with this result."""
        ...

    def told(self, key: str, fact: Told) -> None:
        """A step, which is known by its key, tells a fact."""
        ...

    def shuffle(self, items: list[str]) -> list[str]:
        """The items in an order that is another one each time."""
        ...


_watch: Watch | None = None


def watch(watching: Watch | None) -> None:
    """Let this one watch what programs do."""
    global _watch
    _watch = watching


def watching() -> Watch | None:
    """Who watches now."""
    return _watch


_edits: dict[str, int] = {}


def edit(edits: dict[str, int]) -> None:
    """Let the code of these tasks have been edited so often: each time they make something else."""
    global _edits
    _edits = edits


def tag(node: str, *given: Any) -> str:
    """What a task makes of its inputs: other inputs, or other code, give another value."""
    return f"{node} {zlib.crc32(repr((*given, _edits.get(node, 0))).encode()):08x}"


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


@task(retries=Retry(10, delay_s=0.2, max_delay_s=2.0, until=lambda result: result != ""))
def patient(x: str) -> str:
    """A value, once it is there."""
    return "" if _watch is not None and _watch.is_busy(x) else _make("patient", x)


@task(cache=Cache())
def thrifty(x: str) -> str:
    """A value, made once."""
    return _make("thrifty", x)


@task(cache=Cache(key=lambda x: x), pool="pair")
def thriftier(x: str) -> str:
    """A value, made once, as its own key says."""
    return _make("thriftier", x)


@task
def big(x: str) -> list[str]:
    """A value too large to travel inline."""
    return [_make("big", x)] * 40


@task
def pair(a: Any, b: Any) -> str:
    """A value of two others."""
    return _make("pair", repr((a, b)))


def tell(x: str, number: int) -> None:
    """Tells facts of all kinds, one of them the same each time."""
    _say(telling.metric, x, number)
    _say(telling.metric, "the same", 1)
    _say(telling.table, x, [{"number": number}])
    _say(telling.markdown, x, f"*{number}*")
    _say(telling.progress, number)


def _say(fn: Callable[..., None], *said: Any) -> None:
    if _watch is not None:
        _watch.told(current().idempotency_key, (fn.__name__, *said))
    fn(*said)


@task(retries=Retry(2, delay_s=0.1, max_delay_s=2.0))
def chatty(x: str) -> str:
    """A value; each try tells all that is to be told, also the first two, which fail."""
    for number in range(3):
        tell(x, number)
    if _watch is not None and _watch.is_busy(f"chatty {x}"):
        raise ValueError(f"chatty {x}")
    return _make("chatty", x)


@task
def endless(x: str) -> None:
    """Does not come to an end."""


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
def begin_elsewhere(x: str) -> str:
    """Begins a job elsewhere; its handle."""
    return _make("begin_elsewhere", x)


@task
def look_elsewhere(handle: str) -> str | None:
    """What the job gives, once it is over."""
    if _watch is not None and _watch.is_busy(handle):
        return None
    return _make("look_elsewhere", handle)


def unbook(x: str, result: str) -> None:
    """Takes a booking back."""
    if _watch is not None:
        _watch.undid("book", x, result)


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


TASKS = {
    each.node.name: each
    for each in (
        make, narrow, polite, flaky, slow, weak, balky, patient, thrifty, thriftier, big, chatty, bad, book, ruin, stopper
    )
}  # fmt: skip
