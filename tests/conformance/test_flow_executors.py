"""Every executor carries flows; in worker processes they also survive the death of what they depend on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(*(f"legato.testing.{name}" for name in ("executor", "executor_site", "flow", "flow_script")))

from legato.executors.inline import InlineExecutor  # noqa: E402
from legato.executors.process import ProcessExecutor  # noqa: E402
from legato.terms.attempt import Done  # noqa: E402
from legato.testing.executor import is_running  # noqa: E402
from legato.testing.flow import FlowContract, FlowWorkerContract  # noqa: E402
from legato.testing.flow_script import Script  # noqa: E402
from legato.testing.flow_site import flow_kit  # noqa: E402
from legato.worker.preload import Preload  # noqa: E402


class TestInline(FlowContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[InlineExecutor]:
        executor = InlineExecutor(flow_kit(str(tmp_path)), tmp_path / "logs")
        yield executor
        executor.close()


class TestForkedWorkers(FlowWorkerContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[ProcessExecutor]:
        executor = ProcessExecutor(Preload(flow_kit(str(tmp_path))), 2, tmp_path / "logs", fork=True)
        yield executor
        executor.close()

    @pytest.fixture
    def nursery(self, executor: ProcessExecutor) -> int:
        assert executor._link is not None
        return executor._link.pid

    def test_flows_that_wait_hold_no_process(self, script: Script, nursery: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("legato.executors.process.RETIRE_S", 0.2)
        steps = [script.start("sleeping", seconds=1000) for _ in range(8)]
        script.conduct(lambda: all(step.parked for step in steps))
        script.conduct(lambda: len(workers(nursery)) <= 2)  # those of the places for tasks
        script.give("sleep", None)
        script.conduct(lambda: all(isinstance(step.end, Done) for step in steps))

    def test_a_warm_place_is_offered_first(self, script: Script, nursery: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("legato.executors.process.RETIRE_S", 600.0)
        script.value("chain", count=1)
        deadline = time.monotonic() + 60
        while len(before := workers(nursery)) < 2:  # the flow's, and one for what it may call elsewhere
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(5):
            script.value("chain", count=1)
        assert workers(nursery) == before

    def test_close_ends_flows_that_wait(self, script: Script, nursery: int) -> None:
        script.beside = False
        script.start("waiting", seconds=600)
        script.conduct(lambda: len(script.begun) == 2)
        before = workers(nursery)
        assert before
        script.executor.close()
        assert not any(map(is_running, before))


def workers(nursery: int) -> list[int]:
    """The processes below a nursery that lives."""
    return list(map(int, Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()))
