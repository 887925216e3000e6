"""Makes attempts in this very process: the least cost per attempt, and no protection from what user code does to it."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, perf_counter

from legato.terms.attempt import Order, Report, Returned
from legato.worker.capture import Capture
from legato.worker.harness import Harness
from legato.worker.lock import PATIENCE_S, STEP_S, WorkersLock, workers_left
from legato.worker.preload import Kit

SLICE_S = 0.02
"""After so long `poll` returns what was made, so that its caller can record it."""


class InlineExecutor:
    """One worker, which is the caller: `poll` makes attempts, for about 20 ms or until one that lasts longer has ended.

    So attempts have no timeout and `kill` reaches only those that have not begun; a crash of user code is a crash of the
    process, and child processes that it leaves are left. Output is captured while attempts are made; `terminal` leads
    around that. One at a time in a process.

    With `lock`, a file for all executors of a project, `poll` makes nothing before the workers of earlier ones are gone, and
    raises `Unreachable` (`workers-left`) if that takes too long.
    """

    def __init__(
        self, kit: Kit, logs: Path | None = None, session: str = "inline", log_limit_bytes: int = 16 * 2**20,
        lock: Path | None = None,
    ) -> None:  # fmt: skip
        self._capture = Capture(logs, f"{session}/0.log", log_limit_bytes) if logs is not None else None
        self._harness = Harness(kit, self._capture)
        self._lock = WorkersLock(str(lock or ""))
        self._queue: deque[tuple[Order, float]] = deque()
        self._ready: list[Report] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._terminal = os.dup(1)

    @property
    def terminal(self) -> int:
        """A descriptor of the real standard output, for progress shown from another thread while attempts are made."""
        return self._terminal

    def workers(self) -> int:
        """One."""
        return 1

    def load(self) -> Sequence[float]:
        """Expected seconds of the orders that wait."""
        return (sum(expected for _, expected in self._queue),)

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Queue the orders; the next calls of `poll` make them. `expected_s` is for all of them together."""
        each = expected_s / max(1, len(orders))
        self._queue.extend((order, each) for order in orders)

    def recall(self) -> None:
        """Give back every order that waits."""
        self._ready += [Returned(order.run, order.step, order.token) for order, _ in self._queue]
        self._queue.clear()

    def kill(self, run: str, step: int, token: int) -> None:
        """Take an order that waits out of the queue; it ends as Lost."""
        for item in self._queue:
            if (item[0].run, item[0].step, item[0].token) == (run, step, token):
                self._queue.remove(item)
                self._ready.append(Returned(run, step, token))
                return

    def poll(self, timeout_s: float) -> list[Report]:
        """Make attempts for one slice of time and report them; waits only where there is nothing to make."""
        if self._queue:
            if self._await_others():
                self._make_slice()
        elif not self._ready:
            select.select([self._bell], [], [], timeout_s)
        self._quiet()
        reports, self._ready = self._ready, []
        return reports

    def wake(self) -> None:
        """Make a `poll` that waits return; one that makes attempts returns after the present one."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let resources clean up; orders that wait are forgotten."""
        if self._bell < 0:
            return
        self._queue.clear()
        self._harness.close()
        if self._capture is not None:
            self._capture.close()
        os.close(self._terminal)
        os.close(self._bell)
        self._bell = -1
        self._lock.release()

    def _make_slice(self) -> None:
        if self._capture is not None:
            self._capture.redirect()
        try:
            until = perf_counter() + SLICE_S
            while self._queue:
                self._ready.append(self._harness.make(self._queue.popleft()[0]))
                if perf_counter() >= until or self._is_rung():
                    break
        finally:
            if self._capture is not None:
                self._capture.restore()

    def _await_others(self) -> bool:
        """Whether workers of earlier executors are all gone; False if `wake` was called before."""
        until = monotonic() + PATIENCE_S
        while not self._lock.take():
            if monotonic() > until:
                self.recall()
                raise workers_left(self._lock.path)
            if select.select([self._bell], [], [], STEP_S)[0]:
                return False
        return True

    def _is_rung(self) -> bool:
        return bool(select.select([self._bell], [], [], 0)[0])

    def _quiet(self) -> None:
        if self._is_rung():
            os.eventfd_read(self._bell)
