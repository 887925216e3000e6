"""Performs what was decided and committed: orders to workers, answers to flows, and what is to be thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Literal

from legato.declare.node import qualified
from legato.kernel.commands import Command, Deliver, DiscardStaged, KillAttempt, StartAttempts, StartBeside
from legato.kernel.inputs import Input
from legato.kernel.state import CANCELLED, FAILED, FRESH, HELD, SKIPPED, SUCCEEDED, UNDONE, RunState
from legato.ports.clock import Clock
from legato.ports.storage import Storage
from legato.runtime.dispatch import NOTHING_SEEN, Answered, Pace, Question, gather
from legato.runtime.inquiry import Inquiries
from legato.runtime.runs import Live
from legato.terms.attempt import Answer, Answers, Done, Order, Raised, Ref, Returned
from legato.terms.errors import LegatoError
from legato.terms.fact import Error
from legato.terms.instant import Instant

_OUTCOMES: dict[int, Literal["succeeded", "failed", "skipped", "cancelled", "undone", "waiting"]] = {
    HELD: "waiting",
    FRESH: "succeeded", SUCCEEDED: "succeeded", FAILED: "failed", SKIPPED: "skipped", CANCELLED: "cancelled", UNDONE: "undone",
}  # fmt: skip


class Hands:
    """The conductor's hands. `tell` lets a run know what came of it: the next turn commits that."""

    def __init__(
        self, storages: Mapping[str, Storage], clock: Clock, pace: Pace, inquiries: Inquiries,
        tell: Callable[[Live, Input, Instant], None],
    ) -> None:  # fmt: skip
        self._storages, self._clock, self._pace, self._inquiries, self._tell = storages, clock, pace, inquiries, tell
        self._held: dict[tuple[str, int, int], Callable[[Answered, LegatoError | None], None]] = {}

    def start(self, live: Live, start: StartAttempts, worker: int) -> None:
        """Hand attempts to a worker."""
        if orders := self._orders(live, start, partial(self._begin, live, worker)):
            live.edition.executor.start(orders, worker, self._pace.expected_s(live.state, start))

    def do(self, live: Live, commands: Sequence[Command]) -> None:
        """Perform the other commands of a run."""
        answers: list[Answers] = []
        for command in commands:
            if isinstance(command, KillAttempt):
                self._kill(live, command)
            elif isinstance(command, DiscardStaged):
                self._discard(command.refs)
            elif isinstance(command, StartBeside):
                self._start_beside(live, command)
            elif isinstance(command, Deliver):
                answers.append(_answers(live.state, command))
        if answers:
            live.edition.executor.answer(answers)

    def _kill(self, live: Live, command: KillAttempt) -> None:
        key = live.state.run_id, command.step, command.token
        if self._held.pop(key, None) is None:
            live.edition.executor.kill(*key)
        else:
            self._tell(live, Returned(*key), self._clock.now())

    def _begin(self, live: Live, worker: int, order: Order) -> None:
        """Hand out an order that had to wait for what sources say."""
        live.edition.executor.start([order], worker, self._pace.cost_s.get(order.node, 1.0))

    def _start_beside(self, live: Live, start: StartBeside) -> None:
        """Hand a call out to where its flow is."""
        begin = partial(self._begin_beside, live, start)
        for order in self._orders(live, StartAttempts((start.step,), start.token), begin):
            begin(order)

    def _begin_beside(self, live: Live, start: StartBeside, order: Order) -> None:
        """If the flow is gone already, the attempt comes back like any that never began."""
        place = live.edition.executor.place_of(live.state.run_id, start.parent, start.parent_token)
        if place is None:
            self._tell(live, Returned(live.state.run_id, start.step, start.token), self._clock.now())
        else:
            live.edition.beside.add((live.state.run_id, start.step))
            live.edition.executor.start([order], place, 0.0)

    def _discard(self, refs: Iterable[Ref]) -> None:
        for ref in refs:
            if (storage := self._storages.get(ref.storage)) is not None:
                storage.discard(ref)

    def _orders(self, live: Live, start: StartAttempts, begin: Callable[[Order], None]) -> list[Order]:
        """The orders of these attempts; one whose inputs cannot be resolved fails at once, like one that was made.

        One for which sources have to be asked first, through workers, is given to `begin` when they have answered.
        """
        state, dispatch, mode = live.state, live.dispatch, start.mode
        if mode == "run" and (calls := dispatch.plain_calls(state, start.steps, start.token)) is not None:
            return calls
        orders: list[Order] = []
        for token, index in enumerate(start.steps, start.token):
            questions = dispatch.questions(state, index)
            if questions and live.edition.observe is None:
                self._ask_first(live, StartAttempts((index,), token, mode), questions, begin)
                continue
            try:
                seen = live.edition.look(questions) if questions else NOTHING_SEEN
                order = dispatch.order(state, index, token, mode, seen)
                if mode == "key" and not live.cache.has_key(order.node):
                    self._tell(live, Done(order.run, index, token, 0.0, b""), self._clock.now())
                    continue
                orders.append(live.cache.prepare(state, order) if state.handling(index).cached else order)
            except LegatoError as error:
                self._fail(live, index, token, error)
        return gather(orders) if orders and state.handling(orders[0].step).together > 1 else orders

    def _ask_first(self, live: Live, start: StartAttempts, questions: Iterable[Question], begin: Callable[[Order], None]) -> None:
        (index,), key = start.steps, (live.state.run_id, start.steps[0], start.token)

        def go_on(seen: Answered, error: LegatoError | None) -> None:
            try:
                if error is not None:
                    raise error
                begin(live.dispatch.order(live.state, index, start.token, start.mode, seen))
            except LegatoError as trouble:
                self._fail(live, index, start.token, trouble)

        def heard(seen: Answered, error: LegatoError | None) -> None:
            if (proceed := self._held.pop(key, None)) is not None:  # else it was stopped meanwhile
                proceed(seen, error)

        self._held[key] = go_on
        self._inquiries.ask(live.edition, questions, heard)

    def _fail(self, live: Live, index: int, token: int, error: LegatoError) -> None:
        told = Error("input", str(error), tuple(map(qualified, type(error).__mro__)))
        self._tell(live, Raised(live.state.run_id, index, token, 0.0, told), self._clock.now())


def _answers(state: RunState, told: Deliver) -> Answers:
    values, kept, status, errors = state.values, state.kept, state.status, state.errors
    answers: list[Answer] = []
    for group, steps in groupby(told.steps, state.calls.group):
        keys, first = group.keys, group.first
        answers += [
            Answer(keys[step - first], values.get(step))
            if status[step] == SUCCEEDED and step not in kept
            else Answer(keys[step - first], values.get(step), kept.get(step), _OUTCOMES[status[step]], errors.get(step))
            for step in steps
        ]
    return Answers(state.run_id, told.parent, told.parent_token, answers)
