"""A flow's body in a thread of its own that takes turns with the thread that polls: only one of the two ever runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

from legato.terms.attempt import Called, Lost, Order, Report
from legato.worker.flow import MOST_IGNORED
from legato.worker.harness import Harness
from legato.worker.line import Taken

_MOST_REPORTS = 16
"""How many reports a body may make before whoever polls takes them."""


class Stopped(BaseException):
    """Unwinds the body of a flow that was killed while it waited."""


class Strand:
    """One attempt of a flow, and its line. `inbox` is what it takes next; `until` is when, by `now`, its wait is over."""

    def __init__(self, harness: Harness, order: Order, place: int, now: Callable[[], float] = monotonic) -> None:
        self.order, self.place = order, place
        self.inbox: deque[Taken] = deque()
        self.until = 0.0
        self.has_begun = self.is_over = False
        self._harness, self._now = harness, now
        self._is_stopped = self._is_running = self._is_abandoned = self._is_ahead = False
        self._stops = 0
        self._out: list[Report] = []
        self._mine, self._theirs = threading.Lock(), threading.Lock()  # whose turn it is: nobody's, to begin with
        self._mine.acquire()
        self._theirs.acquire()
        self._thread = threading.Thread(target=self._live, name=f"legato-flow-{order.node}", daemon=True)

    @property
    def key(self) -> tuple[str, int, int]:
        """Run, step and token of its order."""
        return self.order.run, self.order.step, self.order.token

    def has_news(self) -> bool:
        """Whether there is something that it waits for and has not taken in yet, or it was left in the middle."""
        return (bool(self.inbox) and not self._is_ahead) or self._is_stopped or self._is_running or not self.has_begun

    def is_late(self) -> bool:
        """Whether it has waited for long enough."""
        return self.until <= self._now()

    def resume(self) -> list[Report]:
        """Let the body go on until it waits or ends; what it reports meanwhile."""
        if not self.has_begun:
            self.has_begun = True
            self._thread.start()
        elif not self._is_running:
            self._mine.release()
        self._is_running = True
        self._theirs.acquire()  # an interrupt may end this too early: then the body runs on
        self._is_running = False
        if self.is_over and not self._is_abandoned:
            self._thread.join()
        reports, self._out = self._out, []
        return reports

    def stop(self) -> bool:
        """Unwind the body when it is resumed; it ends as lost. False if there is nothing to unwind, or it runs on by itself."""
        self._is_stopped = True
        return self.has_begun and not self.is_over and not self._is_running

    def _live(self) -> None:
        end = self._harness.make(self.order, self, self._report)
        self._report(self._lost() if self._is_stopped else end)
        self.is_over = True
        self._theirs.release()

    def _lost(self) -> Lost:
        return Lost(*self.key, "the flow was stopped")

    def _report(self, report: Report) -> None:
        self._out.append(report)

    # -- the line --

    def call(self, called: Called) -> None:
        """Hand calls to whoever polls; of many, some are made before the body goes on."""
        self._report(called)
        if len(self._out) >= _MOST_REPORTS:
            self._is_ahead = True
            self._wait(0.0)
            self._is_ahead = False

    def take(self, timeout_s: float) -> Taken | None:
        """What arrives next; the polling thread goes on meanwhile."""
        if not self.inbox or self._is_stopped:
            self._wait(timeout_s)
        return self.inbox.popleft() if self.inbox else None

    def _wait(self, timeout_s: float) -> None:
        """Let the polling thread go on."""
        if not self._is_stopped:
            self.until = self._now() + timeout_s
            with self._harness.aside():
                self._theirs.release()
                self._mine.acquire()
        if self._is_stopped:
            self._stops += 1
            if self._stops > MOST_IGNORED:
                self._harness.leave_behind()
                self.abandon(self._lost())
            raise Stopped

    def abandon(self, end: Report) -> NoReturn:
        """Report the end, and leave the thread behind: nothing else ends the body."""
        self._report(self._lost() if self._is_stopped else end)
        self.is_over = self._is_abandoned = True
        self._theirs.release()
        while True:
            self._mine.acquire()

    def listen(self, ring: Callable[[], None] | None) -> bool:
        """False: nothing arrives while the body runs."""
        return False
