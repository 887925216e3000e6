"""User code that misbehaves in every way there is, in one run on real worker processes: each is named, nothing else suffers."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest

from legato.kernel.state import RunState, Status
from legato.service.logbook import Logbook, read_log
from legato.service.request import Request
from legato.service.running import run, session
from legato.service.workspace import Workspace
from legato.terms.fact import Error
from legato.wiring.code import open_workspace

PIPELINE = """
import ctypes, os, signal, subprocess, sys, time
import legato as lg


@lg.task
def raises() -> None:
    raise ValueError("no such customer")


@lg.asset
def wrong_type() -> dict:
    return [1, 2]


@lg.asset
def returns_nothing() -> dict:
    pass


@lg.task
def returns_a_socket():
    import socket
    return socket.socket()


@lg.task
def prints_much() -> int:
    for _ in range(64):
        sys.stdout.write("x" * 1_000_000 + "\\n")
    return 64


@lg.task
def forks_children() -> int:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open("child.pid", "w").write(str(child.pid))
    return child.pid


def fibonacci(number: int) -> int:
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def seconds_at(depth: int) -> float:
    if depth:
        return seconds_at(depth - 1)
    before = time.thread_time()
    fibonacci(10)
    return time.thread_time() - before


@lg.task
def recurses_at_any_depth() -> None:
    least = sorted(min(seconds_at(depth) for _ in range(20)) for depth in range(300))
    assert least[-1] < 5 * least[150], f"{least[-1] / least[150]:.0f} times as long as at other depths"


@lg.task
def exits() -> None:
    os._exit(3)


@lg.task
def segfaults() -> None:
    ctypes.string_at(0)


@lg.task
def is_killed_for_memory() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@lg.task(timeout="500ms")
def never_returns() -> None:
    while True:
        time.sleep(1)


@lg.task(timeout="500ms")
def ignores_signals_and_never_returns() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass


@lg.task
def changes_directory() -> str:
    os.chdir("/")
    os.environ["LEGATO_TEST_LEFTOVER"] = "1"
    return os.getcwd()


@lg.task(deps=[changes_directory])
def stands_where_it_should() -> str:
    assert "LEGATO_TEST_LEFTOVER" not in os.environ
    return os.getcwd()


@lg.task
def exits_politely() -> None:
    sys.exit("enough")


@lg.task
async def awaits() -> int:
    import asyncio
    await asyncio.sleep(0)
    return 7


@lg.asset
def innocent() -> dict:
    return {"fine": True}


@lg.asset
def needs_a_broken_one(wrong_type: dict, innocent: dict) -> dict:
    return wrong_type
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunState]:
    """The workspace and the ended run."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "legato.toml").write_text('name = "bad"\nmodules = ["pipeline"]\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    workspace = open_workspace(folder, workers=2)
    with session(workspace, "test") as opened:
        _, state = run(opened, Request(), lambda *_: None)
    assert state is not None
    return workspace, state


def _index(state: RunState, node: str) -> int:
    return next(index for index, step in enumerate(state.plan.steps) if step.node == node)


def _status(state: RunState, node: str) -> Status:
    return Status(state.status[_index(state, node)])


def _error(state: RunState, node: str) -> Error:
    assert _status(state, node) is Status.FAILED
    return state.errors[_index(state, node)]


def test_the_run_ends_and_says_that_it_failed(ran: tuple[Workspace, RunState]) -> None:
    assert ran[1].ended == "failed"
    assert not ran[1].running


@pytest.mark.parametrize(
    ("node", "kind", "message"),
    [
        ("raises", "raised", r"no such customer"),
        ("wrong_type", "value", r"dict.*list|list.*dict"),
        ("returns_nothing", "value", r"nothing"),
        ("returns_a_socket", "value", r"socket"),
        ("exits", "lost", r"exited with code 3"),
        ("segfaults", "lost", r"SIGSEGV"),
        ("is_killed_for_memory", "lost", r"SIGKILL.*memory"),
        ("never_returns", "timeout", r"longer than its time limit"),
        ("ignores_signals_and_never_returns", "timeout", r"longer than its time limit"),
        ("exits_politely", "raised", r"sys\.exit.*enough"),
    ],
)
def test_each_failure_is_named(ran: tuple[Workspace, RunState], node: str, kind: str, message: str) -> None:
    error = _error(ran[1], node)
    assert error.kind == kind
    assert re.search(message, error.message), error.message


def test_an_error_names_the_users_line(ran: tuple[Workspace, RunState]) -> None:
    where = _error(ran[1], "raises").where
    line = 1 + PIPELINE.splitlines().index('    raise ValueError("no such customer")')
    assert where == f"pipeline.py:{line}"


def test_a_crash_looper_is_parked_and_its_neighbours_are_not(ran: tuple[Workspace, RunState]) -> None:
    """The platform tries a step whose worker died twice more; steps that travelled with it are not charged."""
    state = ran[1]
    assert state.attempts[_index(state, "segfaults")] == 3
    for node in ("innocent", "awaits", "changes_directory"):
        assert _status(state, node) is Status.SUCCEEDED


def test_what_depends_on_a_failed_step_is_skipped(ran: tuple[Workspace, RunState]) -> None:
    state = ran[1]
    index = _index(state, "needs_a_broken_one")
    assert _status(state, "needs_a_broken_one") is Status.SKIPPED
    assert state.causes[index] == ("upstream", _index(state, "wrong_type"))


def test_a_child_process_does_not_outlive_the_run(ran: tuple[Workspace, RunState]) -> None:
    pid = int((ran[0].root / "child.pid").read_text())
    with suppress(OSError):  # it is gone
        assert b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes(), f"process {pid} still lives"


def test_the_next_attempt_stands_where_it_should(ran: tuple[Workspace, RunState]) -> None:
    assert _status(ran[1], "stands_where_it_should") is Status.SUCCEEDED


def test_recursion_costs_the_same_at_any_depth(ran: tuple[Workspace, RunState]) -> None:
    assert _status(ran[1], "recurses_at_any_depth") is Status.SUCCEEDED


def test_a_flood_of_output_costs_little_disk(ran: tuple[Workspace, RunState]) -> None:
    workspace, state = ran
    assert _status(state, "prints_much") is Status.SUCCEEDED
    stored = sum(path.stat().st_size for path in Path(workspace.logs).rglob("*") if path.is_file())
    assert stored < 20 * 2**20
    store = workspace.open_reader()
    logbook = Logbook(store, state.run_id)
    (attempt,) = [each for each in logbook.read(store) if each.node == "prints_much"]
    assert attempt.log is not None
    text = b"".join(read_log(workspace, attempt.log))
    assert b"left out" in text
    store.close()
