"""Listening to a broker, in a process of its own: what comes is told to the conductor, and acknowledged when it has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event
from typing import TypeVar

from legato.declare.moment import Message, moments
from legato.declare.node import Project
from legato.ports.broker import Broker, Incoming
from legato.service.asks import Ask, Deliver, Delivery, Taken
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError

T = TypeVar("T")

Answer = Callable[[Ask, type[T]], T]
Tell = Callable[[str], None]

MOST_BYTES = 1 << 20
"""A message of more cannot be handed on."""
FRAME_BYTES = 3 << 20
"""So much is told to the conductor at once."""
MOST_AT_ONCE, WAIT_S = 200, 1.0
LONGEST_PAUSE_S = 30.0
_AWAY = frozenset(("service-none", "service-silent", "service-stopping", "service-busy", "project"))
"""The conductor is not there, or has no project: it says so itself."""
LOOK_EVERY_S = 1.0
"""How often is looked which topics, or which patterns, the project has."""


class Patience:
    """Pauses between tries, which double; and tells of a trouble once, and when it is over."""

    def __init__(self, tell: Tell, stop: Event) -> None:
        self._tell, self._stop = tell, stop
        self._pause_s, self._told = 0.0, ""

    def fail(self, error: LegatoError) -> None:
        """Wait, longer each time; returns at once when all is to end."""
        words = f"{error.what}: {error.why}" if error.why else error.what
        if words != self._told and error.code not in _AWAY:
            self._told = words
            self._tell(f"{words}; it is tried again")
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or 0.5)
        self._stop.wait(self._pause_s)

    def succeed(self, words: str) -> None:
        """It works; say so if it did not before."""
        if self._told:
            self._tell(words)
        self._pause_s, self._told = 0.0, ""


class Listener:
    """Takes messages of a broker, tells the conductor, and acknowledges what it has recorded.

    Whoever dies in between loses nothing: what was not acknowledged comes again, and what the conductor knows counts once.
    """

    def __init__(
        self,
        open_broker: Callable[[], Broker],
        workspace: Callable[[], Workspace],
        ask: Answer[list[Taken]],
        tell: Tell,
        stop: Event,
    ) -> None:
        self._open, self._workspace, self._ask, self._tell, self._stop = open_broker, workspace, ask, tell, stop
        self._patience = Patience(tell, stop)
        self._topics: tuple[str, ...] = ()
        self._due = 0.0

    def run(self) -> None:
        """Listen until told to end."""
        while not self._stop.is_set():
            broker: Broker | None = None
            try:
                broker = self._open()
                self._topics, self._due = (), 0.0
                while not self._stop.is_set():
                    self.step(broker)
                    self._patience.succeed("messages come again")
            except LegatoError as error:
                self._patience.fail(error)
            finally:
                if broker is not None:
                    with suppress(LegatoError):
                        broker.close()

    def step(self, broker: Broker) -> None:
        """Follow the project's topics, take what came, hand it on, acknowledge it."""
        self._follow(broker)
        if not self._topics:
            self._stop.wait(LOOK_EVERY_S)
            return
        taken = broker.take(MOST_AT_ONCE, WAIT_S)
        refused = [each for each in taken if len(each.body) > MOST_BYTES]
        for each in refused:
            self._tell(
                f"message {each.id} on {each.topic} has {len(each.body):,} bytes, and {MOST_BYTES:,} are the most: it is dropped"
            )
        for part in _parts(each for each in taken if len(each.body) <= MOST_BYTES):
            items = tuple(Delivery(name=each.topic, id=each.id, body=each.body, key=each.key) for each in part)
            answers = self._ask(Deliver(kind="message", items=items), list[Taken])
            broker.acknowledge([each for each, answer in zip(part, answers, strict=True) if answer.heard])
        if refused:
            broker.acknowledge(refused)

    def _follow(self, broker: Broker) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOOK_EVERY_S
        topics = topics_of(self._workspace().project)
        if topics != self._topics:
            broker.listen(topics)
            self._topics = topics


def topics_of(project: Project) -> tuple[str, ...]:
    """The topics that a project's triggers listen to."""
    triggers = (node.trigger for node in project.nodes.values() if node.trigger is not None)
    return tuple(sorted({leaf.topic for each in triggers for leaf in moments(each) if isinstance(leaf, Message)}))


def _parts(messages: Iterable[Incoming]) -> Iterator[list[Incoming]]:
    """Messages in their order, so many together as a frame holds."""
    part: list[Incoming] = []
    size = 0
    for each in messages:
        if part and size + len(each.body) > FRAME_BYTES:
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each.body) + len(each.id) + len(each.key) + len(each.topic) + 64
    if part:
        yield part
