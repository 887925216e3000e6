"""`legato clean` says what it would let go, and lets it go; what is published is there as before. A run does it at its end."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from cli_site import CONFIG, legato, make_project, records

STRICT = CONFIG + "\n[keep]\nversions = 1\n"
PIPELINE = """\
import legato as lg


@lg.asset
def prices() -> str:
    return "x" * 1000


@lg.task
def announce(prices: str) -> str:
    return "y" * 100_000
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_project(tmp_path, PIPELINE)
    for _ in range(3):
        assert legato(tmp_path, "run", "--force").returncode == 0
    (tmp_path / "legato.toml").write_text(STRICT)
    return tmp_path


def ask(site: Path, *words: str) -> dict:
    answer = legato(site, *words, "--json")
    assert answer.returncode == 0, answer.stderr
    return records(answer.stdout)[-1]["result"]


def values(site: Path) -> int:
    return sum(path.is_file() for path in (site / ".legato" / "data" / "prices").rglob("*"))


def an_hour_later(site: Path) -> None:
    with sqlite3.connect(site / ".legato" / "state.db") as db:
        db.execute("update waste set at = at - 3700000000")
    db.close()


def test_before_anything_ran_there_is_nothing_to_let_go(tmp_path: Path) -> None:
    make_project(tmp_path, PIPELINE)
    assert legato(tmp_path, "clean").stdout == "nothing is older than it is kept\n"
    assert not (tmp_path / ".legato").exists()


def test_a_plan_says_what_would_go_and_changes_nothing(site: Path) -> None:
    planned = legato(site, "clean", "--plan").stdout
    assert planned.splitlines()[0] == "would go: 2 versions; 0 B of files"
    assert "later: 2 stored values, 2.0 kB" in planned
    assert (len(ask(site, "versions", "prices")["versions"]), values(site)) == (3, 3)


def test_what_is_old_goes_and_what_is_published_is_read_as_before(site: Path) -> None:
    first = ask(site, "clean")
    assert (first["versions"], first["later"], values(site)) == (2, 2, 3)
    assert len(ask(site, "versions", "prices")["versions"]) == 1
    an_hour_later(site)
    assert legato(site, "clean").stdout == "gone: 2 stored values; 2.0 kB of files\n"
    assert (values(site), ask(site, "clean")["later"]) == (1, 0)
    findings = {each["subject"]: each["level"] for each in ask(site, "doctor", "--deep")["findings"]}
    assert {findings[subject] for subject in ("published", "history", "leftovers", "runs")} == {"ok"}


def test_waste_is_no_leftover_of_a_killed_attempt(site: Path) -> None:
    ask(site, "clean")
    (leftovers,) = [each for each in ask(site, "doctor")["findings"] if each["subject"] == "leftovers"]
    assert leftovers["what"] == "none"


def test_a_run_tidies_up_when_it_ends(site: Path) -> None:
    """For a moment only: what the end of one run has no time for, that of a later one does."""
    for _ in range(20):
        assert legato(site, "run", "--force").returncode == 0
        if len(ask(site, "versions", "prices")["versions"]) == 1:
            break
    assert len(ask(site, "versions", "prices")["versions"]) == 1
    for _ in range(20):
        an_hour_later(site)
        assert legato(site, "run", "--force").returncode == 0
        if values(site) == 2:
            break
    assert values(site) == 2, "the one that is published, and the one that the last run replaced"


def test_logs_go_when_they_are_old_and_say_so(site: Path) -> None:
    for path in (site / ".legato" / "logs").rglob("*.log"):
        os.utime(path, (0, time.time() - 31 * 86_400))
    told = ask(site, "clean", "--plan")
    assert told["logs"] == len(list((site / ".legato" / "logs").rglob("*.log")))
    assert ask(site, "clean")["logs"] == told["logs"]
    assert list((site / ".legato" / "logs").iterdir()) == []


def test_while_somebody_works_only_the_plan_is_told(site: Path) -> None:
    import fcntl

    with (site / ".legato" / "state.db.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(b'{"pid": %d, "command": "legato up", "since": "now"}' % os.getpid())
        lock.flush()
        answer = legato(site, "clean")
        assert (answer.returncode, "store-locked" in answer.stderr) == (5, True)
        assert ask(site, "clean", "--plan")["versions"] == 2
