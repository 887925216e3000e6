"""Jobs elsewhere: begun once, looked after from time to time, waited for without holding a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from legato.declare import alone
from legato.declare.calling import CALLER
from legato.declare.faces import AnyFace, Face
from legato.declare.options import wrong_durations
from legato.declare.waiting import Duration, sleep
from legato.terms.errors import UsageError
from legato.terms.instant import parse_duration


def external(
    start: AnyFace, poll: AnyFace, *args: Any, every: Duration = "30s", timeout: Duration | None = None, **kwargs: Any
) -> Any:
    """The result of a job elsewhere. In an `async def`: `await lg.external(...)`.

    `start` is a task that begins the job with the arguments given here and returns its handle; `poll` is a task that takes the
    handle and returns None while the job goes on, else the result. It is asked at once and then `every` so often, and fails as
    its own retries say. TimeoutError if there is no result after `timeout`.

    In a run both are steps: once the handle is recorded, a restart finds it and does not begin the job again. Elsewhere this
    calls, sleeps and calls again.
    """
    limit_s = None if timeout is None else _seconds("timeout", timeout)
    wanted = _Awaited(_task(start, "start"), _task(poll, "poll"), _seconds("every", every), limit_s)
    return wanted.follow_beside_others(args, kwargs) if alone.is_looping() else wanted.follow(args, kwargs)


class _Awaited:
    def __init__(self, start: AnyFace, poll: AnyFace, every_s: float, limit_s: float | None) -> None:
        self.start, self.poll, self.every_s, self.limit_s = start, poll, every_s, limit_s

    def follow(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The result, waited for."""
        handle = self.start.submit(*args, **kwargs)
        handle.result()  # what it raises is raised here, and not as a look that was skipped
        if (caller := CALLER.get()) is not None:
            return caller.poll(self.poll, handle, self.every_s, self.limit_s).result()
        patience = _Patience(self.every_s, self.limit_s)
        while (result := self.poll.submit(handle).result()) is None:
            sleep(patience.pause_s(self.poll))
        return result

    async def follow_beside_others(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The result; the event loop goes on meanwhile."""
        handle = self.start.submit(*args, **kwargs)
        await handle
        if (caller := CALLER.get()) is not None:
            return await caller.poll(self.poll, handle, self.every_s, self.limit_s)
        patience = _Patience(self.every_s, self.limit_s)
        while (result := await self.poll.submit(handle)) is None:
            await sleep(patience.pause_s(self.poll))
        return result


class _Patience:
    """How long to wait where no run is under way, by this process's clock."""

    def __init__(self, every_s: float, limit_s: float | None) -> None:
        self._every_s = every_s
        self._until = None if limit_s is None else time.monotonic() + limit_s

    def pause_s(self, poll: AnyFace) -> float:
        """Seconds until the next look; TimeoutError where the time is over."""
        if self._until is None:
            return self._every_s
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"{poll.node.name}: the job goes on, and its timeout is over")
        return min(self._every_s, left_s)


def _task(given: Any, what: str) -> AnyFace:
    if isinstance(given, Face) and given.node.kind == "task":
        return given
    why = "each is a step of the run: `start` returns the job's handle, `poll` its result, or None while it goes on"
    raise UsageError("external", f"{what}={given!r} is no task", why=why, next="declare it with @lg.task")


def _seconds(keyword: str, duration: Duration) -> float:
    for what, hint in wrong_durations(keyword, duration):
        raise UsageError("duration", what, next=hint)
    return parse_duration(duration)
