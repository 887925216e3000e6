"""`legato up` as a process tree of its own, and its parts by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from legato.ports.store import Store
from legato.stores.sqlite import SqliteStore


@contextmanager
def running(command: list[str], output: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which is gone when the block ends."""
    with output.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def up(folder: Path, *options: str) -> list[str]:
    """The command of a service."""
    return [sys.executable, "-m", "legato", "-C", str(folder), "up", *options]


def wait_until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it is true, but not for ever."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def part(service: int, name: str) -> int | None:
    """The process of a part of a service, if it runs."""
    for pid in Path(f"/proc/{service}/task/{service}/children").read_text().split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words:
            return int(pid)
    return None


def kill(service: int, name: str) -> None:
    """Kill a part, as soon as it runs."""
    found: list[int | None] = []
    wait_until(lambda: found.append(part(service, name)) or found[-1] is not None)
    assert found[-1]
    os.kill(found[-1], signal.SIGKILL)


@contextmanager
def reading(folder: Path) -> Iterator[Store]:
    """The store of the project in a folder."""
    store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
    try:
        yield store
    finally:
        store.close()


def count_ended(folder: Path) -> int:
    """How many runs have succeeded."""
    with reading(folder) as store:
        return sum(run.state == "succeeded" for run in store.runs(limit=1_000))
