"""`legato resume` after an edit: what changed is told first, and exactly that runs again."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_site import command, edit, environment, legato, made, make_project, records, steady

CONFIG = 'name = "crm"\nmodules = ["pipeline"]\nworkers = 2\n'

PIPELINE = """\
import os
import time
import legato as lg


def note(*words):
    with open("made.txt", "a") as file:
        print(*words, file=file)


@lg.task
def find(source: str) -> int:
    note("find", source)
    return 2


@lg.task
def rate(lead: int) -> int:
    note("rate", lead)
    if lead == 1:
        raise ValueError("no rating")
    return lead * 10


@lg.task
def drop(lead: int) -> None:
    note("drop", lead)
    time.sleep(60 if os.path.exists("hang") else 0)


@lg.flow
def one(lead: int) -> int:
    return find(f"again {lead}") + rate(lead)


@lg.flow
def leads() -> int:
    ids = range(find("fair"))
    drop(7)
    return sum(one(each) for each in ids)


@lg.asset
def prices() -> int:
    note("prices")
    return 3


@lg.asset
def report(prices: int) -> int:
    note("report")
    raise ValueError("no report")
"""

PLAN = """\
run RUN goes on: leads, 4 recorded results reused
code changed since it was accepted: leads, one, rate
this takes the code of now; for that of then: legato resume RUN --code then
      name  steps  reason
run  leads  1  goes on, with changed code
skip  find  3  recorded
skip  drop  1  recorded
run  one  1  code changed
run  rate  1  code changed
run  one  1  goes on, with changed code
run  rate  1  is tried again, with changed code
2 recorded calls will run again, if the flow still makes them"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path, PIPELINE, CONFIG)


def test_the_plan_of_a_resume_is_shown_and_is_what_is_done(site: Path) -> None:
    assert legato(site, "run", "leads").returncode == 1
    assert made(site) == ["find fair", "drop 7", "find again 0", "rate 0", "find again 1", "rate 1"]
    edit(site, '    if lead == 1:\n        raise ValueError("no rating")\n', "")
    shown = legato(site, "resume", "--plan")
    assert (shown.returncode, steady(shown.stdout)) == (0, PLAN)
    assert steady(legato(site, "resume", "last", "--plan").stdout) == PLAN, "nothing was changed"
    assert made(site) == []
    answer = legato(site, "resume")
    assert answer.returncode == 0, answer.stderr
    assert steady(answer.stdout).startswith(PLAN + "\ndone")
    assert made(site) == ["rate 0", "rate 1"]


def test_a_resume_without_changes_is_one_line(site: Path) -> None:
    legato(site, "run", "leads")
    first = steady(legato(site, "resume").stdout).splitlines()[:2]
    assert first[0] == "run RUN goes on: leads, 4 recorded results reused"
    assert first[1].startswith("failed  rate#2: no rating")


def test_the_plan_in_json(site: Path) -> None:
    legato(site, "run", "leads")
    edit(site, "return lead * 10", "return lead * 11")
    (told,) = records(legato(site, "resume", "--plan", "--json").stdout)
    result = told["result"]
    assert (result["changed"], result["removed"], result["reused"], result["again"]) == (["leads", "one", "rate"], [], 4, 2)
    assert {"node": "rate", "action": "run", "reason": "code changed", "partitions": "", "count": 1} in result["parts"]
    streamed = records(legato(site, "resume", "--json").stdout)
    assert [each["event"] for each in streamed][:2] == ["plan", "run"]
    assert streamed[0]["result"] == result


def test_planned_steps_run_with_the_code_of_now(site: Path) -> None:
    legato(site, "run", "report")
    made(site)
    legato(site, "run", "+report")
    assert made(site) == ["prices", "report"]
    edit(site, '    raise ValueError("no report")', "    return 4")
    edit(site, 'note("prices")\n    return 3', 'note("prices")\n    return 33')
    lines = steady(legato(site, "resume").stdout).splitlines()
    assert lines[1] == "code changed since it was accepted: prices, report"
    assert lines[4:6] == [
        "skip  prices  1  recorded, by other code than that of now",
        "run  report  1  is tried again, with changed code",
    ]
    assert made(site) == ["report"]


def test_what_was_removed_while_it_ran_is_told_and_left_alone(site: Path) -> None:
    (site / "hang").touch()
    process = subprocess.Popen(command("run", "leads"), cwd=site, env=environment(), stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not (site / "made.txt").exists() or "drop 7" not in (site / "made.txt").read_text():
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    made(site)
    edit(site, "    drop(7)\n", "")
    edit(site, "@lg.task\ndef drop", "def drop")
    edit(site, "if lead == 1:", "if lead == 7:")
    shown = legato(site, "resume", "--plan").stdout
    assert "code changed since it was accepted: leads\n" in shown  # what was never called is as it is now
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("gone")] == [["gone", "drop"]]
    answer = legato(site, "resume")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "failed  drop: this project has no drop" in answer.stdout
    assert made(site) == ["find again 0", "rate 0", "find again 1", "rate 1"]
