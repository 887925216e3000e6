"""Questions to sources, asked as orders of workers, so that nobody waits for the user's code."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from legato.declare.node import Node
from legato.ports.clock import Clock
from legato.runtime.dispatch import Question
from legato.runtime.edition import Edition
from legato.terms.attempt import Begun, Done, Lost, Order, Raised, Report, Returned
from legato.terms.codec import fingerprint
from legato.terms.errors import LegatoError, Unreachable
from legato.terms.instant import Instant, after

ASKING = "observe"
"""Stands for the run in orders that are questions."""
LIMIT_S = 60.0
"""How long a source without a time limit of its own may take."""

Then = Callable[[dict[Question, str | None], LegatoError | None], None]
"""Is given the answers, or the first thing that went wrong."""


@dataclass(slots=True)
class Inquiry:
    """Questions that are answered together."""

    edition: Edition
    then: Then
    left: set[Question]
    answers: dict[Question, str | None] = field(default_factory=dict)
    over: bool = False


@dataclass(slots=True)
class _Asked:
    inquiry: Inquiry
    question: Question
    node: Node
    due: Instant


class Inquiries:
    """Asks one question at each place that is free for flows: those behind no long work. What cannot be asked in time fails."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[_Asked] = deque()
        self._out: dict[int, _Asked] = {}
        self._token = 0

    def ask(self, edition: Edition, questions: Iterable[Question], then: Then) -> None:
        """Ask these; `then` is called later, in some turn."""
        inquiry = Inquiry(edition, then, set(questions))
        edition.asking += 1
        for question in sorted(inquiry.left):
            node = edition.graph.project.nodes[question[0]]
            due = after(self._clock.now(), node.timeout_s or LIMIT_S)
            self._waiting.append(_Asked(inquiry, question, node, due))

    def __bool__(self) -> bool:
        """Whether anything is still asked."""
        return bool(self._waiting or self._out)

    def go_on(self, now: Instant) -> None:
        """Ask what can be asked, and give up what is overdue."""
        for _ in range(len(self._waiting)):
            asked = self._waiting.popleft()
            places = () if asked.inquiry.over else asked.inquiry.edition.executor.free_for_flows()
            if asked.inquiry.over:
                continue
            if asked.due <= now:
                self._fail(asked, _late(asked.node))
            elif places:
                self._token += 1
                self._out[self._token] = asked
                order = Order(ASKING, self._token, self._token, *asked.question)
                asked.inquiry.edition.executor.start([order], places[0], 0.0)
            else:
                self._waiting.append(asked)
        for token, asked in list(self._out.items()):
            if asked.due <= now or asked.inquiry.over:
                del self._out[token]
                asked.inquiry.edition.executor.kill(ASKING, token, token)
                self._fail(asked, _late(asked.node))

    def hear(self, report: Report) -> None:
        """Take up what a worker told of a question."""
        if isinstance(report, Begun) or (asked := self._out.pop(report.token, None)) is None:
            return
        if isinstance(report, Returned):
            self._waiting.append(asked)
        elif isinstance(report, Done):
            inquiry = asked.inquiry
            inquiry.answers[asked.question] = token_of(report.value)
            inquiry.left.discard(asked.question)
            if not inquiry.left and not inquiry.over:
                self._end(inquiry, None)
        elif isinstance(report, Raised):
            self._fail(asked, refusal(asked.node, report))
        elif isinstance(report, Lost):
            self._fail(asked, Unreachable(
                "source", f"source {asked.node.name} could not be observed: {report.reason}", where=asked.node.place,
                next="mend the source's function, then plan again",
            ))  # fmt: skip

    def _fail(self, asked: _Asked, error: LegatoError) -> None:
        if not asked.inquiry.over:
            self._end(asked.inquiry, error)

    def _end(self, inquiry: Inquiry, error: LegatoError | None) -> None:
        inquiry.over = True
        inquiry.edition.asking -= 1
        inquiry.then(inquiry.answers, error)


def token_of(value: bytes | None) -> str | None:
    """A source's answer as text: texts and numbers as they are, anything else by its fingerprint."""
    answer = None if value is None else msgspec.msgpack.decode(value)
    if answer is None or isinstance(answer, str):
        return answer
    return str(answer) if isinstance(answer, int | float) else fingerprint(value)


def refusal(node: Node, report: Raised) -> LegatoError:
    """That a source's function failed."""
    return LegatoError(
        "source", f"source {node.name} could not be observed: {report.error.message}",
        where=report.error.where or node.place, why=report.error.trace, next="mend the source's function, then plan again",
    )  # fmt: skip


def _late(node: Node) -> LegatoError:
    return LegatoError(
        "source", f"source {node.name} gave no answer in time", where=node.place,
        why="its function took too long, or no worker was free to ask it", next="make it quick: a source only looks",
    )  # fmt: skip
