"""Answers that come twice, too late or from the wrong person, and a rate that somebody tries to outrun by killing everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 90.0
"""How long anything may take that must happen at all."""
CONFIG = 'name = "bad"\nmodules = ["pipeline"]\nworkers = 2\n'

PIPELINE = """
import os, time
import legato as lg


@lg.flow
def asks(limit: str = "1h", who: str = "") -> None:
    try:
        answer = lg.approval("Publish?", who=who, timeout=limit)
    except TimeoutError:
        answer = "too late"
    print("answer:", answer)
    lg.signal("end")


@lg.flow
def hears_equal_ones() -> None:
    first, second = lg.signal("part"), lg.signal("part")
    print("heard:", first, second)


@lg.task(pool=lg.rate("4/4s"))
def call(number: int) -> int:
    with open(os.environ["WITNESS"], "ab", buffering=0) as file:
        file.write(f"{time.monotonic()}\\n".encode())
    return number


@lg.flow
def calls() -> None:
    print(sum(call.map(range(10))))
"""


class Project:
    """A project in which flows run beside the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.witness = folder / "witness.txt"
        (folder / "legato.toml").write_text(CONFIG)
        (folder / "pipeline.py").write_text(PIPELINE)
        self.command = [sys.executable, "-m", "legato", "-C", str(folder)]
        self.env = {**os.environ, "WITNESS": str(self.witness)}
        self.begun: list[subprocess.Popen[str]] = []

    def legato(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, *words], env=self.env, capture_output=True, text=True, timeout=PATIENCE_S)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self.command, *words], env=self.env, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.begun.append(process)
        return process

    def until(self, happened: Callable[[], object]) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit
            time.sleep(0.02)

    def waits_for(self, kind: str) -> bool:
        return kind in self.legato("waits").stdout

    def starts(self) -> list[float]:
        return sorted(map(float, self.witness.read_text().split())) if self.witness.exists() else []

    def close(self) -> None:
        for process in self.begun:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    opened = Project(tmp_path)
    yield opened
    opened.close()


def told(answer: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Exit code, and the code of the error."""
    return answer.returncode, answer.stderr.partition("[")[2].partition("]")[0]


def test_an_approval_counts_once(project: Project) -> None:
    project.begin("run", "asks")
    project.until(lambda: project.waits_for("approval"))
    assert project.legato("approve", "last").returncode == 0
    project.until(lambda: project.waits_for("signal"))
    again = project.legato("approve", "last", "--reject")
    assert told(again) == (3, "wait-none")
    assert "'Publish?' was granted by" in again.stderr
    project.legato("signal", "end")
    assert "answer: True" in project.legato("logs", "last").stdout


def test_an_approval_that_nobody_has_heard_yet_counts_too(project: Project) -> None:
    process = project.begin("run", "asks")
    project.until(lambda: project.waits_for("approval"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert project.legato("approve", "last").returncode == 0
    assert told(project.legato("approve", "last", "--reject")) == (2, "wait-answered")


def test_an_approval_after_its_time_is_none(project: Project) -> None:
    process = project.begin("run", "asks", "--limit", "100ms")
    project.until(lambda: project.waits_for("signal"))
    late = project.legato("approve", "last")
    assert told(late) == (3, "wait-none")
    assert "'Publish?' timed out at" in late.stderr
    project.legato("signal", "end")
    process.communicate(timeout=PATIENCE_S)
    assert "answer: too late" in project.legato("logs", "last").stdout


def test_an_approval_by_someone_who_may_not_changes_nothing(project: Project) -> None:
    project.begin("run", "asks", "--who", "somebody-else")
    project.until(lambda: project.waits_for("approval"))
    assert told(project.legato("approve", "last")) == (6, "approval-who")
    assert project.waits_for("approval")


def test_equal_signals_are_two(project: Project) -> None:
    process = project.begin("run", "hears_equal_ones")
    project.until(lambda: project.waits_for("signal"))
    for number in ("1", "1"):
        assert project.legato("signal", "part", "--data", number).returncode == 0
    assert "succeeded" in process.communicate(timeout=PATIENCE_S)[0]
    assert "heard: 1 1" in project.legato("logs", "last").stdout


def test_a_rate_holds_over_a_kill(project: Project) -> None:
    process = project.begin("run", "calls")
    project.until(lambda: len(project.starts()) >= 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert project.legato("resume").returncode == 0
    starts = project.starts()
    assert len(starts) >= 10
    closest = min(later - earlier for earlier, later in zip(starts, starts[4:], strict=False))
    # The worker notes when it has come to a call, a moment after the conductor let it start.
    assert closest > 2.0, f"five starts within {closest:.2f} s, where four in 4 s are allowed"
