"""A flow that fails, is replaced, rolled back or resumed leaves nothing behind, and keeps what succeeded."""

from __future__ import annotations

import pytest
from flow_stage import Stage

from legato.kernel.commands import Deliver, KillAttempt
from legato.kernel.inputs import Resume, TakeOver, Tick
from legato.terms.attempt import Call, Lost, Parked, Returned, Wait


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


def test_what_was_undone_has_no_value(stage: Stage) -> None:
    """Made anew, it may be stored elsewhere, or not at all: the former value must not stand for it."""
    roll_back(stage)
    assert (stage.state.values, stage.state.kept) == ({}, {})


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


def test_a_flow_that_a_halt_kept_back_failed_and_can_be_resumed(stage: Stage) -> None:
    """It caught what halted the run, and waits for a call that nothing starts any more."""
    calls = Call((b"x",), "stopper"), Call((b"a",), "task")
    token = stage.start_flow()
    stage.call(token, calls[0])
    stage.fail(*stage.offer()[0])
    stage.call(token, calls[1])
    stage.tell(Parked("r", 0, token, 0.1, (b"a",)))
    assert (stage.state.ended, stage.statuses()) == ("failed", ["skipped", "failed", "skipped"])
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    stage.call(again, calls[0])
    stage.done(*stage.offer()[0])
    stage.call(again, calls[1])
    stage.done(*stage.offer()[0])
    stage.done(0, again)
    assert (stage.state.ended, stage.statuses()) == ("succeeded", ["succeeded"] * 3)


def test_a_flow_that_a_halt_did_not_keep_back_succeeds(stage: Stage) -> None:
    """What it catches is dealt with, where it calls nothing more."""
    token = stage.start_flow()
    stage.call(token, Call((b"x",), "stopper"))
    stage.fail(*stage.offer()[0])
    stage.done(0, token)
    assert (stage.state.ended, stage.statuses()) == ("succeeded", ["succeeded", "failed"])


def test_a_call_that_an_earlier_halt_kept_back_and_that_is_made_no_more_fails_nothing(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"x",), "stopper"))
    stage.fail(*stage.offer()[0])
    stage.call(token, Call((b"a",), "task"))
    stage.tell(Parked("r", 0, token, 0.1, (b"a",)))
    stage.tell(Resume("ann"))
    stage.done(0, stage.start_flow())
    assert (stage.state.ended, stage.statuses()) == ("succeeded", ["succeeded", "failed", "skipped"])


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
