"""A flow waits without a process: for what it called, for its time, for an answer, for a signal."""

from __future__ import annotations

from flow_stage import Stage

from legato.kernel.commands import Deliver
from legato.kernel.inputs import Cancel, Signal, TakeOver, Tick
from legato.terms.attempt import Call, Parked, Wait
from legato.terms.instant import Instant


def test_a_clock_that_was_set_back_prolongs_no_wait(stage: Stage) -> None:
    token = stage.start_flow()
    stage.call(token, Call((b"z",), wait=Wait("sleep", seconds=60.0)))
    stage.now -= 3_600_000_000
    stage.tell(TakeOver())
    stage.now += 60_000_000
    stage.tell(Tick())
    assert stage.statuses() == ["ready", "succeeded"]


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
