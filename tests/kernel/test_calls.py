"""Calls that differ in one argument: steps like all others, in one record, whose parts are dropped as they end."""

from __future__ import annotations

from typing import Any

import pytest
from flow_stage import Stage

from legato.kernel import events as ev
from legato.kernel.commands import Deliver
from legato.kernel.inputs import Resume, TakeOver
from legato.terms.attempt import Argument, Call, Parked, Ref

SHARED = Argument("shared", value=b"\x07")
STORED = Ref("flow", "", "v", "files", "", "json")


def many(*keys: bytes, node: str = "task", **options: Any) -> Call:
    items = tuple(STORED if key == b"stored" else key for key in keys)
    return Call(keys, node, arguments=(SHARED,), over="item", items=items, **options)


def arguments(stage: Stage, index: int) -> tuple[Argument, ...]:
    return stage.state.calls.group(index).arguments(index)


def test_each_key_is_a_step_with_an_item_of_its_own(stage: Stage) -> None:
    stage.call(stage.start_flow(), Call((b"x",), "task"), many(b"a", b"stored"), Call((b"y",), "slow"))
    assert stage.state.calls.of(0) == {b"x": 1, b"a": 2, b"stored": 3, b"y": 4}
    assert arguments(stage, 2) == (SHARED, Argument("item", value=b"a"))
    assert arguments(stage, 3) == (SHARED, Argument("item", (STORED,)))
    assert [stage.state.plan.steps[index].node for index in range(1, 5)] == ["task", "task", "task", "slow"]
    assert stage.state.plan.steps[2] is stage.state.plan.steps[3]


def test_what_is_over_keeps_nothing_of_what_it_was_called_with(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, many(b"a", b"b", b"c"))
    group = stage.state.calls.group(1)
    first, second, third = stage.offer()
    stage.done(*second)
    assert group.items == [b"a", None, b"c"]
    stage.fail(*first)
    stage.done(*third)
    assert (group.call, group.items) == (None, [])
    assert stage.state.calls.key(2) == b"b"


def test_what_can_be_undone_keeps_what_it_was_called_with(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, many(b"a", node="undone"))
    stage.done(*stage.offer()[0])
    assert arguments(stage, 1) == (SHARED, Argument("item", value=b"a"))


def test_of_many_calls_only_those_that_are_new_become_steps(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, many(b"a", b"b"))
    stage.done(*stage.offer()[0])
    stage.tell(TakeOver())
    again = stage.start_flow()
    assert stage.call(again, many(b"b", b"a", b"c", b"c")) == [Deliver(0, again, (1,))]
    assert stage.state.calls.of(0) == {b"a": 1, b"b": 2, b"c": 3}
    assert arguments(stage, 3) == (SHARED, Argument("item", value=b"c"))
    assert isinstance(stage.events[-1], ev.StepsCalled)
    assert [call.keys for call in stage.events[-1].calls] == [(b"c",)]


def test_what_all_of_them_read_is_waited_for_by_all(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"x",), "task"), many(b"a", b"b", inputs=(("more", b"x"),)))
    ((step, taken),) = stage.offer()
    assert step == 1
    stage.done(step, taken)
    assert [step for step, _ in stage.offer()] == [2, 3]


def test_a_flow_that_waits_for_many_goes_on_with_the_first(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, many(b"a", b"b"))
    running = stage.offer()
    stage.tell(Parked("r", 0, token, 0.1, (b"a", b"b")))
    stage.done(*running[1])
    assert stage.statuses()[0] == "ready"


@pytest.mark.parametrize("node", ["task", "undone"])
def test_what_was_undone_is_called_anew_with_what_the_flow_says_now(stage: Stage, node: str) -> None:
    token = stage.start_flow()
    stage.call(token, many(b"a", b"b", node=node))
    for step, taken in stage.offer():
        stage.done(step, taken)
    stage.call(token, Call((b"x",), "fatal"))
    stage.fail(*stage.offer()[0])
    stage.tell(Parked("r", 0, token, 0.1, (b"x",)))
    while stage.state.ended is None:
        for step, taken in stage.offer():
            stage.done(step, taken)
    assert (stage.state.ended, stage.statuses()[1:3]) == ("rolled_back", ["undone", "undone"])
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    assert stage.call(again, many(b"a", b"b", node=node)) == []
    assert [step for step, _ in stage.offer()] == [1, 2]
    assert arguments(stage, 2) == (SHARED, Argument("item", value=b"b"))
