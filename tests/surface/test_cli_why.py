"""`legato why`, in every state that an asset can be in."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_site import command, environment, make_project
from warehouse_site import CONFIG, GOOD, PIPELINE, call


@pytest.mark.parametrize(
    ("name", "state", "reason", "root"),
    [
        ("raw@2024-01-01", "fresh", "its code, its contract and its inputs", ""),
        ("raw@2024-01-02", "quarantined", "not_null_carrier of raw: 2 of 3 rows have a null carrier", ""),
        ("raw@2024-01-03", "failed", "the feed is closed", ""),
        ("raw@2024-01-04", "stale", "input changed: feed", ""),
        ("raw@2024-01-05", "never made", "no run has made it yet", ""),
        ("raw@2024-01-06", "blocked", "input missing: feed@2024-01-06", "feed@2024-01-06"),
        ("clean@2024-01-01", "fresh", "", ""),
        ("clean@2024-01-02", "held up", "raw@2024-01-02 failed", "raw@2024-01-02"),
        ("clean@2024-01-03", "held up", "raw@2024-01-03 failed: the feed is closed", "raw@2024-01-03"),
        ("clean@2024-01-04", "stale", "input changed: raw", ""),
        ("total", "blocked", "input missing: clean@2024-01-06", "feed@2024-01-06"),
        ("ref/rates", "stale", "code changed", ""),
        ("prices", "stale", "contract or checks changed", ""),
        ("unmade", "never made", "", ""),
        ("announce", "blocked", "", "feed@2024-01-06"),
        ("feed@2024-01-01", "observed", "observed: one", ""),
    ],
)
def test_why_knows_every_state(ask: Any, name: str, state: str, reason: str, root: str) -> None:
    found = ask("why", name)
    assert (found["state"], found["root"]) == (state, root)
    assert reason in found["reason"]


def test_a_quarantined_partition_shows_its_rows_and_what_readers_see(ask: Any, say: Any) -> None:
    found = ask("why", "raw@2024-01-02")
    failure, seen = found["failure"], found["seen"]
    [check] = [each for each in failure["checks"] if each["severity"] == "block"]
    assert (check["check"], check["failed"], check["total"]) == ("not_null_carrier", 2, 3)
    assert [row["flight"] for row in check["sample"]] == [2, 3]
    assert list(check["sample"][0]) == ["flight", "carrier", "delay_min"]
    assert Path(failure["file"]).is_file()
    assert failure["version"] != seen["version"]
    assert seen["rows"] == 3
    assert found["holds_up"] == {"count": 3, "names": "clean@2024-01-02, total, announce"}
    assert [each["command"].split()[1] for each in found["next"]] == ["logs", "versions", "run"]
    code, told = say("why", "raw@2024-01-02")
    assert code == 0
    assert "raw@2024-01-02 is quarantined" in told
    assert check["query"] in told


def test_the_command_for_the_offending_rows_works_when_it_is_pasted(warehouse: Path, ask: Any) -> None:
    [check] = [each for each in ask("why", "raw@2024-01-02")["failure"]["checks"] if each["severity"] == "block"]
    script = f'legato() {{ {" ".join(command())} "$@"; }}\n{check["query"]} --csv'
    pasted = subprocess.run(["bash", "-c", script], cwd=warehouse, env=environment(), capture_output=True, text=True, timeout=120)
    assert pasted.stderr == ""
    assert pasted.stdout == "flight,carrier,delay_min\n2,,\n3,,5.0\n"


def test_a_failed_partition_shows_where_and_its_last_lines(ask: Any, say: Any) -> None:
    failure = ask("why", "raw@2024-01-03")["failure"]
    assert (failure["error"], failure["where"]) == ("ValueError: the feed is closed", "pipeline.py:22")
    assert failure["lines"] == ["reading 2024-01-03 broken"]
    assert "| reading 2024-01-03 broken" in say("why", "raw@2024-01-03")[1]


def test_a_stale_partition_names_the_input_and_its_newest_version(ask: Any) -> None:
    [change] = ask("why", "raw@2024-01-04")["changes"]
    assert (change["name"], change["version"]) == ("feed@2024-01-04", "another")
    [coming] = ask("why", "clean@2024-01-04")["changes"]
    assert (coming["name"], coming["what"]) == ("raw@2024-01-04", "is to be made anew itself (input changed: feed)")


def test_a_stale_partition_names_the_input_that_was_published_since(copied: Path, ask: Any) -> None:
    assert call(copied, "run", "raw@2024-01-04", "--json") == 0
    seen = ask("why", "raw@2024-01-04", site=copied)["seen"]
    [change] = ask("why", "clean@2024-01-04", site=copied)["changes"]
    assert change == {
        "name": "raw@2024-01-04", "what": "was published since", "version": seen["version"], "at": seen["at"], "run": seen["run"],
    }  # fmt: skip


def test_a_partitioned_asset_is_told_as_a_whole(ask: Any, say: Any) -> None:
    found = ask("why", "raw")
    assert found["counts"] == {"fresh": 1, "quarantined": 1, "failed": 1, "stale": 1, "never made": 1, "blocked": 1}
    assert [(each["state"], each["partitions"]) for each in found["groups"]] == [
        ("failed", "2024-01-03"), ("quarantined", "2024-01-02"), ("blocked", "2024-01-06"), ("stale", "2024-01-04"),
    ]  # fmt: skip
    assert "next: legato why raw@2024-01-03" in say("why", "raw")[1]


def test_what_was_mended_is_fresh_again_and_its_failure_is_forgotten(copied: Path, ask: Any) -> None:
    (copied / "feed.json").write_text(json.dumps({**GOOD, "2024-01-02": "two"}))
    assert call(copied, "run", "raw@2024-01-02", "--json") == 0
    found = ask("why", "raw@2024-01-02", site=copied)
    assert (found["state"], found["failure"]) == ("fresh", None)


def test_a_failed_try_is_told_also_where_the_older_version_is_right_again(copied: Path, ask: Any, say: Any) -> None:
    (copied / "feed.json").write_text(json.dumps(GOOD))
    found = ask("why", "raw@2024-01-02", site=copied)
    assert (found["state"], found["failure"]["kind"]) == ("fresh", "gate")
    told = say("why", "raw@2024-01-02", site=copied)[1]
    assert "is fresh" in told
    assert "quarantined as version" in told


def test_a_project_in_which_nothing_ran_is_never_made(tmp_path: Path, ask: Any) -> None:
    fresh = make_project(tmp_path / "new", PIPELINE, CONFIG)
    (fresh / "feed.json").write_text(json.dumps(GOOD))
    assert ask("why", "unmade", site=fresh)["state"] == "never made"
    assert ask("why", "raw", site=fresh)["counts"] == {"never made": 5, "blocked": 1}
    for words in (("logs", "last"), ("versions", "raw"), ("rollback", "raw", "--yes")):
        error = ask(*words, site=fresh)
        assert (error["code"], error["exit"], error["next"]) == ("store-none", 3, "legato run")


@pytest.mark.parametrize("words", [("why",), ("versions",), ("rollback", "--yes")])
def test_names_and_keys_that_do_not_exist_are_told(ask: Any, words: tuple[str, ...]) -> None:
    error = ask(*words, "rawe")
    assert (error["code"], error["exit"]) == ("asset", 3)
    assert "raw" in error["why"]
    error = ask(*words, "raw@2025-01-01")
    assert (error["code"], error["exit"]) == ("partition-key", 3)
    assert "2024-01-06" in error["why"] + error["next"]
    error = ask(*words, "prices@2024-01-01")
    assert (error["code"], error["exit"]) == ("partition-key", 2)
