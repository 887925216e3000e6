"""What attempts tell while they are under way: recorded, refused, and not told again."""

from __future__ import annotations

import pytest
from scene import asset, how

from legato.kernel.commands import KillAttempt
from legato.kernel.events import FactsNoted
from legato.terms.attempt import Noted
from legato.terms.fact import Metric, Progress

ROWS, HALF = Metric("rows", 15, "", 1), Progress(1, 2)


def test_facts_are_recorded_and_change_nothing(play):
    """They are events of the step and the attempt; the run goes on as if nobody had said anything."""
    scene = play("a -> b")
    scene.start()
    decision = scene.tells("a", ROWS, HALF)
    assert decision.events == [FactsNoted(scene.now, 0, 1, (ROWS, HALF))]
    assert decision.commands == []
    scene.done("a")
    scene.start()
    scene.done("b")
    assert scene.told() == ["start a", "note 2 of a", "succeed a", "start b", "succeed b", "end succeeded"]


@pytest.mark.parametrize(("step", "token"), [(0, 2), (0, 0), (1, 1), (7, 1)])
def test_facts_of_an_attempt_that_is_not_under_way_are_refused(play, step, token):
    """They speak only for the step and the token that they carry."""
    scene = play("a -> b")
    scene.start()
    assert scene.tell(Noted("r", step, token, (ROWS,))).events == []


def test_facts_of_a_late_worker_are_refused(play):
    """After the attempt was given up, and after the run has ended, nobody hears them."""
    scene = play("a", a=asset("x"))
    scene.start()
    scene.lost("a")
    scene.start()
    assert scene.tells("a", token=1).events == []
    scene.done("a")
    assert scene.outcome == "succeeded"
    assert scene.tells("a", token=2).events == []


def test_what_is_told_by_an_attempt_that_is_being_stopped_counts(play):
    """It happened before the attempt's end, and may say why it took too long."""
    scene = play("a", a=how(timeout_s=5.0))
    scene.start()
    scene.wait(6)
    assert [type(each) for each in scene.asked[-1:]] == [KillAttempt]
    scene.tells("a")
    scene.lost("a")
    assert scene.told() == ["start a", "stop a: timeout", "note 1 of a", "fail a: timeout, fail", "end failed"]


def test_each_try_tells_its_own_facts(play):
    """A task that is tried again tells all of it again: there is nothing to remember."""
    scene = play("a")
    scene.start()
    scene.tells("a")
    scene.lost("a")
    scene.start()
    scene.tells("a")
    assert [event.token for event in scene.events if isinstance(event, FactsNoted)] == [1, 2]
    assert scene.state.noted == {}
