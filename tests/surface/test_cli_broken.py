"""The command line while the project's files are broken: what needs none of their code goes by the version in force last."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project
from up_site import QUIET, up, wait_until

from legato.terms.errors import EXIT_INVALID

CONFIG = 'name = "shop"\nmodules = ["flows"]\nworkers = 1\n'
CODE = """
import legato as lg

@lg.asset(on=lg.cron("0 6 * * *"))
def prices() -> dict:
    print("looking")
    return {"apples": 2}

@lg.flow
def close() -> None:
    lg.approval("Close?", who="finance")
"""
BROKEN = f"{CODE}\n1 +\n"
PLACE = "flows.py:13"
HANGING = "import time\ntime.sleep(1000)\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_project(tmp_path, "", CONFIG)
    (tmp_path / "flows.py").write_text(CODE)
    return tmp_path


WITHOUT_CODE = (
    "status", "status last", "runs", "logs last", "list", "show prices", "why prices", "triggers", "next", "decisions", "waits",
    "versions prices", "diff --list", "facts last", "pause prices", "unpause prices", "rollback prices --yes",
)  # fmt: skip


def test_what_needs_no_code_goes_by_the_version_in_force_last(site: Path) -> None:
    for _ in range(2):
        assert legato(site, "run", "prices", "--force").returncode == 0
    (site / "flows.py").write_text(BROKEN)
    for words in WITHOUT_CODE:
        told = legato(site, *words.split(), "--json")
        assert told.returncode == 0, (words, told.stderr)
        assert told.stderr.startswith("note: the project has 1 fault: legato check; this goes by version "), words
        assert told.stderr.count("note:") == 1, words
    for words in ("run prices", "plan", "check", "backfill prices --plan"):
        told = legato(site, *words.split())
        assert (told.returncode, PLACE in told.stdout + told.stderr) == (EXIT_INVALID, True), words


def test_before_any_version_was_in_force_there_is_none_to_go_by(site: Path) -> None:
    (site / "flows.py").write_text(BROKEN)
    told = legato(site, "status")
    assert (told.returncode, PLACE in told.stderr) == (EXIT_INVALID, True)


def test_a_run_is_cancelled_where_nobody_works_on_it(site: Path) -> None:
    with subprocess.Popen(command("run", "close"), cwd=site, env=environment(), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any("waits" in line for line in running.stdout)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    (site / "flows.py").write_text(BROKEN)
    told = legato(site, "cancel", "last")
    assert (told.returncode, "cancelled" in told.stdout) == (0, True), told.stderr


@pytest.mark.parametrize("source", [f"{QUIET}\n1 +\n", HANGING])
def test_runs_and_triggers_are_stopped_at_a_service(tmp_path: Path, source: str) -> None:
    code = QUIET.replace("@lg.flow\n", '@lg.flow(on=lg.cron("@yearly"))\n')
    with up(tmp_path, code) as service:
        wait_until(lambda: service.call("run", "sales")[0] == 0)
        watching = service.start("run", "slow")
        try:
            wait_until(lambda: (service.legato("status", "last") or {}).get("state") == "running")
            service.write(source)
            for words in (["runs"], ["status", "last"], ["pause", "slow"], ["unpause", "slow"], ["waits"], ["cancel", "last"]):
                code_of_exit, said = service.call(*words)
                assert code_of_exit == 0, said
            assert watching.wait(60) == 1
        finally:
            watching.kill()
            watching.wait()
