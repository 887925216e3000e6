"""`legato logs`: what attempts wrote, also while they are at it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_site import command, environment, make_project, records
from warehouse_site import CONFIG, GOOD, PIPELINE, call


def test_one_attempt_is_printed_plainly_with_its_error(say: Any) -> None:
    gate = "not_null_carrier of raw: 2 of 3 rows have a null carrier"
    assert say("logs", "last", "raw@2024-01-02") == (0, f"reading 2024-01-02 nulls\n{gate}\n")
    code, told = say("logs", "last", "raw@2024-01-03")
    assert (code, told.splitlines()[0]) == (0, "reading 2024-01-03 broken")
    assert told.splitlines()[-1] == "ValueError: the feed is closed"


def test_several_attempts_have_headings_and_the_silent_are_counted(say: Any, ask: Any) -> None:
    first = ask("runs")[1]["id"]
    told = say("logs", first)[1]
    heads = [line.split("  ")[0] for line in told.splitlines() if line.startswith("──")]
    assert heads == [f"── raw@2024-01-0{day}" for day in (1, 2, 3, 4)]
    assert told.endswith("6 attempts wrote nothing\n")
    assert "nothing written" in say("logs", first, "clean")[1]
    assert say("logs", first, "prices")[1] == "prices wrote nothing\n"


def test_logs_say_why_a_step_made_no_attempt(say: Any, ask: Any) -> None:
    told = say("logs", "last", "clean")[1]
    assert "clean@2024-01-01: fresh" in told
    assert "clean@2024-01-02: it waited for raw@2024-01-02" in told
    error = ask("logs", "last", "claen")
    assert (error["code"], error["exit"]) == ("step", 3)
    assert ask("logs", "nope")["code"] == "run"


def test_logs_are_streamed_as_json_lines(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert call(warehouse, "logs", "last", "raw@2024-01-03", "--json") == 0
    output, ended, end = records(capsys.readouterr().out)
    assert (output["event"], output["text"]) == ("output", "reading 2024-01-03 broken\n")
    assert (ended["attempt"]["outcome"], ended["attempt"]["error"]["message"]) == ("failed", "the feed is closed")
    assert (end["event"], end["outcome"]) == ("end", "failed")


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Path, str]:
    """A run whose process was killed while its only step printed."""
    from legato.kernel.events import AttemptBegun, AttemptsStarted, encode
    from legato.ports.store import Commit, Run
    from legato.service.planning import Planner
    from legato.service.plans import plan_request
    from legato.service.request import Request
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
    plan = plan_request(Planner(workspace, None), Request("prices"))
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


def test_a_log_that_somebody_deleted_is_named(interrupted: tuple[Path, str], ask: Any) -> None:
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
        assert following.communicate(timeout=60)[0] == "ending\n"
        assert (following.returncode, running.wait(timeout=60)) == (0, 0)
    finally:
        running.kill()
        running.wait()


def runs(site: Path) -> str:
    return subprocess.run(command("runs"), cwd=site, env=environment(), capture_output=True, text=True, timeout=120).stdout
