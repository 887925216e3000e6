"""Proves that an executor keeps the port's promises: subclass a suite in a test module and give it an `executor`.

class TestMyExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, tmp_path):
        executor = MyExecutor(sample_kit(str(tmp_path)), logs=tmp_path / "logs")
        yield executor
        executor.close()

The logs have to stand below `tmp_path / "logs"`. `WorkerContract` is for executors whose attempts run in other processes of
this machine: they survive what user code does to its process.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from legato.ports.executor import Executor
from legato.terms.attempt import Declined, Done, Image, LogSpan, Lost, Order, Raised, Report, Returned
from legato.terms.fact import Markdown, Metric, Progress, Table
from legato.testing.executor_site import PATIENCE_S, Driver
from legato.worker import kin

_INPUTS: dict[str, dict[str, Any]] = {"fail": {"text": "no"}, "exit_hard": {"code": 1}, "nap": {"seconds": 0.01}}


class ExecutorContract:
    """What holds for every executor."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Executor]:
        raise NotImplementedError("give a fixture `executor` that yields one and closes it")

    @pytest.fixture
    def driver(self, executor: Executor) -> Driver:
        return Driver(executor)

    # -- every order ends once, in the worker's order --

    def test_every_order_ends_exactly_once(self, driver: Driver) -> None:
        kinds = [driver.order("noop"), driver.order("add", a=1, b=2), driver.order("fail", text="no")]
        orders = kinds + [driver.order("noop") for _ in range(300)]
        for start in range(0, len(orders), 50):
            driver.executor.start(orders[start : start + 50], (start // 50) % driver.executor.workers(), 0.01)
        ends = driver.finish(orders)
        assert [type(end) for end in ends[:3]] == [Done, Done, Raised]
        assert all(type(end) is Done for end in ends[3:])
        assert driver.executor.poll(0.02) == []

    def test_a_worker_makes_its_orders_one_after_the_other(self, driver: Driver) -> None:
        orders = [driver.order("noop") for _ in range(100)]
        driver.executor.start(orders, 0, 0.01)
        driver.finish(orders)
        assert list(driver.ends) == [order.token for order in orders]

    def test_load_is_what_was_told_until_it_is_done(self, driver: Driver) -> None:
        executor = driver.executor
        assert list(executor.load()) == [0.0] * executor.workers()
        orders = [driver.order("noop"), driver.order("noop")]
        executor.start(orders, 0, 3.0)
        assert executor.load()[0] == pytest.approx(3.0)
        driver.finish(orders)
        assert list(executor.load()) == [0.0] * executor.workers()

    def test_what_has_not_begun_can_be_recalled_and_never_begins(self, driver: Driver, tmp_path: Path) -> None:
        lasting = driver.order("nap", seconds=2.0)
        witnesses = [tmp_path / f"witness-{number}" for number in range(100)]
        others = [driver.order("nap", seconds=0, witness=str(witness)) for witness in witnesses]
        driver.executor.start([lasting, *others], 0, 0.4)
        driver.executor.recall()
        first, *ends = driver.finish([lasting, *others])
        assert type(first) in (Done, Returned)
        assert sum(type(end) is Returned for end in ends) >= 90
        last = driver.order("add", a=1, b=1)
        driver.executor.start([last], 0, 0.0)
        assert type(driver.finish([last])[0]) is Done
        for witness, end in zip(witnesses, ends, strict=True):
            assert type(end) is (Done if witness.exists() else Returned)

    def test_an_order_that_has_not_begun_can_be_stopped(self, driver: Driver) -> None:
        orders = [driver.order("nap", seconds=2.0), driver.order("noop"), driver.order("noop")]
        driver.executor.start(orders, 0, 0.2)
        driver.executor.kill("r", orders[1].step, orders[1].token)
        ends = driver.finish(orders)
        assert [type(end) for end in ends] == [Done, Returned, Done]
        driver.executor.kill("r", orders[1].step, orders[1].token)
        driver.executor.kill("nobody", 1, 1)
        assert driver.executor.poll(0.02) == []

    def test_wake_ends_a_poll_that_waits(self, executor: Executor) -> None:
        timer = threading.Timer(0.05, executor.wake)
        timer.start()
        started = time.monotonic()
        assert executor.poll(2 * PATIENCE_S) == []
        assert time.monotonic() - started < PATIENCE_S
        timer.join()

    def test_poll_waits_no_longer_than_told(self, executor: Executor) -> None:
        started = time.monotonic()
        assert executor.poll(0.03) == []
        assert 0.02 < time.monotonic() - started < PATIENCE_S

    def test_close_can_be_repeated(self, executor: Executor) -> None:
        executor.close()
        executor.close()

    # -- results --

    def test_a_task_returns_its_value(self, driver: Driver) -> None:
        assert driver.value("add", a=2, b=3) == 5
        assert driver.value("noop") is None
        assert driver.value("add_later", a=2, b=3) == 5

    def test_an_asset_is_staged_under_its_run_and_token(self, driver: Driver, tmp_path: Path) -> None:
        end = driver.make("number")
        assert isinstance(end, Done)
        (output,) = end.outputs
        assert (output.ref.asset, output.ref.version) == ("number", f"r-{end.token}")
        assert (tmp_path / "data" / output.ref.location).exists()

    def test_a_condition_declines(self, driver: Driver) -> None:
        assert isinstance(driver.make("guarded", go=False), Declined)
        assert isinstance(driver.make("guarded", go=True), Done)

    def test_a_fallback_and_an_undo_are_called_in_its_place(self, driver: Driver) -> None:
        end = driver.make("guarded", mode="fallback", go=False, a=1, b=1)
        assert isinstance(end, Done)
        assert end.value == b"\x02"
        undone = driver.make("guarded", mode="undo", go=False, text="taken back")
        assert isinstance(undone, Done)
        assert undone.log is not None

    # -- bad functions --

    def test_an_exception_is_told_with_its_types_and_the_users_line(self, driver: Driver) -> None:
        end = driver.make("fail", text="closed")
        assert isinstance(end, Raised)
        assert (end.error.kind, end.error.message) == ("raised", "closed")
        assert end.error.types[:3] == (
            "builtins.ConnectionRefusedError", "builtins.ConnectionError", "builtins.OSError",
        )  # fmt: skip
        assert end.error.types[-1] == "builtins.BaseException"
        assert end.error.where.startswith("executor_site.py:")
        assert "raise ConnectionRefusedError(text)" in end.error.trace
        assert "harness.py" not in end.error.trace

    @pytest.mark.parametrize(
        ("node", "kind", "words"),
        [
            ("lie", "value", "lie returned a str, but says it returns int"),
            ("forget", "value", "returned nothing"),
            ("hold", "value", "hold: "),
            ("leave_politely", "raised", "sys.exit(3)"),
            ("descend", "raised", "recursion"),
            ("resist", "raised", "Unprintable"),
        ],
    )
    def test_a_bad_function_fails_and_nothing_else_does(self, driver: Driver, node: str, kind: str, words: str) -> None:
        end = driver.make(node)
        assert isinstance(end, Raised), end
        assert end.error.kind == kind
        assert words in end.error.message
        assert end.error.where.startswith("executor_site.py:")
        assert len(end.error.trace) < 25_000
        assert driver.value("add", a=1, b=1) == 2

    def test_what_a_function_changes_around_it_is_put_back(self, driver: Driver) -> None:
        before = driver.value("look")
        assert isinstance(driver.make("wander"), Done)
        assert driver.value("look") == before

    # -- output --

    def test_all_output_is_in_the_log_and_silence_is_none(self, driver: Driver, tmp_path: Path) -> None:
        end = driver.make("say", text="hello")
        assert read_log(end, tmp_path).splitlines() == ["hello print", "hello stderr", "hello write", "hello child"]
        again = driver.make("say", text="again")
        assert "hello" not in read_log(again, tmp_path)
        assert getattr(driver.make("noop"), "log", "") is None

    def test_a_closed_output_is_mended(self, driver: Driver, tmp_path: Path) -> None:
        assert isinstance(driver.make("hush"), Done)
        assert "still here print" in read_log(driver.make("say", text="still here"), tmp_path)

    # -- facts --

    @pytest.mark.parametrize("code", [0, -1])
    def test_facts_arrive_before_the_end(self, driver: Driver, tmp_path: Path, code: int) -> None:
        end = driver.make("tell", name="x", times=3, code=code)
        assert isinstance(end, Raised if code else Done)
        metrics, (table, text, image, progress) = (facts := driver.facts(end.token))[:3], facts[3:]
        assert metrics == [Metric("x", value, "", value + 1, fact.at) for value, fact in enumerate(metrics)]  # type: ignore[union-attr]
        assert (type(table), type(text)) == (Table, Markdown)
        assert isinstance(image, Image)
        assert (tmp_path / "data" / image.kept.location).read_bytes() == b"<svg/>"
        assert isinstance(progress, Progress)
        assert (progress.done, progress.total) == (2, 3)
        assert read_log(end, tmp_path).endswith(" INFO    telling name=x\n")

    def test_an_async_function_tells_from_its_threads(self, driver: Driver) -> None:
        end = driver.make("tell_later", name="x")
        assert sorted(fact.value for fact in driver.facts(end.token) if isinstance(fact, Metric)) == [0, 1, 2]

    def test_each_attempt_tells_its_own_facts(self, driver: Driver) -> None:
        orders = [driver.order("tell", name=str(number)) for number in range(50)]
        driver.executor.start(orders, 0, 0.01)
        driver.finish(orders)
        told = [[fact.name for fact in driver.facts(order.token) if isinstance(fact, Metric)] for order in orders]
        assert told == [[str(number)] for number in range(50)]

    def test_a_flood_of_facts_is_thinned(self, driver: Driver) -> None:
        end = driver.make("tell", name="x", times=200_000)
        facts = driver.facts(end.token)
        values = [fact.value for fact in facts if isinstance(fact, Metric)]
        assert (values[:1000], values[-1]) == (list(range(1000)), 199_999)
        assert [fact.done for fact in facts if isinstance(fact, Progress)][-1] == 199_999
        assert (len(facts) < 6_000, len(driver.noted) < 100) == (True, True)

    # -- floods --

    @pytest.mark.parametrize("megabytes", [50, pytest.param(1024, marks=pytest.mark.long)])
    def test_a_flood_of_output_keeps_its_ends(self, driver: Driver, tmp_path: Path, megabytes: int) -> None:
        end = driver.make("flood", timeout_s=300, megabytes=megabytes)
        log = read_log(end, tmp_path)
        assert log.startswith("first\nxxx")
        assert log.endswith("xxx\nlast\n")
        assert f"{(megabytes - 16) * 2**20 + len('first last '):,} bytes of output left out" in log
        assert sum(file.stat().st_size for file in (tmp_path / "logs").rglob("*.log")) < 17 * 2**20


class WorkerContract(ExecutorContract):
    """What holds besides for executors whose attempts run in other processes of this machine."""

    @pytest.fixture(autouse=True)
    def leaves_no_process(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """The proof for every test: of all that it started, in whatever session, nothing is left."""
        kin.adopt_orphans()
        before = set(kin.children())
        executor = request.getfixturevalue("executor")
        yield
        executor.close()
        assert [pid for pid in kin.children() if pid not in before and is_running(pid)] == []

    def test_a_lasting_attempt_is_announced_with_its_log(self, driver: Driver, tmp_path: Path) -> None:
        order = driver.order("nap", seconds=600)
        driver.executor.start([order], 0, 0.2)
        driver.collect(lambda: bool(driver.begun))
        assert driver.begun[0].token == order.token
        assert driver.begun[0].log is not None

    def test_facts_of_a_lasting_attempt_arrive_while_it_lasts(self, driver: Driver) -> None:
        order = driver.order("tell", name="x", seconds=600)
        driver.executor.start([order], 0, 1.0)
        driver.collect(lambda: len(driver.facts(order.token)) == 5)
        driver.executor.kill("r", order.step, order.token)
        assert isinstance(driver.finish([order])[0], Lost)

    def test_facts_outlive_the_worker_that_told_them(self, driver: Driver) -> None:
        end = driver.make("tell", name="x", seconds=1.0, code=3)
        assert isinstance(end, Lost)
        assert len(driver.facts(end.token)) == 5

    def test_an_attempt_that_never_ends_is_killed(self, driver: Driver, tmp_path: Path) -> None:
        witness = tmp_path / "entered"
        orders = [driver.order("nap", seconds=600, witness=str(witness)), driver.order("noop"), driver.order("noop")]
        driver.executor.start(orders, 0, 1.0)
        driver.collect(witness.exists)
        driver.executor.kill("r", orders[0].step, orders[0].token)
        ends = driver.finish(orders)
        assert [type(end) for end in ends] == [Lost, Returned, Returned]
        assert "was stopped" in reason_of(ends[0])
        assert not is_running(int(witness.read_text()))
        assert driver.value("add", a=1, b=1) == 2

    @pytest.mark.parametrize(
        ("node", "inputs", "words"),
        [
            ("exit_hard", {"code": 3}, "exited with code 3"),
            ("crash", {}, "signal 11 (SIGSEGV)"),
            ("kill_self", {}, "signal 9 (SIGKILL), perhaps because memory ran out"),
        ],
    )
    def test_a_worker_that_dies_loses_one_attempt(self, driver: Driver, node: str, inputs: dict[str, Any], words: str) -> None:
        driver.value("noop")
        before = [driver.order("noop") for _ in range(40)]
        culprit, after = driver.order(node, **inputs), [driver.order("noop") for _ in range(40)]
        driver.executor.start([*before, culprit, *after], 0, 0.01)
        ends = driver.finish([*before, culprit, *after])
        assert [type(end) for end in ends] == [Done] * 40 + [Lost] + [Returned] * 40
        assert words in reason_of(ends[40])
        assert driver.value("add", a=1, b=1) == 2

    def test_quick_attempts_before_a_death_count(self, driver: Driver) -> None:
        driver.make("break_now", now=False)
        orders = [driver.order("break_now", now=number == 20) for number in range(40)]
        driver.executor.start(orders, 0, 0.01)
        assert [type(end) for end in driver.finish(orders)] == [Done] * 20 + [Lost] + [Returned] * 19

    def test_the_last_words_of_a_dead_worker_are_kept(self, driver: Driver, tmp_path: Path) -> None:
        driver.value("noop")
        assert read_log(driver.make("exit_hard", code=1), tmp_path) == "before the end\n"
        assert "executor_site.py" in read_log(driver.make("crash"), tmp_path)

    def test_children_end_with_their_attempt(self, driver: Driver, tmp_path: Path) -> None:
        end = driver.make("leave_children", witness=str(tmp_path / "here"), seconds=0)
        assert isinstance(end, Done)
        assert_gone(tmp_path / "here")
        assert driver.value("add", a=1, b=1) == 2

    def test_children_end_with_a_killed_attempt(self, driver: Driver, tmp_path: Path) -> None:
        order = driver.order("leave_children", witness=str(tmp_path / "here"), seconds=600)
        driver.executor.start([order], 0, 1.0)
        driver.collect((tmp_path / "here").exists)
        driver.executor.kill("r", order.step, order.token)
        assert isinstance(driver.finish([order])[0], Lost)
        assert_gone(tmp_path / "here")

    def test_a_forked_child_that_comes_back_reports_nothing(self, driver: Driver) -> None:
        first, second = driver.value("come_back_twice"), driver.value("come_back_twice")
        assert first == second

    def test_close_stops_what_is_under_way(self, driver: Driver, tmp_path: Path) -> None:
        order = driver.order("leave_children", witness=str(tmp_path / "here"), seconds=600)
        driver.executor.start([order, driver.order("noop")], 0, 1.0)
        driver.collect((tmp_path / "here").exists)
        driver.executor.close()
        assert_gone(tmp_path / "here")

    @pytest.mark.parametrize("seed", [1, 2, pytest.param(range(3, 30), marks=pytest.mark.long)])
    def test_whatever_happens_every_order_ends_once(self, driver: Driver, seed: int | range) -> None:
        for each in seed if isinstance(seed, range) else (seed,):
            self._shake(driver, random.Random(each))

    def _shake(self, driver: Driver, chance: random.Random) -> None:
        executor = driver.executor
        sent: list[Order] = []
        for _ in range(60):
            node = chance.choices(["noop", "fail", "crash", "exit_hard", "nap"], [60, 5, 2, 2, 2])[0]
            inputs = _INPUTS.get(node, {})
            batch = [driver.order("noop") for _ in range(chance.randrange(20))] + [driver.order(node, **inputs)]
            chance.shuffle(batch)
            executor.start(batch, chance.randrange(executor.workers()), 0.01)
            sent += batch
            action = chance.random()
            if action < 0.1:
                executor.recall()
            elif action < 0.3:
                victim = chance.choice(sent)
                executor.kill(victim.run, victim.step, victim.token)
            elif action < 0.6:
                driver.collect_more()
        crashes = {order.token for order in sent if order.node in ("crash", "exit_hard")}
        ends = driver.finish(sent)
        assert all(type(end) in (Lost, Returned) for end in ends if end.token in crashes)
        assert list(executor.load()) == [0.0] * executor.workers()

    def test_large_inputs_and_values_pass(self, driver: Driver) -> None:
        orders = [driver.order("fail", text="x" * 300_000) for _ in range(30)]
        driver.executor.start(orders, 0, 0.1)
        assert all(isinstance(end, Raised) for end in driver.finish(orders))

    def test_throughput(self, driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
        executor, count, size = driver.executor, 6_000, 100
        places = range(executor.workers())
        warm = [driver.order("noop") for _ in places]
        for place in places:
            executor.start([warm[place]], place, 0.0)
        driver.finish(warm)
        batches = [[driver.order("noop") for _ in range(size)] for _ in range(count // size)]
        started = time.monotonic()
        for number, batch in enumerate(batches):
            executor.start(batch, number % len(places), 0.001)
        driver.finish([order for batch in batches for order in batch])
        rate = count / (time.monotonic() - started)
        with capsys.disabled():
            print(f"\n    {rate:,.0f} no-op attempts/s through {len(places)} workers")
        assert rate > 3_000


def read_log(end: Report, folder: Path) -> str:
    """What an attempt wrote, from the span that its end names."""
    span = getattr(end, "log", None)
    assert isinstance(span, LogSpan), end
    with open(folder / "logs" / span.file, "rb") as file:
        file.seek(span.start)
        return file.read(span.end - span.start).decode()


def reason_of(end: Report) -> str:
    """Why an attempt was lost."""
    assert isinstance(end, Lost), end
    return end.reason


def assert_gone(witness: Path) -> None:
    """Of what `leave_children` left, nothing runs: neither the daemon that the witness names nor the other program."""
    assert not any(map(is_running, left_by(witness)))


def left_by(witness: Path) -> list[int]:
    """The processes that `leave_children` left: the daemon that the witness names, and the other program."""
    return [int(file.read_text()) for file in (witness, witness.with_name(f"{witness.name}.program"))]


def is_running(pid: int) -> bool:
    """Whether a process exists and is not merely unreaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
