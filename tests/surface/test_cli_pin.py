"""`legato run --pin STEP=RUN`: one result of an earlier run is taken, whatever would be made now."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from again_site import answered, make_crm, plan, run
from cli_site import command, edit, environment, legato, made


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_crm(tmp_path)


def test_a_pinned_call_is_taken_by_inputs_or_by_number(site: Path) -> None:
    first = run(site, "mapped", "--size", "2")
    assert sorted(made(site)) == ["book 10", "rate 0", "rate 1"]
    run(site, "mapped", "--size", "3", "--pin", f"rate={first}")
    assert made(site) == ["rate 2", "book 30"]
    edit(site, "rate.map(range(size))", "rate.map([7, 8])")
    edit(site, 'note("rate", lead)', 'note("RATE", lead)')
    told = plan(site, "mapped", "--pin", f"rate={first}")
    assert told.splitlines()[1] == "skip  rate  2  reused: run RUN, pinned, its code changed since"
    assert "note: a pinned call takes what the same call gave, or else the one with its number" in told
    run(site, "mapped", "--pin", f"rate={first}")
    assert made(site) == ["book 10"]
    run(site, "mapped", "--pin", f"rate#2={first}")
    assert made(site) == ["RATE 7", "book 80"]


def test_an_approval_is_pinned_for_its_own_question_alone(site: Path) -> None:
    first = answered(site, "leads", "--ask")
    made(site)
    assert run(site, "leads", "--ask", "--source", "web", "--pin", f"lg.approval={first}")
    assert made(site)[0] == "find web"
    edit(site, '"Go on?"', '"Really?"')
    process = subprocess.Popen(command("run", "leads", "--ask", "--pin", f"lg.approval={first}"), cwd=site, env=environment())
    try:
        until = time.monotonic() + 60
        while "Really?" not in legato(site, "waits").stdout:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait()


def test_from_and_pin_together(site: Path) -> None:
    first, second = run(site, "leads"), run(site, "leads", "--source", "web")
    made(site)
    run(site, "--from", "rate", first, "--pin", f"book#2={second}")
    assert made(site) == ["rate 1", "book 10", "rate 2", "rate 3", "book 30", "leads 60"]


def test_a_pinned_task_is_taken_and_what_reads_it_runs(site: Path) -> None:
    first = run(site, "+report")
    made(site)
    edit(site, "* 50_000", "* 60_000")
    told = plan(site, "report", "--pin", f"total={first}").splitlines()
    assert told[1:] == ["skip  total  reused: run RUN, pinned, its code changed since", "run  report  input changed: total"]
    run(site, "report", "--pin", f"total={first}")
    assert made(site) == ["report 3"]
    assert "run  report  input changed: " in plan(site, "report"), "nothing of now would give that value"


def test_a_partition_without_a_result_is_planned_as_ever_and_said(site: Path) -> None:
    first = run(site, "fetch@mon")
    made(site)
    told = plan(site, "+prices", "--pin", f"fetch={first}")
    assert told.endswith("note: run RUN has no result of fetch@tue: it is planned as ever")
    run(site, "+prices", "--pin", f"fetch={first}")
    assert made(site)[0] == "fetch tue"
