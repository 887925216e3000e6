"""`legato backfill` as people and programs meet it, and runs that stand still."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_site import command, environment, legato, make_project, records, steady
from up_site import wait_until

DAYS = """\
import os
import time
import legato as lg

days = lg.daily("2013-01-01", end="2014-01-01")


@lg.asset(partitions=days)
def flights(day: lg.Partition) -> list:
    time.sleep(float(os.environ.get("SLOW", "0")))
    if day.key == os.environ.get("BAD_DAY"):
        raise ValueError("no file")
    return [day.key] * 10


@lg.asset(partitions=days)
def delays(flights: list) -> int:
    return len(flights)


@lg.asset(partitions=lg.monthly("2013-01", end="2014-01"))
def report(delays: dict) -> int:
    return sum(delays.values())


@lg.flow
def nightly() -> None:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path / "days", DAYS)


def json_of(folder: Path, *words: str, **variables: str) -> Any:
    done = legato(folder, *words, "--json", **variables)
    return records(done.stdout)[-1].get("result")


def test_the_preview_says_what_and_why_and_in_which_order(folder: Path) -> None:
    """A month that cannot be made yet is not asked for; without history, it says so. Nothing is changed."""
    done = legato(folder, "backfill", "--from", "2013-01", "--to", "2013-02-02", "--plan")
    assert steady(done.stdout) == (
        "      name  partitions  steps  reason\n"
        "make  flights  2013-01-01..2013-02-02  33  never made\n"
        "make  delays  2013-01-01..2013-02-02  33  never made\n"
        "make  report  2013-01  1  never made\n"
        "67 steps to make\n"
        "oldest first: flights@2013-01-01 ... delays@2013-02-02, at most 1 at once, behind all other work\n"
        "no history yet to say how long it takes, and how much it is"
    )
    assert legato(folder, "runs").returncode == 3


def test_history_says_how_long_it_takes_and_how_much_it_is(folder: Path) -> None:
    """What is fresh is skipped with its reason; the rest costs what a partition cost so far."""
    assert legato(folder, "backfill", "flights", "--from", "2013-01-01", "--to", "2013-01-04").returncode == 0
    found = json_of(folder, "backfill", "flights", "--from", "2013-01-03", "--to", "2013-01-10", "--plan", "--newest-first")
    assert (found["requested"], found["fresh"], found["unknown"]) == (6, 2, 0)
    assert (found["first"], found["last"]) == ("flights@2013-01-10", "flights@2013-01-05")
    (part,) = found["parts"]
    assert part["partitions"] == "2013-01-05..2013-01-10"
    assert found["work_s"] == pytest.approx(6 * part["seconds"])
    assert found["size_bytes"] == pytest.approx(6 * part["size_bytes"]) != 0
    again = json_of(folder, "backfill", "flights", "--from", "2013-01-03", "--to", "2013-01-10", "--plan", "--again")
    assert (again["requested"], again["fresh"]) == (8, 0)
    out = legato(folder, "backfill", "flights", "--from", "2013-01-01", "--to", "2013-01-04").stdout
    assert out == "nothing to run: 4 fresh\n"


def test_it_runs_day_by_day_and_the_numbers_add_up(folder: Path) -> None:
    """Of each day everything, before the next begins (short steps may travel together: these are not so short); four numbers add
    up to the fifth after every commit."""
    done = legato(folder, "backfill", "--from", "2013-01-29", "--to", "2013-02-01", "--json", BAD_DAY="2013-01-30", SLOW="0.03")
    told = records(done.stdout)
    made = [each["name"] for each in told if each["event"] == "step" and each["status"] == "succeeded"]
    assert made == [f"{node}@{day}" for day in ("2013-01-29", "2013-01-31", "2013-02-01") for node in ("flights", "delays")]
    stands = [each for each in told if each["event"] == "standing"]
    assert all(each["requested"] == 8 for each in stands)
    assert all(each["done"] + each["failed"] + each["cancelled"] + each["pending"] == 8 for each in stands)
    assert told[-1]["result"]["backfill"] == {"requested": 8, "done": 6, "failed": 2, "cancelled": 0, "pending": 0}
    assert (done.returncode, told[-1]["result"]["state"]) == (1, "failed")
    assert "8 of 8 done" in legato(folder, "resume", "last").stdout
    (line,) = json_of(folder, "runs", "--backfills")
    assert (line["state"], line["standing"]["done"], line["request"]) == (
        "succeeded",
        8,
        "backfill --from 2013-01-29 --to 2013-02-01",
    )


def test_a_run_stands_still_and_goes_on(folder: Path) -> None:
    """Whoever watches it is told and let go; it is listed as paused, says how to go on, and does not repeat what it did."""
    words = ("backfill", "flights", "--from", "2013-01", "--at-once", "1")
    with subprocess.Popen(command(*words), cwd=folder, env=environment(SLOW="0.5"), stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any(each["standing"]["done"] > 2 for each in json_of(folder, "runs", "--backfills") or []))
        paused = legato(folder, "pause", "last", "--reason", "too hot")
        out = process.communicate(timeout=60)[0]
    assert paused.returncode == 0, paused.stderr
    assert "next: legato resume" in paused.stdout
    assert "paused  by" in out
    assert "(too hot)" in out
    assert process.returncode == 130
    (line,) = json_of(folder, "runs", "--backfills", "--state", "paused")
    before = line["standing"]
    assert before["pending"] == 365 - before["done"] > 200
    assert json_of(folder, "runs", "--state", "running") == []
    waits = steady(legato(folder, "status", "last").stdout)
    assert "waits" in waits
    assert "the run to go on: legato resume RUN" in waits
    assert legato(folder, "pause", "last").returncode == 0
    told = records(legato(folder, "resume", line["id"], "--json").stdout)
    assert told[-1]["result"]["backfill"] == {"requested": 365, "done": 365, "failed": 0, "cancelled": 0, "pending": 0}
    assert sum(each["event"] == "step" for each in told) == before["pending"]
    assert json.loads(legato(folder, "pause", line["id"], "--json").stdout)["error"]["code"] == "run-ended"


def test_a_run_that_nobody_works_on_is_paused_as_it_stands(folder: Path) -> None:
    """Who takes it up next finds it paused; a resume lets it go on, a cancel ends it."""
    words = ("backfill", "flights", "--from", "2013-12", "--at-once", "1")
    with subprocess.Popen(command(*words), cwd=folder, env=environment(SLOW="1"), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: any(each["standing"]["done"] > 1 for each in json_of(folder, "runs", "--backfills") or []))
        process.send_signal(signal.SIGKILL)
    assert legato(folder, "pause", "last").returncode == 0
    (line,) = json_of(folder, "runs", "--backfills")
    assert line["state"] == "paused"
    assert legato(folder, "cancel", "last").returncode == 0
    (line,) = json_of(folder, "runs", "--backfills")
    assert (line["state"], line["standing"]["pending"]) == ("cancelled", 0)
    assert line["standing"]["done"] + line["standing"]["cancelled"] == 31


def test_what_failed_alone_is_made_again(folder: Path) -> None:
    """`--failed` leaves what was cancelled; without it all of the rest is made."""
    words = ("backfill", "flights", "--from", "2013-12")
    bad = environment(SLOW="1", BAD_DAY="2013-12-01")
    with subprocess.Popen(command(*words), cwd=folder, env=bad, stdout=subprocess.DEVNULL):
        wait_until(lambda: any(each["standing"]["done"] > 1 for each in json_of(folder, "runs", "--backfills") or []))
        assert legato(folder, "cancel", "last").returncode == 0
    (cancelled,) = (each["standing"] for each in json_of(folder, "runs", "--backfills"))
    assert cancelled["failed"] == 1
    plan = json_of(folder, "resume", "last", "--failed", "--plan")
    assert [(part["partitions"], part["action"]) for part in plan["parts"] if part["action"] == "run"] == [("2013-12-01", "run")]
    legato(folder, "resume", "last", "--failed")
    (line,) = json_of(folder, "runs", "--backfills")
    assert (line["state"], line["standing"]) == ("cancelled", {**cancelled, "failed": 0, "done": cancelled["done"] + 1})
    assert legato(folder, "resume", "last").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nightly", "--from", "2013"), "backfill-flow", "nightly is a flow"),
        (("flights", "--from", "2031"), "partition-key", "no partition lies between"),
        (("flights", "--from", "2013-02", "--to", "2013-01"), "partition-key", "ends before it starts"),
        (("flights", "--from", "soon"), "backfill-time", "'soon' is not a date or time"),
        (("flighst",), "asset", "no asset or task is named"),
    ],
)
def test_what_makes_no_sense_is_told(folder: Path, words: tuple[str, ...], code: str, says: str) -> None:
    done = legato(folder, "backfill", *words, "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], done.returncode in (1, 2, 3)) == (code, True)
    assert says in error["what"]


def test_nothing_is_left_where_a_span_only_touches_what_lacks_input(folder: Path) -> None:
    """A month whose days are not there, and that the span does not hold, is not asked for: then there is nothing to make."""
    assert legato(folder, "backfill", "report", "--to", "2013-01-05").stdout == "nothing to run: there are no partitions yet\n"
    whole = json_of(folder, "backfill", "report", "--to", "2013-01", "--plan")
    assert (whole["requested"], whole["blocked"]) == (1, 1)


def test_pausing_what_is_not_there(folder: Path) -> None:
    """A name is a trigger if the project has a node of it, else a run."""
    assert json.loads(legato(folder, "pause", "nightly", "--json").stdout)["error"]["code"] == "trigger"
    legato(folder, "run", "flights@2013-01-01")
    assert json.loads(legato(folder, "pause", "zzzz", "--json").stdout)["error"]["code"] == "run"
    assert json.loads(legato(folder, "pause", "last", "--json").stdout)["error"]["code"] == "run-ended"
