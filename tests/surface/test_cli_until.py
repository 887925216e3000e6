"""A result that is waited for, on the real process tree."""

from __future__ import annotations

from pathlib import Path

from cli_site import legato, make_project, steady

PIPELINE = """\
from pathlib import Path

import legato as lg

HERE = Path(__file__).parent
TRIES = lg.Retry(5, "fixed", 0.01, until=lambda report, least=3: report["rows"] >= least)


@lg.task(retries=TRIES)
def count() -> dict:
    tries = HERE / "tries.txt"
    rows = len(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text("x" * rows)
    return {"rows": rows}


@lg.asset(retries=lg.Retry(delay_s=0.2, until=lambda result: False, max_time="0.5s"))
def never() -> list:
    return [1]


@lg.flow
def waits_for_count() -> None:
    print("counted", count())
"""
CONFIG = 'name = "until"\nmodules = ["pipeline"]\nworkers = 2\n'


def test_a_flow_gets_the_result_that_was_waited_for(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    answer = legato(site, "run", "waits_for_count")
    assert answer.returncode == 0, answer.stdout
    assert "counted {'rows': 3}" in legato(site, "logs", "last", "waits_for_count").stdout
    told = [line for line in steady(legato(site, "logs", "last", "count").stdout).splitlines() if line]
    assert told == [
        "── count  not there yet, tried again, TOOK", "not there yet: `until` says no to {'rows': 1}",
        "── count (try 2)  not there yet, tried again, TOOK", "not there yet: `until` says no to {'rows': 2}",
        "── count (try 3)  succeeded, TOOK", "nothing written",
    ]  # fmt: skip
    assert "retries  5, fixed from TOOK, until its result is accepted" in steady(legato(site, "show", "count").stdout)


def test_what_never_comes_fails_in_its_time_and_leaves_nothing(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    answer = legato(site, "run", "never")
    assert answer.returncode == 1
    assert "until` says no to [1] (not tried again: max_time of 500 ms would be over)" in answer.stdout
    assert not (site / ".legato" / "data").exists()
    assert "any number, exponential from TOOK, until its result is accepted, for TOOK at most" in steady(
        legato(site, "show", "never").stdout
    )
