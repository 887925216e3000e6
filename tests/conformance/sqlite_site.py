"""Where the SQLite store is tested: a folder, programs that run beside it, and what every refusal has."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legato.stores.sqlite import SqliteStore
from legato.terms.errors import Unreachable
from legato.testing.store_records import make_run


class SqliteSite:
    """A SQLite file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "state.db"
        self.handles: list[SqliteStore] = []

    def open(self) -> SqliteStore:
        self.handles.append(SqliteStore(self.path))
        return self.handles[-1]

    def vacate(self) -> None:
        Path(f"{self.path}.lock").unlink()

    def close(self) -> None:
        for handle in self.handles:
            handle.close()

    def open_with_run(self) -> SqliteStore:
        """A writer that has accepted `r1`."""
        store = self.open()
        store.open_writer("legato run +report")
        store.accept(make_run("r1"), b"plan", [])
        return store

    def __enter__(self) -> SqliteSite:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def refusal(code: str, call: Any, *arguments: Any) -> Unreachable:
    """The error of this code that the call ends in; it always says what to do next."""
    with pytest.raises(Unreachable) as raised:
        call(*arguments)
    assert raised.value.code == code
    assert raised.value.exit_code == 5
    assert raised.value.next
    return raised.value


# A program that others run in a process of its own: argv is the store's path and what to do.
CHILD = """
import os, sys, time
from legato.ports.store import Commit
from legato.stores.sqlite import SqliteStore
from legato.testing.store_records import make_run, publish

path, act = sys.argv[1:]
store = SqliteStore(path)
store.open_writer(act)
if act == "fork":
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        assert store._writer is None and store._lock is None and store.runs() == []
        store.close()
        os.write(writer, b"!")
        time.sleep(600)
        os._exit(0)
    os.read(reader, 1)
    print(child, flush=True)
    store.accept(make_run("r1"), b"", [])
    print("accepted", flush=True)
    time.sleep(600)
if store.run("r1") is None:
    store.accept(make_run("r1"), b"", [])
number = len(list(store.events("r1")))
while True:
    name = f"v{number}"
    store.commit([publish(name, "p", "q"), Commit(run_id="r1", timings={"a": (1, 1.0)})])
    os.write(1, f"{number}\\n".encode())
    number += 1
"""


def begin(site: SqliteSite, act: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(site.path), act], stdout=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> bytes:
    """Kill the process; what it had still printed."""
    process.kill()
    rest = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL
    return rest


def end_without_reading(process: subprocess.Popen[bytes]) -> None:
    """Kill the process; a child of its own may hold its output open."""
    process.kill()
    process.wait()
