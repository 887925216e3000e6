"""rules/control: what people and conductors ask of a run."""

from __future__ import annotations

from scene import asset, how

from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel.board import Board

TEN = Retry(3, "fixed", 10.0, jitter=False)


def test_cancel_stops_what_runs_and_starts_nothing(play):
    """What waits is cancelled at once, what runs is killed, and the run ends when its last process group is gone."""
    scene = play("a -> b, c, d", c=how(retry=TEN))
    scene.start()
    scene.raises("c")
    scene.told()
    scene.cancel()
    assert scene.told() == ["ann cancels", "stop a: cancel", "stop d: cancel", "cancel c b"]
    assert scene.commands() == ["kill a 1", "kill d 3"]
    assert scene.start() == []
    scene.lost("a")
    scene.lost("d")
    assert scene.told() == ["fail a: cancelled, cancel", "fail d: cancelled, cancel", "end cancelled"]


def test_a_result_that_comes_after_the_cancel_is_refused(play):
    """Cancel means one outcome: what still arrives is discarded."""
    scene = play("a", a=asset("x"))
    scene.start()
    scene.cancel()
    scene.commands()
    scene.done("a")
    assert scene.outcome == "cancelled"
    assert scene.commands() == ["discard x r.1"]


def test_a_cancelled_attempt_that_never_began_is_cancelled(play):
    """A return is no way back into a cancelled run, even where a time limit had stopped the attempt before."""
    scene = play("a, b", a=how(timeout_s=5.0))
    scene.start()
    scene.wait(5)
    scene.cancel()
    scene.returns("a")
    scene.returns("b")
    assert scene.outcome == "cancelled"
    assert scene.where("cancelled") == ["a", "b"]


def test_a_cancelled_run_tries_nothing_again(play):
    """Neither retries nor fallbacks nor the platform's budget start anything after a cancel."""
    scene = play("a, b", a=how(retry=TEN, fallback=True, timeout_s=5.0), b=how(on_failure="rollback"))
    scene.start()
    scene.wait(5)
    scene.cancel()
    scene.lost("a")
    scene.raises("b")
    assert scene.start() == []
    assert scene.outcome == "cancelled"


def test_a_second_cancel_and_one_after_the_end_change_nothing(play):
    """Cancel is idempotent."""
    scene = play("a")
    scene.start()
    scene.cancel()
    assert scene.cancel().events == []
    scene.lost("a")
    assert scene.cancel().events == []


def test_a_cancel_survives_the_conductor(play):
    """A run that was being cancelled when its conductor died ends as cancelled."""
    scene = play("a -> b")
    scene.start()
    scene.cancel()
    scene.told()
    scene.die()
    assert scene.told() == ["return a", "cancel a", "end cancelled"]


def test_resume_of_a_failed_run_keeps_what_succeeded(play):
    """What failed and what was skipped for it wait again; what is recorded is never run again in this run."""
    scene = play("a -> b -> c, d")
    scene.start()
    scene.done("a")
    scene.done("d")
    scene.start()
    scene.raises("b")
    scene.told()
    scene.resume()
    assert scene.told() == ["resume b c"]
    assert scene.start() == ["b"]
    scene.done("b")
    scene.start()
    scene.done("c")
    assert scene.outcome == "succeeded"


def test_resume_of_a_cancelled_run(play):
    """A cancelled run goes on with all that had not succeeded."""
    scene = play("a -> b")
    scene.start()
    scene.cancel()
    scene.lost("a")
    scene.resume()
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.start() == ["b"]
    scene.done("b")
    assert scene.outcome == "succeeded"


def test_resume_of_a_halted_run(play):
    """A halted run goes on with what failed and what was skipped by the halt, and halts again if it must."""
    scene = play("a, b -> c", a=how(on_failure="halt"))
    scene.start()
    scene.raises("a")
    scene.done("b")
    scene.resume()
    assert scene.start() == ["a", "c"]
    scene.raises("a")
    scene.done("c")
    assert scene.outcome == "failed"


def test_resume_gives_every_budget_anew(play):
    """Retries, the platform's budget and the fallback start over; the time of old back-offs is forgotten."""
    scene = play("a", a=how(retry=TEN, fallback=True))
    scene.start()
    scene.raises("a")
    scene.cancel()
    scene.resume()
    scene.start()
    scene.wait(9)
    scene.raises("a")
    scene.wait(1)
    assert scene.start() == [], "the back-off of before the cancel has no say"
    scene.wait(9)
    assert scene.start() == ["a"]


def test_resume_leaves_alone_what_a_condition_decided(play):
    """Steps that were skipped below a declined one stay skipped; those below a failure wait again."""
    scene = play("a -> c, b -> c, b -> d")
    scene.start()
    scene.declines("a")
    scene.raises("b")
    scene.told()
    scene.resume()
    assert scene.told() == ["resume b d"]
    scene.start()
    scene.done("b")
    scene.start()
    scene.done("d")
    assert scene.outcome == "succeeded"
    assert scene.where("skipped") == ["a", "c"]


def test_resume_skips_again_what_a_condition_decides(play):
    """A step below a failure and a declined one was skipped for the failure: resumed, it is skipped for the condition."""
    scene = play("a -> c, b -> c")
    scene.start()
    scene.raises("b")
    scene.declines("a")
    scene.told()
    scene.resume()
    assert scene.told() == ["resume b c", "skip c: upstream a"]


def test_resume_of_an_open_or_succeeded_run_changes_nothing(play):
    """There is nothing to resume."""
    scene = play("a")
    assert scene.resume().events == []
    scene.start()
    scene.done("a")
    assert scene.resume().events == []


def test_take_over_voids_what_the_former_conductor_started(play):
    """Attempts of a dead conductor are handed out again, under new tokens and at no cost; their late words are refused."""
    scene = play("a, b -> c", a=asset("x", retry=TEN), board=Board({"default": Limit(2)}))
    scene.start()
    scene.done("b")
    scene.told()
    scene.die()
    assert scene.told() == ["return a"]
    assert scene.start() == ["a", "c"]
    assert (scene.token("a"), scene.token("c")) == (3, 4)
    scene.done("a", token=1)
    assert scene.status("a") == "running"
    assert scene.commands() == ["discard x r.1"]
    assert scene.state.fails[0] == 0


def test_take_over_keeps_back_offs(play):
    """The next conductor waits for what is left of the newest delay, not of an older one."""
    scene = play("a", a=how(retry=Retry(3, "linear", 10.0, jitter=False)))
    scene.start()
    scene.raises("a")
    scene.wait(10)
    scene.start()
    scene.raises("a")
    scene.die()
    scene.wait(19)
    assert scene.start() == []
    scene.wait(1)
    assert scene.start() == ["a"]


def test_a_clock_that_was_set_back_delays_no_retry_for_ever(play):
    """A retry that lies further off than any delay could be becomes due after the longest one."""
    scene = play("a", a=how(retry=TEN))
    scene.start()
    scene.raises("a")
    scene.wait(-86_400)
    scene.die()
    scene.wait(300)
    assert scene.start() == ["a"]
