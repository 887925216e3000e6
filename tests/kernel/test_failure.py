"""rules/failure: what follows a failure."""

from __future__ import annotations

import pytest
from scene import asset, how

from legato.declare.node import Retry
from legato.terms.fact import Verdict

ONCE = Retry(1, "fixed", 10.0, jitter=False)


def delays(scene, tries):
    """The back-off before each of so many tries, as the events say."""
    for _ in range(tries):
        scene.start()
        scene.raises("a")
        scene.wait(1e6)
    return [event.delay_s for event in scene.events if getattr(event, "then", "") == "retry"]


def test_a_failed_step_is_tried_again_after_its_delay(play):
    """A step in back-off holds no slot and starts when its delay is over, not before."""
    scene = play("a", a=how(retry=ONCE))
    scene.start()
    scene.raises("a")
    assert scene.told() == ["start a", "fail a: raised, retry in 10 s"]
    scene.wait(9.9)
    assert scene.start() == []
    scene.wait(0.1)
    assert scene.start() == ["a"]
    scene.raises("a")
    assert scene.told() == ["start a", "fail a: raised, fail", "end failed"]


def test_a_retry_may_succeed(play):
    """A success wipes the error of the tries before it."""
    scene = play("a -> b", a=how(retry=ONCE))
    scene.start()
    scene.raises("a")
    scene.wait(10)
    scene.start()
    scene.done("a")
    assert scene.state.errors == {}
    assert scene.start() == ["b"]


@pytest.mark.parametrize(("backoff", "expected"), [
    ("fixed", [2, 2, 2, 2]),
    ("linear", [2, 4, 6, 7]),
    ("exponential", [2, 4, 7, 7]),
])  # fmt: skip
def test_the_delay_follows_the_backoff_up_to_its_limit(play, backoff, expected):
    """Fixed stays, linear grows by itself, exponential doubles; none exceeds `max_delay_s`."""
    scene = play("a", a=how(retry=Retry(4, backoff, 2.0, max_delay_s=7.0, jitter=False)))
    assert delays(scene, 5) == expected
    assert scene.outcome == "failed"


def test_jitter_lies_between_half_of_the_delay_and_all_of_it(play):
    """Jitter follows from run, step and try alone: a replay repeats it, two runs differ."""
    retry = Retry(40, "fixed", 10.0)
    first, again, other = (delays(play("a", run_id=run_id, a=how(retry=retry)), 40) for run_id in ("r", "r", "q"))
    assert first == again != other
    assert all(5.0 <= delay <= 10.0 for delay in first)
    assert max(first) - min(first) > 3


def test_what_the_failed_call_asked_for_wins_over_the_backoff(play):
    """`retry_after` on the exception replaces the computed delay, even beyond its limit."""
    scene = play("a", a=how(retry=Retry(2, "fixed", 1.0, max_delay_s=5.0)))
    scene.start()
    scene.raises("a", retry_after_s=120.0)
    scene.wait(119)
    assert scene.start() == []
    scene.wait(1)
    assert scene.start() == ["a"]


@pytest.mark.parametrize(("on", "raised", "again"), [
    ((ConnectionError,), ConnectionResetError, True),
    ((ConnectionError,), KeyError, False),
    ((KeyError, OSError), TimeoutError, True),
    ((Exception,), ValueError, True),
    ((), SystemExit, True),
])  # fmt: skip
def test_retries_may_be_limited_to_exception_classes(play, on, raised, again):
    """`on` names classes; their subclasses count."""
    scene = play("a", a=how(retry=Retry(1, on=on)))
    scene.start()
    scene.raises("a", raised)
    assert scene.status("a") == ("backoff" if again else "failed")


@pytest.mark.parametrize(("on", "again"), [((TimeoutError,), True), ((Exception,), True), ((KeyError,), False), ((), True)])
def test_a_time_limit_counts_as_a_timeout_error(play, on, again):
    """A step that ran too long is retried like one that raised TimeoutError, also where `on` names a base of it."""
    scene = play("a", a=how(timeout_s=5.0, retry=Retry(1, on=on)))
    scene.start()
    scene.wait(5)
    scene.lost("a")
    assert scene.status("a") == ("backoff" if again else "failed")


def test_a_result_that_is_not_there_yet_is_waited_for(play):
    """While `until` says no the step is in back-off, whatever `on` lists; then what it returned counts."""
    scene = play("a -> b", a=how(retry=Retry(2, "fixed", 10.0, jitter=False, on=(KeyError,))))
    scene.start()
    scene.unready("a")
    assert scene.told() == ["start a", "fail a: pending, retry in 10 s"]
    scene.wait(10)
    assert scene.start() == ["a"]
    scene.done("a", value=b"there")
    assert scene.state.values == {0: b"there"}
    assert scene.start() == ["b"]


def test_tries_that_wait_and_tries_that_fail_have_one_budget(play):
    """A result that does not come is a failure in the end, as a TimeoutError; the fallback has its turn as after any."""
    scene = play("a", a=how(retry=Retry(1, "fixed", 0.0, jitter=False), fallback=True))
    scene.start()
    scene.raises("a")
    scene.wait(0)
    scene.start()
    scene.unready("a")
    assert scene.told()[-1] == "fail a: pending, fallback"
    scene.start()
    scene.raises("a")
    assert scene.outcome == "failed"


def limited(**options):
    """Tries without number, every 10 s, for 25 s."""
    return how(retry=Retry(None, "fixed", 10.0, jitter=False, max_time="25s"), **options)


def test_max_time_limits_all_tries_from_the_beginning_of_the_first(play):
    """A retry that would start later is not made, and the error says so."""
    scene = play("a", a=limited())
    for seconds in (3, 3):
        scene.start()
        scene.wait(seconds)
        scene.raises("a")
        scene.wait(10)
    assert scene.told()[-2:] == ["fail a: raised, fail", "end failed"]
    assert scene.state.attempts[0] == 2
    assert scene.state.errors[0].message == "no luck (not tried again: max_time of 25.0 s would be over)"


def test_a_retry_at_the_very_end_of_max_time_is_made(play):
    """The limit is for the beginning of a try: the try itself may last."""
    scene = play("a", a=limited())
    scene.start()
    scene.wait(15)
    scene.raises("a")
    scene.wait(10)
    assert scene.start() == ["a"]
    scene.wait(100)
    scene.done("a")
    assert scene.outcome == "succeeded"


def test_what_the_failed_call_asks_for_may_be_too_late(play):
    """`retry_after` beyond the limit is no retry."""
    scene = play("a", a=limited(fallback=True))
    scene.start()
    scene.raises("a", retry_after_s=26.0)
    assert scene.told()[-1] == "fail a: raised, fallback"


def test_max_time_goes_on_over_a_restart_and_lost_workers(play):
    """The first try counts, whoever conducted it and however it ended."""
    scene = play("a", a=limited())
    scene.start()
    scene.wait(5)
    scene.lost("a")
    scene.start()
    scene.die()
    scene.start()
    scene.wait(11)
    scene.raises("a")
    assert scene.outcome == "failed"


def test_max_time_counts_anew_where_the_clock_was_set_back(play):
    """Else tries would go on until the clock is again where it was."""
    scene = play("a", a=limited())
    scene.start()
    scene.raises("a")
    scene.wait(-3_600)
    scene.die()
    for pause_s in (300, 10, 10):
        assert scene.outcome is None
        scene.wait(pause_s)
        scene.start()
        scene.raises("a")
    assert scene.outcome == "failed"


def test_a_try_that_a_restart_cut_off_counts_from_its_beginning(play):
    """An attempt that had begun is void after a take-over, but its time has passed."""
    scene = play("a", a=limited())
    scene.start()
    scene.wait(60)
    scene.begins("a")
    scene.wait(16)
    scene.die()
    scene.start()
    scene.raises("a")
    assert scene.outcome == "failed"


def test_a_resumed_step_has_all_its_time_again(play):
    """A resume begins every budget anew, that of time too; so does an undo."""
    scene = play("a", a=limited())
    scene.start()
    scene.wait(20)
    scene.raises("a")
    scene.resume()
    scene.start()
    scene.raises("a")
    assert scene.told()[-1] == "fail a: raised, retry in 10 s"
    scene.wait(10)
    scene.start()
    scene.done("a")
    assert scene.state.since == {}


@pytest.mark.parametrize("times", [3, 300])
def test_the_number_of_retries_is_kept_to(play, times):
    """So many more tries and not one more, however many they are."""
    scene = play("a", a=how(retry=Retry(times, "fixed", 0.0, jitter=False)))
    for _ in range(times + 1):
        assert scene.start() == ["a"]
        scene.raises("a")
        scene.wait(0)
    assert scene.outcome == "failed"
    assert scene.state.attempts[0] == times + 1


def test_a_lost_worker_is_the_platforms_business(play):
    """A step whose worker died starts again at once, and its own retries stay untouched."""
    scene = play("a", a=how(lost_retries=2, retry=ONCE))
    scene.start()
    scene.lost("a")
    assert scene.start() == ["a"]
    scene.raises("a")
    scene.wait(10)
    assert scene.start() == ["a"]
    scene.lost("a")
    assert scene.start() == ["a"]
    scene.raises("a")
    assert [line for line in scene.told() if line.startswith("fail")] == [
        "fail a: lost, again", "fail a: raised, retry in 10 s", "fail a: lost, again", "fail a: raised, fail",
    ]  # fmt: skip


def test_a_step_that_always_kills_its_worker_is_parked(play):
    """After the platform's budget a crash-looper fails as lost, though it has user's retries left."""
    scene = play("a -> b", a=how(lost_retries=2, retry=Retry(5)))
    for _ in range(3):
        scene.start()
        scene.lost("a")
    assert scene.outcome == "failed"
    assert scene.state.errors[0].kind == "lost"


def test_a_fallback_takes_over_when_the_tries_are_used_up(play):
    """The fallback runs in place of the step; its success is the step's."""
    scene = play("a -> b", a=how(retry=ONCE, fallback=True))
    scene.start()
    scene.raises("a")
    scene.wait(10)
    scene.start()
    scene.raises("a")
    scene.start()
    scene.done("a", value=b"plan B")
    assert scene.told()[-3:] == ["fail a: raised, fallback", "start a (fallback)", "succeed a"]
    assert scene.state.values == {0: b"plan B"}
    assert scene.start() == ["b"]


def test_a_fallback_may_fail_too(play):
    """There is no fallback of the fallback."""
    scene = play("a -> b", a=how(fallback=True))
    scene.start()
    scene.raises("a")
    scene.start()
    scene.raises("a")
    assert scene.told()[-3:] == ["fail a: raised, fail", "skip b: upstream a", "end failed"]


def test_a_fallback_answers_a_closed_gate_and_a_lost_worker(play):
    """Whatever ends a step in failure gives the fallback its turn; the refused version stays quarantined."""
    scene = play("a, b", a=asset("x", fallback=True), b=how(fallback=True, lost_retries=0))
    scene.start()
    scene.judged("a", Verdict("no_nulls", False))
    scene.lost("b")
    assert scene.start() == ["a", "b"]
    scene.done("a", "b")
    assert scene.outcome == "succeeded"


def test_what_depends_on_a_failure_is_skipped_with_its_root(play):
    """The whole cone below a failed step is skipped, and names the step that failed; everything else goes on."""
    scene = play("a -> b -> c, d -> c, d -> e")
    scene.start()
    scene.raises("a")
    assert scene.told()[-1] == "skip b c: upstream a"
    scene.done("d")
    assert scene.start() == ["e"]
    scene.done("e")
    assert scene.outcome == "failed"
    assert scene.where("succeeded") == ["d", "e"]


def test_halt_starts_nothing_new_and_lets_what_runs_end(play):
    """After a failure that halts, running steps end as they may, and the rest is skipped as halted."""
    scene = play("a, b -> c, d", a=how(on_failure="halt"), d=how(pool="full"), board=None)
    assert scene.start() == ["a", "b", "d"]
    scene.raises("a")
    assert scene.told()[-1] == "halt for a"
    scene.done("b")
    assert scene.start() == []
    assert scene.outcome is None
    scene.done("d")
    assert scene.told()[-2:] == ["skip c: halted", "end failed"]


def test_a_halted_run_does_not_try_again(play):
    """A step that fails while the run is halted waits for no retry."""
    scene = play("a, b", a=how(on_failure="halt"), b=how(retry=ONCE))
    scene.start()
    scene.raises("a")
    scene.raises("b")
    assert scene.told()[-3:] == ["fail b: raised, retry in 10 s", "skip b: halted", "end failed"]


def test_only_a_final_failure_halts(play):
    """As long as a step is tried again, or its fallback is, nothing halts."""
    scene = play("a -> b", a=how(on_failure="halt", retry=ONCE, fallback=True))
    scene.start()
    scene.raises("a")
    scene.wait(10)
    scene.start()
    scene.raises("a")
    scene.start()
    scene.done("a")
    assert scene.start() == ["b"]


def test_what_waits_for_a_blocked_step_is_skipped(play):
    """A step whose input the plan found missing never runs, nor does what waits for it; the run says that it failed."""
    scene = play("a -> b, c", blocked="a")
    scene.wait(0)
    assert scene.told() == ["skip b: upstream a"]
    scene.start()
    scene.done("c")
    assert scene.outcome == "failed"
