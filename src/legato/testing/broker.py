"""Whether a broker's adapter keeps the promises of its port. Subclass the suite, say how to make one and how to publish.

    class TestMyBroker(BrokerConformance):
        def make(self, group): return MyBroker(url, group)
        def publish(self, topic, body, key=""): ...

What is made with one group twice is the same group, as before and after a restart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from legato.ports.broker import Broker, Incoming

PATIENCE_S = 60.0
BODIES = (b"", b"{}", b'{"order": 7}', b"\x00\xff\r\n", "h\u00e9llo".encode(), b"x" * 200_000)


class BrokerConformance:
    """The promises of `ports.broker.Broker`."""

    def make(self, group: str) -> Broker:
        """An adapter for a group."""
        raise NotImplementedError

    def publish(self, topic: str, body: bytes, key: str = "") -> None:
        """Publish a message as anybody would; makes the topic, if it is not there."""
        raise NotImplementedError

    @pytest.fixture
    def broker(self) -> Iterator[Broker]:
        """An adapter of the group `one`, which is closed in the end."""
        self.publish("orders", b"before anybody listened")
        made = self.make("one")
        made.listen(["orders"])
        yield made
        made.close()

    def taken(self, broker: Broker, count: int) -> list[Incoming]:
        """So many messages; each is waited for."""
        found: list[Incoming] = []
        until = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < until:
            found += broker.take(count - len(found), 0.2)
        return found

    def test_what_is_published_is_given_in_order(self, broker: Broker) -> None:
        """Each with its body, its key and an id of its own."""
        for number, body in enumerate(BODIES):
            self.publish("orders", body, f"k{number}" if number else "")
        found = self.taken(broker, len(BODIES))
        assert [each.body for each in found] == list(BODIES)
        assert [each.key for each in found] == ["", *(f"k{number}" for number in range(1, len(BODIES)))]
        assert len({each.id for each in found}) == len(BODIES)
        assert {each.topic for each in found} == {"orders"}
        assert broker.take(10, 0.05) == []

    def test_no_more_is_given_than_was_asked_for(self, broker: Broker) -> None:
        """And the rest with the next question."""
        for number in range(5):
            self.publish("orders", b"%d" % number)
        first = self.taken(broker, 2)
        assert [each.body for each in first] == [b"0", b"1"]
        assert [each.body for each in self.taken(broker, 3)] == [b"2", b"3", b"4"]

    def test_nothing_comes_in_time(self, broker: Broker) -> None:
        """An empty answer, after about the time that was said."""
        begun = time.monotonic()
        assert broker.take(10, 0.1) == []
        assert time.monotonic() - begun < PATIENCE_S

    def test_what_was_acknowledged_never_comes_again(self, broker: Broker) -> None:
        """All else does, under the same id."""
        for number in range(4):
            self.publish("orders", b"%d" % number)
        found = self.taken(broker, 4)
        broker.acknowledge([found[0], found[2]])
        broker.acknowledge([found[0]])
        broker.close()
        again = self.make("one")
        again.listen(["orders"])
        left = {each.id: each.body for each in self.taken(again, 2)}
        assert left == {found[1].id: b"1", found[3].id: b"3"}
        again.acknowledge(found)
        again.close()

    def test_what_comes_while_nobody_listens_is_given_later(self, broker: Broker) -> None:
        """A group goes on where it was."""
        broker.close()
        self.publish("orders", b"meanwhile")
        again = self.make("one")
        again.listen(["orders"])
        assert [each.body for each in self.taken(again, 1)] == [b"meanwhile"]
        again.close()

    def test_groups_do_not_take_from_each_other(self, broker: Broker) -> None:
        """Each is given everything."""
        other = self.make("two")
        other.listen(["orders"])
        self.publish("orders", b"both")
        assert [each.body for each in self.taken(broker, 1)] == [b"both"]
        assert [each.body for each in self.taken(other, 1)] == [b"both"]
        other.close()

    def test_topics_are_told_apart_and_come_and_go(self, broker: Broker) -> None:
        """Also one that is not there yet, of which everything is given."""
        broker.listen(["orders", "later"])
        self.publish("later", b"first")
        self.publish("orders", b"1")
        found = self.taken(broker, 2)
        broker.acknowledge(found)
        assert {(each.topic, each.body) for each in found} == {("later", b"first"), ("orders", b"1")}
        broker.listen(["later"])
        self.publish("orders", b"2")
        self.publish("later", b"second")
        assert [(each.topic, each.body) for each in self.taken(broker, 1)] == [("later", b"second")]
        broker.listen([])
        assert broker.take(1, 0.05) == []

    def test_closing_twice_is_no_fault(self, broker: Broker) -> None:
        """Nor is it after a fault."""
        broker.close()
        broker.close()
