"""Stopping a run: by Ctrl-C once or twice, by SIGTERM, by `cancel`; and two commands that want to run at once."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records, wait_for

PIPELINE = """\
import time
from pathlib import Path

import legato as lg


@lg.asset(partitions=lg.static([f"k{number}" for number in range(8)]))
def slow(part: lg.Partition) -> str:
    Path("began").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return part.key
"""
ROLLBACK = """\
import time
from pathlib import Path

import legato as lg


def give_back(x: int, result: int) -> None:
    Path("began").touch()
    while not Path("go").exists():
        time.sleep(0.01)


@lg.task(undo=give_back)
def take(x: int) -> int:
    return x


@lg.flow(on_failure="rollback")
def taken() -> None:
    take(1)
    raise ValueError("no")
"""
CONFIG = 'name = "slow"\nmodules = ["pipeline"]\nworkers = 2\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path, PIPELINE, CONFIG)


@contextmanager
def running(site: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun its first step, which waits for a word."""
    process = subprocess.Popen(
        command("run", *words), cwd=site, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for((site / "began").exists)
        yield process
    finally:
        process.kill()
        process.communicate()


def workers_of(pid: int) -> list[str]:
    """The processes below this one."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []


def read_that_it_was_heard(process: subprocess.Popen[str]) -> None:
    """Read on until a run says what its first signal does: two that come before it looks would be one."""
    assert process.stdout is not None
    told = iter(process.stdout.readline, "")
    assert any("what runs may end; press Ctrl-C again to stop at once" in line for line in told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_what_runs_end(site: Path, number: int) -> None:
    with running(site) as process:
        process.send_signal(number)
        read_that_it_was_heard(process)
        (site / "go").touch()
        told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    run_id = told.rsplit("legato resume ", 1)[1].split()[0]
    assert f"run {run_id} interrupted in " in told
    assert "left to do" in told
    resumed = legato(site, "resume")
    assert resumed.returncode == 0
    assert "8 succeeded" in resumed.stdout


def test_two_signals_stop_at_once(site: Path) -> None:
    with running(site) as process:
        below = workers_of(process.pid)
        process.send_signal(signal.SIGINT)
        read_that_it_was_heard(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "was stopped at once [interrupted]" in errors
    assert "  next:  legato resume " in errors
    assert below
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below))
    (site / "go").touch()
    assert legato(site, "resume").returncode == 0


def test_cancel_reaches_the_process_at_work(site: Path) -> None:
    with running(site) as process:
        assert "slow: 8 asset partitions: 8 missing" in legato(site, "status").stdout
        assert [each["state"] for each in records(legato(site, "runs", "--json").stdout)[0]["result"]] == ["running"]
        cancelled = legato(site, "cancel", "last", "--reason", "not needed")
        told, _ = process.communicate(timeout=60)
    assert (cancelled.returncode, process.returncode) == (0, 1)
    assert cancelled.stdout.endswith(" cancelled: 8 cancelled\n")
    assert "try again what did not succeed" in told
    again = legato(site, "cancel", "last")
    assert (again.returncode, again.stderr.count("[run-ended]")) == (2, 1)


def test_cancel_of_a_run_that_nobody_works_on(site: Path) -> None:
    with running(site) as process:
        process.kill()
        process.communicate()
        wait_for(lambda: "interrupted" in legato(site, "runs").stdout)
        cancelled = legato(site, "cancel", "last", "--json")
    assert cancelled.returncode == 0
    assert records(cancelled.stdout)[0]["result"]["state"] == "cancelled"


def test_cancel_says_how_a_rollback_ended(tmp_path: Path) -> None:
    """It is not cancelled: it goes on, here below the command that was to cancel it."""
    site = make_project(tmp_path, ROLLBACK, CONFIG)
    with running(site, "taken") as process:
        process.kill()
        process.communicate()
        (site / "go").touch()
        wait_for(lambda: "interrupted" in legato(site, "runs").stdout)
        cancelled = legato(site, "cancel", "last")
    assert cancelled.stdout.endswith(" rolled back: 1 failed, 1 undone\n")
    assert "rolled_back" in legato(site, "runs").stdout


def test_a_second_run_waits_or_fails_at_once(site: Path) -> None:
    with running(site) as process:
        refused = legato(site, "run", "--no-wait")
        assert refused.returncode == 5
        assert f"error: the store is held by process {process.pid} (`legato run`) since " in refused.stderr
        assert f"  next:  wait, or stop it with: kill -INT {process.pid}\n" in refused.stderr
        waiting = subprocess.Popen(
            command("run"), cwd=site, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith(f"waiting for process {process.pid} (`legato run`, since ")
        (site / "go").touch()
        assert "8 succeeded" in process.communicate(timeout=60)[0]
        told, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, told) == (0, "nothing to run: 8 fresh\n")


def test_a_run_whose_reader_goes_away_goes_on(site: Path) -> None:
    with running(site) as process:
        assert process.stdout is not None
        process.stdout.close()
        (site / "go").touch()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert legato(site, "run").stdout == "nothing to run: 8 fresh\n"
