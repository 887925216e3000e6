"""rules/timing: what is due."""

from __future__ import annotations

from scene import asset, how

from legato.declare.node import Retry
from legato.kernel.rules.timing import next_due
from legato.terms.instant import after


def test_an_attempt_that_runs_too_long_is_stopped_with_all_it_started(play):
    """At its time limit an attempt is killed; only when it is gone the step is tried again, on the user's budget."""
    scene = play("a", a=how(timeout_s=30.0, retry=Retry(1, "fixed", 1.0, jitter=False)))
    scene.start()
    scene.wait(29.9)
    assert scene.told() == ["start a"]
    scene.wait(0.1)
    assert scene.told() == ["stop a: timeout"]
    assert scene.commands() == ["kill a 1"]
    assert scene.start() == []
    scene.lost("a")
    assert scene.told() == ["fail a: timeout, retry in 1 s"]
    scene.wait(1)
    scene.start()
    scene.wait(30)
    scene.lost("a")
    assert scene.told() == ["start a", "stop a: timeout", "fail a: timeout, fail", "end failed"]


def test_a_result_that_comes_after_the_time_limit_is_refused(play):
    """Once an attempt is being stopped for its time, its success counts as the timeout that it was."""
    scene = play("a", a=asset("x", timeout_s=30.0))
    scene.start()
    scene.wait(30)
    scene.commands()
    scene.done("a")
    assert scene.commands() == ["discard x r.1"]
    assert scene.state.errors[0].kind == "timeout"


def test_an_attempt_is_stopped_once(play):
    """Further ticks do not repeat the kill."""
    scene = play("a", a=how(timeout_s=30.0))
    scene.start()
    scene.wait(30)
    scene.wait(30)
    assert scene.told() == ["start a", "stop a: timeout"]


def test_the_time_limit_is_each_attempts_own(play):
    """The deadline of an attempt that ended does not stop the next one."""
    scene = play("a", a=how(timeout_s=30.0))
    scene.start()
    scene.wait(20)
    scene.lost("a")
    scene.start()
    scene.wait(10)
    assert scene.told() == ["start a", "fail a: lost, again", "start a"]
    scene.wait(20)
    assert scene.told() == ["stop a: timeout"]


def test_a_limit_that_passed_before_the_attempt_began_costs_nothing(play):
    """Stopped in a worker's queue, the step comes back and has its whole time again."""
    scene = play("a", a=how(timeout_s=30.0))
    scene.start()
    scene.wait(30)
    scene.returns("a")
    assert scene.start() == ["a"]
    scene.wait(29)
    scene.done("a")
    assert scene.outcome == "succeeded"


def test_who_drives_is_told_when_something_is_due(play):
    """`next_due` is the earliest deadline or retry; an ended run has none."""
    scene = play("a, b", a=how(timeout_s=30.0), b=how(retry=Retry(1, "fixed", 10.0, jitter=False)))
    assert next_due(scene.state) is None
    scene.start()
    assert next_due(scene.state) == after(scene.now, 30)
    scene.raises("b")
    assert next_due(scene.state) == after(scene.now, 10)
    scene.cancel()
    scene.lost("a")
    assert next_due(scene.state) is None


def test_the_time_limit_counts_from_the_beginning(play):
    """What an attempt waited in its worker does not count against it."""
    scene = play("a", a=how(timeout_s=30.0))
    scene.start()
    scene.wait(29)
    scene.begins("a")
    scene.wait(29)
    assert scene.told() == ["start a", "begin a"]
    scene.wait(1)
    assert scene.told() == ["stop a: timeout"]
