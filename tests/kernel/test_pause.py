"""rules/control: a run that stands still, and goes on."""

from __future__ import annotations

from scene import asset, how

from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel.board import Board

TEN = Retry(3, "fixed", 10.0, jitter=False)


def test_nothing_starts_and_what_runs_ends(play):
    """A pause stops nothing that is under way, and its result counts; what that lets be ready waits."""
    scene = play("a -> b, c", c=how(pool="one"), board=Board({"one": Limit(1)}))
    assert scene.start() == ["a", "c"]
    scene.told()
    scene.pause()
    assert scene.told() == ["ann pauses"]
    assert scene.commands() == []
    scene.done("a")
    scene.done("c")
    assert scene.start() == []
    assert (scene.status("a"), scene.status("b"), scene.outcome) == ("succeeded", "ready", None)
    scene.resume()
    assert scene.start() == ["b"]
    scene.done("b")
    assert scene.outcome == "succeeded"


def test_it_goes_on_with_all_that_was_ready(play):
    """Whatever was looked at while the run stood still starts afterwards, in the same order, once each."""
    scene = play("a*5", a=asset("x"))
    scene.pause()
    assert scene.start() == []
    scene.resume()
    assert scene.start() == [f"a@{number}" for number in range(5)]
    assert scene.start() == []


def test_a_run_under_way_is_not_resumed(play):
    """To resume a run that goes on changes nothing, nor does pausing it twice."""
    scene = play("a")
    assert scene.resume().events == []
    scene.pause()
    assert scene.pause().events == []


def test_a_pause_survives_the_conductor(play):
    """The next conductor hands nothing out either; what the former one had handed out starts again when it goes on."""
    scene = play("a, b")
    scene.offer(most=1)
    scene.pause()
    scene.die()
    assert scene.state.paused
    assert scene.start() == []
    scene.resume()
    assert scene.start() == ["a", "b"]


def test_retries_become_due_but_do_not_start(play):
    """Time goes on: a try that became due meanwhile starts when the run goes on."""
    scene = play("a", a=how(retry=TEN))
    scene.start()
    scene.raises("a")
    scene.pause()
    scene.wait(11)
    assert scene.start() == []
    scene.resume()
    assert scene.start() == ["a"]


def test_a_time_limit_goes_on(play):
    """What is under way may not run longer than it might have."""
    scene = play("a", a=how(timeout_s=5.0))
    scene.start()
    scene.pause()
    scene.wait(5)
    assert scene.commands() == ["kill a 1"]


def test_a_paused_run_ends_if_nothing_is_left_to_start(play):
    """What was under way may have been the last; and what depends on a failure is skipped meanwhile."""
    scene = play("a -> b")
    scene.start()
    scene.pause()
    scene.raises("a")
    assert scene.outcome == "failed"
    scene.resume()
    assert not scene.state.paused
    assert scene.start() == ["a"]


def test_a_paused_run_can_be_cancelled(play):
    """Then it ends like any other; one that is being cancelled cannot be paused."""
    scene = play("a -> b")
    scene.start()
    scene.pause()
    scene.cancel()
    assert scene.pause().events == []
    scene.lost("a")
    assert scene.outcome == "cancelled"
    assert scene.pause().events == []


def test_a_rollback_stands_still(play):
    """An undo is an attempt like others, and so is taking back what a step published."""
    scene = play("a -> b -> c", a=asset("x", undo=True), b=asset("y"), c=how(on_failure="rollback"))
    for name in "abc":
        scene.start()
        if name != "c":
            scene.done(name)
    scene.pause()
    scene.raises("c")
    assert scene.start() == []
    assert scene.where("succeeded") == ["a", "b"]
    scene.resume()
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.outcome == "rolled_back"


def test_what_the_cache_has_is_asked_again(play):
    """Of steps that were ready while the run stood still, somebody looks for earlier results when it goes on."""
    scene = play("a", a=how(cached=True))
    scene.pause()
    assert scene.asks() == ["a"]
    assert scene.recall("a").events == []
    scene.resume()
    assert scene.asks() == ["a"]
    scene.recall("a")
    assert scene.outcome == "succeeded"


def test_others_go_on(play):
    """A run that stands still keeps nobody from its pools, nor from the workers."""
    board = Board({"one": Limit(1)})
    paused, other = play("a*3", a=how(pool="one"), board=board), play("b", b=how(pool="one"), board=board, run_id="q")
    paused.pause()
    assert other.start() == ["b"]
    other.done("b")
    paused.resume()
    assert paused.start() == ["a@0"]


def test_only_what_failed_is_tried_again(play):
    """A resume may leave what was cancelled as it is: then the run is cancelled again when the rest is made."""
    scene = play("a -> d, b, c")
    assert scene.offer() + scene.offer() == ["a", "b"]
    scene.raises("a")
    scene.cancel()
    scene.lost("b")
    assert (scene.outcome, scene.where("cancelled"), scene.where("failed")) == ("cancelled", ["b", "c"], ["a"])
    scene.resume(failed_only=True)
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.start() == ["d"]
    scene.done("d")
    assert (scene.outcome, scene.stands()) == ("cancelled", (4, 2, 0, 2, 0))
    scene.resume()
    assert scene.start() == ["b", "c"]
