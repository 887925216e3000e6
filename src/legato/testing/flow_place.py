"""A process of a simulated executor that makes flows: the real harness and body, on virtual time, until it dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol

from msgspec.structs import replace

from legato.executors.strand import Strand
from legato.terms.attempt import Answers, Begun, Called, Done, Lost, Noted, Order, Parked, Raised, Report, Returned
from legato.terms.instant import after
from legato.testing.clock import VirtualClock
from legato.testing.sample import Act
from legato.testing.witness import Witness
from legato.testing.work import Work

Key = tuple[str, int, int]

_LEAST_WAIT_S = 0.01
"""What a look at the line costs, so that a body that looks again and again lets time pass."""
_PATIENCE = 3
"""How often a body is told to unwind when its process is gone."""


class Yard(Protocol):
    """The executor around a process."""

    clock: VirtualClock
    random: Random
    witness: Witness
    work: Work
    stutter: float

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let this happen after so many seconds."""
        ...

    def report(self, report: Report) -> None:
        """Let the conductor hear this next."""
        ...

    def say_late(self, report: Report) -> None:
        """Let the conductor hear this some time later."""
        ...


class FlowPlace:
    """Takes what arrives in order, as a worker does: orders, which it makes, and answers, which it gives to the body.

    What it reports is on its way for a moment, in order. When it dies, the last of it may be lost, or arrive after its death was
    reported; then it counts no more.
    """

    def __init__(self, number: int, yard: Yard) -> None:
        self.number, self.held = number, dict[Key, Order]()
        self._yard, self._harness, self._script = yard, yard.work.harness, yard.work.script
        self._queue: deque[Order | Answers] = deque()
        self._saying: deque[list[Report]] = deque()
        self._said_until = yard.clock.now()
        self._begun: set[Key] = set()
        self._strand: Strand | None = None
        self._entered = yard.clock.now()
        self._making: Order | None = None
        self._life = self._wait = 0

    @property
    def is_free(self) -> bool:
        """Whether it can take a flow."""
        return not self.held

    def start(self, orders: Sequence[Order]) -> None:
        """Queue orders behind what it has."""
        self.held.update((_key(order), order) for order in orders)
        self._queue.extend(orders)
        self._go_on()

    def answer(self, answers: Answers) -> None:
        """Send answers to the flow; they arrive soon, behind what was sent before."""
        self._yard.later(_delay_s(self._yard.random), partial(self._take_answers, self._life, answers))

    def recall(self) -> None:
        """Give back all orders that were not begun."""
        kept = [item for item in self._queue if not isinstance(item, Order)]
        back = [item for item in self._queue if isinstance(item, Order)]
        self._queue = deque(kept)
        self._say(Returned(*_key(order)) for order in back)

    def kill(self, key: Key) -> None:
        """Stop an attempt: one that was not begun comes back, for another one the process dies soon."""
        queued = [item for item in self._queue if isinstance(item, Order) and _key(item) == key]
        for order in queued:
            self._queue.remove(order)
            self._say([Returned(*key)])
        if self._is_at(key):
            self._yard.later(self._yard.random.random() * 0.1, partial(self._be_stopped, self._life, key))

    def close(self) -> None:
        """End without a word."""
        self._life += 1
        self.held.clear()
        self._queue.clear()
        self._saying.clear()
        self._begun.clear()
        self._making = None
        self._unwind()

    # -- what it does --

    def _go_on(self) -> None:
        """Take what has arrived, unless it is at something; then wait for as long as the body wants to."""
        while self._making is None and self._queue:
            item = self._queue.popleft()
            if not isinstance(item, Order):
                self._give(item)
            elif not self._harness.makes_flow(item):
                self._begin(item)
            elif self._strand is None:
                self._enter(item)
            else:
                self._say([Returned(*_key(item))])
        self._wait += 1
        if self._strand is not None and self._making is None:
            wait_s = self._strand.until - self._yard.clock.now() / 1e6
            self._yard.later(max(_LEAST_WAIT_S, wait_s), partial(self._expire, self._wait))

    def _expire(self, wait: int) -> None:
        if wait == self._wait and self._strand is not None:
            self._resume()
            self._go_on()

    def _enter(self, order: Order) -> None:
        yard = self._yard
        yard.witness.saw_begin(order, yard.clock.now())
        self._entered = yard.clock.now()
        self._begun.add(_key(order))
        self._strand = Strand(self._harness, order, self.number, lambda: yard.clock.now() / 1e6)
        self._say([Begun(*_key(order))])
        if (life_s := self._script.life_s(order)) is not None:
            yard.later(life_s, partial(self._perish, self._life, _key(order)))
        self._resume()

    def _give(self, answers: Answers) -> None:
        strand = self._strand
        if strand is not None and (answers.run, answers.step, answers.token) == strand.key:
            strand.inbox.append(answers)
            self._resume()

    def _resume(self) -> None:
        """Let the body go on until it waits or ends."""
        strand = self._strand
        assert strand is not None
        reports = strand.resume()
        if strand.is_over:
            self._strand = None
            self._yard.witness.saw_end(strand.order)
        self._say(map(self._timed, reports))

    def _timed(self, report: Report) -> Report:
        """The report with the seconds that have passed here."""
        if isinstance(report, Done | Raised | Parked):
            return replace(report, seconds=(self._yard.clock.now() - self._entered) / 1e6)
        return report

    def _begin(self, order: Order) -> None:
        """Make an order; a flow that waits is made to wait for that."""
        yard, act = self._yard, self._script.act(order)
        if act.ending == "die" and self._strand is not None and not self._script.dies_too(self._strand.order):
            act = Act("done", act.seconds)
        self._making = order
        self._begun.add(_key(order))
        yard.witness.saw_begin(order, yard.clock.now())
        self._say([Begun(*_key(order))])
        inputs = yard.work.begin(order)
        if act.ending != "hang":
            yard.later(act.seconds, partial(self._end, self._life, order, act, inputs))

    def _end(self, life: int, order: Order, act: Act, inputs: Any) -> None:
        if life != self._life:
            return
        if act.ending == "die":
            self._say(word for word in self._yard.work.die(order, inputs) if isinstance(word, Noted))
            self._die("killed by signal 9")
            return
        reports = self._yard.work.end(order, act, inputs)
        self._making = None
        self._yard.witness.saw_end(order)
        self._say(reports)
        if self._strand is not None:
            self._strand.inbox.append((order, reports[-1]))
            self._resume()
        self._go_on()

    # -- what it hears and says --

    def _take_answers(self, life: int, answers: Answers) -> None:
        if life == self._life:
            self._queue.append(answers)
            self._go_on()

    def _say(self, reports: Iterable[Report]) -> None:
        batch = list(reports)
        if not batch:
            return
        yard = self._yard
        self._said_until = max(self._said_until, after(yard.clock.now(), _delay_s(yard.random)))
        self._saying.append(batch)
        yard.later((self._said_until - yard.clock.now()) / 1e6, partial(self._arrive, self._life))

    def _arrive(self, life: int) -> None:
        if life == self._life:
            self._hand_in(self._saying.popleft())

    def _hand_in(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if not isinstance(report, Begun | Called | Noted):
                del self.held[report.run, report.step, report.token]
                self._begun.discard((report.run, report.step, report.token))
            self._yard.report(report)

    # -- how it dies --

    def _is_at(self, key: Key) -> bool:
        return any(_key(order) == key for order in self._at_work())

    def _at_work(self) -> list[Order]:
        """What its process is at: an order, and the flow that may wait for it."""
        flow = self._strand.order if self._strand is not None else None
        return [order for order in (self._making, flow) if order is not None]

    def _perish(self, life: int, key: Key) -> None:
        """The flow's process dies by itself, with what is made beside the flow."""
        if self._making is None or self._script.dies_too(self._making):
            self._die_of(life, key)

    def _be_stopped(self, life: int, key: Key) -> None:
        """The process is stopped, and takes along what is made beside: that is one of the times that its process may die."""
        if life == self._life and self._making is not None:
            self._script.dies_too(self._making)
        self._die_of(life, key)

    def _die_of(self, life: int, key: Key) -> None:
        if life == self._life and self._is_at(key):
            self._die("killed by signal 9")

    def _die(self, reason: str) -> None:
        """The process group is gone: some of its last words arrive, some later, when nobody believes them, some never."""
        yard = self._yard
        self._life += 1
        for _ in range(yard.random.randint(0, len(self._saying))):
            self._hand_in(self._saying.popleft())
        for order in self._at_work():
            yard.witness.saw_end(order)
        lost = [report for batch in self._saying for report in batch]
        held, begun = self.held, self._begun
        self.held, self._begun, self._making = {}, set(), None
        self._queue.clear()
        self._saying.clear()
        for key in held:
            yard.report(Lost(*key, reason) if key in begun else Returned(*key))
        for report in lost:
            if yard.random.random() < 2 * yard.stutter:
                yard.say_late(report)
        self._unwind()

    def _unwind(self) -> None:
        strand, self._strand = self._strand, None
        for _ in range(_PATIENCE):
            if strand is not None and strand.stop():
                strand.resume()


def _delay_s(random: Random) -> float:
    return random.choice((0.0, 0.0, 0.0005, 0.02))


def _key(order: Order) -> Key:
    return order.run, order.step, order.token
