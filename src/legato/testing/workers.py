"""Workers on virtual time, behind the executor port: they die, hang, are killed and stutter, as a script and a seed say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Any

from legato.ports.storage import Slot, Storage
from legato.terms.attempt import Answers, Argument, Begun, Declined, Done, Lost, Order, Output, Raised, Report, Returned
from legato.terms.codec import pack, unpack
from legato.terms.fact import TIMEOUT_TYPES, Error, Verdict
from legato.terms.instant import Instant, after
from legato.testing.clock import VirtualClock
from legato.testing.sample import Act, Script
from legato.testing.witness import Witness

_NO_LUCK = Error("raised", "no luck", ("builtins.ValueError", "builtins.Exception"))
_NOT_YET = Error("pending", "not there yet", TIMEOUT_TYPES)
_BEGUN_AFTER_S = 0.05
_STORES_ITS_VALUE = "bdf"
"""Tasks of these names return values too large to travel inline."""
_MOST_POLLS = 20_000


@dataclass
class Worker:
    """One process group: what it makes now, and what it was handed besides."""

    now: Order | None = None
    inputs: list[Any] = field(default_factory=list)
    queue: deque[Order] = field(default_factory=deque)
    expected_s: float = 0.0


class SimulatedExecutor:
    """Keeps the executor port's contract, and breaks it only where a fence must hold: some reports come late, or twice."""

    def __init__(
        self, clock: VirtualClock, storage: Storage, script: Script, witness: Witness, random: Random, *, workers: int = 2,
        stutter: float = 0.0,
    ) -> None:  # fmt: skip
        self._clock, self._storage, self._script, self._witness, self._random = clock, storage, script, witness, random
        self._workers = [Worker() for _ in range(workers)]
        self._stutter = stutter
        self._coming: list[tuple[Instant, int, Callable[[], None]]] = []
        self._number = self._polls = 0
        self._reports: list[Report] = []
        self.closed = False

    # -- the port --

    def workers(self) -> int:
        """How many attempts can be made at once."""
        return len(self._workers)

    def load(self) -> Sequence[float]:
        """Expected seconds of each worker's orders."""
        return [worker.expected_s if worker.now or worker.queue else 0.0 for worker in self._workers]

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Queue orders for a worker; an idle one begins at once."""
        if self.closed:
            self._witness.refuse("orders are handed out after the store failed")
        self._witness.saw_hand_out(orders)
        chosen = self._workers[worker]
        chosen.expected_s = expected_s + (chosen.expected_s if chosen.now or chosen.queue else 0.0)
        chosen.queue.extend(orders)
        self._go_on(chosen)

    def free_for_flows(self) -> Sequence[int]:
        """None: flows are not part of these worlds."""
        return ()

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """Nowhere, since no flow is ever held."""
        return None

    def answer(self, answers: Sequence[Answers]) -> None:
        """Nobody asked."""

    def recall(self) -> None:
        """Give back all that was not begun."""
        for worker in self._workers:
            while worker.queue:
                order = worker.queue.popleft()
                self._report(Returned(order.run, order.step, order.token))

    def kill(self, run: str, step: int, token: int) -> None:
        """Stop an attempt; its process group is gone a moment later."""
        for worker in self._workers:
            for order in [order for order in worker.queue if (order.run, order.step, order.token) == (run, step, token)]:
                worker.queue.remove(order)
                self._report(Returned(run, step, token))
            if worker.now is not None and (worker.now.run, worker.now.step, worker.now.token) == (run, step, token):
                self._later(self._random.random() * 0.1, partial(self._lose, worker, worker.now, "stopped"))

    def poll(self, timeout_s: float) -> list[Report]:
        """Let virtual time pass until a report is there, or so many seconds."""
        self._polls += 1
        if self._polls > _MOST_POLLS:
            self._witness.refuse("the runs never end")
        until = after(self._clock.now(), max(0.0, timeout_s))
        while not self._reports and self._coming and self._coming[0][0] <= until:
            self._clock.advance_to(self._coming[0][0])
            horizon = after(self._clock.now(), self._random.choice((0.0, 0.0, 0.001)))
            while self._coming and self._coming[0][0] <= horizon:
                moment, _, happen = heappop(self._coming)
                self._clock.advance_to(moment)
                happen()
        if not self._reports:
            self._clock.advance_to(until)
        reports, self._reports = self._reports, []
        return reports

    def wake(self) -> None:
        """Nothing ever waits for real."""

    def close(self) -> None:
        """Every process group is gone; what was under way is not reported."""
        self.closed = True
        self._coming.clear()
        self._reports.clear()
        self._workers = [Worker() for _ in self._workers]

    # -- the workers --

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._coming, (after(self._clock.now(), seconds), self._number, happen))

    def _report(self, report: Report) -> None:
        """Send a report; the end of an attempt may be sent again a little later."""
        self._reports.append(report)
        if not isinstance(report, Begun):
            self._witness.saw_report(report.run, report.step)
            if self._random.random() < self._stutter:
                self._say_late(report)

    def _say_late(self, report: Report) -> None:
        self._later(self._random.choice((0.0, 0.0001, 0.01, 0.1)), lambda: self._reports.append(report))

    def _go_on(self, worker: Worker) -> None:
        """Begin the next order of an idle worker."""
        if worker.now is not None or not worker.queue:
            return
        order = worker.queue.popleft()
        act = self._script.act(order)
        worker.now = order
        self._witness.saw_begin(order, self._clock.now())
        worker.inputs = [self._input(argument) for argument in order.arguments]
        if self._witness.plans[order.run].handling[order.node].timeout_s is not None:
            self._say_begun(worker, order)
        elif act.seconds > _BEGUN_AFTER_S:
            self._later(_BEGUN_AFTER_S, partial(self._say_begun, worker, order))
        if act.ending == "die":
            self._later(act.seconds, partial(self._lose, worker, order, "killed by signal 9"))
        elif act.ending != "hang":
            self._later(act.seconds, partial(self._end, worker, order, act))

    def _input(self, argument: Argument) -> Any:
        if argument.value is not None:
            return unpack(argument.value, object)
        return self._storage.load(argument.refs, Any, many=argument.many) if argument.refs else None

    def _say_begun(self, worker: Worker, order: Order) -> None:
        if worker.now is order:
            self._report(Begun(order.run, order.step, order.token))

    def _end(self, worker: Worker, order: Order, act: Act) -> None:
        """The attempt comes to its own end, unless it was stopped before."""
        if worker.now is not order:
            return
        key, seconds = (order.run, order.step, order.token), act.seconds
        if act.ending == "raise":
            report: Report = Raised(*key, seconds, _NO_LUCK)
        elif act.ending == "pend":
            report = Raised(*key, seconds, _NOT_YET)
        elif act.ending == "decline":
            report = Declined(*key, seconds)
        else:
            report = self._success(order, seconds, worker.inputs, gate_closes=act.ending == "gate")
        worker.now = None
        self._witness.saw_end(order)
        self._report(report)
        self._go_on(worker)

    def _lose(self, worker: Worker, order: Order, reason: str) -> None:
        """The worker's whole process group is gone; a new one takes its place. Its last word may still be on the way."""
        if worker.now is not order:
            return
        if order.mode != "undo" and self._random.random() < 2 * self._stutter:
            self._say_late(self._success(order, 0.1, worker.inputs))
        worker.now = None
        self._witness.saw_end(order)
        self._report(Lost(order.run, order.step, order.token, reason))
        for rest in worker.queue:
            self._report(Returned(rest.run, rest.step, rest.token))
        worker.queue.clear()

    def _success(self, order: Order, seconds: float, inputs: list[Any], *, gate_closes: bool = False) -> Done:
        plan = self._witness.plans[order.run]
        names = plan.handling[order.node].outputs
        key, version = (order.run, order.step, order.token), f"{order.run}.{order.token}"
        if order.mode == "undo":
            return Done(*key, seconds)
        if not names:
            value = self._script.value(order.node, order.partition, inputs)
            if order.node in _STORES_ITS_VALUE:
                return Done(*key, seconds, kept=self._storage.stage(Slot(order.node, order.partition, version), value).ref)
            return Done(*key, seconds, pack(value))
        verdicts = (Verdict("few_rows", False, "warn"), *([Verdict("sound", False)] if gate_closes else []))
        outputs = []
        for name in names:
            staged = self._storage.stage(Slot(name, order.partition, version), self._script.value(name, order.partition, inputs))
            outputs.append(Output(staged.ref, staged.columns, verdicts))
        return Done(*key, seconds, outputs=tuple(outputs))
