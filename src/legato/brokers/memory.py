"""A broker in this process's memory: for tests, and to see what an adapter has to do."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition

from legato.ports.broker import Incoming
from legato.terms.errors import Unreachable


class Topics:
    """What outlives the listeners: messages by topic, and what each group has been given and has acknowledged."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Incoming]] = {}
        self.begins: dict[tuple[str, str], int] = {}
        self.done: dict[tuple[str, str], set[str]] = {}
        self.changed = Condition()
        self.is_down = False

    def publish(self, topic: str, body: bytes, key: str = "") -> None:
        """Add a message."""
        with self.changed:
            told = self.messages.setdefault(topic, [])
            number = str(len(told) + 1)
            told.append(Incoming(topic=topic, id=number, body=body, key=key, receipt=number))
            self.changed.notify_all()


class MemoryBroker:
    """Gives a group what stands in `Topics`."""

    def __init__(self, topics: Topics, group: str) -> None:
        self._topics, self._group = topics, group
        self._listens: list[str] = []
        self._given: set[tuple[str, str]] = set()

    def listen(self, topics: Sequence[str]) -> None:
        """Listen to these topics from now on."""
        self._require_up()
        self._listens = list(topics)
        for topic in topics:
            self._topics.begins.setdefault((self._group, topic), len(self._topics.messages.get(topic, ())))

    def take(self, most: int, wait_s: float) -> list[Incoming]:
        """Messages that this listener has not been given, and nobody has acknowledged."""
        with self._topics.changed:
            self._require_up()
            self._topics.changed.wait_for(self._waiting, wait_s)
            found = self._waiting()[:most]
        self._given.update((each.topic, each.id) for each in found)
        return found

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Never give these again."""
        self._require_up()
        for each in messages:
            self._topics.done.setdefault((self._group, each.topic), set()).add(each.receipt)

    def close(self) -> None:
        """Let go."""
        self._listens = []

    def _waiting(self) -> list[Incoming]:
        found: list[Incoming] = []
        for topic in self._listens:
            done = self._topics.done.get((self._group, topic), ())
            told = self._topics.messages.get(topic, [])[self._topics.begins[self._group, topic] :]
            found += [each for each in told if each.receipt not in done and (topic, each.id) not in self._given]
        return found

    def _require_up(self) -> None:
        if self._topics.is_down:
            raise Unreachable("broker", "the broker does not answer")
