"""The line between a flow's body and the run it is part of: what a face's call becomes while a flow is under way.

`CALLER` is set around a flow's body alone, by whoever runs it, and to None again around a task's body that is made in the same
process: a task is no place to call others durably. Where it is None, everything just runs (`declare/alone`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from legato.terms.attempt import Wait
from legato.terms.fact import Error

if TYPE_CHECKING:
    from legato.declare.faces import Face

R = TypeVar("R")


class TaskFailed(Exception):
    """A call did not succeed, and its error has no exception class that can be raised here. `error` is what is recorded."""

    error: Error | None = None


class Future(ABC, Generic[R]):
    """The result of a call that may not be there yet. `await` it, ask for `result()`, or hand it on as an argument."""

    @abstractmethod
    def result(self) -> R:
        """The result, waited for; raises what the call raised."""

    @abstractmethod
    def done(self) -> bool:
        """Whether `result()` gives its answer at once."""

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, R]: ...

    def __bool__(self) -> bool:
        raise TypeError("a Future is neither true nor false: ask for its .result(), or await it")


class Caller(Protocol):
    """A run, as seen from the body of one of its flows.

    What `call`, `map`, `materialize` and `wait` give back is the value itself, waited for; or, of a function that is `async def`
    and of a wait or a materialization below a running event loop, something to await: as it is in Python. `face` is a task or a
    flow (an asset for `materialize`); `args` and `kwargs` may hold futures of this caller. What nobody gives keeps its default.
    """

    def call(self, face: Face[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, name: str | None = None) -> Any:
        """Make a call; `name` is its identity, where the inputs shall not be."""
        ...

    def submit(
        self, face: Face[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, name: str | None = None
    ) -> Future[Any]:
        """Begin a call and go on."""
        ...

    def poll(self, face: Face[..., Any], handle: Future[Any], every_s: float, limit_s: float | None) -> Future[Any]:
        """Call with the handle of a job, again and again until there is a result; TimeoutError after so long."""
        ...

    def map(self, face: Face[..., Any], items: Iterable[Any], shared: Mapping[str, Any]) -> Any:
        """One call for each item, which is its first argument (`shared` are more of them); the results, as a list in order."""
        ...

    def materialize(self, face: Face[..., Any], partition: str, arguments: Mapping[str, Any]) -> Any:
        """Make and publish an asset, or one partition of it, with what no plan could give it; gives None."""
        ...

    def wait(self, wait: Wait) -> Any:
        """Wait without holding a worker. A sleep gives None, an approval a bool, a signal its payload; what is over, at once.

        An approval or a signal that nobody gave in its time raises TimeoutError.
        """
        ...


CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
