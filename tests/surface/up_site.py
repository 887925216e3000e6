"""`legato up` on the real process tree, of a small project in a folder, and the command line beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ports import free_port

PATIENCE_S = 60.0

QUIET = """
import time
import legato as lg

@lg.source
def ledger():
    return "1"

@lg.asset
def sales(ledger) -> list[int]:
    return [1]

@lg.asset(partitions=lg.dynamic("customers"))
def bill(sales: list[int]) -> int:
    return 1

@lg.flow
def slow(seconds: float = 600.0) -> None:
    nap(seconds)

@lg.task
def nap(seconds: float) -> None:
    time.sleep(seconds)
"""


class Up:
    """A service of the project in a folder, started as people start it; of a project with this code, if there is none."""

    def __init__(self, folder: Path, source: str = "", name: str = "dev", workers: int = 1) -> None:
        self.folder = folder
        if source:
            (folder / "legato.toml").write_text(f'modules = ["flows"]\nworkers = {workers}\n')
            (folder / "flows.py").write_text(source)
        self.port = free_port()
        self.output = open(folder / "output", "w")  # noqa: SIM115
        self.process = self.start(name, "--port", str(self.port), stdout=self.output, stderr=subprocess.STDOUT)

    def start(self, *words: str, **how: Any) -> subprocess.Popen[Any]:
        """A call of the command line that goes on by itself."""
        return subprocess.Popen([sys.executable, "-m", "legato", "-C", str(self.folder), *words], **how)

    def call(self, *words: str) -> tuple[int, str]:
        """The exit code of a call of the command line, and all that it said."""
        with self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            said = process.communicate(timeout=PATIENCE_S)[0]
        return process.returncode, said

    def legato(self, *words: str) -> Any:
        """The result of a command; None if it failed."""
        code, said = self.call(*words, "--json")
        return json.loads(said)["result"] if code == 0 else None

    def decisions(self, trigger: str) -> list[Any]:
        """What was decided of a trigger, newest first."""
        page = self.legato("decisions", trigger, "--limit", "200")
        return page["decisions"] if page else []

    def said(self) -> str:
        """What the service has said so far."""
        return (self.folder / "output").read_text()

    def parts(self) -> dict[str, int]:
        """The processes of the service, by name: supervisor, conductor, web, host, and worker where there is one."""
        found, waiting = {"supervisor": self.process.pid}, [self.process.pid]
        while waiting:
            pid = waiting.pop()
            for child in children_of(pid):
                waiting.append(child)
                name = name_of(child)
                if name:
                    found.setdefault("worker" if name == "host" and "host" in found else name, child)
        return found

    def conductor(self) -> int:
        """The conductor's process."""
        return self.parts()["conductor"]

    def get(self, path: str) -> int:
        """The status of an HTTP answer; 0 if there was none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def write(self, source: str) -> None:
        """Save the project's code."""
        save(self.folder / "flows.py", source)

    def run_of(self, said: str) -> str:
        """The run that a command told of."""
        found = re.search(r"run (\w{6}-\w{4})", said)
        assert found, said
        return found[1]

    def end(self) -> str:
        """Stop it as Ctrl-C does; all that it said."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE_S)
        return self.said()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            for pid in self.parts().values():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()
        self.output.close()


def save(file: Path, text: str) -> None:
    """Another text in a file, all at once: who looks meanwhile never finds half of it."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


@contextmanager
def up(folder: Path, source: str, name: str = "dev", workers: int = 1) -> Iterator[Up]:
    """A service, up while the block runs."""
    service = Up(folder, source, name, workers)
    try:
        wait_until(lambda: service.get("/api/v1/health") == 200, 2 * PATIENCE_S)
        yield service
    finally:
        service.close()
        print(service.said())  # shown with a test that failed


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait for something that has to come."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(every_s)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not lost."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name_of(pid: int) -> str:
    """Which part of a service a process is; empty if none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if "legato.surfaces.http" in words:
        return "web"
    return next((name for name in ("conductor", "host") if name in words), "")
