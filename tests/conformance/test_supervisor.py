"""The supervisor of a service's processes: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0
"""How long anything may take that must happen at all; a part that is asked to end has ten times as long."""

SCRIPT = """
import sys
from legato.service.supervisor import Supervisor, Part
parts = [Part(name, (sys.executable, "-c", code), 600.0) for name, code in zip(sys.argv[1::2], sys.argv[2::2])]
Supervisor(parts, lambda words: print(words, flush=True)).run()
print("done", flush=True)
"""
SLEEPER = """
import os, signal, sys, time
from legato.service.supervisor import end_with_supervisor
end_with_supervisor()
open({path!r}, "a").write(f"{{os.getpid()}}\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(open({path!r}, "a").write("stopped\\n") and 0))
while True:
    time.sleep(60)
"""
STUBBORN = SLEEPER.replace("lambda *_: sys.exit", "lambda *_: print")


class Site:
    """A supervisor of some parts, each of which writes its pid into a file whenever it is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.supervisor: subprocess.Popen[str] | None = None

    def open(self, **parts: str) -> None:
        words = [word for name, code in parts.items() for word in (name, code.format(path=str(self.folder / name)))]
        command = [sys.executable, "-c", SCRIPT, *words]
        self.supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def end(self, number: int = signal.SIGTERM) -> str:
        assert self.supervisor is not None
        self.supervisor.send_signal(number)
        return self.supervisor.communicate(timeout=PATIENCE_S)[0]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    if made.supervisor is not None and made.supervisor.poll() is None:
        made.supervisor.kill()
        made.supervisor.communicate()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_dies_is_started_again_and_the_others_are_left_alone(site: Site) -> None:
    site.open(one=SLEEPER, two=SLEEPER)
    wait_until(lambda: bool(site.lines("one") and site.lines("two")))
    os.kill(int(site.lines("one")[0]), signal.SIGKILL)
    wait_until(lambda: len(site.lines("one")) == 2)
    assert len(site.lines("two")) == 1
    out = site.end()
    assert "one was killed by SIGKILL; started again" in out
    assert out.endswith("done\n")


def test_who_dies_at_once_is_given_more_and_more_time(site: Site) -> None:
    site.open(weak='open("{path}", "a").write("x "); raise SystemExit(3)')
    wait_until(lambda: len(site.lines("weak")) == 3)
    out = site.end()
    told = [line for line in out.splitlines() if line.startswith("weak ended with code 3")]
    assert [line.rpartition(" in ")[2] for line in told[:2]] == ["200 ms", "400 ms"]


def test_the_parts_are_stopped_last_first(site: Site) -> None:
    order = site.folder / "order"
    site.open(one=SLEEPER.replace("{path!r}", repr(str(order))), two=SLEEPER)
    wait_until(lambda: bool(site.lines("order") and site.lines("two")))
    site.end()
    assert site.lines("order")[-1] == site.lines("two")[-1] == "stopped"
    assert (site.folder / "two").stat().st_mtime_ns <= order.stat().st_mtime_ns


def test_a_second_request_stops_at_once_whoever_does_not_want_to(site: Site) -> None:
    site.open(mule=STUBBORN)
    wait_until(lambda: bool(site.lines("mule")))
    assert site.supervisor is not None
    site.supervisor.send_signal(signal.SIGINT)
    wait_until(lambda: "stopped" in site.lines("mule"))
    out = site.end(signal.SIGINT)
    assert "mule is killed: asked twice" in out


def test_nobody_survives_the_keeper(site: Site) -> None:
    site.open(one=SLEEPER)
    wait_until(lambda: bool(site.lines("one")))
    pid = int(site.lines("one")[0])
    assert site.supervisor is not None
    site.supervisor.kill()
    site.supervisor.communicate()
    wait_until(lambda: not is_running(pid))
