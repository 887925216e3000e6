"""The rows of the service: how soon it starts, runs, ticks and answers, and what it costs when it has nothing to do."""

from __future__ import annotations

import json
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

from benchmarks.measure import Result, at_most, project
from benchmarks.past import fill
from benchmarks.tree import watch
from legato.ports.store import Store
from legato.stores.sqlite import SqliteStore
from legato.triggers.events import Fired, decode

CODE = """
import time
from pathlib import Path

@lg.asset
def prices() -> list[int]:
    print("three prices")
    return [1, 2, 3]

@lg.asset(partitions=lg.dynamic("prices"))
def bills() -> int:
    return 1

@lg.task
def probe(sent: float) -> None:
    with Path("begun.txt").open("a") as file:
        file.write(f"{time.time() - sent}\\n")

@lg.flow
def ask(sent: float) -> None:
    with Path("begun.txt").open("a") as file:
        file.write(f"{time.time() - sent}\\n")
"""
MANY = """
from datetime import datetime, timedelta

def tick() -> None:
    return None

for number in range({count}):
    on = lg.every({period}, start=datetime(2026, 1, 1) + timedelta(seconds=number * {period} / {count}))
    globals()[f"f{{number}}"] = lg.flow(name=f"f{{number}}", on=on)(tick)
"""


class Service:
    """`legato up` of the project in a folder, and a token that may do everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = subprocess.run(
            [sys.executable, "-m", "legato", "-C", str(folder), "users", "add", "bench", "--role", "admin"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        made = subprocess.run(
            [sys.executable, "-m", "legato", "-C", str(folder), "tokens", "add", "bench", "--json"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        self.token = json.loads(made.stdout)["result"]["secret"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "legato",
            "-C",
            str(folder),
            "up",
            "--port",
            self.url.rpartition(":")[2],
            "--workers",
            "2",
        ]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def call(self, path: str, body: Any = None) -> Any:
        """What the API answers."""
        return json.loads(self.read(f"/api/v1{path}", body))

    def read(self, path: str, body: Any = None) -> bytes:
        """The bytes that are answered; an error if they are a refusal."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "X-Legato": "1"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=30) as answer:
            return bytes(answer.read())

    def wait(self, path: str = "/status") -> float:
        """Seconds from the start to the first answer."""
        while True:
            try:
                self.call(path)
                return time.monotonic() - self.began
            except (URLError, OSError):
                assert time.monotonic() - self.began < 60
                time.sleep(0.02)

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """A service while the block runs."""
    service = Service(folder)
    try:
        yield service
    finally:
        service.close()


def first_line(size: float) -> Result:
    """From the POST of a run to the first line of its code, 20 runs a second, on a warm service."""
    count = max(100, int(400 * size))
    with project(CODE) as folder, serving(folder) as service:
        service.wait()
        for number in range(count + 40):
            sent = time.time()
            service.call("/runs", {"selection": "ask", "params": {"sent": sent}, "key": f"{number}"})
            time.sleep(max(0.0, sent + 0.05 - time.time()))
        deadline = time.monotonic() + 30
        while len(took := [float(line) for line in _lines(folder / "begun.txt")]) < count + 40:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    warm_ms = sorted(1e3 * each for each in took[40:])
    median, late = statistics.median(warm_ms), warm_ms[int(0.99 * len(warm_ms))]
    return Result(
        "POST of a run to its first line, 20 a second", f"{median:.0f} ms, p99 {late:.0f} ms", "-", f"{median:.0f} ms",
        "under 25 ms, p99 100 ms", max(at_most(median, 25), at_most(late, 100)),
    )  # fmt: skip


def idle(size: float) -> Result:
    """A service that has run something and has nothing to do: memory of all its processes, and processor time."""
    with project(CODE) as folder, serving(folder) as service:
        service.wait()
        service.call("/runs", {"selection": "prices"})
        time.sleep(2)
        seen = watch(service.process.pid, max(15.0, 60 * size))
    megabytes, share = seen.size_bytes / 2**20, 100 * seen.cpu_s / seen.seconds
    return Result(
        "idle service, all processes", f"{megabytes:.0f} MB, {share:.2f} % of a core", "-", f"{megabytes:.0f} MB",
        "under 150 MB and 1 %", max(at_most(megabytes, 150), at_most(share, 1.0)),
    )  # fmt: skip


def start(size: float) -> Result:
    """From `legato up` to the first answer, with 1,000,000 finished steps in the store."""
    past = int(1_000_000 * size)
    with project(CODE) as folder:
        fill(folder, past)
        found = []
        for _ in range(3):
            with serving(folder) as service:
                found.append(service.wait())
    return Result(
        f"legato up to the first answer, {past:,} steps in store", f"{min(found):.2f} s", "-", f"{min(found):.2f} s",
        "under 1.5 s", at_most(min(found), 1.5),
    )  # fmt: skip


def ticking(size: float) -> Result:
    """10,000 triggers, 20 of which are due each second: how late they fire."""
    count = int(10_000 * size)
    with project(MANY.format(count=count, period=max(60, count // 20))) as folder, serving(folder) as service:
        service.wait()
        time.sleep(5)
        since, seconds = time.time() * 1e6, max(20.0, 60 * size)
        time.sleep(seconds)
        store: Store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
        made = [decode(each.body) for _, each in store.decisions(limit=100_000)]
        late_ms = sorted((each.on - each.at) / 1e3 for each in made if isinstance(each, Fired) and each.at > since)
        store.close()
    worst = late_ms[-1]
    return Result(
        f"{count:,} triggers, {len(late_ms) / seconds:.0f} due a second: latest", f"{worst:.0f} ms after its time", "-",
        f"{worst:.0f} ms", "under 1,000 ms", at_most(worst, 1_000),
    )  # fmt: skip


def _lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []
