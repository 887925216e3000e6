"""Flows: calls become steps once, and their outcomes come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flow_stage import Stage

from legato.declare.node import Retry
from legato.declare.pool import Use
from legato.kernel import events as ev
from legato.kernel.commands import Deliver, KillAttempt, StartBeside
from legato.kernel.inputs import Reports, TakeOver, Tick
from legato.kernel.rules import flow
from legato.plan.records import Handling
from legato.terms.attempt import Call, Called, Done, Lost, Noted, Parked, Returned, Wait
from legato.terms.fact import Metric, Progress


def test_a_flow_starts_at_its_own_places_only(stage: Stage) -> None:
    assert stage.offer() == []
    assert stage.start_flow() == 1


def test_a_call_runs_and_its_outcome_comes_back(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"))
    (first, second) = stage.offer()
    assert stage.done(*second) == [Deliver(0, token, (2,))]
    assert stage.done(*first) == [Deliver(0, token, (1,))]
    stage.done(0, token)
    assert (stage.state.ended, stage.statuses()) == ("succeeded", ["succeeded"] * 3)


def test_a_direct_call_is_made_beside_its_flow(stage: Stage) -> None:
    token = stage.start_flow()
    assert stage.call(token, Call((b"a",), "task", beside=True)) == [StartBeside(1, 2, 0, token)]
    assert stage.offer() == []


def test_a_flow_is_not_told_what_it_says_it_has_seen_itself(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task", beside=True), Call((b"b",), "task"))
    ended = [Done("r", 1, 2, 0.01, b"\x01"), Done("r", 2, 3, 0.01, b"\x01")]
    assert stage.offer() == [(2, 3)]
    heard = Called("r", 0, token, (Call((b"c",), "task", beside=True),), (b"a", b"unknown"))
    assert stage.tell(Reports([*ended, heard])) == [StartBeside(3, 4, 0, token), Deliver(0, token, (2,))]
    assert stage.done(3, 4) == [Deliver(0, token, (3,))], "what it does not say it is told"


def test_a_direct_call_waits_for_a_slot_like_all_others(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "slow"))
    ((step, taken),) = stage.offer()
    assert stage.call(token, Call((b"b",), "slow", beside=True)) == []
    stage.done(step, taken)
    assert stage.offer() == [(2, 3)]


def test_a_call_that_was_made_before_is_answered_from_what_is_recorded(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"))
    stage.done(*stage.offer()[0])
    stage.tell(TakeOver())
    again = stage.start_flow()
    assert again != token
    assert stage.call(again, Call((b"a",), "task", beside=True)) == [Deliver(0, again, (1,))]
    assert len(stage.state.status) == 2


def test_equal_keys_in_one_message_are_one_step(stage: Stage) -> None:
    stage.call(stage.start_flow(), Call((b"a",), "task"), Call((b"a",), "task"))
    assert len(stage.state.status) == 2


def test_a_result_that_is_passed_on_unseen_is_waited_for(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task", inputs=(("x", b"a"),)))
    assert [step for step, _ in stage.offer()] == [1]
    stage.done(1, 2)
    assert [step for step, _ in stage.offer()] == [2]


@pytest.mark.parametrize("late", [False, True])
def test_what_waits_for_a_failed_call_is_skipped_and_the_flow_hears_of_both(stage: Stage, late: bool) -> None:
    token = stage.start_flow()
    follower = Call((b"b",), "task", inputs=(("x", b"a"),))
    stage.call(token, Call((b"a",), "task"), *(() if late else (follower,)))
    ((step, taken),) = stage.offer()
    told = stage.fail(step, taken)
    if late:
        told += stage.call(token, follower)
    assert [step for command in told if isinstance(command, Deliver) for step in command.steps] == [1, 2]
    assert stage.statuses()[1:] == ["failed", "skipped"]
    stage.done(0, token)
    assert stage.state.ended == "succeeded", "the flow caught it"


@pytest.mark.parametrize("why", ["it may have to be stopped", "it took a worker along"])
def test_what_could_take_the_flow_along_is_made_elsewhere(stage: Stage, why: str) -> None:
    token = stage.start_flow()
    if why == "it took a worker along":
        stage.call(token, Call((b"a",), "task"))
        stage.tell(Lost("r", *stage.offer()[0], "killed"))
    call = Call((b"a",), "limited" if why == "it may have to be stopped" else "task", beside=True)
    assert stage.call(token, call) == []
    assert len(stage.offer()) == 1


def test_a_node_that_joined_the_project_later_is_handled_as_it_says(stage: Stage) -> None:
    stage.state.later = {"new": Handling(pools=(Use("one"),))}
    stage.call(stage.start_flow(), Call((b"a",), "new"))
    assert stage.replay().plan.handling["new"].pools == (Use("one"),)


def test_what_a_flow_told_is_remembered_by_its_keys(stage: Stage) -> None:
    """Over a wait, and over the death of the conductor; but what has no key may come again."""
    token = stage.start_flow()
    stage.tell(Noted("r", 0, token, (Metric("rows", 1), Progress(1, 2)), (11, 0)))
    stage.call(token, Call((b"k",), wait=Wait("sleep", seconds=9)))
    stage.tell(Parked("r", 0, token, 0.1, (b"k",)))
    stage.now += 10_000_000
    stage.tell(Tick())
    stage.tell(Noted("r", 0, stage.start_flow(), (Metric("rows", 2),), (12,)))
    stage.state = stage.replay()
    stage.tell(TakeOver())
    assert stage.state.noted == {0: {11, 12}}


def test_facts_that_are_on_record_are_not_recorded_again(stage: Stage) -> None:
    """Where they come twice, or in other company; but what has no key may come again."""
    token = stage.start_flow()
    first, second, third, half = Metric("rows", 1), Metric("rows", 2), Metric("rows", 3), Progress(1, 2)
    stage.tell(Noted("r", 0, token, (first, half, second), (11, 0, 12)))
    stage.tell(Noted("r", 0, token, (second, half, third), (12, 0, 13)))
    stage.tell(Noted("r", 0, token, (first, third), (11, 13)))
    noted = [(event.facts, event.keys) for event in stage.events if isinstance(event, ev.FactsNoted)]
    assert noted == [((first, half, second), (11, 0, 12)), ((half, third), (0, 13))]


def test_late_words_of_a_flow_change_nothing(stage: Stage) -> None:
    token = stage.start_flow()
    stage.tell(Returned("r", 0, token))
    assert stage.call(token, Call((b"a",), "task")) == []
    stage.tell(Parked("r", 0, token, 0.1, ()))
    assert stage.statuses() == ["ready"]


@contextmanager
def limits(**limits: int) -> Iterator[None]:
    """Limits that are reached soon."""
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in limits.items():
            patch.setattr(flow, name, limit)
        yield


def test_a_flow_that_calls_without_end_is_stopped_and_not_tried_again(stage: Stage) -> None:
    with limits(MOST_CALLS=3):
        call_without_end(stage)
    assert stage.state.errors[0].kind == "flow"
    assert stage.state.errors[0].message.startswith("made more than 1,000,000 calls")


def call_without_end(stage: Stage) -> None:
    stage.state.plan.handling["flow"] = Handling(flow=True, retry=Retry(5))
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"))
    assert stage.call(token, Call((b"a",), "task"), Call((b"c",), "task")) == [], "a call that is known is no further one"
    assert stage.call(token, Call((b"d",), "task")) == [KillAttempt(0, token)]
    assert stage.call(token, Call((b"e",), "task")) == []
    stage.tell(Lost("r", 0, token, "was stopped"))
    assert (stage.state.ended, stage.statuses()) == ("failed", ["failed", *["cancelled"] * 3])


def test_flows_below_too_many_others_are_not_called(stage: Stage) -> None:
    with limits(MOST_DEPTH=2):
        call_deeper_and_deeper(stage)
    assert stage.statuses() == ["running", "running", "failed", "cancelled"]
    assert "below 100 others" in stage.state.errors[2].message


def call_deeper_and_deeper(stage: Stage) -> None:
    step, token = 0, stage.start_flow()
    for deeper in (1, 2):
        stage.call(token, Call((b"s",), "sub"), step=step)
        step, token = deeper, stage.start_flow()
    assert stage.call(token, Call((b"t",), "task"), step=step) == []
    assert stage.call(token, Call((b"s",), "sub"), step=step) == [KillAttempt(2, token)]
    stage.tell(Lost("r", 2, token, "was stopped"))


def test_a_call_that_needs_its_own_flows_slot_is_not_waited_for(stage: Stage) -> None:
    stage.state.plan.handling["flow"] = Handling(flow=True, pools=(Use("one"),))
    stage.state.plan.handling["sub"] = Handling(flow=True)
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"s",), "sub"))
    below = stage.start_flow()
    assert stage.call(below, Call((b"b",), "slow", beside=True), step=2) == [KillAttempt(2, below)]
    stage.tell(Lost("r", 2, below, "was stopped"))
    assert stage.state.errors[2].kind == "flow"
    assert "a slot of a pool" in stage.state.errors[2].message
