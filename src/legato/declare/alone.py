"""Calls where no run is under way: everything just runs, here and now.

asyncio costs a project's loading more than all its declarations, so it is imported where something is awaited.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any

from legato.declare.calling import Future
from legato.terms.errors import LegatoError

Function = Callable[..., Any]


class Finished(Future[Any]):
    """The outcome of a call that has ended. An error that nobody asks for is told when the future goes."""

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self._value, self._error, self._seen = value, error, error is None

    def result(self) -> Any:
        """The value, or the error raised."""
        self._seen = True
        if self._error is not None:
            raise self._error
        return self._value

    def done(self) -> bool:
        """True."""
        return True

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from ()
        return self.result()

    def __del__(self) -> None:
        if not self._seen and self._error is not None:
            raise self._error  # Python prints what is raised here, and where it came from


class Begun(Future[Any]):
    """The outcome of an `async def` that the running event loop is at."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        from asyncio import ensure_future

        self._task = ensure_future(coroutine)

    def result(self) -> Any:
        """The value, or the error raised; refused while the event loop, which waits for us, is still at it."""
        if not self._task.done():
            why = "the event loop that works on it waits for this very line"
            raise LegatoError("future-pending", "the result is not there yet", why=why, next="await the future")
        return self._task.result()

    def done(self) -> bool:
        """Whether the event loop is through with it."""
        return self._task.done()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._task.__await__())


def call(fn: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What the function gives, called with the results of the futures among its arguments."""
    if not any(isinstance(each, Future) for each in (*args, *kwargs.values())):
        return fn(*args, **kwargs)
    if inspect.iscoroutinefunction(fn):
        return _call_after(fn, args, kwargs)
    return fn(*map(_value, args), **{name: _value(each) for name, each in kwargs.items()})


def submit(fn: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Future[Any]:
    """The call's outcome: at once, but for an `async def` below a running event loop, or a future of one among the arguments."""
    pending = any(isinstance(each, Future) and not each.done() for each in (*args, *kwargs.values()))
    if (pending or inspect.iscoroutinefunction(fn)) and is_looping():
        return Begun(_call_after(fn, args, kwargs))
    try:
        made = call(fn, args, kwargs)
        return Finished(_run(made) if inspect.iscoroutine(made) else made)
    except Exception as error:
        return Finished(error=error)


def map_over(fn: Function, items: Iterable[Any], shared: Mapping[str, Any]) -> Any:
    """The results for all items, as a list; of an `async def` something to await, in which they go on beside each other."""
    if inspect.iscoroutinefunction(fn):
        return _gather(fn, items, shared)
    return [call(fn, (item,), shared) for item in items]


def is_looping() -> bool:
    """Whether this code runs below an event loop."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    from asyncio import run

    return run(coroutine)


async def _gather(fn: Function, items: Iterable[Any], shared: Mapping[str, Any]) -> list[Any]:
    from asyncio import gather

    return list(await gather(*(_call_after(fn, (item,), shared) for item in items)))


async def _call_after(fn: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call the function once the futures among its arguments have their results."""
    given = [await each if isinstance(each, Future) else each for each in args]
    named = {name: await each if isinstance(each, Future) else each for name, each in kwargs.items()}
    made = fn(*given, **named)
    return await made if inspect.iscoroutine(made) else made


def _value(given: Any) -> Any:
    return given.result() if isinstance(given, Future) else given
