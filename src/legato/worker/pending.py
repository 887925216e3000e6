"""A call of a flow under way: the future that its body holds."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from legato.declare.calling import Future
from legato.terms.attempt import Answer

if TYPE_CHECKING:
    import asyncio


class Awaited(Protocol):
    """Something that a body waits for: `wakers` are told when it may be there, `waits` are the calls that it depends on."""

    wakers: list[asyncio.Future[None]]

    def waits(self) -> list[bytes]:
        """Keys of calls of which any one that ends makes it worth looking again."""
        ...


class Holder(Protocol):
    """The flow that made the call."""

    def look(self) -> None:
        """Take in what has arrived."""
        ...

    def value_of(self, answer: Answer, subject: str, fn: Any) -> Any:
        """The value of a call that has ended, or its error raised."""
        ...

    def wait_for(self, pending: Pending) -> None:
        """Wait until it has ended, and do nothing else."""
        ...

    async def pause(self, awaited: Awaited) -> None:
        """Let the event loop go on until it is worth looking again."""
        ...


class Pending(Future[Any]):
    """One call, by its key. `answer` is its outcome once it has one; `is_seen` says that somebody has asked for it then."""

    def __init__(self, holder: Holder, key: bytes, subject: str, fn: Any, number: int) -> None:
        self._holder = holder
        self.key, self.subject, self.fn, self.number = key, subject, fn, number
        self.answer: Answer | None = None
        self.is_seen = False
        self.wakers: list[asyncio.Future[None]] = []

    def result(self) -> Any:
        """The result, waited for; raises what the call raised."""
        if self.answer is None:
            self._holder.wait_for(self)
        return self._value()

    def done(self) -> bool:
        """Whether `result()` gives its answer at once."""
        if self.answer is None:
            self._holder.look()
        return self.answer is not None

    def waits(self) -> list[bytes]:
        """Itself, as long as it has not ended."""
        return [] if self.answer else [self.key]

    def end(self, answer: Answer) -> None:
        """Take the outcome, and tell who waits for it."""
        self.answer = answer
        wake(self.wakers)

    def _value(self) -> Any:
        assert self.answer is not None
        self.is_seen = True
        return self._holder.value_of(self.answer, self.subject, self.fn)

    def __await__(self) -> Generator[Any, Any, Any]:
        while self.answer is None:
            yield from self._holder.pause(self).__await__()
        return self._value()

    def __repr__(self) -> str:
        return f"<Future of {self.subject}: {self.answer.outcome if self.answer else 'not there yet'}>"


def wake(wakers: list[asyncio.Future[None]]) -> None:
    """Let everybody who waits look again."""
    for waker in wakers:
        if not waker.done():
            waker.set_result(None)
