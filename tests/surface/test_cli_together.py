"""Assets that make ranges of partitions by one call, run by worker processes and by this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_site import legato, make_project, records

RANGES = """\
import os
import time
from typing import Annotated
import legato as lg

days = lg.daily("2013-01-01", end="2013-03-01")


@lg.source(partitions=days)
def feed(day: lg.Partition) -> str:
    return f"v-{day.key}"


@lg.asset
def rate() -> int:
    return 2


def note(name: str, days: list[lg.Partition]) -> None:
    with open(os.path.join(os.path.dirname(__file__), f"{name}.txt"), "a") as file:
        file.write(f"{os.getpid()} {' '.join(day.key for day in days)}\\n")


@lg.asset(partitions=days, retries=lg.Retry(1, delay_s=0.05), timeout=os.environ.get("LIMIT", "60s"))
def flights(days: Annotated[list[lg.Partition], 10], feed: dict) -> dict:
    note("flights", days)
    bad = os.environ.get("BAD_DAY")
    if os.environ.get("DEADLY_DAY") in [day.key for day in days]:
        os._exit(1)
    if os.environ.get("SLOW") and len(days) > 1:
        time.sleep(60)
    if bad == "all":
        raise ValueError("the archive is closed")
    return {
        day.key: ValueError("no file") if day.key == bad else {"day": day.key, "from": feed[day.key]} for day in days
    }


@lg.check(flights)
def is_of_its_day(flights: dict, partition: lg.Partition) -> bool:
    return flights["day"] == partition.key


@lg.asset(partitions=days)
def delays(days: Annotated[list[lg.Partition], 7], flights: dict, rate: int) -> dict:
    note("delays", days)
    assert list(flights) == [day.key for day in days]
    return {day.key: flights[day.key]["day"] * rate for day in days}


@lg.asset(partitions=lg.monthly("2013-01", end="2013-03"))
def report(delays: dict) -> list:
    return sorted(delays.values())
"""


def calls(folder: Path, name: str) -> list[list[str]]:
    """The partitions that each call was for."""
    return [line.split()[1:] for line in (folder / f"{name}.txt").read_text().splitlines()]


@pytest.fixture(params=["inline", "process"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    config = f'name = "ranges"\nmodules = ["pipeline"]\nexecutor = "{request.param}"\nworkers = 2\n'
    return make_project(tmp_path / "project", RANGES, config)


def result(folder: Path, *words: str, **variables: str) -> Any:
    return records(legato(folder, *words, "--json", **variables).stdout)[-1]["result"]


def test_ranges_are_made_by_one_call_each_and_every_partition_is_its_own(folder: Path) -> None:
    """No more partitions a call than it takes; each has a version, its inputs and its verdicts; what is made is made once."""
    made = result(folder, "backfill", "--from", "2013-01")
    assert (made["state"], made["backfill"]["done"]) == ("succeeded", 59 + 59 + 2 + 1)
    for name, most in (("flights", 10), ("delays", 7)):
        asked = calls(folder, name)
        assert len({key for each in asked for key in each}) == sum(map(len, asked)) == 59
        assert max(map(len, asked)) == most
        assert len(asked) < 59 / 2
    history = result(folder, "versions", "delays@2013-01-31")
    assert [each["state"] for each in history["versions"]] == ["published"]
    assert result(folder, "plan")["run"] == 0


def test_one_bad_day_fails_alone_and_is_made_alone(folder: Path) -> None:
    """An exception in the place of a value is of that partition; what is above it is held up, the rest is made."""
    failed = result(folder, "backfill", "--to", "2013-01", BAD_DAY="2013-01-05")
    assert failed["backfill"] == {"requested": 64, "done": 61, "failed": 3, "cancelled": 0, "pending": 0}
    (failure,) = failed["failures"]
    assert (failure["example"], failure["message"], failure["attempts"]) == ("flights@2013-01-05", "no file", 2)
    before = len(calls(folder, "flights"))
    assert result(folder, "resume", failed["id"])["backfill"]["done"] == 64
    assert calls(folder, "flights")[before:] == [["2013-01-05"]]


def test_what_the_call_raises_fails_all_of_it(folder: Path) -> None:
    failed = result(folder, "run", "flights@2013-01-01..2013-01-04", BAD_DAY="all")
    assert failed["counts"] == {"failed": 4}
    (failure,) = failed["failures"]
    assert (failure["partitions"], failure["message"]) == ("2013-01-01..2013-01-04", "the archive is closed")
    asked = [len(each) for each in calls(folder, "flights")]
    assert (asked[0], sum(asked)) == (4, 8)


def test_a_day_that_takes_its_worker_along_takes_no_other_day_along(tmp_path: Path) -> None:
    """After the first loss each is made alone: what does no harm is made, and the one that does has failed."""
    config = 'name = "ranges"\nmodules = ["pipeline"]\nexecutor = "process"\nworkers = 2\n'
    folder = make_project(tmp_path / "project", RANGES, config)
    found = result(folder, "backfill", "flights", "--to", "2013-01-05", DEADLY_DAY="2013-01-03")
    assert found["backfill"] == {"requested": 5, "done": 4, "failed": 1, "cancelled": 0, "pending": 0}
    (failure,) = found["failures"]
    assert (failure["example"], failure["kind"]) == ("flights@2013-01-03", "lost")


def test_a_call_that_takes_too_long_is_made_again_one_by_one(tmp_path: Path) -> None:
    """The time limit is one of the call; what was to be made by it has lost its worker, and is made alone."""
    config = 'name = "ranges"\nmodules = ["pipeline"]\nexecutor = "process"\nworkers = 1\n'
    folder = make_project(tmp_path / "project", RANGES, config)
    found = result(folder, "backfill", "flights", "--to", "2013-01-03", SLOW="1", LIMIT="4s")
    assert found["backfill"] == {"requested": 3, "done": 3, "failed": 0, "cancelled": 0, "pending": 0}
    assert [len(each) for each in calls(folder, "flights")] == [3, 1, 1, 1]


def test_a_limit_is_one_of_partitions(folder: Path) -> None:
    result(folder, "backfill", "flights", "--to", "2013-01-09", "--at-once", "3")
    assert max(len(each) for each in calls(folder, "flights")) == 3
