"""Results of earlier runs: planned steps and calls of flows take them, by key, or pinned by number; nothing of that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flow_stage import HANDLING, Stage
from msgspec.structs import replace

from legato.kernel.commands import Deliver, StartAttempts
from legato.kernel.decide import decide
from legato.kernel.inputs import Offer, Resolve, Resume, TakeOver
from legato.kernel.invariants import violations
from legato.kernel.state import RunState
from legato.plan.records import Handling, Plan, Reason, Reused, Step
from legato.terms.attempt import Call, Parked, Ref, Wait
from legato.terms.instant import Instant


class Repeating(Stage):
    """A run of one flow that reuses results."""

    def __init__(self, *reused: Reused) -> None:
        self._reused = reused
        super().__init__()

    def _plan(self) -> Plan:
        return replace(super()._plan(), reused=self._reused)


@pytest.fixture
def repeat() -> Iterator[Any]:
    made: list[Repeating] = []

    def begin(*reused: Reused) -> Repeating:
        made.append(Repeating(*reused))
        return made[-1]

    yield begin
    for stage in made:
        assert stage.replay().taken == stage.state.taken


def kept(node: str, *path: bytes, value: bytes = b"\x05", **more: Any) -> Reused:
    """What an earlier run recorded below its first flow."""
    return Reused("old", node, node, step=0, path=path, value=value, **more)


def pinned(node: str, key: bytes, number: int, value: bytes) -> Reused:
    return Reused("old", f"{node}#{number}", node, path=(key,), number=number, value=value)


def test_a_call_takes_what_was_recorded_under_its_key_and_the_others_run(repeat: Any) -> None:
    stage = repeat(kept("task", b"a", value=b"\x07"))
    token = stage.start_flow()
    assert stage.call(token, Call((b"a",), "task", beside=True), Call((b"b",), "task")) == [Deliver(0, token, (1,))]
    assert (stage.state.values[1], stage.statuses()) == (b"\x07", ["running", "fresh", "ready"])
    assert [step for step, _ in stage.offer()] == [2]
    stage.done(2, 2)
    stage.done(0, token)
    assert (stage.state.ended, stage.state.tally()) == ("succeeded", {"succeeded": 2, "reused": 1})


def test_of_many_calls_some_take_what_was_recorded(repeat: Any) -> None:
    stage = repeat(kept("task", b"b", value=b"\x07"), kept("task", b"d", value=b"\x09"))
    token = stage.start_flow()
    calls = Call((b"a", b"b", b"c", b"d"), "task", over="x", items=(b"\x01", b"\x02", b"\x03", b"\x04"))
    assert stage.call(token, Call((b"n",), "slow"), msgspec.structs.replace(calls, inputs=(("y", b"n"),))) == [
        Deliver(0, token, (3, 5))
    ]
    assert stage.statuses() == ["running", "ready", "waiting", "fresh", "waiting", "fresh"]
    stage.done(*stage.offer()[0])
    assert [step for step, _ in stage.offer()] == [2, 4]
    assert [argument.value for step in (2, 4) for argument in stage.state.calls.group(step).arguments(step)] == [b"\x01", b"\x03"]
    for step, taken in ((2, 3), (4, 4)):
        stage.done(step, taken)
    assert stage.state.calls.call(2) is None


def test_a_kept_value_is_handed_to_who_reads_it_unseen(repeat: Any) -> None:
    ref = Ref("task", "", "old-1", "files", "task/old-1", "json")
    stage = repeat(kept("task", b"a", value=None, kept=ref))
    stage.call(stage.start_flow(), Call((b"a",), "task"), Call((b"b",), "task", inputs=(("x", b"a"),)))
    assert (stage.state.kept[1], [step for step, _ in stage.offer()]) == (ref, [2])


def test_a_call_is_asked_again_after_a_wait_and_after_a_crash(repeat: Any) -> None:
    stage = repeat(kept("task", b"a"))
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"ask",), wait=Wait("approval", "?")))
    stage.tell(Parked("r", 0, token, 0.1, (b"ask",)))
    stage.tell(TakeOver())
    stage.tell(Resolve(2, b"\xc3", "ann", Instant(stage.now)))
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task"), Call((b"ask",), wait=Wait("approval", "?"))) == [Deliver(0, again, (1, 2))]


def test_a_reused_call_stays_reused_whatever_its_code_is_now(repeat: Any) -> None:
    stage = repeat(kept("task", b"a"))
    stage.state.plan.handling["task"] = replace(HANDLING["task"], code="1")
    stage.call(stage.start_flow(), Call((b"a",), "task"))
    stage.state.later = {"task": replace(HANDLING["task"], code="2")}
    stage.tell(TakeOver())
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task")) == [Deliver(0, again, (1,))]


def test_a_reused_call_survives_a_failure_and_a_resume(repeat: Any) -> None:
    stage = repeat(kept("task", b"a"))
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"))
    stage.fail(*stage.offer()[0])
    stage.fail(0, token)
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task"), Call((b"b",), "task")) == [Deliver(0, again, (1,))]


def test_a_rollback_leaves_what_another_run_did(repeat: Any) -> None:
    stage = repeat(kept("undone", b"a"))
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "undone"), Call((b"x",), "fatal"))
    stage.fail(*stage.offer()[0])
    stage.tell(Parked("r", 0, token, 0.1, (b"never",)))
    stage.offer()
    assert (stage.state.ended, stage.statuses()[1]) == ("rolled_back", "fresh")


@pytest.mark.parametrize("wait", [Wait("approval", "Publish?"), Wait("signal", "ready"), Wait("sleep", seconds=3600.0)])
def test_a_wait_that_was_answered_is_not_waited_for(repeat: Any, wait: Wait) -> None:
    stage = repeat(kept(f"lg.{wait.kind}", b"w", value=b"\xc3", actor="ann"))
    token = stage.start_flow()
    assert stage.call(token, Call((b"w",), wait=wait)) == [Deliver(0, token, (1,))]
    assert str(stage.state.plan.steps[1].reason) == "reused: run old, answered by ann"


def test_a_flow_that_is_entered_again_finds_what_it_had_called(repeat: Any) -> None:
    stage = repeat(kept("task", b"s", b"a"), kept("sub", b"whole"), kept("task", b"s", b"deep", b"b"))
    outer = stage.start_flow()
    assert stage.call(outer, Call((b"whole",), "sub"), Call((b"s",), "sub"), Call((b"other",), "sub")) == [
        Deliver(0, outer, (1,))
    ]
    inner = stage.start_flow()
    assert stage.call(inner, Call((b"a",), "task"), Call((b"deep",), "sub"), step=2) == [Deliver(2, inner, (4,))]
    other = stage.start_flow()
    assert stage.call(other, Call((b"a",), "task"), Call((b"deep",), "sub"), step=3) == []
    deep = stage.start_flow()
    assert stage.call(deep, Call((b"b",), "task"), step=5) == [Deliver(5, deep, (8,))]


def test_a_pinned_call_is_found_by_its_key_or_else_by_its_number(repeat: Any) -> None:
    stage = repeat(pinned("task", b"a", 1, b"\x01"), pinned("task", b"b", 2, b"\x02"))
    token = stage.start_flow()
    stage.call(token, Call((b"b",), "task"), Call((b"z",), "slow"), Call((b"new",), "task"), Call((b"newer",), "task"))
    assert stage.state.values == {1: b"\x02", 3: b"\x02"}
    assert stage.statuses()[1:] == ["fresh", "ready", "fresh", "ready"]


def test_a_pinned_wait_is_found_by_its_key_alone(repeat: Any) -> None:
    stage = repeat(Reused("old", "lg.approval", "lg.approval", path=(b"same",), value=b"\xc3"))
    stage.call(
        stage.start_flow(), Call((b"other",), wait=Wait("approval", "Pay?")), Call((b"same",), wait=Wait("approval", "Publish?"))
    )
    assert stage.statuses()[1:] == ["held", "fresh"]


def test_a_pin_wins_and_counts_wherever_the_call_is_made(repeat: Any) -> None:
    stage = repeat(kept("task", b"a", value=b"\x09"), pinned("task", b"x", 2, b"\x02"))
    stage.call(stage.start_flow(), Call((b"s",), "sub"), Call((b"b",), "task"), Call((b"a",), "task"))
    assert stage.statuses()[1:] == ["ready", "ready", "fresh"]
    assert stage.state.values == {3: b"\x02"}


def test_planned_steps_that_are_reused_let_what_waits_for_them_start() -> None:
    steps = [
        Step("a", "", False, Reason("reused", "run old")),
        Step("b", "", True, Reason("forced"), (0, 1)),
        Step("c", "", False, Reason("fresh")),
    ]
    reused = (Reused("old", "a", "a", step=0, value=b"\x03"),)
    plan = Plan(request="b", project="p", steps=steps, handling=dict.fromkeys("abc", Handling()), reused=reused)
    state = RunState("r", plan)
    decision = decide(state, Offer(1.0, 9, {"b": 0.01}), Instant(1))
    assert [command.steps for command in decision.commands if isinstance(command, StartAttempts)] == [(1,)]
    assert (state.values, state.tally(), violations(state)) == ({0: b"\x03"}, {"running": 1, "fresh": 1, "reused": 1}, [])
