"""Makes attempts in this very process: the least cost per attempt, and no protection from what user code does to it."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from legato.executors.strand import Strand
from legato.terms.attempt import Answers, Begun, LogSpan, Order, Report, Returned
from legato.worker.capture import Capture
from legato.worker.harness import Harness
from legato.worker.lock import PATIENCE_S, STEP_S, WorkersLock, workers_left
from legato.worker.mask import Mask
from legato.worker.preload import Kit
from legato.worker.veil import Veil

SLICE_S = 0.02
"""After so long `poll` returns what was made, so that its caller can record it."""

_PATIENCE = 3
"""How often a flow's body is told to unwind when all is closed."""


class InlineExecutor:
    """One worker, which is the caller: `poll` makes attempts, for about 20 ms or until one that lasts longer has ended.

    A flow's body runs in a thread that takes turns with the caller: it goes on in `poll`, until it waits.

    So attempts have no timeout and `kill` reaches only those that have not begun; a crash of user code is a crash of the
    process, and child processes that it leaves are left. Output is captured while attempts are made. One at a time in a process.

    With `lock`, a file for all executors of a project, `poll` makes nothing before the workers of earlier ones are gone, and
    raises `Unreachable` (`workers-left`) if that takes too long.
    """

    def __init__(
        self, kit: Kit, logs: Path | None = None, session: str = "inline", log_limit_bytes: int = 16 * 2**20, flows: int = 2,
        lock: Path | None = None,
    ) -> None:  # fmt: skip
        secrets = kit.code.secrets
        hidden: dict[str, Any] = {"veil": Veil.create(), "mask": Mask(secrets)} if secrets and logs is not None else {}
        self._capture = Capture(logs, f"{session}/0.log", log_limit_bytes, **hidden) if logs is not None else None
        self._harness = Harness(kit, self._capture)
        self._lock = WorkersLock(str(lock or ""))
        self._queue: deque[tuple[Order, float, int]] = deque()
        self._strands: dict[int, Strand] = {}
        self._flows = flows
        self._ready: list[Report] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def workers(self) -> int:
        """One."""
        return 1

    def load(self) -> Sequence[float]:
        """Expected seconds of the orders that wait."""
        return (sum(expected for _, expected, place in self._queue if not place),)

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Queue the orders; the next calls of `poll` make them. `expected_s` is for all of them together."""
        each = expected_s / max(1, len(orders))
        for order in orders:
            if worker and worker not in self._strands and self._harness.makes_flow(order):
                self._strands[worker] = Strand(self._harness, order, worker)
            else:
                self._queue.append((order, each, worker))

    def free_for_flows(self) -> Sequence[int]:
        """The places that hold nothing."""
        taken = {place for _, _, place in self._queue} | self._strands.keys()
        return [place for place in range(1, 1 + self._flows) if place not in taken]

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """The place that holds this order."""
        key = run, step, token
        held = {_key(order): place for order, _, place in self._queue}
        held |= {strand.key: strand.place for strand in self._strands.values()}
        return held.get(key)

    def answer(self, answers: Sequence[Answers]) -> None:
        """Give each flow its answers; for one that is not held there are none."""
        for strand in self._strands.values():
            strand.inbox += [each for each in answers if (each.run, each.step, each.token) == strand.key]

    def recall(self) -> None:
        """Give back every order that waits."""
        self._ready += [Returned(*_key(order)) for order, _, _ in self._queue]
        self._queue.clear()
        for strand in [strand for strand in self._strands.values() if not strand.has_begun]:
            self._give_back(strand)

    def kill(self, run: str, step: int, token: int) -> None:
        """Take an order that waits out of the queue; it ends as Returned. A flow that waits is unwound, and ends as Lost."""
        key = run, step, token
        for item in self._queue:
            if _key(item[0]) == key:
                self._queue.remove(item)
                self._ready.append(Returned(*key))
                return
        for strand in list(self._strands.values()):
            if strand.key == key:
                if strand.has_begun:
                    strand.stop()
                else:
                    self._give_back(strand)

    def poll(self, timeout_s: float) -> list[Report]:
        """Make attempts for one slice of time and report them; waits only where there is nothing to make."""
        if not self._ready and not self._queue and self._next_strand() is None:
            waits_s = [timeout_s, *(strand.until - monotonic() for strand in self._strands.values())]
            select.select([self._bell], [], [], max(0.0, min(waits_s)))
        if (self._queue or self._next_strand() is not None) and self._await_others():
            self._make_slice()
        self._quiet()
        reports, self._ready = self._ready, []
        return reports

    def fileno(self) -> int:
        """There is nothing to wait at."""
        return -1

    def wake(self) -> None:
        """Make a `poll` that waits return; one that makes attempts returns after the present one."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let resources clean up; orders that wait are forgotten."""
        if self._bell < 0:
            return
        self._queue.clear()
        self._end_strands()
        self._harness.close()
        if self._capture is not None:
            self._capture.close()
        os.close(self._bell)
        self._bell = -1
        self._lock.release()

    def _make_slice(self) -> None:
        if self._capture is not None:
            self._capture.redirect()
        try:
            until = perf_counter() + SLICE_S
            while self._make_one():
                if perf_counter() >= until or self._is_rung():
                    break
        finally:
            if self._capture is not None:
                self._capture.restore()

    def _make_one(self) -> bool:
        """Make one thing; False if there is nothing more, or if first the caller has to act."""
        strand = self._next_strand()
        if strand is not None and (strand.has_news() or not self._queue):
            self._resume(strand)
            return strand.is_over or not strand.is_late()
        if not self._queue:
            return False
        order, _, place = self._queue.popleft()
        report = self._harness.make(order, send=self._report)
        self._report(report)
        if place in self._strands:
            self._strands[place].inbox.append((order, report))
        return True

    def _report(self, report: Report) -> None:
        self._ready.append(report)

    def _next_strand(self) -> Strand | None:
        """The flow to go on: one that has something to take in, else one whose wait is over."""
        for may_go_on in (Strand.has_news, Strand.is_late):
            for strand in self._strands.values():
                if may_go_on(strand):
                    return strand
        return None

    def _resume(self, strand: Strand) -> None:
        if not strand.has_begun:
            span = None if self._capture is None else LogSpan(self._capture.file, self._capture.position)
            self._ready.append(Begun(*strand.key, span))
        self._ready += strand.resume()
        del self._strands[strand.place]
        if not strand.is_over:  # behind the others
            self._strands[strand.place] = strand

    def _give_back(self, strand: Strand) -> None:
        del self._strands[strand.place]
        self._ready.append(Returned(*strand.key))

    def _end_strands(self) -> None:
        """Unwind the flows that wait; one whose body will not end is left where it waits."""
        for strand in self._strands.values():
            for _ in range(_PATIENCE):
                if strand.stop():
                    strand.resume()
        self._strands.clear()

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


def _key(order: Order) -> tuple[str, int, int]:
    return order.run, order.step, order.token
