"""Every executor keeps the port's promises; workers also survive the death of what they depend on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("legato.testing.executor", "legato.testing.executor_site")

from legato.executors.inline import InlineExecutor  # noqa: E402
from legato.executors.process import ProcessExecutor  # noqa: E402
from legato.terms.attempt import Lost, Returned  # noqa: E402
from legato.terms.errors import Unreachable  # noqa: E402
from legato.testing.executor import ExecutorContract, WorkerContract, assert_gone, is_running, left_by  # noqa: E402
from legato.testing.executor_site import Driver, sample_kit  # noqa: E402
from legato.worker import kin  # noqa: E402
from legato.worker.preload import Preload  # noqa: E402
from legato.worker.threads import fork_hazard  # noqa: E402

PATIENCE_S = 60.0
"""How long anything may take that must happen at all."""
LOADER = "legato.testing.executor_site:sample_kit"


def preload(folder: Path, *, loaded: bool = True) -> Preload:
    return Preload(sample_kit(str(folder)) if loaded else None, LOADER, (str(folder),))


class TestInline(ExecutorContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[InlineExecutor]:
        executor = InlineExecutor(sample_kit(str(tmp_path)), tmp_path / "logs")
        yield executor
        executor.close()

    def test_a_poll_makes_one_slice(self, driver: Driver) -> None:
        orders = [driver.order("nap", seconds=0.015) for _ in range(6)]
        driver.executor.start(orders, 0, 0.09)
        assert 1 <= len(driver.executor.poll(10)) <= 3

    def test_output_between_attempts_goes_where_it_went(self, driver: Driver, capfd: pytest.CaptureFixture[str]) -> None:
        driver.make("say", text="inside")
        print("outside")
        assert capfd.readouterr().out == "outside\n"


class TestForkedWorkers(WorkerContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[ProcessExecutor]:
        # Other tests in this process may have used polars; these functions do not, so a fork is safe for them.
        executor = ProcessExecutor(preload(tmp_path), 2, tmp_path / "logs", fork=True)
        yield executor
        executor.close()

    @pytest.mark.parametrize("worn", [{"SHIFT_S": 0.0}, {"SHIFT_BYTES": 1}, {}])
    def test_a_worker_is_replaced_after_its_shift(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worn: dict[str, float]
    ) -> None:
        for name, value in worn.items():
            monkeypatch.setattr(f"legato.executors.process.{name}", value)
        for _ in range(3):
            driver.make("say", text="inside")
        logs = sorted(path.name for path in (tmp_path / "logs").rglob("*.log"))
        assert logs == (["1.log", "2.log", "3.log"] if worn else ["1.log"])

    @pytest.mark.timing
    def test_a_lone_order_is_made_within_a_millisecond(self, driver: Driver) -> None:
        driver.make("noop")
        times = []
        for _ in range(50):
            order = driver.order("noop")
            started = time.perf_counter()
            driver.executor.start([order], 0, 0.0)
            driver.finish([order])
            times.append(time.perf_counter() - started)
        assert sorted(times)[25] < 0.001

    def test_silent_workers_leave_no_files(self, driver: Driver, tmp_path: Path) -> None:
        driver.make("noop")
        driver.executor.close()
        assert not (tmp_path / "logs").exists() or list((tmp_path / "logs").iterdir()) == []

    def test_a_nursery_that_dies_is_replaced(self, driver: Driver, executor: ProcessExecutor, tmp_path: Path) -> None:
        witness = tmp_path / "entered"
        orders = [driver.order("nap", seconds=600, witness=str(witness)), driver.order("noop")]
        executor.start(orders, 0, 1.0)
        driver.collect(lambda: witness.exists() and all(worker.pid for worker in executor._crew()))
        os.kill(nursery_of(executor), signal.SIGKILL)
        assert [type(end) for end in driver.finish(orders)] == [Lost, Returned]
        assert not is_running(int(witness.read_text()))
        assert driver.value("add", a=1, b=1) == 2

    def test_a_project_that_no_longer_loads_says_so(self, tmp_path: Path) -> None:
        executor = ProcessExecutor(Preload(None, "no.such.module:load"), 1, tmp_path / "logs")
        driver = Driver(executor)
        order = driver.order("noop")
        executor.start([order], 0, 0.0)
        nursery = nursery_of(executor)
        _await(lambda: not is_running(nursery))  # it has died with the order's worker unread; its last words count
        with pytest.raises(Unreachable, match="no worker can be started") as raised:
            driver.finish([order])
        assert "No module named 'no'" in raised.value.why
        assert isinstance(driver.finish([order])[0], Returned)
        executor.close()

    @pytest.mark.parametrize("victim", ["conductor", "conductor and nursery"])
    def test_the_conductors_death_leaves_nothing(self, tmp_path: Path, victim: str) -> None:
        script = (
            "import sys; from pathlib import Path; from legato.executors.process import ProcessExecutor\n"
            "from legato.testing.executor_site import Driver, sample_kit; from legato.worker import kin\n"
            "from legato.worker.preload import Preload; folder = Path(sys.argv[1])\n"
            "executor = ProcessExecutor(Preload(sample_kit(str(folder))), 2, folder / 'logs'); driver = Driver(executor)\n"
            "executor.start([driver.order('leave_children', witness=str(folder / 'here'), seconds=600)], 0, 1.0)\n"
            "executor.start([driver.order('noop')], 1, 1.0)\n"
            "driver.collect((folder / 'here').exists); print(kin.children()[0], flush=True)\n"
            "driver.collect(lambda: False, 60)\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            nursery = int(process.stdout.readline())
            if victim != "conductor":
                os.kill(nursery, signal.SIGSTOP)  # it must not get to act before it dies
            process.kill()
        if victim != "conductor":
            os.kill(nursery, signal.SIGKILL)
            _end_orphans()  # the one that left its group has outlived its nursery; in the wild nobody adopts it
        _await(lambda: not any(map(is_running, [nursery, *left_by(tmp_path / "here")])))
        assert_gone(tmp_path / "here")

    def test_two_executors_do_not_hold_on_to_each_other(self, tmp_path: Path, driver: Driver) -> None:
        driver.make("noop")
        other = ProcessExecutor(preload(tmp_path), 1, tmp_path / "logs", session="other", fork=True)
        Driver(other).make("noop")
        driver.executor.close()
        assert Driver(other).value("add", a=1, b=1) == 2
        other.close()


HAZARD = """
import threading, time
from legato.testing.executor_site import sample_kit as load
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""


class TestFreshInterpreters:
    """The nursery is an interpreter of its own where this process cannot be forked; where importing the project starts
    threads each worker is one too."""

    @pytest.fixture(params=[LOADER, "hazard:load"], ids=["nursery", "workers"])
    def executor(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ProcessExecutor]:
        (tmp_path / "hazard.py").write_text(HAZARD)
        monkeypatch.syspath_prepend(str(tmp_path))
        kin.adopt_orphans()
        before = kin.children()
        executor = ProcessExecutor(Preload(None, request.param, (str(tmp_path),)), 2, tmp_path / "logs")
        yield executor
        executor.close()
        assert not any(is_running(pid) for pid in kin.children() if pid not in before)

    def test_they_work_die_and_are_replaced(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        driver = Driver(executor)
        assert driver.value("add", a=1, b=1) == 2
        end = driver.make("crash")
        assert isinstance(end, Lost)
        assert "SIGSEGV" in end.reason
        executor.start([driver.order("leave_children", witness=str(tmp_path / "here"), seconds=600)], 0, 1.0)
        driver.collect((tmp_path / "here").exists)
        executor.close()
        assert_gone(tmp_path / "here")

    def test_a_process_with_threads_is_not_forked(self, tmp_path: Path) -> None:
        over = threading.Event()
        thread = threading.Thread(target=over.wait, name="the other")
        thread.start()
        executor = None
        try:
            assert "the other" in fork_hazard()  # a body that an earlier test gave up may stand there still
            executor = ProcessExecutor(preload(tmp_path), 1, tmp_path / "logs")
            assert Driver(executor).value("add", a=1, b=1) == 2
            assert "legato.worker" in Path(f"/proc/{nursery_of(executor)}/cmdline").read_text()
        finally:
            over.set()
            thread.join()
            if executor is not None:
                executor.close()


def _end_orphans() -> None:
    deadline = time.monotonic() + PATIENCE_S
    while kin.has_children() and time.monotonic() < deadline:
        kin.end_children()


def nursery_of(executor: ProcessExecutor) -> int:
    """The nursery's process. The test's own process may have other children, too: it adopts what earlier tests left."""
    assert executor._link is not None
    return executor._link.pid


def _await(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
