"""Workers of a code host keep the port's promises; whatever loading the project does, it ends in a snapshot or a fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("legato.testing.executor", "legato.testing.executor_site")

from legato.executors.host import HostedExecutor  # noqa: E402
from legato.terms.attempt import Lost, Returned  # noqa: E402
from legato.terms.errors import Fault, InvalidProject  # noqa: E402
from legato.testing.executor import WorkerContract, is_running  # noqa: E402
from legato.testing.executor_site import Driver  # noqa: E402
from legato.worker import kin  # noqa: E402
from legato.worker.lock import WorkersLock  # noqa: E402
from legato.worker.preload import Preload  # noqa: E402

PATIENCE_S = 60.0
"""How long anything may take that must happen at all."""
LOADER = "legato.testing.executor_site:sample_kit"


def await_snapshot(executor: HostedExecutor) -> None:
    until = time.monotonic() + PATIENCE_S
    while executor.snapshot() is None:
        assert time.monotonic() < until
        assert executor.poll(0.05) == []


class TestHostedWorkers(WorkerContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[HostedExecutor]:
        lock = WorkersLock(str(tmp_path / "lock"))
        lock.wait()
        preload = Preload(None, LOADER, (str(tmp_path),))
        executor = HostedExecutor(preload, 2, tmp_path / "logs", root=tmp_path, lock=lock)
        await_snapshot(executor)
        yield executor
        executor.close()
        lock.release()

    def test_a_host_that_dies_takes_its_code_along(self, driver: Driver, executor: HostedExecutor, tmp_path: Path) -> None:
        witness = tmp_path / "entered"
        orders = [driver.order("nap", seconds=600, witness=str(witness)), driver.order("noop")]
        executor.start(orders, 0, 1.0)
        driver.collect(lambda: witness.exists() and all(worker.pid for worker in executor._crew()))
        assert executor._link is not None
        os.kill(executor._link.pid, signal.SIGKILL)
        assert [type(end) for end in driver.finish(orders)] == [Lost, Returned]
        assert not is_running(int(witness.read_text()))
        assert (executor.is_lost, executor.load(), executor.free_for_flows()) == (True, (), ())
        assert type(driver.make("noop")) is Returned

    def test_hosts_of_one_conductor_share_the_lock(self, driver: Driver, executor: HostedExecutor, tmp_path: Path) -> None:
        assert driver.value("add", a=1, b=1) == 2
        other = WorkersLock(str(tmp_path / "lock"))
        assert not other.take()
        second = HostedExecutor(
            Preload(None, LOADER, (str(tmp_path),)), 1, tmp_path / "logs", root=tmp_path, session="second",
            lock=executor._workers_lock,
        )  # fmt: skip
        await_snapshot(second)
        assert Driver(second).value("add", a=1, b=2) == 3
        second.close()


# -- loading --

Open = Callable[..., HostedExecutor]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Open]:
    opened: list[HostedExecutor] = []
    before = kin.children()

    def open_(source: str, limit_s: float = PATIENCE_S) -> HostedExecutor:
        (tmp_path / "legato.toml").write_text('modules = ["hosted_pipeline"]\n')
        (tmp_path / "hosted_pipeline.py").write_text(source)
        preload = Preload(None, "legato.wiring.code:load_kit", (str(tmp_path),))
        opened.append(HostedExecutor(preload, 1, tmp_path / "logs", root=tmp_path, session="s", load_limit_s=limit_s))
        return opened[-1]

    yield open_
    for executor in opened:
        executor.close()
    # A host whose conductor was killed ends last of all.
    _await(lambda: not any(is_running(pid) for pid in kin.children() if pid not in before))


def faults_of(executor: HostedExecutor) -> list[Fault]:
    with pytest.raises(InvalidProject) as caught:
        await_snapshot(executor)
    with pytest.raises(InvalidProject):  # it is told as often as somebody asks
        executor.snapshot()
    return caught.value.faults


ASSET = "import legato as lg\n@lg.asset\ndef a(): return [1]\n"


def test_the_snapshot_arrives_and_the_code_works(project: Open) -> None:
    executor = project(ASSET)
    await_snapshot(executor)
    taken = executor.snapshot()
    assert taken is not None
    assert list(taken.project.nodes) == ["a"]
    assert "hosted_pipeline" not in sys.modules


def test_all_faults_arrive_as_records(project: Open) -> None:
    found = faults_of(project(ASSET + "@lg.asset\ndef b(nothing): ...\n@lg.asset(deps=['nowhere'])\ndef c(): ...\n"))
    assert [str(fault.place).partition(":")[0] for fault in found] == ["hosted_pipeline.py"] * 2


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("import os; print('dying'); os._exit(3)", "code-died", "exited with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "code-died", "was killed by signal 9"),
        ("import ctypes; ctypes.string_at(0)", "code-died", "SIGSEGV"),
        ("import sys; sys.exit(3)", "module-exit", "ends the process"),
        ("raise ValueError('no')", "module-import", "ValueError: no"),
        ("1 +", "module-syntax", "SyntaxError"),
        ("import time\nimport legato\ntime.sleep(600)", "code-slow", "still being loaded after 3 s"),
        ("while True: pass", "code-slow", "still being loaded after 3 s"),
        ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass", "code-slow", "after 3 s"),
    ],
)  # fmt: skip
def test_a_load_that_fails_is_a_fault(project: Open, source: str, code: str, words: str) -> None:
    (fault,) = faults_of(project(source, limit_s=3.0 if code == "code-slow" else PATIENCE_S))
    assert fault.code == code
    assert words in fault.what
    if code == "code-slow":
        assert fault.place is not None
        assert fault.place.file == "hosted_pipeline.py"


def test_a_load_that_holds_the_interpreter_is_killed(project: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legato.executors.host.GRACE_S", 0.5)
    (fault,) = faults_of(project("import ctypes; ctypes.PyDLL(None).sleep(600)", limit_s=3.0))
    assert (fault.code, "could not be stopped" in fault.what) == ("code-slow", True)


def test_nothing_waits_for_a_slow_load(project: Open) -> None:
    started = time.monotonic()
    executor = project("import time; time.sleep(600)", limit_s=600.0)
    assert executor.snapshot() is None
    assert (executor.load(), executor.free_for_flows(), executor.poll(0.0)) == ((), (), [])
    assert time.monotonic() - started < PATIENCE_S


def test_what_a_load_prints_is_in_a_file_of_its_own(project: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    await_snapshot(project(ASSET + "import os; print('x' * 1_000_000); os.write(2, b'raw')\n"))
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "logs" / "s" / "host.log").stat().st_size > 1_000_000


@pytest.mark.parametrize("end", ["limit", "fault", "conductor"])
def test_what_a_load_started_ends_with_it(project: Open, tmp_path: Path, end: str) -> None:
    spawn = (
        "import subprocess, time\n"
        f"for each in (False, True): print(subprocess.Popen(['sleep', '600'], start_new_session=each).pid, "
        f"file=open({str(tmp_path / 'pids')!r}, 'a'))\n"
    )
    source = spawn + ("raise ValueError\n" if end == "fault" else "time.sleep(600)\n")
    if end == "conductor":
        (tmp_path / "legato.toml").write_text('modules = ["hosted_pipeline"]\n')
        (tmp_path / "hosted_pipeline.py").write_text(source)
        script = (
            "import sys, time; from pathlib import Path; from legato.executors.host import HostedExecutor\n"
            "from legato.worker.preload import Preload; folder = Path(sys.argv[1])\n"
            "HostedExecutor(Preload(None, 'legato.wiring.code:load_kit', (str(folder),)), 1, folder / 'logs', root=folder)\n"
            "time.sleep(600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
            _await(lambda: len(_pids(tmp_path)) == 2)
            process.kill()
    else:
        faults_of(project(source, limit_s=4.0 if end == "limit" else PATIENCE_S))
    _await(lambda: not any(map(is_running, _pids(tmp_path))))
    assert len(_pids(tmp_path)) == 2


def _pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return list(map(int, file.read_text().split())) if file.exists() else []


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
