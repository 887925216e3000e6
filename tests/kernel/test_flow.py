"""Flows: calls become steps once, outcomes come back, a flow waits without a process, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from legato.declare.node import Retry
from legato.declare.pool import Limit, Use
from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.commands import Command, Deliver, KillAttempt, StartAttempts, StartBeside
from legato.kernel.decide import decide
from legato.kernel.fold import fold
from legato.kernel.inputs import Cancel, Input, Offer, Reports, Resolve, Resume, Signal, TakeOver, Tick
from legato.kernel.invariants import violations
from legato.kernel.rules import flow
from legato.kernel.state import RunState, Status
from legato.plan.records import Handling, Plan, Reason, Step
from legato.terms.attempt import Call, Called, Done, Lost, Noted, Parked, Raised, Returned, Wait
from legato.terms.fact import Error, Metric, Progress
from legato.terms.instant import Instant

HANDLING = {
    "flow": Handling(flow=True, lost_retries=100), "sub": Handling(flow=True), "spare": Handling(flow=True, fallback=True),
    "again": Handling(flow=True, retry=Retry(1)), "task": Handling(), "slow": Handling(pools=(Use("one"),)),
    "limited": Handling(timeout_s=5.0, retry=Retry(2)), "undone": Handling(undo=True), "fatal": Handling(on_failure="rollback"),
}  # fmt: skip


class Stage:
    """A run of one flow; `tell` checks the invariants after every decision, `replay` that the events alone give the state."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.state = RunState("r", self._plan(), Board({"one": Limit(1)}))
        self.events: list[ev.AnyEvent] = []
        self.commands: list[Command] = []

    def _plan(self) -> Plan:
        step = Step("flow", "", True, Reason("requested"))
        return Plan(request="flow", project="p", steps=[step], handling=dict(HANDLING))

    def tell(self, input: Input) -> list[Command]:
        decision = decide(self.state, input, Instant(self.now))
        self.events += decision.events
        self.commands = decision.commands
        assert violations(self.state) == []
        return decision.commands

    def replay(self) -> RunState:
        state = RunState("r", self._plan(), Board({"one": Limit(1)}))
        for event in self.events:
            fold(state, ev.decode(ev.encode(event)))
        assert bytes(state.status) == bytes(self.state.status)
        assert state.calls.children == self.state.calls.children
        assert state.parked == self.state.parked
        assert state.noted == self.state.noted
        return state

    def start_flow(self) -> int:
        """Let a flow begin; its token."""
        (command,) = self.tell(Offer(1.0, 1, {}, flows=True))
        assert isinstance(command, StartAttempts)
        return command.token

    def offer(self) -> list[tuple[int, int]]:
        """Let tasks begin: (step, token) of each."""
        commands = self.tell(Offer(1.0, 10, dict.fromkeys(HANDLING, 0.01)))
        return [
            (step, command.token + n)
            for command in commands
            if isinstance(command, StartAttempts)
            for n, step in enumerate(command.steps)
        ]

    def call(self, token: int, *calls: Call, step: int = 0) -> list[Command]:
        return self.tell(Called("r", step, token, calls))

    def done(self, step: int, token: int, value: bytes = b"\x01") -> list[Command]:
        return self.tell(Done("r", step, token, 0.01, value))

    def fail(self, step: int, token: int) -> list[Command]:
        return self.tell(Raised("r", step, token, 0.01, Error("raised", "no", ("builtins.ValueError",))))

    def answer(self, step: int, value: bytes, actor: str, refused: str = "", *, ago_s: int = 0) -> list[Command]:
        """Somebody's answer is heard; it was given so many seconds ago."""
        return self.tell(Resolve(step, value, actor, Instant(self.now - ago_s * 1_000_000), refused))

    def statuses(self) -> list[str]:
        return [Status(code).name.lower() for code in self.state.status]


@pytest.fixture
def stage() -> Any:
    made = Stage()
    yield made
    made.replay()


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


def test_a_flow_that_fails_leaves_nothing_open(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"), Call((b"s",), "sub"), Call((b"w",), wait=Wait("signal", "x")))
    stage.call(stage.start_flow(), Call((b"deep",), "task"), step=3)
    running = stage.offer()
    killed = {command.step for command in stage.fail(0, token) if isinstance(command, KillAttempt)}
    assert killed == {3, *(step for step, _ in running)}
    assert stage.state.ended is None
    for step, taken in [*running, (3, 2)]:
        stage.tell(Lost("r", step, taken, "stopped"))
    assert stage.state.ended == "failed"
    assert set(stage.statuses()[1:]) == {"cancelled"}


def test_a_stopped_child_of_a_failed_flow_does_not_come_back(stage: Stage) -> None:
    """Neither if it had not begun, nor if it was being stopped because its time was over, nor when a conductor dies meanwhile."""
    token = stage.start_flow()
    stage.call(token, Call((b"s",), "sub"))
    sub = stage.start_flow()
    stage.call(sub, Call((b"a",), "task"), Call((b"b",), "task"), Call((b"c",), "limited"), step=1)
    (first, _, late) = stage.offer()
    stage.now += 5_000_000
    stage.tell(Tick())
    stage.fail(1, sub)
    stage.tell(Returned("r", *first))
    stage.tell(Lost("r", *late, "stopped"))
    assert stage.statuses() == ["running", "failed", "cancelled", "running", "cancelled"]
    stage.tell(TakeOver())
    assert stage.statuses() == ["ready", "failed", "cancelled", "cancelled", "cancelled"]


def test_a_flow_that_gets_further_may_lose_workers_again(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"s",), "sub"))
    for number in range(5):
        sub = stage.start_flow()
        stage.call(sub, Call((b"%d" % number,), "task"), step=1)
        stage.done(*stage.offer()[0])
        for _ in range(2):
            stage.tell(Lost("r", 1, sub, "killed"))
            sub = stage.start_flow()
        stage.tell(Returned("r", 1, sub))
    stage.tell(Lost("r", 1, stage.start_flow(), "killed"))
    assert stage.statuses()[1] == "failed"


def test_a_flow_that_is_tried_again_tries_its_failed_calls_again(stage: Stage) -> None:
    """Also one that failed only after the flow had; what succeeded stays, what is under way goes on."""
    token = stage.start_flow()
    stage.call(token, Call((b"s",), "again"))
    sub = stage.start_flow()
    calls = [Call((key,), "task") for key in (b"bad", b"good", b"late", b"slow")]
    stage.call(sub, *calls, step=1)
    (bad, good, late, slow) = stage.offer()
    stage.fail(*bad)
    stage.done(*good)
    stage.fail(1, sub)
    stage.fail(*late)
    stage.now += 10_000_000
    stage.tell(Tick())
    again = stage.start_flow()
    assert stage.call(again, *calls, step=1) == [Deliver(1, again, (3,))]
    assert stage.statuses() == ["running", "running", "ready", "succeeded", "ready", "running"]
    assert stage.fail(*slow) == [Deliver(1, again, (5,))]


@pytest.mark.parametrize("why", ["it may have to be stopped", "it took a worker along"])
def test_what_could_take_the_flow_along_is_made_elsewhere(stage: Stage, why: str) -> None:
    token = stage.start_flow()
    if why == "it took a worker along":
        stage.call(token, Call((b"a",), "task"))
        stage.tell(Lost("r", *stage.offer()[0], "killed"))
    call = Call((b"a",), "limited" if why == "it may have to be stopped" else "task", beside=True)
    assert stage.call(token, call) == []
    assert len(stage.offer()) == 1


def test_a_clock_that_was_set_back_prolongs_no_wait(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"z",), wait=Wait("sleep", seconds=60.0)))
    stage.now -= 3_600_000_000
    stage.tell(TakeOver())
    stage.now += 60_000_000
    stage.tell(Tick())
    assert stage.statuses() == ["ready", "succeeded"]


def test_what_was_undone_has_no_value(stage: Stage) -> None:
    """Made anew, it may be stored elsewhere, or not at all: the former value must not stand for it."""
    roll_back(stage)
    assert (stage.state.values, stage.state.kept) == ({}, {})


def test_a_parked_flow_goes_on_when_what_it_waits_for_is_there(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"))
    (first, second) = stage.offer()
    stage.tell(Parked("r", 0, token, 0.1, (b"a",)))
    assert stage.statuses() == ["parked", "running", "running"]
    assert stage.done(*second) == []
    assert stage.statuses()[0] == "parked"
    stage.done(*first)
    assert stage.statuses()[0] == "ready"
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task"), Call((b"b",), "task")) == [Deliver(0, again, (1, 2))]


def test_a_flow_does_not_park_for_what_has_just_come(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"))
    stage.done(*stage.offer()[0])
    stage.tell(Parked("r", 0, token, 0.1, (b"a",)))
    assert stage.statuses()[0] == "ready"


def test_sleep_ends_at_its_time_and_a_replay_still_waits(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"z",), wait=Wait("sleep", seconds=60.0)))
    stage.tell(Parked("r", 0, token, 0.1, (b"z",)))
    assert stage.statuses() == ["parked", "held"]
    stage.tell(TakeOver())
    stage.now += 59_000_000
    stage.tell(Tick())
    assert stage.statuses() == ["parked", "held"]
    stage.now += 1_000_000
    stage.tell(Tick())
    assert stage.statuses() == ["ready", "succeeded"]


def test_an_answer_counts_once_and_only_in_time(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(
        token, Call((b"ask",), wait=Wait("approval", "Publish?", seconds=5.0)), Call((b"sig",), wait=Wait("signal", "file"))
    )
    assert stage.answer(2, b"\xa1x", "ann") == [Deliver(0, token, (2,))]
    assert stage.answer(2, b"\xa1y", "bob") == []
    assert stage.state.values[2] == b"\xa1x"
    stage.now += 6_000_000
    assert stage.tell(Tick()) == [Deliver(0, token, (1,))]
    assert stage.state.errors[1].kind == "timeout"
    assert stage.answer(1, b"\xc3", "ann") == []
    assert stage.answer(0, b"\xc3", "ann") == []
    assert stage.answer(99, b"\xc3", "ann") == []


def test_an_answer_counts_by_when_it_was_given(stage: Stage) -> None:
    """Nobody may have been there to hear it, nor to see that its time was over."""
    token = stage.start_flow()
    late, good = (Call((key,), wait=Wait("approval", "Go?", seconds=5.0)) for key in (b"late", b"good"))
    stage.call(token, late, good)
    stage.tell(TakeOver())
    again = stage.start_flow()
    stage.now += 6_000_000
    assert stage.answer(1, b"\xc3", "ann") == []
    assert stage.answer(2, b"\xc3", "ann", ago_s=2) == [Deliver(0, again, (2,))]
    stage.tell(Tick())
    assert stage.statuses() == ["running", "failed", "succeeded"]
    assert stage.call(again, late) == [Deliver(0, again, (1,))]


def test_a_flow_that_is_replaced_leaves_nothing_open(stage: Stage) -> None:
    """Its body is not entered again: the fallback is another function."""
    token = stage.start_flow()
    stage.call(token, Call((b"s",), "spare"))
    sub = stage.start_flow()
    stage.call(sub, Call((b"a",), "task"), step=1)
    ((step, taken),) = stage.offer()
    assert stage.fail(1, sub) == [KillAttempt(step, taken)]
    stage.tell(Lost("r", step, taken, "stopped"))
    assert stage.statuses() == ["running", "ready", "cancelled"]


def test_a_refusal_is_an_answer(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"ask",), wait=Wait("approval", "Publish?")))
    assert stage.answer(1, b"\xc2", "ann", "not yet") == [Deliver(0, token, (1,))]
    assert (stage.statuses()[1], stage.state.values[1]) == ("succeeded", b"\xc2")


def test_cancel_ends_waits_and_parked_flows(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"w",), wait=Wait("approval", "?")))
    stage.tell(Parked("r", 0, token, 0.1, (b"w",)))
    stage.tell(Cancel("ann"))
    assert (stage.state.ended, stage.statuses()) == ("cancelled", ["cancelled", "cancelled"])


def test_a_resumed_flow_keeps_what_succeeded_and_tries_the_rest_anew(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"b",), "task"))
    (first, second) = stage.offer()
    stage.done(*first)
    stage.fail(*second)
    stage.fail(0, token)
    assert stage.state.ended == "failed"
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task"), Call((b"b",), "task")) == [Deliver(0, again, (1,))]
    ((step, taken),) = stage.offer()
    assert step == 2
    assert stage.done(step, taken) == [Deliver(0, again, (2,))]
    stage.done(0, again)
    assert stage.state.ended == "succeeded"


def test_a_call_that_rolls_back_undoes_what_the_flow_did(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "undone"))
    stage.done(*stage.offer()[0])
    stage.call(token, Call((b"x",), "fatal"))
    stage.fail(*stage.offer()[0])
    assert stage.state.rolling
    stage.tell(Parked("r", 0, token, 0.1, (b"never",)))
    ((step, taken),) = stage.offer()
    assert step == 1
    stage.done(step, taken)
    assert stage.state.ended == "rolled_back"


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


def roll_back(stage: Stage) -> None:
    """A flow that made one call without an undo, was answered, and called what fails: all of it is taken back."""
    token = stage.start_flow()
    stage.call(token, Call((b"a",), "task"), Call((b"ask",), wait=Wait("approval", "Publish?")))
    stage.done(*stage.offer()[0])
    stage.answer(2, b"\xc2", "ann", "no")
    stage.call(token, Call((b"x",), "fatal"))
    stage.fail(*stage.offer()[0])
    stage.tell(Parked("r", 0, token, 0.1, (b"never",)))
    stage.offer()
    assert stage.state.ended == "rolled_back"


def test_a_rollback_takes_back_what_has_no_undo_and_what_was_answered(stage: Stage) -> None:
    roll_back(stage)
    assert stage.statuses() == ["skipped", "undone", "undone", "failed"]


def test_a_flow_that_was_rolled_back_and_is_resumed_does_everything_anew(stage: Stage) -> None:
    roll_back(stage)
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    assert stage.call(again, Call((b"a",), "task"), Call((b"ask",), wait=Wait("approval", "Publish?"))) == [
        Deliver(0, again, (2,))
    ]
    assert stage.statuses() == ["running", "ready", "held", "failed"]
    assert stage.answer(2, b"\xc3", "ann") == [Deliver(0, again, (2,))]


@pytest.mark.parametrize("when", ["at once", "once the result was there"])
def test_what_was_undone_holds_up_again_what_takes_its_result(stage: Stage, when: str) -> None:
    calls = Call((b"a",), "task"), Call((b"b",), "task", inputs=(("x", b"a"),))
    token = stage.start_flow()
    stage.call(token, *(calls if when == "at once" else calls[:1]))
    stage.done(*stage.offer()[0])
    if when == "once the result was there":
        stage.call(token, calls[1])
    stage.done(*stage.offer()[0])
    stage.call(token, Call((b"x",), "fatal"))
    stage.fail(*stage.offer()[0])
    stage.tell(Parked("r", 0, token, 0.1, (b"never",)))
    stage.offer()
    assert stage.state.ended == "rolled_back"
    stage.tell(Resume("ann"))
    assert stage.call(stage.start_flow(), *calls) == []
    ((step, taken),) = stage.offer()
    assert step == 1
    stage.done(step, taken)
    assert [step for step, _ in stage.offer()] == [2]


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


def wait_for(name: str, key: bytes) -> Call:
    return Call((key,), wait=Wait("signal", name))


def send(name: str, value: bytes, number: int = 0) -> Signal:
    return Signal(f"{name}-{value!r}-{number}", name, value, "ann", Instant(0))


def test_a_signal_ends_all_that_waits_for_it(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, wait_for("go", b"a"), wait_for("go", b"b"), wait_for("stop", b"c"))
    told = stage.tell(send("go", b"\x07"))
    assert [step for each in told if isinstance(each, Deliver) for step in each.steps] == [1, 2]
    assert stage.statuses()[1:] == ["succeeded", "succeeded", "held"]
    assert (stage.state.values[1], stage.state.values[2]) == (b"\x07", b"\x07")


def test_signals_that_nobody_waits_for_are_kept_and_given_one_by_one(stage: Stage) -> None:
    token = stage.start_flow()
    for number in (1, 2):
        assert stage.tell(send("go", bytes([number]))) == []
    stage.tell(TakeOver())
    token = stage.start_flow()
    stage.call(token, wait_for("go", b"a"), wait_for("stop", b"x"))
    stage.call(token, wait_for("go", b"b"), wait_for("go", b"c"))
    assert stage.statuses()[1:] == ["succeeded", "held", "succeeded", "held"]
    assert (stage.state.values[1], stage.state.values[3]) == (b"\x01", b"\x02")
    stage.tell(send("go", b"\x03"))
    assert stage.state.values[4] == b"\x03"
    assert stage.state.signals == {"go": []}


def test_a_signal_that_is_heard_again_is_no_second_one(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, wait_for("go", b"a"))
    stage.tell(send("go", b"\x01"))
    stage.tell(TakeOver())
    assert stage.tell(send("go", b"\x01")) == []
    stage.call(stage.start_flow(), wait_for("go", b"a"), wait_for("go", b"b"))
    assert stage.statuses()[1:] == ["succeeded", "held"]
    stage.tell(send("go", b"\x01", 2))
    assert stage.statuses()[2] == "succeeded"


def test_a_signal_that_comes_too_late_for_a_wait_is_kept_for_the_next(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"a",), wait=Wait("signal", "go", seconds=5.0)))
    stage.now += 6_000_000
    late = Signal("1", "go", b"\x01", "ann", Instant(stage.now))
    assert stage.tell(late) == []
    stage.tell(Tick())
    stage.call(token, wait_for("go", b"b"))
    assert stage.statuses()[1:] == ["failed", "succeeded"]


def test_an_ended_run_keeps_no_signal(stage: Stage) -> None:
    stage.done(0, stage.start_flow())
    stage.tell(send("go", b"\x01"))
    assert stage.state.signals == {}
