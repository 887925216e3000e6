"""The commands that ask and go back, on a project in which every state occurs: why, logs, versions, rollback, query."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_site import command, environment, make_project, records

import legato.surfaces.cli.main as cli

CONFIG = 'name = "warehouse"\nmodules = ["pipeline"]\nexecutor = "inline"\n'
PIPELINE = '''\
"""Flights by day, each day as the feed says."""

import json
from pathlib import Path

import polars as pl

import legato as lg

days = lg.daily("2024-01-01", end="2024-01-07")


@lg.source(partitions=days)
def feed(day: lg.Partition) -> str | None:
    return json.loads(Path(__file__).with_name("feed.json").read_text()).get(day.key)


@lg.asset(partitions=days)
def raw(day: lg.Partition, feed: str) -> pl.DataFrame:
    print("reading", day, feed)
    if feed == "broken":
        raise ValueError("the feed is closed")
    carriers = ["UA", None, None] if feed == "nulls" else ["UA", "AA", "B6"]
    return pl.DataFrame({"flight": [1, 2, 3], "carrier": carriers, "delay_min": [1.5, None, len(feed)]})


lg.check(raw, lg.not_null("carrier"), lg.in_range("delay_min", 0, 3, severity="warn"))


@lg.asset(partitions=days)
def clean(raw: pl.DataFrame) -> pl.DataFrame:
    return raw


@lg.asset
def total(clean: pl.DataFrame) -> dict:
    return {"flights": len(clean)}


@lg.asset(name="ref/rates")
def rates() -> list:
    return [1, 2]


@lg.asset
def prices() -> pl.DataFrame:
    return pl.DataFrame({"price": [3, 4]})


@lg.asset
def unmade() -> int:
    return 1


@lg.task
def announce(total: dict) -> None:
    print("done")
'''

GOOD = {f"2024-01-0{day}": "one" for day in (1, 2, 3, 4, 5)}
BAD = {**GOOD, "2024-01-02": "nulls", "2024-01-03": "broken"}


def call(site: Path, *words: str) -> int:
    return cli.call(["-C", str(site), *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Day 1 is fresh, 2 quarantined, 3 failed, 4 stale by input, 5 never made, 6 blocked; rates and prices are stale as well."""
    site = make_project(tmp_path_factory.mktemp("warehouse"), PIPELINE, CONFIG)

    def tell(feed: dict[str, str]) -> None:
        (site / "feed.json").write_text(json.dumps(feed))

    tell(GOOD)
    assert call(site, "run", "+clean@2024-01-01..2024-01-04", "ref/rates", "prices", "--json") == 0
    tell(BAD)
    assert call(site, "run", "+clean@2024-01-01..2024-01-04", "--json") == 1
    tell({**BAD, "2024-01-04": "another"})
    text = (site / "pipeline.py").read_text().replace("return [1, 2]", "return [1, 2, 3]")
    (site / "pipeline.py").write_text(f'{text}\n\nlg.check(prices, lg.in_range("price", 0, 10))\n')
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    """A copy of the project, for tests that change it."""
    return Path(shutil.copytree(made, tmp_path / "warehouse"))


Ask = Any


@pytest.fixture
def ask(made: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The result, or the error, of a command with --json."""

    def ask(*words: str, site: Path = made) -> Any:
        capsys.readouterr()
        code = call(site, *words, "--json")
        [record] = records(capsys.readouterr().out)
        assert record["ok"] is (code == 0)
        return record["result"] if code == 0 else record["error"] | {"exit": code}

    return ask


@pytest.fixture
def say(made: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints for people, and its exit code."""

    def say(*words: str, site: Path = made) -> tuple[int, str]:
        capsys.readouterr()
        code = call(site, *words)
        told = capsys.readouterr()
        return code, told.out + told.err

    return say


# -- why --


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
def test_why_knows_every_state(ask: Ask, name: str, state: str, reason: str, root: str) -> None:
    found = ask("why", name)
    assert (found["state"], found["root"]) == (state, root)
    assert reason in found["reason"]


def test_a_quarantined_partition_shows_its_rows_and_what_readers_see(ask: Ask, say: Any) -> None:
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


def test_the_command_for_the_offending_rows_works_when_it_is_pasted(made: Path, ask: Ask) -> None:
    [check] = [each for each in ask("why", "raw@2024-01-02")["failure"]["checks"] if each["severity"] == "block"]
    script = f'legato() {{ {" ".join(command())} "$@"; }}\n{check["query"]} --csv'
    pasted = subprocess.run(["bash", "-c", script], cwd=made, env=environment(), capture_output=True, text=True, timeout=60)
    assert pasted.stderr == ""
    assert pasted.stdout == "flight,carrier,delay_min\n2,,\n3,,5.0\n"


def test_a_failed_partition_shows_where_and_its_last_lines(ask: Ask, say: Any) -> None:
    failure = ask("why", "raw@2024-01-03")["failure"]
    assert (failure["error"], failure["where"]) == ("ValueError: the feed is closed", "pipeline.py:22")
    assert failure["lines"] == ["reading 2024-01-03 broken"]
    assert "| reading 2024-01-03 broken" in say("why", "raw@2024-01-03")[1]


def test_a_stale_partition_names_the_input_and_its_newest_version(ask: Ask) -> None:
    [change] = ask("why", "raw@2024-01-04")["changes"]
    assert (change["name"], change["version"]) == ("feed@2024-01-04", "another")
    [coming] = ask("why", "clean@2024-01-04")["changes"]
    assert (coming["name"], coming["what"]) == ("raw@2024-01-04", "is to be made anew itself (input changed: feed)")


def test_a_stale_partition_names_the_input_that_was_published_since(site: Path, ask: Ask) -> None:
    assert call(site, "run", "raw@2024-01-04", "--json") == 0
    seen = ask("why", "raw@2024-01-04", site=site)["seen"]
    [change] = ask("why", "clean@2024-01-04", site=site)["changes"]
    assert change == {
        "name": "raw@2024-01-04", "what": "was published since", "version": seen["version"], "at": seen["at"], "run": seen["run"],
    }  # fmt: skip


def test_a_partitioned_asset_is_told_as_a_whole(ask: Ask, say: Any) -> None:
    found = ask("why", "raw")
    assert found["counts"] == {"fresh": 1, "quarantined": 1, "failed": 1, "stale": 1, "never made": 1, "blocked": 1}
    assert [(each["state"], each["partitions"]) for each in found["groups"]] == [
        ("failed", "2024-01-03"), ("quarantined", "2024-01-02"), ("blocked", "2024-01-06"), ("stale", "2024-01-04"),
    ]  # fmt: skip
    assert "next: legato why raw@2024-01-03" in say("why", "raw")[1]


def test_what_was_mended_is_fresh_again_and_its_failure_is_forgotten(site: Path, ask: Ask) -> None:
    (site / "feed.json").write_text(json.dumps({**GOOD, "2024-01-02": "two"}))
    assert call(site, "run", "raw@2024-01-02", "--json") == 0
    found = ask("why", "raw@2024-01-02", site=site)
    assert (found["state"], found["failure"]) == ("fresh", None)


def test_a_failed_try_is_told_also_where_the_older_version_is_right_again(site: Path, ask: Ask, say: Any) -> None:
    (site / "feed.json").write_text(json.dumps(GOOD))
    found = ask("why", "raw@2024-01-02", site=site)
    assert (found["state"], found["failure"]["kind"]) == ("fresh", "gate")
    told = say("why", "raw@2024-01-02", site=site)[1]
    assert "is fresh" in told
    assert "quarantined as version" in told


def test_a_project_in_which_nothing_ran_is_never_made(tmp_path: Path, ask: Ask) -> None:
    fresh = make_project(tmp_path / "new", PIPELINE, CONFIG)
    (fresh / "feed.json").write_text(json.dumps(GOOD))
    assert ask("why", "unmade", site=fresh)["state"] == "never made"
    assert ask("why", "raw", site=fresh)["counts"] == {"never made": 5, "blocked": 1}
    for words in (("logs", "last"), ("versions", "raw"), ("rollback", "raw", "--yes")):
        error = ask(*words, site=fresh)
        assert (error["code"], error["exit"], error["next"]) == ("store-none", 3, "legato run")


@pytest.mark.parametrize("words", [("why",), ("versions",), ("rollback", "--yes")])
def test_names_and_keys_that_do_not_exist_are_told(ask: Ask, words: tuple[str, ...]) -> None:
    error = ask(*words, "rawe")
    assert (error["code"], error["exit"]) == ("asset", 3)
    assert "raw" in error["why"]
    error = ask(*words, "raw@2025-01-01")
    assert (error["code"], error["exit"]) == ("partition-key", 3)
    assert "2024-01-06" in error["why"] + error["next"]
    error = ask(*words, "prices@2024-01-01")
    assert (error["code"], error["exit"]) == ("partition-key", 2)


# -- versions and rollback --


def test_versions_are_listed_by_partition_with_a_mark_at_what_readers_see(ask: Ask, say: Any) -> None:
    found = ask("versions", "raw@2024-01-02")["versions"]
    assert [(each["state"], each["current"], each["checks"]) for each in found] == [
        ("quarantined", False, "1 failed, 1 warned"), ("published", True, "2 passed"),
    ]  # fmt: skip
    assert "2 of 3 rows have a null carrier" in found[0]["note"]
    lines = say("versions", "raw@2024-01-02")[1].splitlines()
    assert [line[0] for line in lines] == [" ", " ", "*"]


def test_versions_come_in_pages(ask: Ask, say: Any) -> None:
    whole = [each["version"] for each in ask("versions", "raw")["versions"]]
    paged, before = [], "0"
    while before != "0" or not paged:
        page = ask("versions", "raw", "--limit", "2", "--before", before)
        paged += [each["version"] for each in page["versions"]]
        before = str(page["older"])
    assert paged == whole
    assert len(whole) == 5
    assert "older ones: legato versions raw --before" in say("versions", "raw", "--limit", "2")[1]


def test_a_rollback_moves_one_partition_and_says_what_is_stale_then(site: Path, ask: Ask, say: Any) -> None:
    assert call(site, "run", "+clean@2024-01-04", "--json") == 0
    newest, first = (each["version"] for each in ask("versions", "raw@2024-01-04", site=site)["versions"])
    result = ask("rollback", "raw@2024-01-04", "--yes", site=site)
    assert [(each["from"], each["to"]) for each in result["moves"]] == [(newest, first)]
    assert result["after"]["names"] == "clean@2024-01-04"
    assert result["after"]["remade"] == "input changed: feed"
    assert result["after"]["commands"][1] == "legato run 'raw@2024-01-04+ and not raw@2024-01-04'"
    versions = ask("versions", "raw@2024-01-04", site=site)["versions"]
    assert [(each["current"], each["note"][:11]) for each in versions] == [(False, "rolled back"), (True, "")]
    assert ask("query", "select max(delay_min) from raw", site=site)["rows"] == [[3.0]]
    # what was gone back from is passed over next time, but its name still leads to it
    assert ask("rollback", "raw@2024-01-04", "--yes", site=site)["code"] == "version"
    code, told = say("rollback", "raw@2024-01-04", "--to", newest, "--yes", site=site)
    assert (code, f"undo: legato rollback raw@2024-01-04 --to {first}" in told) == (0, True)
    assert ask("query", "select max(delay_min) from raw", site=site)["rows"] == [[7.0]]
    assert [each["state"] for each in ask("runs", site=site)[:2]] == ["succeeded", "succeeded"]


def test_the_commands_after_a_rollback_bring_what_is_below_up_to_date(site: Path, ask: Ask) -> None:
    assert call(site, "run", "+clean@2024-01-04", "--json") == 0
    [_, run] = ask("rollback", "raw@2024-01-04", "--yes", site=site)["after"]["commands"]
    assert ask("why", "clean@2024-01-04", site=site)["state"] == "stale"
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {run}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    call(site, *words[1:], "--json")  # total stays blocked: a day has no feed
    old = ask("query", "select max(delay_min) from clean", site=site)["rows"]
    assert old == ask("query", "select max(delay_min) from raw", site=site)["rows"]


def test_a_rollback_of_a_range_goes_to_what_a_run_made(site: Path, ask: Ask) -> None:
    first = ask("versions", "raw@2024-01-01")["versions"][-1]["run"]
    assert call(site, "run", "--force", "raw@2024-01-01,2024-01-04", "--json") == 0
    result = ask("rollback", "raw@2024-01-01..2024-01-04", "--to", first, "--yes", site=site)
    assert [each["partition"] for each in result["moves"]] == ["2024-01-01", "2024-01-04"]
    assert {each["run"] for each in ask("versions", "raw", site=site)["versions"] if each["current"]} == {first}
    assert ask("rollback", "raw@2024-01-01..2024-01-04", "--to", first, "--yes", site=site)["code"] == "rollback-current"


def test_a_version_that_was_never_published_is_refused(site: Path, ask: Ask) -> None:
    bad = ask("versions", "raw@2024-01-02")["versions"][0]["version"]
    error = ask("rollback", "raw@2024-01-02", "--to", bad, "--yes", site=site)
    assert (error["code"], error["exit"]) == ("version-quarantined", 1)
    assert "null carrier" in error["why"]


def test_a_rollback_asks_first_and_without_a_terminal_refuses(made: Path, site: Path, ask: Ask, say: Any) -> None:
    assert call(site, "run", "raw@2024-01-04", "--json") == 0
    error = ask("rollback", "raw@2024-01-04", site=site)
    assert (error["code"], error["exit"], error["next"]) == ("confirm", 2, "legato rollback raw@2024-01-04 --yes")
    code, told = say("rollback", "raw@2024-01-04", site=site)
    assert (code, "will see" in told) == (2, True)
    assert ask("versions", "raw@2024-01-04", site=site)["versions"][0]["current"] is True


def test_tasks_and_sources_have_no_versions(ask: Ask) -> None:
    for name, kind in (("announce", "task"), ("feed", "source")):
        error = ask("versions", name)
        assert (error["code"], error["exit"], error["what"]) == ("versions", 2, f"{name} is a {kind}: it has no versions here")


def test_a_rollback_while_something_runs_names_who_runs(site: Path, ask: Ask) -> None:
    from legato.wiring.code import open_workspace

    assert call(site, "run", "raw@2024-01-04", "--json") == 0
    writer = open_workspace(site).open_writer("legato run raw")
    error = ask("rollback", "raw@2024-01-04", "--yes", site=site)
    writer.close()
    assert (error["code"], error["exit"]) == ("store-locked", 5)
    assert "legato run raw" in error["what"]
    assert str(os.getpid()) in error["what"]


# -- query --

LATE = """\
carrier  n  late  x
AA       4  null  null
B6       4     3  null
UA       4   1.5  null
3 rows
"""


def test_a_query_sees_published_versions_only(ask: Ask, say: Any) -> None:
    assert ask("query", "select count(*), count(carrier) from raw")["rows"] == [[12, 12]]
    code, told = say("query", "select carrier, count(*) n, avg(delay_min) late, null x from RAW group by all order by 1")
    assert (code, told) == (0, LATE)


def test_a_query_knows_values_that_are_no_tables_and_names_in_quotes(ask: Ask) -> None:
    assert ask("query", 'select value from "ref/rates"')["rows"] == [["[1,2]"]]
    error = ask("query", "select * from rates")
    assert (error["code"], error["next"]) == ("query-table", 'write "ref/rates"')


def test_a_query_is_cut_where_it_says_so(ask: Ask, say: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the first 5 rows; all of them with --limit 0" in say("query", "from raw", "--limit", "5")[1]
    assert "12 rows" in say("query", "from raw", "--limit", "0")[1]
    assert (len(ask("query", "from raw")["rows"]), ask("query", "from raw", "--limit", "5")["more"]) == (12, True)
    assert len(say("query", "--csv", "from raw")[1].splitlines()) == 13


def test_times_come_out_in_utc_and_numbers_as_numbers(ask: Ask, say: Any) -> None:
    sql = "select timestamptz '2024-01-01 02:00:00+02' t, sum(flight), [timestamptz '2024-01-01 00:00:00Z'] from raw order by 1"
    assert ask("query", sql)["rows"] == [["2024-01-01T00:00:00Z", 24, "['2024-01-01 00:00:00+00']"]]
    assert say("query", "--csv", sql)[1].splitlines()[1] == "2024-01-01T00:00:00+00:00,24,['2024-01-01 00:00:00+00']"


@pytest.mark.parametrize(
    ("sql", "code", "exit", "words"),
    [
        ("select * from rawe", "query-table", 3, "did you mean `raw`?"),
        ("select * from nothing_alike", "query-table", 3, "the assets are ref/rates, prices, unmade, raw, clean, total"),
        ("select * from unmade", "query-empty", 3, "legato run +unmade"),
        ("selec 1", "query", 2, 'syntax error at or near "selec"'),
        ("select nope from raw", "query", 2, 'legato query "describe raw"'),
        (" ", "query", 2, "there is no SQL to answer"),
        ("select 1; select 2", "query", 2, "2 statements"),
        ("copy (select 1) to 'x.csv'", "query-writes", 2, "'copy'"),
        ("create table t as select 1", "query-writes", 2, "'create'"),
        ("attach 'state.db'", "query-writes", 2, "'attach'"),
        ("set enable_external_access = true", "query-writes", 2, "'set'"),
        ("install httpfs", "query-writes", 2, "'load'"),
        ("show tables", "query", 2, "legato list kind:asset"),
        ("pivot raw on carrier using count(*)", "query", 2, "name the values"),
        ("select * from read_csv('/etc/hostname')", "query-closed", 6, "/etc/hostname"),
        ("select * from 'legato.toml'", "query-table", 3, "legato list kind:asset"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(ask: Ask, sql: str, code: str, exit: int, words: str) -> None:
    error = ask("query", sql)
    assert (error["code"], error["exit"]) == (code, exit)
    assert words in f"{error['what']} {error['why']} {error['next']}"


def test_a_query_sees_no_variable_of_the_process(ask: Ask) -> None:
    assert ask("query", "select * from sql")["code"] == "query-table"


def test_a_query_without_duckdb_says_what_to_install(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    error = ask("query", "select 1")
    assert (error["code"], error["next"]) == ("extra-missing", "pip install 'legato[tables]'")


def test_text_in_cells_cannot_command_the_terminal(say: Any) -> None:
    assert (
        say("query", "select 'a' || chr(27) || '[31m' || chr(10) || 'b' as t, 1 as n")[1]
        == "t             n\na\\x1b[31m\\nb  1\n1 row\n"
    )


# -- logs --


def test_one_attempt_is_printed_plainly_with_its_error(say: Any) -> None:
    gate = "not_null_carrier of raw: 2 of 3 rows have a null carrier"
    assert say("logs", "last", "raw@2024-01-02") == (0, f"reading 2024-01-02 nulls\n{gate}\n")
    code, told = say("logs", "last", "raw@2024-01-03")
    assert (code, told.splitlines()[0]) == (0, "reading 2024-01-03 broken")
    assert told.splitlines()[-1] == "ValueError: the feed is closed"


def test_several_attempts_have_headings_and_the_silent_are_counted(say: Any, ask: Ask) -> None:
    first = ask("runs")[1]["id"]
    told = say("logs", first)[1]
    heads = [line.split("  ")[0] for line in told.splitlines() if line.startswith("──")]
    assert heads == [f"── raw@2024-01-0{day}" for day in (1, 2, 3, 4)]
    assert told.endswith("6 attempts wrote nothing\n")
    assert "nothing written" in say("logs", first, "clean")[1]
    assert say("logs", first, "prices")[1] == "prices wrote nothing\n"


def test_logs_say_why_a_step_made_no_attempt(say: Any, ask: Ask) -> None:
    told = say("logs", "last", "clean")[1]
    assert "clean@2024-01-01: fresh" in told
    assert "clean@2024-01-02: it waited for raw@2024-01-02" in told
    error = ask("logs", "last", "claen")
    assert (error["code"], error["exit"]) == ("step", 3)
    assert ask("logs", "nope")["code"] == "run"


def test_logs_are_streamed_as_json_lines(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert call(made, "logs", "last", "raw@2024-01-03", "--json") == 0
    output, ended, end = records(capsys.readouterr().out)
    assert (output["event"], output["text"]) == ("output", "reading 2024-01-03 broken\n")
    assert (ended["attempt"]["outcome"], ended["attempt"]["error"]["message"]) == ("failed", "the feed is closed")
    assert (end["event"], end["outcome"]) == ("end", "failed")


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Path, str]:
    """A run whose process was killed while its only step printed."""
    from legato.kernel.events import AttemptBegun, AttemptsStarted, encode
    from legato.ports.store import Commit, Run
    from legato.service.planning import Planner, Request
    from legato.terms.attempt import LogSpan
    from legato.terms.codec import pack
    from legato.wiring.code import open_workspace

    site = make_project(tmp_path / "killed", PIPELINE, CONFIG)
    (site / "feed.json").write_text(json.dumps(GOOD))
    workspace = open_workspace(site)
    (workspace.logs / "dead").mkdir(parents=True)
    (workspace.logs / "dead" / "0.log").write_bytes(b"before" + b"half a li")
    store = workspace.open_writer("legato run prices")
    now = workspace.clock.now()
    plan = Planner(workspace, None).plan(Request("prices"))
    store.accept(Run(id="aaaaaa-bbbb", request="prices", actor="me", project="", at=now), pack(plan), [])
    events = [AttemptsStarted(now, (0,), 1), AttemptBegun(now, 0, 1, LogSpan("dead/0.log", 6))]
    store.commit([Commit(run_id="aaaaaa-bbbb", events=[encode(event) for event in events])])
    store.close()
    return site, "aaaaaa-bbbb"


def test_an_attempt_whose_process_was_killed_is_shown_as_unfinished(
    interrupted: tuple[Path, str], say: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    site, run = interrupted
    for words in (("logs", run), ("logs", "last", "prices"), ("logs", run, "--follow")):
        told = say(*words, site=site)[1]
        assert "half a li" in told
        assert "before" not in told
        assert "unfinished, the process that made them is gone: prices" in told
        assert f"next: legato resume {run}" in told
    call(site, "logs", run, "--json")
    assert [each["event"] for each in records(capsys.readouterr().out)] == ["output", "unfinished", "end"]


def test_a_log_of_any_size_streams_in_small_pieces(interrupted: tuple[Path, str]) -> None:
    from legato.service.following import Tail
    from legato.service.logbook import Logbook
    from legato.wiring.code import open_workspace

    site, run = interrupted
    with (site / ".legato" / "logs" / "dead" / "0.log").open("r+b") as log:
        log.truncate(50_000_000)
    workspace = open_workspace(site)
    store = workspace.open_reader()
    sizes = [len(chunk) for _, chunk in Tail(workspace, store, Logbook(store, run), lambda _: True).read()]
    store.close()
    assert (sum(sizes), max(sizes)) == (50_000_000 - 6, 65_536)


def test_a_log_that_somebody_deleted_is_named(interrupted: tuple[Path, str], ask: Ask) -> None:
    site, run = interrupted
    (site / ".legato" / "logs" / "dead" / "0.log").unlink()
    assert call(site, "logs", run) == 3


def test_logs_are_followed_while_another_process_runs(tmp_path: Path) -> None:
    pipeline = """
        import time
        from pathlib import Path

        import legato as lg


        @lg.task
        def slow() -> None:
            print("begun", flush=True)
            while not Path("seen").exists():
                time.sleep(0.02)
            print("ending")
    """
    site = make_project(tmp_path / "slow", pipeline, CONFIG.replace("inline", "process"))
    running = subprocess.Popen(command("run"), cwd=site, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (site / ".legato" / "state.db").exists() or "running" not in runs(site):
            assert running.poll() is None
        following = subprocess.Popen(
            command("logs", "last", "-f"), cwd=site, env=environment(), stdout=subprocess.PIPE, text=True
        )
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(2)] == ["── slow\n", "begun\n"]
        (site / "seen").touch()
        assert following.communicate(timeout=20)[0] == "ending\n"
        assert (following.returncode, running.wait(timeout=20)) == (0, 0)
    finally:
        running.kill()
        running.wait()


def runs(site: Path) -> str:
    return subprocess.run(command("runs"), cwd=site, env=environment(), capture_output=True, text=True, timeout=20).stdout
