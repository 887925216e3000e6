"""Workers on virtual time, behind the executor port: they die, hang, are killed and stutter, as a script and a seed say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Any

from legato.terms.attempt import Answers, Begun, Called, Lost, Noted, Order, Report, Returned
from legato.terms.instant import Instant, after
from legato.testing.clock import VirtualClock
from legato.testing.flow_place import FlowPlace
from legato.testing.sample import Act
from legato.testing.witness import Witness
from legato.testing.work import Work

_BEGUN_AFTER_S = 0.05
_MOST_POLLS = 20_000


@dataclass
class Worker:
    """One process group: what it makes now, and what it was handed besides."""

    now: Order | None = None
    inputs: Any = None
    queue: deque[Order] = field(default_factory=deque)
    expected_s: float = 0.0


class SimulatedExecutor:
    """Keeps the executor port's contract, and breaks it only where a fence must hold: some reports come late, or twice.

    Attempts begin and end as the script of the work says. Besides the workers there are so many places for flows.
    """

    def __init__(
        self, clock: VirtualClock, work: Work, witness: Witness, random: Random, *, workers: int = 2, flows: int = 0,
        stutter: float = 0.0,
    ) -> None:  # fmt: skip
        self.clock, self.work, self.witness, self.random, self.stutter = clock, work, witness, random, stutter
        self._workers = [Worker() for _ in range(workers)]
        self._places = [FlowPlace(workers + number, self) for number in range(flows)]
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
            self.witness.refuse("orders are handed out after the store failed")
        self.witness.saw_hand_out(orders)
        if worker >= len(self._workers):
            self._places[worker - len(self._workers)].start(orders)
            return
        chosen = self._workers[worker]
        chosen.expected_s = expected_s + (chosen.expected_s if chosen.now or chosen.queue else 0.0)
        chosen.queue.extend(orders)
        self._go_on(chosen)

    def free_for_flows(self) -> Sequence[int]:
        """The places that hold nothing."""
        return [place.number for place in self._places if place.is_free]

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """The place that holds this order."""
        return next((place.number for place in self._places if (run, step, token) in place.held), None)

    def answer(self, answers: Sequence[Answers]) -> None:
        """Send answers to each flow that is held."""
        self.witness.saw_answers(answers)
        for place in self._places:
            for each in answers:
                if (each.run, each.step, each.token) in place.held:
                    place.answer(each)

    def recall(self) -> None:
        """Give back all that was not begun."""
        for worker in self._workers:
            while worker.queue:
                order = worker.queue.popleft()
                self.report(Returned(order.run, order.step, order.token))
        for place in self._places:
            place.recall()

    def kill(self, run: str, step: int, token: int) -> None:
        """Stop an attempt; its process group is gone a moment later."""
        for worker in self._workers:
            for order in [order for order in worker.queue if (order.run, order.step, order.token) == (run, step, token)]:
                worker.queue.remove(order)
                self.report(Returned(run, step, token))
            if worker.now is not None and (worker.now.run, worker.now.step, worker.now.token) == (run, step, token):
                self.later(self.random.random() * 0.1, partial(self._lose, worker, worker.now, "stopped"))
        for place in self._places:
            place.kill((run, step, token))

    def poll(self, timeout_s: float) -> list[Report]:
        """Let virtual time pass until a report is there, or so many seconds."""
        self._polls += 1
        if self._polls > _MOST_POLLS:
            self.witness.refuse("the runs never end")
        until = after(self.clock.now(), max(0.0, timeout_s))
        while not self._reports and self._coming and self._coming[0][0] <= until:
            self.clock.advance_to(self._coming[0][0])
            horizon = after(self.clock.now(), self.random.choice((0.0, 0.0, 0.001)))
            while self._coming and self._coming[0][0] <= horizon:
                moment, _, happen = heappop(self._coming)
                self.clock.advance_to(moment)
                happen()
        if not self._reports:
            self.clock.advance_to(until)
        reports, self._reports = self._reports, []
        return reports

    def fileno(self) -> int:
        """There is nothing to wait at."""
        return -1

    def wake(self) -> None:
        """Nothing ever waits for real."""

    def close(self) -> None:
        """Every process group is gone; what was under way is not reported."""
        self.closed = True
        self._coming.clear()
        self._reports.clear()
        self._workers = [Worker() for _ in self._workers]
        for place in self._places:
            place.close()
        self.work.close()

    # -- the processes --

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let this happen after so many seconds."""
        self._number += 1
        heappush(self._coming, (after(self.clock.now(), seconds), self._number, happen))

    def report(self, report: Report) -> None:
        """Send a report; all but the first may be sent again a little later."""
        self._reports.append(report)
        if not isinstance(report, Begun | Called | Noted):
            self.witness.saw_report(report.run, report.step)
        if not isinstance(report, Begun) and self.random.random() < self.stutter:
            self.say_late(report)

    def say_late(self, report: Report) -> None:
        """Send a report in a moment, whatever has become of its attempt by then."""
        self.later(self.random.choice((0.0, 0.0001, 0.01, 0.1)), lambda: self._reports.append(report))

    def _go_on(self, worker: Worker) -> None:
        """Begin the next order of an idle worker."""
        if worker.now is not None or not worker.queue:
            return
        order = worker.queue.popleft()
        act = self.work.script.act(order)
        worker.now = order
        self.witness.saw_begin(order, self.clock.now())
        worker.inputs = self.work.begin(order)
        if self.witness.plans[order.run].handling[order.node].timeout_s is not None:
            self._say_begun(worker, order)
        elif act.seconds > _BEGUN_AFTER_S:
            self.later(_BEGUN_AFTER_S, partial(self._say_begun, worker, order))
        if act.ending == "die":
            self.later(act.seconds, partial(self._lose, worker, order, "killed by signal 9"))
        elif act.ending != "hang":
            self.later(act.seconds, partial(self._end, worker, order, act))

    def _say_begun(self, worker: Worker, order: Order) -> None:
        if worker.now is order:
            self.report(Begun(order.run, order.step, order.token))

    def _end(self, worker: Worker, order: Order, act: Act) -> None:
        """The attempt comes to its own end, unless it was stopped before."""
        if worker.now is not order:
            return
        reports = self.work.end(order, act, worker.inputs)
        worker.now = None
        self.witness.saw_end(order)
        for report in reports:
            self.report(report)
        self._go_on(worker)

    def _lose(self, worker: Worker, order: Order, reason: str) -> None:
        """The worker's whole process group is gone; a new one takes its place. Its last words may still be on the way."""
        if worker.now is not order:
            return
        last_words = self.work.die(order, worker.inputs)
        while last_words and isinstance(last_words[0], Noted) and self.random.random() < 0.5:
            self.report(last_words.pop(0))
        if last_words and self.random.random() < 2 * self.stutter:
            for word in last_words:
                self.say_late(word)
        worker.now = None
        self.witness.saw_end(order)
        self.report(Lost(order.run, order.step, order.token, reason))
        for rest in worker.queue:
            self.report(Returned(rest.run, rest.step, rest.token))
        worker.queue.clear()
