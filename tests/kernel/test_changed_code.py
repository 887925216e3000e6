"""Flows that go on with other code: what is unchanged is found again, what changed becomes a new step, nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from flow_stage import HANDLING, Stage
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.kernel.commands import Deliver, KillAttempt
from legato.kernel.inputs import Resume, TakeOver
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.terms.attempt import Call, Lost, Parked, Wait


class Edited(Stage):
    """A run whose project is edited between two conductors."""

    def _plan(self) -> Plan:
        plan = super()._plan()
        handling = {name: replace(each, code=f"{name}1") for name, each in HANDLING.items()}
        return replace(plan, handling=handling)

    def edit(self, *nodes: str, version: int = 2) -> int:
        """The conductor dies, these nodes are edited, the next one takes over; the token of the flow, entered again."""
        self.state.later = {
            name: replace(each, code=f"{name}{version}" if name in nodes else self.state.code(name))
            for name, each in HANDLING.items()
        }
        self.tell(TakeOver())
        return self.start_flow()


@pytest.fixture
def stage() -> Any:
    made = Edited()
    yield made
    state = made.replay()
    assert (state.codes, state.made, parents(state)) == (made.state.codes, made.state.made, parents(made.state))


def parents(state: RunState) -> list[int]:
    return [state.calls.parent(index) for index in range(state.planned, len(state.status))]


def changes(stage: Stage) -> list[dict[str, str]]:
    return [event.code for event in stage.events if isinstance(event, ev.CodeChanged)]


def test_a_take_over_records_the_code_that_changed_once(stage: Edited) -> None:
    stage.start_flow()
    stage.edit("task")
    stage.edit("task")
    stage.edit("task", version=1)
    assert changes(stage) == [{"task": "task2"}, {"task": "task1"}]


def test_changed_code_runs_and_the_rest_is_answered_from_what_is_recorded(stage: Edited) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "slow"))
    for step, taken in stage.offer():
        stage.done(step, taken)
    again = stage.edit("task")
    assert stage.call(again, Call((b"a",), "task"), Call((b"b",), "slow")) == [Deliver(0, again, (2,))]
    ((step, taken),) = stage.offer()
    assert step == 3
    assert stage.done(step, taken, b"\x02") == [Deliver(0, again, (3,))]
    assert stage.state.calls.of(0) == {b"a": 3, b"b": 2}


def test_what_ran_with_the_new_code_is_not_run_again(stage: Edited) -> None:
    stage.call(stage.start_flow(), Call((b"a",), "task"))
    again = stage.edit("task")
    ((step, taken),) = stage.offer()
    assert (step, stage.done(step, taken)) == (1, [])
    assert stage.call(again, Call((b"a",), "task")) == [Deliver(0, again, (1,))]
    assert stage.call(stage.edit("slow"), Call((b"a",), "task")) == [Deliver(0, 4, (1,))]


def test_a_failure_of_old_code_is_none_of_the_new(stage: Edited) -> None:
    stage.call(stage.start_flow(), Call((b"a",), "task"))
    stage.fail(*stage.offer()[0])
    again = stage.edit("task")
    assert stage.call(again, Call((b"a",), "task")) == []
    ((step, taken),) = stage.offer()
    assert (step, stage.fail(step, taken)) == (2, [Deliver(0, again, (2,))])
    assert stage.call(stage.edit(), Call((b"a",), "task")) == [Deliver(0, stage.state.next_token - 1, (2,))]


def test_what_reads_a_changed_result_unseen_runs_again(stage: Edited) -> None:
    calls = Call((b"a",), "task"), Call((b"b",), "slow", inputs=(("x", b"a"),)), Call((b"c",), "slow", inputs=(("x", b"b"),))
    stage.call(stage.start_flow(), *calls)
    for _ in calls:
        stage.done(*stage.offer()[0])
    again = stage.edit("task")
    assert stage.call(again, calls[0]) == []
    assert stage.call(again, *calls[1:]) == []
    assert [stage.state.calls.of(0)[call.keys[0]] for call in calls] == [4, 5, 6]


def test_what_waits_to_read_a_changed_result_is_replaced(stage: Edited) -> None:
    calls = Call((b"a",), "task"), Call((b"b",), "slow", inputs=(("x", b"a"),))
    stage.call(stage.start_flow(), *calls)
    stage.done(*stage.offer()[0])
    again = stage.edit("task")
    ((step, taken),) = stage.offer()
    assert step == 2
    assert stage.call(again, *calls) == [KillAttempt(2, taken)]
    assert stage.tell(Lost("r", 2, taken, "stopped")) == []
    stage.done(*stage.offer()[0])
    ((step, taken),) = stage.offer()
    assert stage.done(step, taken) == [Deliver(0, again, (4,))]
    stage.done(0, again)
    assert stage.state.ended == "succeeded"


def test_a_flow_with_other_code_finds_what_it_had_called(stage: Edited) -> None:
    outer = stage.start_flow()
    stage.call(outer, Call((b"s",), "sub"))
    inner = stage.start_flow()
    stage.call(inner, Call((b"a",), "task"), Call((b"b",), "slow"), step=1)
    for step, taken in stage.offer():
        stage.done(step, taken)
    stage.done(1, inner)
    again = stage.edit("sub", "task")
    assert stage.call(again, Call((b"s",), "sub")) == []
    inner = stage.start_flow()
    assert stage.call(inner, Call((b"a",), "task"), Call((b"b",), "slow"), step=4) == [Deliver(4, inner, (3,))]
    stage.done(*stage.offer()[0])
    stage.done(4, inner)
    stage.done(0, again)
    assert (stage.state.ended, stage.statuses()) == ("succeeded", ["succeeded"] * 6)


def test_a_flow_that_had_not_ended_is_the_same_step(stage: Edited) -> None:
    stage.call(stage.start_flow(), Call((b"s",), "sub"))
    inner = stage.start_flow()
    stage.call(inner, Call((b"a",), "slow"), step=1)
    stage.done(*stage.offer()[0])
    again = stage.edit("sub")
    inner = stage.start_flow()
    assert stage.call(again, Call((b"s",), "sub")) == []
    assert stage.call(inner, Call((b"a",), "slow"), step=1) == [Deliver(1, inner, (2,))]


def test_a_flow_that_waits_is_entered_with_its_new_code_and_what_that_does_not_call_is_cancelled(stage: Edited) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"ask",), wait=Wait("approval", "Publish?")), Call((b"a",), "slow"), Call((b"b",), "slow"))
    stage.tell(Parked("r", 0, token, 0.1, (b"ask",)))
    again = stage.edit("flow")
    ((step, taken),) = stage.offer()
    assert stage.done(0, again) == [KillAttempt(step, taken)]
    assert stage.statuses() == ["succeeded", "cancelled", "running", "cancelled"]
    stage.tell(Lost("r", step, taken, "stopped"))
    assert stage.state.ended == "succeeded"


def test_a_flow_that_waits_goes_on_waiting_if_its_code_is_the_same(stage: Edited) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"ask",), wait=Wait("approval", "Publish?")))
    stage.tell(Parked("r", 0, token, 0.1, (b"ask",)))
    stage.state.later = {"slow": replace(HANDLING["slow"], code="slow2")}
    stage.tell(TakeOver())
    assert stage.statuses() == ["parked", "held"]


def test_a_name_that_is_given_to_another_node_is_another_call(stage: Edited) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"x",), "task"), Call((b"y",), wait=Wait("sleep", seconds=9.0)))
    stage.done(*stage.offer()[0])
    again = stage.edit("flow")
    assert stage.call(again, Call((b"x",), "slow"), Call((b"y",), "task")) == []
    assert stage.statuses() == ["running", "succeeded", "cancelled", "ready", "ready"]


def test_a_resumed_flow_tries_what_failed_anew_as_the_same_step(stage: Edited) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"))
    stage.fail(*stage.offer()[0])
    stage.fail(0, token)
    stage.state.later = {name: replace(each, code=f"{name}2") for name, each in HANDLING.items()}
    stage.tell(TakeOver())
    stage.tell(Resume("ann"))
    stage.call(stage.start_flow(), Call((b"a",), "task"))
    assert [step for step, _ in stage.offer()] == [1]


def test_a_flow_is_told_nothing_of_what_it_has_not_called_since(stage: Edited) -> None:
    """What it calls later may be made anew: an outcome that came before would stand for it."""
    calls = Call((b"a",), "task"), Call((b"b",), "slow", inputs=(("x", b"a"),))
    stage.call(stage.start_flow(), *calls)
    stage.done(*stage.offer()[0])
    again = stage.edit("task")
    assert stage.done(*stage.offer()[0], b"\x01") == []
    assert stage.call(again, *calls) == []
    assert [step for step, _ in stage.offer()] == [3]
    assert stage.done(3, stage.state.running[3].token) == [Deliver(0, again, (3,))]
