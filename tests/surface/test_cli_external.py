"""A job elsewhere, on the real process tree: begun once, looked after, named where people look, found again after kill -9."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records, steady

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from processes import kill_all, tree_of, wait_until_gone

PIPELINE = """\
from pathlib import Path

import legato as lg

ELSEWHERE = Path(__file__).parent / "elsewhere"


def note(file: str, words: str) -> None:
    with (ELSEWHERE / file).open("a") as lines:
        lines.write(words + "\\n")


@lg.task
def export(table: str) -> dict:
    note("begun.txt", table)
    return {"id": f"{table}-1"}


@lg.task
async def export_later(table: str) -> dict:
    note("begun.txt", table)
    return {"id": f"{table}-1"}


@lg.task(retries=lg.Retry(3, delay_s=0.01))
def is_exported(handle: dict) -> int | None:
    note("looked.txt", handle["id"])
    if (ELSEWHERE / "down").exists():
        (ELSEWHERE / "down").unlink()
        raise ConnectionError("try again")
    done = ELSEWHERE / f"{handle['id']}.done"
    return int(done.read_text()) if done.exists() else None


@lg.flow
def exports(table: str = "orders", timeout: str = "1h") -> int:
    rows = lg.external(export, is_exported, table, every="50ms", timeout=timeout)
    print("exported", rows)
    return rows


@lg.flow
async def exports_both() -> int:
    import asyncio

    jobs = (lg.external(begin, is_exported, name, every="50ms") for begin, name in ((export, "a"), (export_later, "b")))
    print("exported", await asyncio.gather(*jobs))


@lg.flow
def slow_exports() -> None:
    lg.external(export, is_exported, "orders", every="1h")
"""
CONFIG = 'name = "exports"\nmodules = ["pipeline"]\nworkers = 2\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return make_project(tmp_path, PIPELINE, CONFIG)


def lines(site: Path, file: str) -> list[str]:
    path = site / "elsewhere" / file
    return path.read_text().splitlines() if path.exists() else []


def finish(site: Path, job: str, rows: int) -> None:
    """The job elsewhere has ended."""
    partial = site / "elsewhere" / "partial"
    partial.write_text(str(rows))
    partial.rename(site / "elsewhere" / f"{job}.done")


def wait_for_looks(site: Path, count: int) -> None:
    until = time.monotonic() + 60
    while len(lines(site, "looked.txt")) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def running(site: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(*words), cwd=site, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_flow_waits_for_a_job_elsewhere(site: Path) -> None:
    (site / "elsewhere" / "down").touch()
    with running(site, "run", "exports") as process:
        wait_for_looks(site, 4)
        finish(site, "orders-1", 12)
        assert process.wait(60) == 0
    assert lines(site, "begun.txt") == ["orders"]
    assert "exported 12" in legato(site, "logs", "last", "exports").stdout
    told = steady(legato(site, "logs", "last", "is_exported").stdout)
    assert "not there yet, tried again" in told
    assert "ConnectionError: try again" in told
    assert "the job goes on" not in legato(site, "logs", "last").stdout, "only who asks for it hears of each look"
    (status,) = records(legato(site, "status", "last", "--json").stdout)
    assert status["result"]["counts"] == {"succeeded": 3}


def test_jobs_beside_each_other_in_an_async_flow(site: Path) -> None:
    with running(site, "run", "exports_both") as process:
        wait_for_looks(site, 4)
        finish(site, "b-1", 2)
        finish(site, "a-1", 1)
        assert process.wait(60) == 0
    assert sorted(lines(site, "begun.txt")) == ["a", "b"]
    assert "exported [1, 2]" in legato(site, "logs", "last", "exports_both").stdout


def test_a_job_that_takes_too_long_is_a_timeout_error(site: Path) -> None:
    answer = legato(site, "run", "exports", "--timeout", "200ms")
    assert answer.returncode == 1
    assert "failed  exports: the job goes on (not asked again: timeout of TOOK is over)" in steady(answer.stdout)
    assert "TimeoutError" in legato(site, "logs", "last", "exports").stdout


def test_who_looks_is_told_what_a_flow_waits_for(site: Path) -> None:
    with running(site, "run", "slow_exports"):
        wait_for_looks(site, 1)
        until = time.monotonic() + 60
        while "next at" not in (told := steady(legato(site, "status", "last").stdout)):
            assert time.monotonic() < until, told
        assert "  waits  is_exported: poll of export, next at TIME" in told
        assert (
            steady(legato(site, "waits").stdout).splitlines()[1]
            == "RUN  running  slow_exports  poll  TIME  is_exported of export"
        )
        (waits,) = records(legato(site, "waits", "--json").stdout)
        assert [(each["kind"], each["name"]) for each in waits["result"]] == [("poll", "is_exported of export")]


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 40))])
def test_a_job_is_begun_once_whatever_is_killed(site: Path, seed: int) -> None:
    """kill -9 of the whole tree, or of one process, while the job goes on: it is found again by its recorded handle."""
    chance = random.Random(seed)
    words = ["run", "exports"]
    for _ in range(chance.randint(1, 3)):
        with running(site, *words) as process:
            wait_for_looks(site, len(lines(site, "looked.txt")) + chance.randint(1, 4))
            time.sleep(chance.uniform(0.0, 0.1))
            tree = tree_of(process.pid)
            kill_all(tree if chance.random() < 0.5 else [process.pid])
            process.wait(60)
            wait_until_gone(pid for pid in tree if pid != process.pid)
        words = ["resume"]
    finish(site, "orders-1", 12)
    answer = legato(site, "resume")
    assert answer.returncode == 0, answer.stderr
    assert lines(site, "begun.txt") == ["orders"]
    assert "exported 12" in legato(site, "logs", "last", "exports").stdout
