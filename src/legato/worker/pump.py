"""Brings what arrives for a flow into the event loop that its body runs, without ever blocking that loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from legato.worker.line import Line, Taken
from legato.worker.pending import Awaited

GRACE_S = 0.5
"""How long a flow keeps its process while it waits and nothing happens."""
_LOOK_S = 0.05
"""How often a line that cannot ring is asked while a clock of asyncio's goes on."""


class Flowing(Protocol):
    """The flow whose body runs in the loop."""

    def send(self) -> None:
        """Send the calls that were made."""
        ...

    def take_in(self, taken: Taken) -> None:
        """Learn what arrived."""
        ...

    def grace_s(self, waits: Callable[[], list[bytes]]) -> float:
        """How long to wait for these while nothing happens."""
        ...

    def park(self, waits: list[bytes]) -> BaseException:
        """Decide to give the process back until one of these has ended."""
        ...

    def leave(self, error: BaseException) -> BaseException:
        """Decide to unwind the body with this."""
        ...


class Pump:
    """Wakes the coroutines that wait for calls. A line that can ring is asked when it rings; another one by waiting for it."""

    def __init__(self, flow: Flowing, line: Line) -> None:
        self._flow, self._line = flow, line
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paused: dict[asyncio.Future[None], Awaited] = {}
        self._can_ring = False
        self._is_rung = False
        self._is_due = False
        self._is_looking = False
        self._timer: asyncio.TimerHandle | None = None
        self._moved_at = 0.0

    async def pause(self, awaited: Awaited) -> None:
        """Until it is worth looking again."""
        loop = asyncio.get_running_loop()
        waker: asyncio.Future[None] = loop.create_future()
        awaited.wakers.append(waker)
        self._paused[waker] = awaited
        self._moved_at = loop.time()
        self._start(loop)
        try:
            await waker
        finally:
            del self._paused[waker]
            awaited.wakers.remove(waker)

    def stop(self) -> None:
        """Ring no more."""
        self._line.listen(None)
        self._loop = None

    def cancel(self) -> None:
        """Cancel everything in the loop that runs now, if any does: the body has to unwind."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        for task in asyncio.all_tasks(loop):
            task.cancel()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            self._loop, self._timer, self._is_due, self._is_rung, self._is_looking = loop, None, False, False, False
            self._can_ring = self._line.listen(self._ring)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._step)

    def _step(self) -> None:
        """Once all coroutines that can go on have done so."""
        self._is_due = False
        self._flow.send()
        if self._can_ring:
            self._drain()
        elif self._paused and self._loop is not None:
            if has_ready(self._loop):
                self._start(self._loop)
            else:
                self._wait()

    def _wait(self) -> None:
        waits = self._waits()
        try:
            taken = self._line.take(self._flow.grace_s(lambda: waits))
        except BaseException as stopped:  # the loop would keep it to itself, and go on for ever
            self._flow.leave(stopped)
            self.cancel()
            return
        if taken is not None:
            self._flow.take_in(taken)
        elif waits and self._loop is not None and has_timers(self._loop):
            self._is_due = True
            self._loop.call_later(_LOOK_S, self._step)
            return
        elif waits:
            self._park(waits)
            return
        if self._loop is not None:
            self._start(self._loop)

    def _ring(self) -> None:
        """Called by another thread."""
        loop = self._loop
        if loop is None or self._is_rung:
            return
        self._is_rung = True
        try:
            loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # that loop has ended; a later one asks by itself
            return

    def _drain(self) -> None:
        assert self._loop is not None
        self._is_rung = False
        while (taken := self._line.take(0.0)) is not None:
            self._flow.take_in(taken)
            self._moved_at = self._loop.time()
        if not self._paused:
            return
        if self._flow.grace_s(self._waits) == 0:
            self._look_soon()
        elif self._timer is None:
            self._timer = self._loop.call_later(GRACE_S, self._expire)

    def _look_soon(self) -> None:
        if self._loop is not None and not self._is_looking:
            self._is_looking = True
            self._loop.call_soon(self._expire)

    def _expire(self) -> None:
        """Look whether everything has stood still for long enough: nothing of the body's own is about to move it either."""
        self._is_looking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is None or not (waits := self._waits()):
            return
        if has_ready(self._loop):
            self._look_soon()
            return
        left_s = self._moved_at + self._flow.grace_s(lambda: waits) - self._loop.time()
        if left_s <= 0 and not has_timers(self._loop):
            self._park(waits)
        else:
            self._timer = self._loop.call_later(left_s if left_s > 0 else GRACE_S, self._expire)

    def _park(self, waits: list[bytes]) -> None:
        self._flow.park(waits)
        self.cancel()

    def _waits(self) -> list[bytes]:
        return [key for awaited in self._paused.values() for key in awaited.waits()]


def has_ready(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether callbacks are to run yet in this turn of the loop or the next one: who was just woken may need several turns.

    asyncio says this nowhere in public; a loop of another make is taken to have none.
    """
    return bool(getattr(loop, "_ready", ()))


def has_timers(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the body waits for a clock of asyncio's, as `asyncio.sleep` and `wait_for` do; it would start anew each time."""
    return any(not timer.cancelled() for timer in getattr(loop, "_scheduled", ()))
