"""`legato versions` and `legato rollback`: what was published, and going back to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from warehouse_site import call


def test_versions_are_listed_by_partition_with_a_mark_at_what_readers_see(ask: Any, say: Any) -> None:
    found = ask("versions", "raw@2024-01-02")["versions"]
    assert [(each["state"], each["current"], each["checks"]) for each in found] == [
        ("quarantined", False, "1 failed, 1 warned"), ("published", True, "2 passed"),
    ]  # fmt: skip
    assert "2 of 3 rows have a null carrier" in found[0]["note"]
    lines = say("versions", "raw@2024-01-02")[1].splitlines()
    assert [line[0] for line in lines] == [" ", " ", "*"]


def test_versions_come_in_pages(ask: Any, say: Any) -> None:
    whole = [each["version"] for each in ask("versions", "raw")["versions"]]
    paged, before = [], "0"
    while before != "0" or not paged:
        page = ask("versions", "raw", "--limit", "2", "--before", before)
        paged += [each["version"] for each in page["versions"]]
        before = str(page["older"])
    assert paged == whole
    assert len(whole) == 5
    assert "older ones: legato versions raw --before" in say("versions", "raw", "--limit", "2")[1]


def test_a_rollback_moves_one_partition_and_says_what_is_stale_then(copied: Path, ask: Any, say: Any) -> None:
    assert call(copied, "run", "+clean@2024-01-04", "--json") == 0
    newest, first = (each["version"] for each in ask("versions", "raw@2024-01-04", site=copied)["versions"])
    result = ask("rollback", "raw@2024-01-04", "--yes", site=copied)
    assert [(each["from"], each["to"]) for each in result["moves"]] == [(newest, first)]
    assert result["after"]["names"] == "clean@2024-01-04"
    assert result["after"]["remade"] == "input changed: feed"
    assert result["after"]["commands"][1] == "legato run 'raw@2024-01-04+ and not raw@2024-01-04'"
    versions = ask("versions", "raw@2024-01-04", site=copied)["versions"]
    assert [(each["current"], each["note"][:11]) for each in versions] == [(False, "rolled back"), (True, "")]
    assert ask("query", "select max(delay_min) from raw", site=copied)["rows"] == [[3.0]]
    # what was gone back from is passed over next time, but its name still leads to it
    assert ask("rollback", "raw@2024-01-04", "--yes", site=copied)["code"] == "version"
    code, told = say("rollback", "raw@2024-01-04", "--to", newest, "--yes", site=copied)
    assert (code, f"undo: legato rollback raw@2024-01-04 --to {first}" in told) == (0, True)
    assert ask("query", "select max(delay_min) from raw", site=copied)["rows"] == [[7.0]]
    assert [each["state"] for each in ask("runs", site=copied)[:2]] == ["succeeded", "succeeded"]


def test_the_commands_after_a_rollback_bring_what_is_below_up_to_date(copied: Path, ask: Any) -> None:
    assert call(copied, "run", "+clean@2024-01-04", "--json") == 0
    [_, run] = ask("rollback", "raw@2024-01-04", "--yes", site=copied)["after"]["commands"]
    assert ask("why", "clean@2024-01-04", site=copied)["state"] == "stale"
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {run}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    call(copied, *words[1:], "--json")  # total stays blocked: a day has no feed
    old = ask("query", "select max(delay_min) from clean", site=copied)["rows"]
    assert old == ask("query", "select max(delay_min) from raw", site=copied)["rows"]


def test_a_rollback_of_a_range_goes_to_what_a_run_made(copied: Path, ask: Any) -> None:
    first = ask("versions", "raw@2024-01-01")["versions"][-1]["run"]
    assert call(copied, "run", "--force", "raw@2024-01-01,2024-01-04", "--json") == 0
    result = ask("rollback", "raw@2024-01-01..2024-01-04", "--to", first, "--yes", site=copied)
    assert [each["partition"] for each in result["moves"]] == ["2024-01-01", "2024-01-04"]
    assert {each["run"] for each in ask("versions", "raw", site=copied)["versions"] if each["current"]} == {first}
    assert ask("rollback", "raw@2024-01-01..2024-01-04", "--to", first, "--yes", site=copied)["code"] == "rollback-current"


def test_a_version_that_was_never_published_is_refused(copied: Path, ask: Any) -> None:
    bad = ask("versions", "raw@2024-01-02")["versions"][0]["version"]
    error = ask("rollback", "raw@2024-01-02", "--to", bad, "--yes", site=copied)
    assert (error["code"], error["exit"]) == ("version-quarantined", 1)
    assert "null carrier" in error["why"]


def test_a_rollback_asks_first_and_without_a_terminal_refuses(warehouse: Path, copied: Path, ask: Any, say: Any) -> None:
    assert call(copied, "run", "raw@2024-01-04", "--json") == 0
    error = ask("rollback", "raw@2024-01-04", site=copied)
    assert (error["code"], error["exit"], error["next"]) == ("confirm", 2, "legato rollback raw@2024-01-04 --yes")
    code, told = say("rollback", "raw@2024-01-04", site=copied)
    assert (code, "will see" in told) == (2, True)
    assert ask("versions", "raw@2024-01-04", site=copied)["versions"][0]["current"] is True


def test_tasks_and_sources_have_no_versions(ask: Any) -> None:
    for name, kind in (("announce", "task"), ("feed", "source")):
        error = ask("versions", name)
        assert (error["code"], error["exit"], error["what"]) == ("versions", 2, f"{name} is a {kind}: it has no versions here")


def test_a_rollback_while_something_runs_names_who_runs(copied: Path, ask: Any) -> None:
    from legato.wiring.code import open_workspace

    assert call(copied, "run", "raw@2024-01-04", "--json") == 0
    writer = open_workspace(copied).open_writer("legato run raw")
    error = ask("rollback", "raw@2024-01-04", "--yes", site=copied)
    writer.close()
    assert (error["code"], error["exit"]) == ("store-locked", 5)
    assert "legato run raw" in error["what"]
    assert str(os.getpid()) in error["what"]
