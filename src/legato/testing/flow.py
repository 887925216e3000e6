"""Proves that an executor and its workers carry flows: subclass the suite in a test module and give it an `executor`.

class TestMyExecutor(FlowContract):
    @pytest.fixture
    def executor(self, tmp_path):
        executor = MyExecutor(flow_kit(str(tmp_path)), logs=tmp_path / "logs")
        yield executor
        executor.close()
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from legato.ports.executor import Executor
from legato.terms.attempt import Called, Done, Lost, Raised
from legato.terms.fact import Error, Markdown, Metric, Progress
from legato.testing.executor import read_log
from legato.testing.flow_script import Script
from legato.testing.flow_site import flow_kit
from legato.worker.window import WINDOW

LATE = Error("timeout", "nobody approved in time", ("builtins.TimeoutError", "builtins.OSError", "builtins.Exception"))


class FlowContract:
    """What holds for every executor that makes flows."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Executor]:
        raise NotImplementedError("give a fixture `executor` that yields one and closes it")

    @pytest.fixture
    def script(self, executor: Executor, tmp_path: Path) -> Script:
        return Script(executor, flow_kit(str(tmp_path)))

    # -- calls --

    @pytest.mark.parametrize("beside", [True, False], ids=["beside", "elsewhere"])
    def test_calls_one_after_the_other(self, script: Script, beside: bool) -> None:
        script.beside = beside
        assert script.value("chain", count=50) == 50
        assert script.made == ["add"] * 50 + ["chain"]
        assert len({call.keys for call in script.calls}) == len(script.calls) == 50

    def test_what_was_made_beside_is_reported_before_the_next_call(self, script: Script) -> None:
        assert script.value("chain", count=20) == 20
        kinds = [type(report) for report in script.reports if isinstance(report, Done | Called)]
        assert kinds == [Called, Done] * 20 + [Done]

    def test_equal_calls_are_told_apart_by_their_number(self, script: Script) -> None:
        assert script.value("poll_equal", count=5) == [2] * 5
        assert len({call.keys for call in script.calls}) == 5

    @pytest.mark.parametrize("seed", range(5))
    def test_outcomes_in_any_order_reach_their_futures(self, script: Script, seed: int) -> None:
        script.chance = random.Random(seed)
        assert script.value("spread", count=40) == [2 * number for number in reversed(range(40))]

    def test_a_future_is_passed_on_without_waiting(self, script: Script) -> None:
        script.value("spread", count=3)
        passed = [call.inputs for call in script.calls if call.inputs]
        assert [[param for param, _ in each] for each in passed] == [["a", "b"]] * 3

    def test_a_map_is_lazy_and_keeps_its_order(self, script: Script) -> None:
        count = 2 * WINDOW + 500
        assert script.value("mapped", count=count) == sum(number + 2 for number in range(count))
        assert script.most_open <= WINDOW
        assert script.value("mapped_nothing") == []

    @pytest.mark.parametrize("seed", range(3))
    def test_a_map_fails_with_its_first_failure(self, script: Script, seed: int) -> None:
        script.chance = random.Random(seed)
        assert script.value("mapped_failing", bad=[5, 3, 8]) == "bad 3"

    def test_a_map_over_what_raises_raises_that(self, script: Script) -> None:
        end = script.run("mapped_broken")
        assert isinstance(end, Raised)
        assert end.error.types[0] == "builtins.LookupError"

    def test_flows_call_flows_and_make_assets(self, script: Script) -> None:
        assert script.value("outer", count=3) == 6
        assert script.made.count("chain") == 2
        assert script.made.count("numbers") == 1

    def test_a_flow_hands_an_asset_what_it_makes_of_it(self, script: Script) -> None:
        assert script.value("publishing", count=3) == [
            "leads.materialize() missing a required argument: 'first'",
            "leads.materialize() got an unexpected keyword argument 'more'",
            "leads has no partition 'x' [partition-key]",
        ]
        made = [report.outputs[0].ref for report in script.reports if isinstance(report, Done) and report.outputs]
        storage = script.kit.open_storages()["files"]
        assert [storage.load((ref,), Any) for ref in made] == [["Ann 4", "Ann 2"], ["Bob 1", "Bob 2", "Bob 3"]]
        one, other = (call for call in script.calls if call.node == "leads")
        assert one.keys != other.keys
        assert [param for param, _ in one.inputs] == ["found", "first"]

    def test_names_tell_calls_apart(self, script: Script) -> None:
        assert script.value("named") == [2, 3]
        assert {call.keys for call in script.calls} == {(b"call-1",), (b"call-2",)}
        end = script.run("named_twice")
        assert isinstance(end, Raised)
        assert "[call-name]" in end.error.message

    def test_done_finds_out(self, script: Script) -> None:
        assert script.value("watching", count=10) == 55

    # -- event loops --

    @pytest.mark.parametrize("seed", [*range(3), pytest.param(range(3, 200), marks=pytest.mark.long)])
    def test_gathered_outcomes_come_in_any_order(self, script: Script, seed: int | range) -> None:
        for each in seed if isinstance(seed, range) else (seed,):
            script.chance = random.Random(each)
            assert script.value("gathered", count=50) == [number + 10 for number in range(50)]

    def test_an_async_body_does_what_async_bodies_do(self, script: Script) -> None:
        assert script.value("async_mix", count=3) == [1, 2, 3, 2, 1, 2, 3, 10]
        assert script.value("gathered_failing") == ["int", "ConnectionRefusedError", "int"]

    # -- values --

    def test_values_are_what_their_bytes_give(self, script: Script) -> None:
        assert script.value("typed") == ("Lead", 3, [2, 1], "tuple")

    def test_what_cannot_be_stored_is_refused_at_the_call(self, script: Script) -> None:
        end = script.run("holding")
        assert isinstance(end, Raised)
        assert "swap cannot be given" in end.error.message
        assert "`pair`" in end.error.message
        assert end.error.where.startswith("flow_site.py:")
        wrong = script.run("wrongly")
        assert isinstance(wrong, Raised)
        assert wrong.error.message == "add() too many positional arguments"
        assert script.calls == []

    # -- failures --

    @pytest.mark.parametrize("beside", [True, False], ids=["beside", "elsewhere"])
    def test_a_failure_is_raised_as_its_own_class(self, script: Script, beside: bool) -> None:
        script.beside = beside
        assert script.value("catching") == "ConnectionRefusedError closed raised"
        assert script.value("catching_odd") == "Picky legato.testing.flow_parts.Picky"
        end = script.run("failing")
        assert isinstance(end, Raised)
        assert (end.error.types[0], end.error.message) == ("builtins.ConnectionRefusedError", "loud")

    def test_a_failure_that_nobody_saw_fails_the_flow(self, script: Script) -> None:
        end = script.run("careless")
        assert isinstance(end, Raised)
        assert end.error.message == "unseen"
        assert script.made[-1] == "careless"
        assert len(script.made) == 3

    def test_calls_from_other_threads_are_refused(self, script: Script) -> None:
        assert script.value("threaded") == "flow-thread"

    # -- waiting --

    def test_a_flow_that_sleeps_gives_its_place_back(self, script: Script) -> None:
        step = script.start("sleeping", seconds=1000)
        script.conduct(lambda: bool(step.parked))
        assert len(script.executor.free_for_flows()) >= 2
        script.give("sleep", None)
        end = script.finish(step)
        assert isinstance(end, Done)
        assert script.entered("add") == 1
        assert script.entered("sleeping") == 2

    def test_an_async_flow_sleeps_when_nothing_else_is_left(self, script: Script) -> None:
        step = script.start("sleeping_async")
        script.conduct(lambda: bool(step.parked))
        assert script.made == ["add_later"]
        script.give("sleep", None)
        assert isinstance(script.finish(step), Done)
        assert script.entered("sleeping_async") == 2

    @pytest.mark.parametrize("node", ["first_of", "chained"])
    def test_who_is_woken_goes_on_before_the_process_is_given_back(self, script: Script, node: str) -> None:
        step = script.start(node)
        script.conduct(lambda: bool(step.parked))
        script.give("sleep", None)
        script.conduct(lambda: "add_later" in script.made)
        script.give("Go?", True)
        end = script.finish(step)
        assert isinstance(end, Done)
        assert end.value == b"\x02"

    def test_a_clock_of_asyncio_goes_on_while_people_are_waited_for(self, script: Script) -> None:
        step = script.start("impatient")
        script.conduct(lambda: "add_later" in script.made)
        script.give("Go?", True)
        assert isinstance(script.finish(step), Done)

    def test_people_answer(self, script: Script) -> None:
        step = script.start("asking")
        script.conduct(lambda: bool(step.parked))
        assert [call.wait.who for call in script.calls if call.wait] == ["finance"]
        script.give("Publish?", True)
        script.conduct(lambda: bool(step.parked))
        script.give("file-ready", {"path": "x"})
        assert isinstance(script.finish(step), Done)
        assert script.value("asking") == [True, {"path": "x"}]
        assert script.run("asking").log is None  # type: ignore[union-attr]

    def test_who_comes_too_late_is_a_timeout(self, script: Script) -> None:
        script.give("Publish?", LATE)
        assert script.value("overtime") == "too late"

    def test_a_flow_that_waits_long_for_a_task_is_entered_again(self, script: Script) -> None:
        script.beside = False
        if script.executor.workers() > 1:
            assert script.value("waiting", seconds=3.0) == 3.0
            assert script.entered("waiting") == 2
        assert script.entered("nap") <= 1

    @pytest.mark.parametrize("then", ["return", "raise", "call"])
    def test_a_body_that_swallows_its_unwinding(self, script: Script, then: str) -> None:
        step = script.start("swallowing", then=then)
        if then == "call":
            script.conduct(lambda: bool(step.parked))
            return
        end = script.finish(step)
        assert isinstance(end, Raised)
        assert end.error.kind == "flow"
        assert "BaseException" in end.error.message

    @pytest.mark.parametrize("node", ["stubborn", "stubborn_async"])
    def test_a_body_that_never_unwinds_is_given_up(self, script: Script, node: str) -> None:
        end = script.run(node, **({"calling": False} if node == "stubborn" else {}))
        assert isinstance(end, Raised)
        assert end.error.kind == "flow"
        assert "BaseException" in end.error.message
        assert end.error.where.startswith("flow_site.py:")
        assert not [report for report in script.reports if isinstance(report, Lost)]
        assert script.value("chain", count=3) == 3

    def test_a_body_that_begins_calls_without_end_is_killed(self, script: Script) -> None:
        step = script.start("submitting")
        script.conduct(lambda: script.made.count("add") > 300)
        token = step.token
        script.executor.kill("r", step.number, token)
        script.conduct(lambda: any(isinstance(report, Lost) and report.token == token for report in script.reports))

    def test_a_stubborn_body_that_is_killed_ends_once(self, script: Script) -> None:
        step = script.start("stubborn", calling=True)
        script.conduct(lambda: script.made.count("add") > 5)
        token = step.token
        script.executor.kill("r", step.number, token)
        script.conduct(lambda: any(isinstance(report, Lost) and report.token == token for report in script.reports))
        lost = [report.token for report in script.reports if isinstance(report, Lost)]  # with what it was about to make, if so
        assert lost.count(token) == 1
        assert len(lost) <= 2

    # -- entered again --

    @pytest.mark.parametrize("seed", range(3))
    def test_a_body_in_another_order_finds_its_outcomes(self, script: Script, seed: int) -> None:
        script.chance = random.Random(seed)
        step = script.start("unruly", seed=seed)
        script.conduct(lambda: bool(step.parked))
        script.give("sleep", None)
        end = script.finish(step)
        assert isinstance(end, Done)
        assert script.entered("total") == 20
        assert script.entered("unruly") >= 2

    # -- what it tells --

    def test_what_a_flow_tells_is_told_once_however_often_it_is_entered(self, script: Script) -> None:
        step = script.start("telling", rounds=3)
        for _ in range(3):
            script.conduct(lambda: bool(step.parked))
            script.give("sleep", None)
            script.waits.clear()
        assert isinstance(script.finish(step), Done)
        assert script.entered("telling") == 4
        assert [fact.value for fact, _ in step.noted if isinstance(fact, Metric)] == [0, 7, 1, 7, 2, 7]
        assert [fact.text for fact, _ in step.noted if isinstance(fact, Markdown)] == ["round 0", "round 1", "round 2"]
        assert [fact.done for fact, _ in step.noted if isinstance(fact, Progress)][-1] == 3

    def test_tasks_and_their_flow_tell_their_own_facts(self, script: Script) -> None:
        step = script.start("telling_beside", count=20)
        assert isinstance(script.finish(step), Done)
        told = {each.number: [fact.value for fact, _ in each.noted if isinstance(fact, Metric)] for each in script.steps}
        assert told == {number: [number - 1] if number else list(range(20)) for number in range(21)}

    # -- what stands around it --

    def test_what_a_flow_changes_around_it_is_its_own(self, script: Script, tmp_path: Path) -> None:
        root = str(Path(__file__).parent)
        assert script.value("wandering", folder=str(tmp_path)) == [root, "", True, str(tmp_path), "yes"]
        flow, task = (next(s.end for s in script.steps if s.node == node) for node in ("wandering", "look"))
        assert flow is not None
        assert task is not None
        assert read_log(task, tmp_path) == "a task looks\n"
        assert read_log(flow, tmp_path) == "the flow speaks\na task looks\nand again\n"
        assert script.value("chain", count=1) == 1

    def test_a_flow_is_announced_and_its_place_known(self, script: Script) -> None:
        script.beside = False
        step = script.start("sleeping", seconds=1)
        script.conduct(lambda: bool(script.begun))
        place = script.executor.place_of("r", step.number, step.token)
        assert place is not None
        assert place >= script.executor.workers()
        assert place not in script.executor.free_for_flows()
        assert script.executor.place_of("r", 999, 999) is None
        script.executor.answer([])
        script.conduct(lambda: bool(step.parked))
        assert script.executor.place_of("r", step.number, step.token) is None
        assert [begun.step for begun in script.begun].count(step.number) == 1

    def test_many_flows_share_few_places(self, script: Script) -> None:
        steps = [script.start("sleeping", seconds=number) for number in range(40)]
        script.conduct(lambda: all(step.parked for step in steps))
        script.give("sleep", None)
        script.conduct(lambda: all(step.end is not None for step in steps))
        assert all(isinstance(step.end, Done) for step in steps)

    def test_a_flow_that_waits_can_be_killed(self, script: Script) -> None:
        script.beside = False
        step = script.start("waiting", seconds=0.3)
        script.conduct(lambda: len(script.calls) == 1)
        token = step.token
        script.executor.kill("r", step.number, token)
        assert isinstance(script.finish(step), Done)
        assert any(isinstance(report, Lost) and report.token == token for report in script.reports)
        assert script.entered("nap") == 1

    def test_an_async_flow_that_waits_can_be_killed(self, script: Script) -> None:
        step = script.start("gathered", count=3)
        script.conduct(lambda: len(script.calls) == 3)
        token = step.token
        script.executor.kill("r", step.number, token)
        assert isinstance(script.finish(step), Done)
        assert any(isinstance(report, Lost) and report.token == token for report in script.reports)

    def test_recall_leaves_a_flow_able_to_go_on(self, script: Script) -> None:
        step = script.start("chain", count=200)
        while step.end is None:
            script.turn()
            script.executor.recall()
        assert isinstance(step.end, Done)
        assert script.made.count("add") == 200

    def test_a_flow_that_sleeps_gives_its_place_back_at_once(self, script: Script) -> None:
        started = time.monotonic()
        step = script.start("sleeping", seconds=1000)
        script.conduct(lambda: bool(step.parked))
        assert time.monotonic() - started < 0.4

    def test_mapped_calls_cost_little(self, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
        count = 20_000
        step = script.start("mapped", count=count)
        started = time.monotonic()
        script.finish(step)
        rate = count / (time.monotonic() - started)
        with capsys.disabled():
            print(f"\n    {rate:,.0f} mapped calls/s with a conductor that records nothing")
        assert rate > 3_000


class FlowWorkerContract(FlowContract):
    """What holds besides for executors whose flows run in other processes."""

    def test_a_flow_that_never_waits_is_killed(self, script: Script) -> None:
        step = script.start("spinning")
        script.conduct(lambda: "add" in script.made)
        token = step.token
        script.executor.kill("r", step.number, token)
        script.conduct(lambda: any(isinstance(report, Lost) for report in script.reports))
        assert [report.token for report in script.reports if isinstance(report, Lost)] == [token]

    @pytest.mark.parametrize("seed", range(3))
    def test_gathered_outcomes_survive_a_death(self, script: Script, tmp_path: Path, seed: int) -> None:
        script.chance = random.Random(seed)
        assert script.value("racing", count=30, witness=str(tmp_path / "died")) == [number + 10 for number in range(30)]

    def test_the_worker_dies_in_a_task_made_beside(self, script: Script, tmp_path: Path) -> None:
        assert script.value("dying", witness=str(tmp_path / "died")) == "alive"
        lost = [report for report in script.reports if isinstance(report, Lost)]
        assert len(lost) == 2
        assert all("exited with code 3" in report.reason for report in lost)
        assert script.entered("dying") == 2
        assert script.entered("die_once") == 2

    def test_what_was_started_beside_a_dead_flow_comes_back(self, script: Script) -> None:
        step = script.start("waiting", seconds=1.0)
        script.conduct(lambda: any(begun.step != step.number for begun in script.begun))
        script.executor.kill("r", step.number, step.token)
        assert isinstance(script.finish(step), Done)
        assert {type(report) for report in script.reports} >= {Lost, Done}
