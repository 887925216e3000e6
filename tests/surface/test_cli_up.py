"""`legato up` on the real process tree: triggers fire, the API answers, code is taken over, and kill -9 loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from getpass import getuser
from pathlib import Path

import pytest
from cli_site import make_project
from up_site import PATIENCE_S, QUIET, up, wait_until

import legato.surfaces.cli.main as cli
from legato.service.asks import Ping, Pong
from legato.service.guest import ask
from legato.surfaces.client import Client
from legato.terms.errors import EXIT_UNREACHABLE

PROJECT = """
import legato as lg

@lg.asset(on=lg.every("1s"))
def beat() -> list[int]:
    return [1]

@lg.asset(on=lg.updated("beat"))
def echo(beat: list[int]) -> list[int]:
    return [beat[0] * 2]

@lg.flow(on=lg.file("inbox/*.csv"))
def load(path: str = "") -> None:
    pass
"""


@pytest.mark.long
def test_a_service_fires_answers_survives_and_ends(tmp_path: Path) -> None:
    with up(tmp_path, PROJECT, "up") as service:
        wait_until(lambda: any(each["state"] == "succeeded" for each in service.legato("runs", "-n", "50") or []))
        wait_until(lambda: bool(service.decisions("echo")))
        assert service.get("/api/v1/runs") == 401
        (tmp_path / "inbox").mkdir()
        (tmp_path / "inbox" / "orders.csv").write_text("a,b\n1,2\n")
        wait_until(lambda: [each["outcome"] for each in service.decisions("load")] == ["fired"])
        before = len(service.decisions("beat"))
        os.kill(service.conductor(), signal.SIGKILL)
        wait_until(lambda: len(service.decisions("beat")) > before + 1)
        out = service.end()
        assert "conductor was killed by SIGKILL; started again" in out
        assert out.rstrip().endswith("stopped")
        runs = service.legato("runs", "-n", "200")
        assert {each["state"] for each in runs} <= {"succeeded", "interrupted"}
        fired = [each for each in service.decisions("beat") if each["run"]]
        assert len({each["run"] for each in fired}) == len(fired)


def test_a_service_speaks_json_to_who_collects_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGATO_LOG_FORMAT", "json")
    with up(tmp_path, QUIET, "up") as service:
        wait_until(lambda: service.call("run", "sales")[0] == 0)
        lines = [json.loads(line) for line in service.end().splitlines()]
    assert {"service", "conductor"} <= {line["part"] for line in lines}
    assert {line["level"] for line in lines} <= {"info", "warning"}
    assert lines[-1]["message"] == "stopped"


def test_the_command_line_works_through_the_service(tmp_path: Path) -> None:
    with up(tmp_path, QUIET) as service:
        code, said = service.call("run", "sales")
        assert (code, "succeeded" in said) == (0, True), said
        assert "nothing to run: 1 fresh" in service.call("run", "sales")[1]
        assert "2 new keys" in service.call("keys", "customers", "--add", "acme", "globex")[1]
        code, said = service.call("run", "bill")
        assert (code, "2 succeeded" in said) == (0, True), said
        assert service.call("run", "sales", "--force")[0] == 0
        assert "readers now see version" in service.call("rollback", "sales", "--yes")[1]
        code, said = service.call("run", "sales", "--workers", "3")
        assert "service-workers" in said
        assert {each["action"] for each in service.legato("audit")} >= {"submit", "keys", "rollback"}


@pytest.mark.parametrize("when", ["soon", "later"])
def test_watching_a_run_may_end_before_it_and_cancel_ends_it(tmp_path: Path, when: str) -> None:
    with up(tmp_path, QUIET) as service:
        with open(tmp_path / "watched", "w") as output:
            watching = service.start("run", "slow", stdout=output, stderr=output)
            wait_until(lambda: "run " in (tmp_path / "watched").read_text(), every_s=0.001)
            if when == "later":
                wait_until(lambda: any(each["steps"] for each in service.legato("runs") or []))
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 130
        said = (tmp_path / "watched").read_text()
        assert "goes on in the service" in said
        assert service.legato("status", "last")["state"] == "running"
        assert "cancelled" in service.call("cancel", "last", "--reason", "enough")[1]
        assert [each["detail"] for each in service.legato("audit") if each["action"] == "cancel"] == ["enough"]
        code, said = service.call("run", "slow", "--seconds", "0")
        assert code == 0, said


def test_watching_a_run_ends_where_its_store_is_taken_away(tmp_path: Path) -> None:
    with up(tmp_path, QUIET) as service:
        with open(tmp_path / "watched", "w") as output:
            watching = service.start("run", "slow", stdout=output, stderr=output)
            wait_until(lambda: any(each["steps"] for each in service.legato("runs") or []))
            wait_until(lambda: "run " in (tmp_path / "watched").read_text())
            (tmp_path / ".legato").rename(tmp_path / "aside")
            assert watching.wait(60) == EXIT_UNREACHABLE
        assert "[store-gone]" in (tmp_path / "watched").read_text()


def test_a_run_takes_the_code_that_was_just_saved(tmp_path: Path) -> None:
    with up(tmp_path, QUIET) as service:
        assert service.call("run", "sales")[0] == 0
        service.write(QUIET.replace("return [1]", "return [1, 2]"))
        code, said = service.call("run", "sales")
        assert (code, "code changed" in said) == (0, True), said
        assert "[1,2]" in str(service.legato("query", "select * from sales")["rows"])


def test_broken_code_leaves_the_version_before(tmp_path: Path) -> None:
    with up(tmp_path, QUIET) as service:
        assert service.call("run", "sales")[0] == 0
        service.write(QUIET + "\n@lg.asset(retries=-1)\ndef broken():\n    return 1\n")
        wait_until(lambda: "the version before stays in force" in service.said())
        assert "flows.py" in service.said()
        token = service.legato("tokens", "add", getuser(), "--label", "a test")["secret"]
        api = Client(f"http://127.0.0.1:{service.port}", token)
        wait_until(lambda: any("retries" in each for each in api.get("/project")["faults"]))
        os.kill(service.conductor(), signal.SIGKILL)
        wait_until(lambda: "the version that was in force last is loaded" in service.said())
        wait_until(lambda: service.get("/api/v1/ready") == 200)
        run = api.submit("sales", force=True).run
        assert run is not None
        wait_until(lambda: api.run(run).state == "succeeded")
        assert any("retries" in each for each in api.get("/project")["faults"])
        service.write(QUIET + "\n@lg.asset\ndef mended():\n    return 1\n")
        wait_until(lambda: "mended new" in service.said())
        assert service.call("run", "mended")[0] == 0
        wait_until(lambda: api.get("/project")["faults"] == [])
        assert service.end().rstrip().endswith("stopped")


def test_a_project_that_is_broken_from_the_start_comes_up_when_it_is_mended(tmp_path: Path) -> None:
    with up(tmp_path, "import legato as lg\n1 / 0\n") as service:
        wait_until(lambda: "nothing runs until it is mended" in service.said())
        assert "ZeroDivisionError" in service.said()
        service.write(QUIET)
        wait_until(lambda: service.call("run", "sales")[0] == 0)


def test_there_is_one_service_of_a_project(tmp_path: Path) -> None:
    with up(tmp_path, QUIET) as service:
        wait_until(lambda: service.call("run", "sales")[0] == 0)
        code, said = service.call("up")
        assert code != 0
        assert "store-locked" in said


def test_of_services_that_begin_at_once_one_stays(tmp_path: Path) -> None:
    """Also while no conductor has taken its place yet: nobody goes on trying beside the one that is up."""
    with up(tmp_path, QUIET, "up") as service:
        others = [service.start("up", "--no-api", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)]
        said = [other.communicate(timeout=PATIENCE_S)[0] for other in others]
        assert all(other.returncode == EXIT_UNREACHABLE for other in others), said
        assert all("store-locked" in words and "`legato up`" in words for words in said)
        wait_until(lambda: service.call("run", "sales")[0] == 0)
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        code, words = service.call("run", "sales", "--force")
        assert code == 0, words


MANY = """
import legato as lg

def often() -> None: ...

for number in range(60):
    globals()[f"often{number}"] = lg.flow(name=f"often{number}", on=lg.every("1s", catch_up="all"))(often)
"""


@pytest.mark.timing
def test_whoever_asks_is_answered_while_a_backlog_is_planned(tmp_path: Path) -> None:
    with up(tmp_path, MANY, "up") as service:
        wait_until(lambda: bool(service.decisions("often0")))
        os.kill(service.conductor(), signal.SIGSTOP)
        time.sleep(6)  # 360 ticks
        os.kill(service.conductor(), signal.SIGCONT)
        slowest, until = 0.0, time.monotonic() + 6
        while time.monotonic() < until:
            began = time.monotonic()
            ask(tmp_path / ".legato", Ping(), Pong)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0


@pytest.mark.parametrize("words", [("up",), ("api",)])
def test_without_the_servers_libraries_it_says_what_to_install(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(tmp_path)
    monkeypatch.setitem(sys.modules, "litestar", None)
    assert cli.call(["-C", str(tmp_path), *words]) == 2
    told = capsys.readouterr()
    assert "[server-missing]" in told.out + told.err
    assert "pip install 'legato[server]'" in told.out + told.err
