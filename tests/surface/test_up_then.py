"""Runs end with the code that they began with, also if everything dies meanwhile: versions of before at work in a service."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from getpass import getuser
from pathlib import Path

import pytest
from up_site import Up, children_of, name_of, up, wait_until

from legato.surfaces.client import Client

PIPELINE = """
import time
from pathlib import Path
import legato as lg

HERE = Path(__file__).parent
CODE = "one"

def note(word):
    with (HERE / "made.txt").open("a") as file:
        print(word, CODE, file=file)

@lg.source
def feed() -> str:
    return CODE

@lg.asset
def prices(feed: str) -> str:
    note(f"prices {feed}")
    return CODE

@lg.task
def first() -> str:
    note("first")
    return CODE

@lg.task
def second(made: str) -> str:
    if (HERE / "fail").exists():
        raise ValueError("no second")
    while not (HERE / "go").exists():
        time.sleep(0.02)
    note("second")
    return CODE

@lg.task
def third(made: str) -> None:
    note(f"third {made}")

@lg.flow
def long() -> None:
    third(second(first()))

@lg.flow
def waits() -> None:
    lg.signal("go")
    note("signalled")
"""
IN_PIECES = "\nif (HERE / 'no more').exists():\n    raise RuntimeError('no more')\n"


def of(word: str, source: str = PIPELINE) -> str:
    return source.replace('"one"', f'"{word}"')


def made(folder: Path) -> list[str]:
    file = folder / "made.txt"
    return file.read_text().splitlines() if file.exists() else []


def state(service: Up, run: str) -> str:
    found = service.legato("status", run)
    return "" if found is None else str(found["state"])


def submit(service: Up, *words: str) -> str:
    """Start a run, and watch it no longer."""
    before = {each["id"] for each in service.legato("runs") or ()}
    with service.start("run", *words) as watching:
        try:
            wait_until(lambda: bool({each["id"] for each in service.legato("runs") or ()} - before))
        finally:
            watching.terminate()
    (run,) = {each["id"] for each in service.legato("runs")} - before
    return str(run)


def underway(service: Up) -> str:
    """A run that has made its first step, and waits in its second."""
    run = submit(service, "long")
    wait_until(lambda: "first one" in made(service.folder))
    return run


def hosts(service: Up) -> list[int]:
    """The code hosts of the service."""
    return [pid for pid in children_of(service.conductor()) if name_of(pid) == "host"]


def killed_and_changed(service: Up, change: Callable[[], object]) -> Up:
    """The same service, started again after everything was killed and the code on disk has changed."""
    service.close()
    change()
    again = Up(service.folder, "", "up")
    wait_until(lambda: again.get("/api/v1/health") == 200)
    return again


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path, PIPELINE + IN_PIECES, "up") as service:
        yield service


def test_a_run_ends_with_the_code_that_it_began_with_though_everything_was_killed(service: Up) -> None:
    folder, run = service.folder, underway(service)
    again = killed_and_changed(service, lambda: service.write(of("two")))
    try:
        (folder / "go").touch()
        wait_until(lambda: state(again, run) == "succeeded")
        assert made(folder) == ["first one", "second one", "third one one"]
        submit(again, "long")
        wait_until(lambda: len(made(folder)) == 6)
        assert made(folder)[3:] == ["first two", "second two", "third two two"]
        said = again.end()
    finally:
        again.close()
    assert "1 open run taken up" in said
    assert "code of now" not in said


def test_a_run_whose_code_is_gone_goes_on_with_that_of_now_and_that_is_said(service: Up) -> None:
    folder, run = service.folder, underway(service)

    def forget() -> None:
        service.write(of("two"))
        with sqlite3.connect(folder / ".legato" / "state.db") as db:
            db.execute("update project set code = '', manuscript = x''")
        db.close()

    again = killed_and_changed(service, forget)
    try:
        (folder / "go").touch()
        wait_until(lambda: state(again, run) == "succeeded")
        said = again.end()
    finally:
        again.close()
    assert set(made(folder)[1:]) == {"first two", "second two", "third two two"}
    assert re.search(rf"run {run} goes on with the code of now: the code of version \w{{12}} is not kept", said)


def test_a_run_whose_code_no_longer_loads_goes_on_with_that_of_now_and_that_is_said(service: Up) -> None:
    folder, run = service.folder, underway(service)

    def spoil() -> None:
        service.write(of("two"))
        (folder / "no more").touch()

    again = killed_and_changed(service, spoil)
    try:
        (folder / "go").touch()
        wait_until(lambda: state(again, run) == "succeeded")
        said = again.end()
    finally:
        again.close()
    assert set(made(folder)[1:]) == {"first two", "second two", "third two two"}
    assert re.search(rf"run {run} goes on with the code of now: .* no more \(.*RuntimeError: no more \[module-import\]\)", said)


def test_what_waits_needs_no_process_and_few_versions_are_at_work_at_once(service: Up) -> None:
    folder, runs = service.folder, []
    for word in ("one", "two", "three", "four"):
        service.write(of(word))
        wait_until(lambda: service.said().count("is in force") >= len(runs))
        runs.append(submit(service, "waits"))
        wait_until(lambda: any(each["run"] == runs[-1] for each in service.legato("waits") or ()))
    again = killed_and_changed(service, lambda: service.write(of("five")))
    try:
        wait_until(lambda: "4 open runs taken up" in again.said())
        assert "host" in again.parts()
        for run in runs:
            assert again.call("signal", "go", "--run", run)[0] == 0
        wait_until(lambda: all(state(again, run) == "succeeded" for run in runs))
        said = again.end()
    finally:
        again.close()
    assert sorted(made(folder)) == ["signalled four", "signalled one", "signalled three", "signalled two"]
    assert "code of now" not in said


def failed(service: Up) -> str:
    """A run that failed in its second step with the first code; the code has changed since."""
    (service.folder / "fail").touch()
    code, said = service.call("run", "long")
    assert code == 1, said
    (service.folder / "fail").unlink()
    (service.folder / "go").touch()
    service.write(of("two"))
    wait_until(lambda: "is in force" in service.said())
    return service.run_of(said)


def test_the_command_line_has_the_service_take_the_code_of_then(service: Up) -> None:
    folder, run = service.folder, failed(service)
    code, said = service.call("resume", run, "--code", "then")
    assert (code, made(folder)) == (0, ["first one", "second one", "third one one"]), said
    code, said = service.call("run", "--from", "second", run, "--code", "then")
    assert (code, made(folder)[3:]) == (0, ["second one", "third one one"]), said
    code, said = service.call("run", "--from", "second", run)
    assert (code, made(folder)[5:]) == (0, ["second two", "third two two"]), said


def test_over_http_either_code_can_be_had(service: Up) -> None:
    folder, run = service.folder, failed(service)
    client = Client(f"http://127.0.0.1:{service.port}", service.legato("tokens", "add", getuser())["secret"])
    told = client.get(f"/runs/{run}/resumption")
    assert (bool(told["then"]), told["kept"], told["changed"]) == (True, True, ["first", "long", "second"])
    client.resume(run, code="then")
    wait_until(lambda: state(service, run) == "succeeded")
    assert made(folder) == ["first one", "second one", "third one one"]
    asked = client.post("/runs", {"start": ["second", run], "code": "then"})
    wait_until(lambda: state(service, asked["run"]) == "succeeded")
    asked = client.post("/runs", {"start": ["second", run], "code": "now"})
    wait_until(lambda: state(service, asked["run"]) == "succeeded")
    assert made(folder)[3:] == ["second one", "third one one", "second two", "third two two"]


def test_sources_of_then_are_asked_by_the_code_of_then(service: Up) -> None:
    folder = service.folder
    code, said = service.call("run", "prices")
    assert code == 0, said
    run = service.run_of(said)
    service.write(of("two"))
    wait_until(lambda: "is in force" in service.said())
    code, said = service.call("run", "--from", "prices", run, "--code", "then")
    assert (code, made(folder)) == (0, ["prices one one"] * 2), said


def test_code_of_then_that_cannot_be_had_is_refused(service: Up) -> None:
    folder, run = service.folder, failed(service)
    (folder / "no more").touch()
    client = Client(f"http://127.0.0.1:{service.port}", service.legato("tokens", "add", getuser())["secret"])
    with pytest.raises(Exception, match="can be loaded no more"):
        client.resume(run, code="then")
    time.sleep(0.3)
    assert (state(service, run), made(folder)) == ("failed", ["first one"])


def test_a_run_that_is_under_way_stays_with_its_version_until_nothing_of_it_runs(service: Up) -> None:
    folder, run = service.folder, underway(service)
    service.write(of("two"))
    wait_until(lambda: "is in force" in service.said())
    code, said = service.call("resume", run, "--code", "now")
    assert (code, "[run-underway]" in said) == (2, True), said
    assert service.call("pause", run)[0] == 0
    (folder / "go").touch()
    wait_until(lambda: "second one" in made(folder))
    code, said = service.call("resume", run)
    assert (code, "code of now" in said, made(folder)[-1]) == (0, False, "third one one"), said


def test_a_paused_run_is_moved_to_the_code_of_now(service: Up) -> None:
    folder, run = service.folder, underway(service)
    service.write(of("two"))
    wait_until(lambda: "is in force" in service.said())
    assert service.call("pause", run)[0] == 0
    (folder / "go").touch()
    wait_until(lambda: "second one" in made(folder))
    wait_until(lambda: service.call("resume", run, "--code", "now")[0] == 0)
    assert made(folder)[-1] == "third two two"
    assert {line.rpartition(" ")[2] for line in made(folder)[2:]} == {"two"}


def test_a_code_host_of_then_that_dies_is_followed_by_another_of_the_same_code(service: Up) -> None:
    folder, run = service.folder, underway(service)
    service.write(of("two"))
    wait_until(lambda: "is in force" in service.said())
    for pid in hosts(service):
        os.kill(pid, signal.SIGKILL)
    (folder / "go").touch()
    wait_until(lambda: state(service, run) == "succeeded")
    assert made(folder)[-2:] == ["second one", "third one one"]
    assert "code of now" not in service.said()
