"""Jobs elsewhere: one step that is tried until there is a result, at its own pace, and holds nothing meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from flow_stage import HANDLING, Stage
from msgspec.structs import replace

from legato.declare.node import Retry
from legato.kernel.blocked import Blocked, blocked_by
from legato.kernel.commands import Deliver
from legato.kernel.inputs import Resume, TakeOver, Tick
from legato.kernel.rules.timing import next_due
from legato.plan.records import Plan
from legato.terms.attempt import Call, Lost, Parked, Raised
from legato.terms.fact import TIMEOUT_TYPES, Error
from legato.terms.instant import Instant

JOB = Call((b"start",), "task")
LOOK = Call((b"poll",), "poll", inputs=(("handle", b"start"),), poll_s=30.0, limit_s=100.0)
ONCE = Retry(1, "fixed", 2.0, jitter=False)


class Waiting(Stage):
    """A run of a flow that began a job and looks after it every 30 s, for 100 s at most."""

    def _plan(self) -> Plan:
        plan = super()._plan()
        return replace(plan, handling={**plan.handling, "poll": replace(HANDLING["slow"], retry=ONCE)})

    def begin(self, *, limit_s: float | None = 100.0) -> int:
        """Start the job, and let the flow park on the first look; the flow's token."""
        token = self.start_flow()
        self.call(token, JOB, replace(LOOK, limit_s=limit_s))
        self.done(*self.offer()[0])
        self.tell(Parked("r", 0, token, 0.1, (b"poll",)))
        return token

    def look(self) -> int:
        """Let the poll begin; its token."""
        ((step, token),) = self.offer()
        assert step == 2
        return token

    def goes_on(self) -> None:
        """A look at the job finds no result."""
        self.tell(Raised("r", 2, self.look(), 0.01, Error("pending", "the job goes on", TIMEOUT_TYPES)))

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)
        self.tell(Tick())

    def wait_for_next(self) -> float:
        """Let time pass until the next look is due; how many seconds that was."""
        due = next_due(self.state)
        assert due is not None
        seconds = (due - self.now) / 1e6
        self.wait(seconds)
        return seconds


@pytest.fixture
def stage() -> Any:
    made = Waiting()
    yield made
    replayed = made.replay()
    assert (replayed.since, list(replayed.fails), replayed.backoff) == (
        made.state.since,
        list(made.state.fails),
        made.state.backoff,
    )


def test_a_job_is_looked_after_at_its_pace_and_holds_no_slot(stage: Waiting) -> None:
    stage.begin()
    for _ in range(3):
        stage.goes_on()
        assert stage.statuses() == ["parked", "succeeded", "backoff"]
        assert stage.state.board.shut((("one", ""),), now=stage.now) is None
        assert stage.offer() == []
        due = Instant(stage.now + 30_000_000)
        assert blocked_by(stage.state, 2, Instant(stage.now)) == Blocked("poll", "task", until=due)
        assert stage.wait_for_next() == 30.0
    stage.done(2, stage.look())
    again = stage.start_flow()
    assert stage.call(again, JOB, LOOK) == [Deliver(0, again, (1, 2))]
    assert len(stage.state.status) == 3, "the run grows by one step, however often it looks"


def test_the_last_look_is_at_the_end_of_its_time(stage: Waiting) -> None:
    stage.begin()
    waited = []
    for _ in range(4):
        stage.goes_on()
        waited.append(stage.wait_for_next())
    assert waited == [30.0, 30.0, 30.0, 10.0]
    stage.goes_on()
    assert stage.statuses()[2] == "failed"
    error = stage.state.errors[2]
    assert error.types == TIMEOUT_TYPES
    assert error.message == "the job goes on (not asked again: timeout of 1 m 40 s is over)"


def test_a_look_that_fails_has_its_own_retries_and_the_next_one_has_them_all_again(stage: Waiting) -> None:
    stage.begin(limit_s=None)
    for _ in range(3):
        stage.fail(2, stage.look())
        assert stage.wait_for_next() == 2.0
        stage.goes_on()
        assert stage.wait_for_next() == 30.0
    stage.fail(2, stage.look())
    stage.wait_for_next()
    stage.fail(2, stage.look())
    assert stage.state.errors[2].types[0] == "builtins.ValueError"
    assert stage.statuses()[2] == "failed"


def test_a_lost_worker_is_no_end_of_the_job(stage: Waiting) -> None:
    stage.begin()
    for _ in range(5):
        stage.tell(Lost("r", 2, stage.look(), "gone"))
        stage.tell(Lost("r", 2, stage.look(), "gone"))
        stage.goes_on()
        stage.wait(1)
        stage.wait(19)
        if stage.state.backoff:
            stage.wait_for_next()
    assert stage.statuses()[2] == "failed", "only its time ends it"
    assert stage.state.errors[2].kind == "pending"


def test_a_restart_looks_when_the_next_look_is_due_and_begins_nothing_anew(stage: Waiting) -> None:
    stage.begin()
    stage.goes_on()
    stage.wait(12)
    stage.tell(TakeOver())
    assert stage.wait_for_next() == 18.0
    for _ in range(2):
        stage.goes_on()
        stage.tell(TakeOver())
        stage.wait_for_next()
    stage.goes_on()
    assert stage.wait_for_next() == 10.0, "its time went on"
    stage.look()
    assert stage.state.attempts[1] == 1


def test_a_clock_that_was_set_back_delays_a_look_by_its_pace_at_most(stage: Waiting) -> None:
    stage.begin()
    stage.goes_on()
    stage.now -= 3_600_000_000
    stage.tell(TakeOver())
    assert stage.wait_for_next() == 30.0
    stage.look()


def test_a_resumed_flow_looks_after_the_same_job_again(stage: Waiting) -> None:
    stage.begin(limit_s=10.0)
    stage.goes_on()
    stage.wait_for_next()
    stage.goes_on()
    stage.fail(0, stage.start_flow())
    assert stage.state.ended == "failed"
    stage.tell(Resume("ann"))
    again = stage.start_flow()
    assert stage.call(again, JOB, replace(LOOK, limit_s=10.0)) == [Deliver(0, again, (1,))]
    stage.goes_on()
    assert stage.wait_for_next() == 10.0
    stage.look()
