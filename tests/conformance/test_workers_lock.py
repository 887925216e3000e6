"""No attempt starts while a worker of an earlier conductor is left, whoever was killed and however workers are started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.register_assert_rewrite("legato.testing.executor_site")

import lock_site  # noqa: E402
from lock_site import LOCK, WAYS, is_running, open_executor  # noqa: E402

from legato.executors import inline  # noqa: E402
from legato.executors.inline import InlineExecutor  # noqa: E402
from legato.executors.process import ProcessExecutor  # noqa: E402
from legato.terms.attempt import Done, Lost, Returned  # noqa: E402
from legato.terms.errors import Unreachable  # noqa: E402
from legato.testing.executor_site import Driver  # noqa: E402
from legato.worker import lock, nursery  # noqa: E402
from legato.worker.lock import WorkersLock  # noqa: E402

WAIT_S = 0.3
"""So long nothing may start: much longer than a forked worker needs."""
PATIENCE_S = 60.0
"""How long anything may take that must happen at all."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def conductor(
    folder: Path, way: str = "fork", megabytes: int = 1, works: bool = True
) -> Iterator[tuple[subprocess.Popen[str], *tuple[int, ...]]]:
    """A conductor in a process of its own, its nursery, and its worker in a long attempt; none is left afterwards."""
    command = [sys.executable, lock_site.__file__, str(folder), way, str(megabytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(2 if works else 1)]
        try:
            yield process, *pids
        finally:
            send(signal.SIGKILL, process.pid, *pids)
            await_end(*pids)


def send(number: int, *pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def await_end(*pids: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while any(map(is_running, pids)):
        assert time.monotonic() < until
        time.sleep(0.005)


def stop(*pids: int) -> None:
    """Let these processes do nothing more until they are told, not even die of what would end them."""
    send(signal.SIGSTOP, *pids)
    states = [Path(f"/proc/{pid}/task/{task}/stat") for pid in pids for task in os.listdir(f"/proc/{pid}/task")]
    while not all(") T " in state.read_text() for state in states):
        time.sleep(0.001)


@contextmanager
def heard_at_once(driver: Driver) -> Iterator[None]:
    """Let the nursery hear of all that is asked for meanwhile in one go."""
    stop(_nursery(driver))
    try:
        yield
    finally:
        send(signal.SIGCONT, _nursery(driver))


@contextmanager
def opened(folder: Path, way: str = "fork", workers: int = 1) -> Iterator[Driver]:
    executor = open_executor(folder, way, workers)
    try:
        yield Driver(executor)
    finally:
        executor.close()


@contextmanager
def stranger(folder: Path) -> Iterator[None]:
    """Another process's hold on the lock, as far as the kernel can tell."""
    taken = WorkersLock(str(folder / LOCK))
    assert taken.take()
    try:
        yield
    finally:
        taken.release()


def start(driver: Driver, pids: list[int]) -> int:
    """Start an attempt that says which of these processes live as it is entered; its token."""
    order = driver.order("living", pids=pids)
    driver.executor.start([order], 0, 0.1)
    return order.token


def entered_with(driver: Driver, token: int) -> object:
    driver.collect(lambda: token in driver.ends)
    end = driver.ends[token]
    assert isinstance(end, Done), end
    return end.value


NOBODY = b"\x90"


def wait_in_vain(driver: Driver, wait_s: float = WAIT_S) -> None:
    until = time.monotonic() + wait_s
    driver.collect(lambda: time.monotonic() > until)
    assert driver.ends == {}


def test_the_next_conductor_waits_for_the_workers_of_one_that_was_killed(tmp_path: Path, way: str) -> None:
    with conductor(tmp_path, way) as (killed, *left):
        stop(*left)  # they would end within milliseconds
        killed.kill()
        with opened(tmp_path, way) as driver:
            token = start(driver, left)
            wait_in_vain(driver, WAIT_S if way == "fork" else 1.0)
            assert all(map(is_running, left))
            send(signal.SIGCONT, *left)
            assert entered_with(driver, token) == NOBODY


def test_each_of_the_processes_left_is_enough_to_wait_for(tmp_path: Path, way: str) -> None:
    with conductor(tmp_path, way) as (killed, nursery_pid, worker_pid):
        stop(nursery_pid)
        killed.kill()
        with opened(tmp_path) as driver:
            token = start(driver, [nursery_pid, worker_pid])
            wait_in_vain(driver)
            await_end(worker_pid)
            assert lock.find_holders(str(tmp_path / LOCK)) == [nursery_pid]
            send(signal.SIGKILL, nursery_pid)
            assert entered_with(driver, token) == NOBODY


def test_a_worker_that_takes_its_time_to_die_is_waited_for(tmp_path: Path) -> None:
    with conductor(tmp_path, megabytes=300) as (killed, *left), opened(tmp_path) as driver:
        killed.kill()
        assert entered_with(driver, start(driver, left)) == NOBODY


def test_what_outlives_a_killed_nursery_is_waited_for(tmp_path: Path, way: str) -> None:
    witness = tmp_path / "here"
    with opened(tmp_path, way) as driver:
        order = driver.order("leave_children", witness=str(witness), seconds=600)
        driver.executor.start([order], 0, 1.0)
        driver.collect(lambda: witness.exists() and _worker(driver) > 0)
        worker, escaped = _worker(driver), int(witness.read_text())
        send(signal.SIGKILL, _nursery(driver))
        try:
            assert [type(end) for end in driver.finish([order])] == [Lost]
            assert not is_running(worker)
            driver.ends.clear()
            token = start(driver, [worker, escaped])
            wait_in_vain(driver, 1.0)
            assert is_running(escaped)
        finally:
            send(signal.SIGKILL, escaped)
        assert entered_with(driver, token) == NOBODY


def test_nursery_and_worker_hold_it_and_other_programs_do_not(tmp_path: Path, way: str) -> None:
    with opened(tmp_path, way) as driver:
        assert driver.value("copies") == [1, 0]
        pids = sorted([_nursery(driver), _worker(driver)])
        assert lock.find_holders(str(tmp_path / LOCK)) == pids
        assert int((tmp_path / LOCK).read_text()) == pids[0]
    assert lock.find_holders(str(tmp_path / LOCK)) == []


def test_executors_that_start_nothing_do_not_wait(tmp_path: Path) -> None:
    with opened(tmp_path) as first, opened(tmp_path) as second:
        assert second.value("add", a=1, b=1) == 2
        second.executor.close()
        assert first.value("add", a=1, b=1) == 2


def test_without_a_path_nobody_waits(tmp_path: Path) -> None:
    preload = lock_site.Preload(lock_site.load(str(tmp_path)))
    with stranger(tmp_path):
        executor = ProcessExecutor(preload, 1, tmp_path / "logs", fork=True)
        assert Driver(executor).value("add", a=1, b=1) == 2
        executor.close()


class TestStuck:
    """Somebody holds the lock and does not end."""

    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (nursery, inline):
            monkeypatch.setattr(module, "PATIENCE_S", 0.1)

    def test_it_is_named(self, tmp_path: Path, impatient: None) -> None:
        with conductor(tmp_path) as (killed, *left):
            stop(*left)
            killed.kill()
            with opened(tmp_path, workers=2) as driver:
                orders = [driver.order("noop"), driver.order("noop")]
                with heard_at_once(driver):
                    for place, order in enumerate(orders):
                        driver.executor.start([order], place, 0.1)
                with pytest.raises(Unreachable) as raised:
                    driver.finish(orders)
                pids = " ".join(map(str, sorted(left)))
                assert raised.value.code == "workers-left"
                assert raised.value.where == str(tmp_path / LOCK)
                assert pids.replace(" ", ", ") in raised.value.why
                assert raised.value.next == f"kill -9 {pids}, then: legato resume"
                assert [type(end) for end in driver.finish(orders)] == [Returned, Returned]
                send(signal.SIGKILL, *left)
                await_end(*left)
                assert driver.value("add", a=1, b=1) == 2

    def test_it_is_told_once_for_all_who_wait(self, tmp_path: Path, impatient: None) -> None:
        with opened(tmp_path, workers=3) as driver, stranger(tmp_path):
            with heard_at_once(driver):
                for place in range(3):
                    driver.executor.start([driver.order("noop")], place, 0.1)
            link, told = driver.executor._link, []  # type: ignore[attr-defined]
            until = time.monotonic() + PATIENCE_S
            while ("barred", 3, 0, "") not in told and time.monotonic() < until:
                told += link.receive()[0]
            assert told == [("barred", 3, 0, "")]

    def test_who_is_asked_for_later_waits_for_itself(self, tmp_path: Path, impatient: None) -> None:
        with opened(tmp_path, workers=2) as driver, stranger(tmp_path):
            orders = [driver.order("noop"), driver.order("noop")]
            driver.executor.start(orders[:1], 0, 0.1)
            while not select.select([driver.executor.fileno()], [], [], PATIENCE_S)[0]:
                pass  # what is told of the first is on its way
            driver.executor.start(orders[1:], 1, 0.1)
            for _ in orders:
                with pytest.raises(Unreachable, match="workers-left"):
                    driver.finish(orders)
            assert [type(end) for end in driver.finish(orders)] == [Returned, Returned]

    def test_one_that_cannot_be_seen_is_not_to_be_killed_by_its_number(self, tmp_path: Path) -> None:
        (tmp_path / LOCK).write_text("4711\n")
        error = lock.workers_left(str(tmp_path / LOCK))
        assert "process 4711 of another user or container" in error.why
        assert "4711" not in error.next

    def test_an_order_that_waits_is_stopped_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for patience in ("worker.nursery.PATIENCE_S", "executors.process.CLOSE_S"):
            monkeypatch.setattr(f"legato.{patience}", 600.0)
        with stranger(tmp_path), opened(tmp_path, workers=2) as driver:
            for place in range(2):
                order = driver.order("noop")
                driver.executor.start([order], place, 0.1)
            started = time.monotonic()
            driver.executor.close()
            assert time.monotonic() - started < PATIENCE_S

    def test_a_conductors_death_ends_a_nursery_that_waits(self, tmp_path: Path) -> None:
        with stranger(tmp_path), conductor(tmp_path, works=False) as (killed, waiting):
            time.sleep(WAIT_S)
            assert is_running(waiting)
            killed.kill()
            await_end(waiting)

    def test_workers_that_waited_together_share_no_pipe(self, tmp_path: Path) -> None:
        with opened(tmp_path, workers=2) as driver:
            with stranger(tmp_path):
                orders = [driver.order("nap", seconds=600.0), driver.order("kill_self")]
                for place, order in enumerate(orders):
                    driver.executor.start([order], place, 0.1)
                wait_in_vain(driver)
            assert isinstance(driver.finish(orders[1:])[0], Lost)
            paths = [f"/proc/{_worker(driver)}/fd/{name}" for name in os.listdir(f"/proc/{_worker(driver)}/fd")]
            slates = {os.stat(path).st_ino for path in paths if "legato-slate" in os.readlink(path)}
            assert len(slates) == 1


class TestInline:
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        executor = InlineExecutor(lock_site.load(str(tmp_path)), lock=tmp_path / LOCK)
        yield Driver(executor)
        executor.close()

    def test_it_waits_too(self, driver: Driver, tmp_path: Path) -> None:
        with conductor(tmp_path, megabytes=300) as (killed, *left):
            killed.kill()
            assert entered_with(driver, start(driver, left)) == NOBODY

    def test_it_says_who_is_left(self, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inline, "PATIENCE_S", 0.1)
        order = driver.order("noop")
        driver.executor.start([order], 0, 0.1)
        with stranger(tmp_path), pytest.raises(Unreachable, match="workers-left"):
            driver.finish([order])
        assert isinstance(driver.finish([order])[0], Returned)
        assert driver.value("add", a=1, b=1) == 2

    def test_it_holds_the_lock_until_it_is_closed(self, driver: Driver, tmp_path: Path) -> None:
        assert driver.value("copies") == [1, 0]
        driver.executor.close()
        with stranger(tmp_path):
            pass


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_every_command_asks_for_the_lock(tmp_path: Path, executor: str) -> None:
    witness = tmp_path / "entered"
    (tmp_path / "legato.toml").write_text(f'modules = ["pipeline"]\nexecutor = "{executor}"\n')
    (tmp_path / "pipeline.py").write_text(
        f"import legato as lg\n\n\n@lg.task\ndef enter() -> None:\n    open({str(witness)!r}, 'w').close()\n"
    )
    (tmp_path / ".legato").mkdir(mode=0o700)
    command = [sys.executable, "-m", "legato", "-C", str(tmp_path), "run"]
    with stranger(tmp_path / ".legato"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(1.0)
        assert not witness.exists()
        assert process.poll() is None
    assert process.wait(timeout=PATIENCE_S) == 0
    assert witness.exists()


@pytest.mark.timing
def test_the_lock_costs_nothing_where_it_is_free(tmp_path: Path) -> None:
    times = []
    for _ in range(50):
        taken = WorkersLock(str(tmp_path / LOCK))
        started = time.perf_counter()
        assert taken.take()
        times.append(time.perf_counter() - started)
        taken.release()
    assert sorted(times)[25] < 0.0002


def _nursery(driver: Driver) -> int:
    return driver.executor._link.pid  # type: ignore[attr-defined, no-any-return]


def _worker(driver: Driver) -> int:
    return next(worker.pid for worker in driver.executor._places if worker is not None)  # type: ignore[attr-defined]
