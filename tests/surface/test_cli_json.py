"""Every command answers in the one envelope, and streams are JSON lines that end with a summary."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_site import legato, make_project, records

import legato.surfaces.cli.main as cli
from legato.surfaces.explanations import read_explanations

ERROR_FIELDS = {"code", "what", "where", "why", "next", "faults"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_project(tmp_path_factory.mktemp("shop"))
    assert legato(made, "run").returncode == 1
    return made


def ask(site: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The one record that a call prints; nothing else is printed."""
    code = cli.call(["-C", str(site), *words, "--json"])
    told = capsys.readouterr()
    [record] = records(told.out)
    assert told.err == ""
    assert record["legato"] == 1
    assert record["command"] == words[0]
    assert record["ok"] is (code == 0)
    return record


def test_a_plan_has_every_step_with_its_reason(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ask(site, capsys, "plan")["result"]
    assert (result["request"], result["run"], result["skip"], len(result["steps"])) == ("everything", 3, 6, 9)
    assert result["steps"][4] == {
        "node": "sales", "partition": "2013-02-01", "action": "run", "reason": "failed",
        "detail": result["steps"][4]["detail"],
    }  # fmt: skip
    assert result["estimate"]["steps_known"] + result["estimate"]["steps_unknown"] == 3


def test_a_list_counts_statuses(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_name = {each["name"]: each for each in ask(site, capsys, "list")["result"]}
    assert by_name["sales"]["statuses"] == {"fresh": 3, "failed": 1}
    assert by_name["sales"]["published"].endswith("Z")
    assert (by_name["announce"]["statuses"], by_name["announce"]["published"]) == ({}, None)


def test_a_node_is_described(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ask(site, capsys, "show", "sales")["result"]
    assert result["patches"] == [
        {"status": "fresh", "partitions": "2013-01-30..2013-01-31, 2013-02-02", "count": 3},
        {"status": "failed", "partitions": "2013-02-01", "count": 1},
    ]
    assert (result["place"], result["policy"]["timeout"]) == ({"file": "pipeline.py", "line": 18}, "30.0 s")


def test_a_run_is_reported(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ask(site, capsys, "status", "last")["result"]
    [failure], [warning] = result["failures"], result["warnings"]
    assert (failure["example"], failure["attempts"], failure["skipped"]) == ("sales@2013-02-01", 3, 2)
    assert (warning["check"], warning["count"]) == ("few_sales", 2)
    assert ask(site, capsys, "runs")["result"][0]["id"] == result["id"]
    assert ask(site, capsys, "status")["result"]["statuses"] == {"fresh": 5, "failed": 2}


def test_the_project_is_checked(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(site, capsys, "check")["result"]["assets"] == 3
    broken = make_project(tmp_path / "broken", "import legato as lg\n\n@lg.asset\ndef report(sales):\n    return 1\n")
    error = ask(broken, capsys, "check")["error"]
    assert set(error) == ERROR_FIELDS
    [fault] = error["faults"]
    assert (fault["code"], fault["place"]) == ("parameter", {"file": "pipeline.py", "line": 3})


def test_init_and_demo_say_what_they_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ask(tmp_path, capsys, "init", str(tmp_path / "bakery"))["result"]
    assert made["files"] == ["legato.toml", "pipeline.py"]
    demo = ask(tmp_path, capsys, "demo", str(tmp_path / "flights"))["result"]
    assert {"legato.toml", "pipeline.py"} <= set(demo["files"])


def test_explanations_are_data_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path, capsys, "explain", "selection")["result"]["section"] == "Topics"
    assert len(ask(tmp_path, capsys, "explain")["result"]) == len(read_explanations())


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (["show", "nothing"], "asset", 3),
        (["plan", "a", "and"], "asset", 3),
        (["plan", "sales", "and"], "selection", 2),
        (["runs", "--limit", "0"], "usage", 2),
        (["cancel", "last"], "run-ended", 2),
        (["resume", "zzzz"], "run", 3),
    ],
)
def test_errors_have_the_same_envelope(
    site: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str, exit_code: int
) -> None:
    error = ask(site, capsys, *words)["error"]
    assert set(error) == ERROR_FIELDS
    assert error["code"] == code
    assert cli.call(["-C", str(site), *words]) == exit_code


def test_an_unforeseen_error_is_told_as_a_fault_of_legato(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("legato.surfaces.cli.listing.list_nodes", fail)
    assert ask(site, capsys, "list")["error"]["code"] == "internal"
    assert cli.call(["-C", str(site), "list"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert cli.call(["-C", str(site), "list", "--debug"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: this is a fault of Legato: ZeroDivisionError: division by zero [internal]\n")
    assert "Traceback" in told


def test_a_run_streams_lines_and_ends_with_a_summary(site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(site, tmp_path / "site")
    done = legato(site, "run", "--force", "sales@2013-02", "--json")
    first, *steps, last = records(done.stdout)
    assert done.stderr == ""
    assert {each["legato"] for each in (first, *steps, last)} == {1}
    assert (first["event"], first["request"], first["steps"], first["workers"]) == ("run", "sales@2013-02 --force", 2, 1)
    told = [(each["partition"], each["status"]) for each in steps]
    assert sorted(told) == [
        ("2013-02-01", "failed"),
        ("2013-02-01", "retrying"),
        ("2013-02-01", "retrying"),
        ("2013-02-02", "succeeded"),
    ]
    assert steps[told.index(("2013-02-01", "failed"))]["error"]["message"] == "the feed is closed"
    assert (last["event"], last["ok"], last["result"]["state"]) == ("summary", False, "failed")
    assert last["next"][-1] == f"legato resume {first['run']}"


def test_a_run_without_work_is_a_summary_alone(site: Path) -> None:
    [last] = records(legato(site, "run", "prices", "--json").stdout)
    assert (last["event"], last["ok"], last["result"]["state"], last["result"]["counts"]) == (
        "summary",
        True,
        "nothing",
        {"fresh": 1},
    )
