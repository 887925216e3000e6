"""`legato up` on the real process tree: triggers fire, the API answers, and kill -9 of the conductor loses nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = """
import legato as lg

@lg.asset(on=lg.every("1s"))
def beat() -> list[int]:
    return [1]

@lg.asset(on=lg.updated("beat"))
def echo(beat: list[int]) -> list[int]:
    return [beat[0] * 2]

@lg.flow(on=lg.file("inbox/*.csv"))
def load(path: str = "") -> None:
    pass
"""


class Up:
    """A service of a small project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "legato.toml").write_text('modules = ["flows"]\nworkers = 1\n')
        (folder / "flows.py").write_text(PROJECT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.output = open(folder / "output", "w")  # noqa: SIM115
        command = [sys.executable, "-m", "legato", "-C", str(folder), "up", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT)

    def legato(self, *words: str) -> Any:
        command = [sys.executable, "-m", "legato", "-C", str(self.folder), *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(done.stdout)["result"] if done.returncode == 0 else None

    def decisions(self, trigger: str) -> list[Any]:
        page = self.legato("decisions", trigger, "--limit", "200")
        return page["decisions"] if page else []

    def conductor(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(pid) for pid in children if b"conductor" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        self.output.close()
        return (self.folder / "output").read_text()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.process.poll() is None:
        up.process.kill()
        up.process.wait()


def wait_until(true: Callable[[], bool], seconds: float = 40.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.long
def test_a_service_fires_answers_survives_and_ends(service: Up) -> None:
    wait_until(lambda: any(each["state"] == "succeeded" for each in service.legato("runs", "-n", "50") or []))
    wait_until(lambda: bool(service.decisions("echo")))
    wait_until(lambda: service.get("/api/v1/health") == 200)
    assert service.get("/api/v1/runs") == 401
    (service.folder / "inbox").mkdir()
    (service.folder / "inbox" / "orders.csv").write_text("a,b\n1,2\n")
    wait_until(lambda: [each["outcome"] for each in service.decisions("load")] == ["fired"])
    before = len(service.decisions("beat"))
    os.kill(service.conductor(), signal.SIGKILL)
    wait_until(lambda: len(service.decisions("beat")) > before + 1)
    out = service.end()
    assert "conductor was killed by SIGKILL; started again" in out
    assert out.rstrip().endswith("stopped")
    runs = service.legato("runs", "-n", "200")
    assert {each["state"] for each in runs} <= {"succeeded", "interrupted"}
    fired = [each for each in service.decisions("beat") if each["run"]]
    assert len({each["run"] for each in fired}) == len(fired)
