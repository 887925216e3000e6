"""`legato run --from STEP RUN`: what is shown is what is done, and what was recorded is not made again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from again_site import answered, error, make_crm, plan, run
from cli_site import edit, legato, made, records


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_crm(tmp_path)


# -- flows --

FROM = """\
run  leads  requested
skip  find  reused: run RUN
skip  lg.approval  reused: run RUN, answered by {me}
skip  lg.sleep  reused: run RUN
skip  one  reused: run RUN
skip  rate  reused: run RUN
note: book#2 and all that leads calls after it are made anew"""


def test_a_flow_is_repeated_from_a_call_below_another_flow(site: Path) -> None:
    first = answered(site, "leads", "--source", "web", "--ask")
    assert made(site) == ["find web", "rate 1", "book 10", "rate 2", "book 20", "rate 3", "book 30", "leads 60"]
    me = records(legato(site, "status", first, "--json").stdout)[0]["result"]["actor"]
    assert plan(site, "--from", "book#2", first) == FROM.format(me=me)
    edit(site, '    note("book", lead)\n    return lead', '    note("book", lead)\n    return lead + 1')
    told = legato(site, "run", "--from", "book#2", first).stdout
    assert made(site) == ["book 20", "rate 3", "book 30", "leads 62"], told
    assert "reused  lg.approval  run " in told
    (line,) = records(legato(site, "runs", "-n", "1", "--json").stdout)[0]["result"]
    assert line["request"] == f"leads --source web --ask --from 'book#2' {first}"
    assert (line["counts"]["reused"], line["counts"]["succeeded"]) == (5, 6)
    assert "  rate#1: reused: run " in legato(site, "logs", "last", "rate#1").stderr


@pytest.mark.parametrize(
    ("step", "again"),
    [
        ("find", ["find fair", "rate 1", "book 10", "rate 2", "book 20", "rate 3", "book 30", "leads 60"]),
        ("lg.sleep", ["rate 1", "book 10", "rate 2", "book 20", "rate 3", "book 30", "leads 60"]),
        ("one#3", ["rate 3", "book 30", "leads 60"]),
        ("rate#3", ["rate 3", "book 30", "leads 60"]),
        ("book#3", ["book 30", "leads 60"]),
        ("leads", ["find fair", "rate 1", "book 10", "rate 2", "book 20", "rate 3", "book 30", "leads 60"]),
    ],
)
def test_where_a_flow_is_repeated_from(site: Path, step: str, again: list[str]) -> None:
    first = run(site, "leads")
    made(site)
    run(site, "--from", step, first)
    assert made(site) == again


def test_a_repeated_run_is_repeated(site: Path) -> None:
    first = run(site, "leads")
    second = run(site, "--from", "book", first)
    third = run(site, "--from", "book#3", second)
    made(site)
    told = legato(site, "plan", "--from", "rate", third).stdout
    assert re.search(f"skip +find +reused: run {first}\n", told)
    assert re.search(f"skip +one +2 +reused: run {second}\n", told)
    run(site, "--from", "rate", third)
    assert made(site) == ["rate 3", "book 30", "leads 60"]
    request = records(legato(site, "runs", "-n", "1", "--json").stdout)[0]["result"][0]["request"]
    assert request == f"leads --from rate {third}"


def test_one_call_of_a_map_is_where_it_starts(site: Path) -> None:
    first = run(site, "mapped", "--size", "40")
    made(site)
    run(site, "--from", "rate#38", first)
    assert sorted(made(site)[:3]) == ["rate 37", "rate 38", "rate 39"]


def test_changed_code_before_the_step_is_reused_and_said(site: Path) -> None:
    first = run(site, "leads")
    made(site)
    edit(site, 'note("find", source)', 'note("FIND", source)')
    assert "skip  find  reused: run RUN, its code changed since" in plan(site, "--from", "one", first)
    run(site, "--from", "one", first)
    assert made(site)[0] == "rate 1"


def test_a_call_with_other_inputs_is_made(site: Path) -> None:
    first = run(site, "leads")
    made(site)
    edit(site, "found = find(source)", 'found = find(source + "s")')
    run(site, "--from", "book", first)
    assert made(site)[:2] == ["find fairs", "book 10"]


def test_a_repeated_run_that_failed_is_resumed_with_what_it_reused(site: Path) -> None:
    first = run(site, "leads")
    made(site)
    edit(site, 'note("book", lead)', 'note("book", lead)\n    assert lead < 30')
    assert legato(site, "run", "--from", "rate#2", first).returncode == 1
    assert made(site) == ["rate 2", "book 20", "rate 3", "book 30"]
    edit(site, "\n    assert lead < 30", "")
    shown = legato(site, "resume", "--plan").stdout
    assert re.search(r"skip +find +1 +reused", shown), shown
    assert legato(site, "resume").returncode == 0
    assert made(site) == ["book 20", "book 30", "leads 60"]


def test_a_run_that_went_on_with_other_code_is_repeated(site: Path) -> None:
    edit(site, "    return lead * 10 * factor", "    assert lead != 3\n    return lead * 10 * factor")
    assert legato(site, "run", "leads").returncode == 1
    edit(site, "    assert lead != 3\n", "")
    assert legato(site, "resume").returncode == 0
    assert made(site)[-3:] == ["rate 3", "book 30", "leads 60"]
    run(site, "--from", "book#3", "last")
    assert made(site) == ["book 30", "leads 60"], "in the order in which they were first made"


def test_large_values_are_read_from_the_run_that_made_them(site: Path) -> None:
    first = run(site, "large")
    second = run(site, "--from", "rate", first)
    run(site, "--from", "rate", second)
    assert made(site).count("big") == 1
    assert "leftovers" not in {each["subject"] for each in findings(site) if each["level"] != "ok"}
    (value,) = (site / ".legato/data/big").rglob("*.json")
    value.unlink()
    answer = error(site, "plan", "--from", "rate", second)
    assert answer[:3] == (3, "value-gone", f"what big gave in run {first} is gone")


def findings(site: Path) -> list[dict[str, Any]]:
    return records(legato(site, "doctor", "--json").stdout)[0]["result"]["findings"]


def test_an_asset_that_a_flow_made_stays_published(site: Path) -> None:
    first = run(site, "makes")
    assert made(site) == ["rate 1", "listed [10]", "book 2"]
    run(site, "--from", "book", first)
    assert made(site) == ["book 2"]


# -- planned runs --


def test_a_planned_run_is_repeated_from_a_step(site: Path) -> None:
    first = run(site, "+report")
    assert sorted(made(site)) == ["fetch mon", "fetch tue", "prices 3", "report 3", "total"]
    assert plan(site, "--from", "prices", first).splitlines() == [
        "skip  feed  observed",
        "skip  fetch  mon..tue  2  reused: run RUN",
        "skip  total  reused: run RUN",
        "run  prices  forced",
        "run  report  input changed: prices",
    ]
    run(site, "--from", "prices", first)
    assert made(site) == ["prices 3", "report 3"]
    assert "skip  report  fresh" in plan(site, "+report"), "made of what is there now"


def test_one_partition_is_where_it_starts(site: Path) -> None:
    first = run(site, "+report")
    made(site)
    run(site, "--from", "fetch@tue", first)
    assert made(site) == ["fetch tue", "total", "prices 3", "report 3"]


def test_a_source_that_moved_on_is_said_and_makes_the_result_stale(site: Path) -> None:
    first = run(site, "+report")
    (site / "feed.txt").write_text("2")
    assert "skip  total  reused: run RUN, its inputs changed since" in plan(site, "--from", "prices", first)
    run(site, "--from", "prices", first)
    assert "run  report  input changed: " in plan(site, "+report")


def test_what_failed_in_the_run_is_planned_as_ever(site: Path) -> None:
    assert legato(site, "run", "+report other").returncode == 1
    made(site)
    assert legato(site, "run", "--from", "report", "last").returncode == 1
    assert sorted(made(site)) == ["other", "report 3"]


# -- JSON and bad input --


def test_in_json(site: Path) -> None:
    first = run(site, "leads")
    (told,) = records(legato(site, "plan", "--from", "rate#2", first, "--json").stdout)
    assert told["result"]["reused"][0] == {
        "step": "find", "node": "find", "partition": "", "run": first, "pinned": False, "answered_by": "", "changed": "",
    }  # fmt: skip
    streamed = records(legato(site, "run", "--from", "rate#2", first, "--json").stdout)
    reused = [each for each in streamed if each.get("status") == "reused"]
    assert [each["name"] for each in reused] == ["find", "lg.sleep", "one"]
    assert streamed[-1]["result"]["counts"] == {"succeeded": 7, "reused": 3}


def test_bad_requests(site: Path) -> None:
    assert error(site, "run", "--from", "find", "last")[:2] == (3, "run")
    first, second = run(site, "leads"), run(site, "+report")
    assert legato(site, "run", "fails").returncode == 1
    last = records(legato(site, "runs", "-n", "1", "--json").stdout)[0]["result"][0]["id"]
    for words, expected in {
        ("--from", "fnd", first): (3, "step", f"run {first} has no step 'fnd'", f"legato status {first}"),
        ("--from", "rate#9", first): (3, "step", f"run {first} has no step 'rate#9'", f"legato status {first}"),
        ("--from", "find", "zzz"): (3, "run", "there is no run 'zzz'", "legato runs"),
        ("--from", "feed", second): (2, "step-not-run", f"feed never ran in run {second}", f"legato status {second}"),
        ("--pin", f"prices={second}", "report"): (
            2, "pin-asset", "prices is an asset: its versions are kept", f"legato rollback prices --to {second}"
        ),
        ("--pin", f"raises={last}", "fails"): (2, "step-not-run", f"raises gave nothing in run {last}", f"legato status {last}"),
        ("--pin", f"find={first}", "report"): (2, "pin-step", "find is no step of this plan", "legato plan"),
        ("--pin", f"find={first}", "mapped"): (2, "pin-flow", f"run {first} ran leads, not mapped", "legato runs"),
        ("--pin", "find", "leads"): (2, "pin", "'find' does not say of which run", "--pin STEP=RUN"),
        ("--pin", f"find={first}", "--from", "find", first): (
            2, "pin", "find is to be made anew (--from) and to be reused (--pin)", "leave one of them out"
        ),
    }.items():  # fmt: skip
        assert error(site, "plan", *words) == expected, words
        assert error(site, "run", *words) == expected
    refused = "--from repeats what a run was asked for: it takes no selection, no parameters and no --force"
    for words in (("leads",), ("--force",), ("leads", "--source", "x")):
        assert error(site, "run", *words, "--from", "find", first)[:3] == (2, "from-request", refused)
    edit(site, 'source: str = "fair", ask', "place: str, ask")
    edit(site, "find(source)\n    if", "find(place)\n    if")
    assert error(site, "plan", "--from", "find", first)[:3] == (2, "flow-parameters", "leads needs `place` by now")
    edit(site, "def leads(", "def other_leads(")
    assert error(site, "plan", "--from", "find", first)[:3] == (3, "step-gone", "leads is no longer part of the project")
    edit(site, "def find(", "def search(")
    edit(site, "find(place)\n    if", "search(place)\n    if")
    assert error(site, "plan", "other_leads", "--place", "x", "--pin", f"find={first}")[:2] == (3, "step-gone")
