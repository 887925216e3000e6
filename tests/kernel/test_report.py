"""rules/report: what follows the end of an attempt."""

from __future__ import annotations

import pytest
from scene import asset, how

from legato.declare.node import Retry
from legato.terms.attempt import Declined, Done, Lost, Raised, Ref, Returned
from legato.terms.fact import Error, Verdict

STALE = 99


def test_steps_run_in_the_order_of_their_needs(play):
    """A step is handed out once all that it waits for is recorded, and the run ends with its last step."""
    scene = play("a -> b -> d, a -> c -> d")
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.start() == ["b", "c"]
    scene.done("c")
    assert scene.start() == []
    scene.done("b")
    assert scene.start() == ["d"]
    scene.done("d")
    assert scene.told() == [
        "start a", "succeed a", "start b", "start c", "succeed c", "succeed b", "start d", "succeed d", "end succeeded",
    ]  # fmt: skip


def test_a_value_is_kept_for_those_who_read_it(play):
    """A task's value lives in the state only if another step reads it."""
    scene = play("a -> b")
    scene.start()
    scene.done("a", value=b"one")
    scene.start()
    scene.done("b", value=b"two")
    assert scene.state.values == {0: b"one"}


def test_a_success_publishes_and_remembers_what_it_replaced(play):
    """What an asset's step published, and over what, is remembered, so that a rollback can give it back."""
    scene = play("a", a=asset("x", "y"))
    scene.start()
    scene.tell(Done("r", 0, 1, 1.0, outputs=scene.outputs("a", 1), replaces=("old", "")))
    assert [tuple(swap) for swap in scene.state.swaps[0]] == [("x", "r.1", "old"), ("y", "r.1", "")]


@pytest.mark.parametrize("make", [
    lambda: Done("r", 0, STALE, 1.0),
    lambda: Raised("r", 0, STALE, 1.0, Error("raised", "no luck")),
    lambda: Lost("r", 0, STALE, "gone"),
    lambda: Declined("r", 0, STALE),
    lambda: Returned("r", 0, STALE),
    lambda: Done("r", 7, 1, 1.0),
    lambda: Lost("r", 7, 1, "gone"),
])  # fmt: skip
def test_a_report_with_a_wrong_token_or_step_changes_nothing(play, make):
    """A report speaks only for the attempt whose token it carries."""
    scene = play("a -> b")
    scene.start()
    decision = scene.tell(make())
    assert decision.events == []
    assert decision.commands == []
    assert scene.status("a") == "running"


def test_a_late_success_never_publishes_and_what_it_staged_is_discarded(play):
    """The attempt of a worker that was given up may still end: its version is refused and forgotten."""
    scene = play("a", a=asset("x"))
    scene.start()
    scene.lost("a")
    scene.start()
    scene.done("a", token=1)
    assert scene.commands() == ["discard x r.1"]
    assert scene.status("a") == "running"
    scene.done("a", token=2)
    scene.done("a", token=1)
    assert scene.commands() == ["discard x r.1"]
    assert scene.told() == ["start a", "fail a: lost, again", "start a", "succeed a", "end succeeded"]


def test_a_success_heard_twice_counts_once_and_keeps_what_was_published(play):
    """A doubled report must not make Legato discard the very version that the first one published."""
    scene = play("a -> b", a=asset("x"))
    scene.start()
    scene.done("a", token=1)
    scene.done("a", token=1)
    assert scene.commands() == []
    assert scene.told() == ["start a", "succeed a"]


def test_a_quarantined_version_is_kept_however_often_it_is_reported(play):
    """What a gate refused stays to be looked at, even if the report comes again after a later version was published."""
    scene = play("a", a=asset("x"))
    scene.start()
    scene.judged("a", Verdict("no_nulls", False))
    scene.resume()
    scene.start()
    scene.done("a")
    scene.judged("a", Verdict("no_nulls", False), token=1)
    assert scene.commands() == []


def test_a_stored_task_value_heard_twice_is_not_discarded(play):
    """A large value of a task is in use from the moment it is recorded."""
    scene = play("a -> b")
    kept = Ref("a", "", "r.1", "memory", "", "json")
    scene.start()
    scene.done("a", kept=kept, token=1)
    scene.done("a", kept=kept, token=1)
    assert scene.commands() == []
    assert scene.state.kept == {0: kept}


def test_a_blocking_verdict_quarantines(play):
    """A version whose blocking check failed is never published; it is recorded with the failure, and not tried again."""
    scene = play("a -> b", a=asset("x", retry=Retry(3)))
    scene.start()
    scene.judged("a", Verdict("no_nulls", False, message="3 rows"), Verdict("fine", True))
    assert scene.told() == ["start a", "fail a: gate, fail", "skip b: upstream a", "end failed"]
    assert scene.events[1].outputs == scene.outputs("a", 1, (Verdict("no_nulls", False, message="3 rows"), Verdict("fine", True)))
    assert scene.events[1].error.message == "no_nulls of x: 3 rows"
    assert scene.commands() == []


def test_a_warning_publishes(play):
    """A warning is recorded with the version and closes nothing."""
    scene = play("a", a=asset("x"))
    scene.start()
    scene.judged("a", Verdict("few_rows", False, severity="warn"))
    assert scene.outcome == "succeeded"


def test_one_closed_gate_holds_back_all_outputs_of_a_step(play):
    """The assets of one step are published together or not at all."""
    scene = play("a", a=asset("x", "y"))
    scene.start()
    good, bad = scene.outputs("a", 1)[0], scene.outputs("a", 1, (Verdict("no_nulls", False),))[1]
    scene.tell(Done("r", 0, 1, 1.0, outputs=(good, bad)))
    assert scene.outcome == "failed"
    assert scene.state.swaps == {}


def test_a_condition_that_says_no_skips_the_step_and_what_needs_it(play):
    """A declined step is skipped, with all that depends on it; the run succeeds all the same, and a resume has nothing to do."""
    scene = play("a -> b -> c, d")
    scene.start()
    scene.declines("a")
    scene.done("d")
    assert scene.told() == ["start a", "start d", "decline a", "skip b c: upstream a", "succeed d", "end succeeded"]
    scene.resume()
    assert scene.told() == []


def test_a_condition_may_say_no_after_a_failure(play):
    """What an earlier try raised is no longer the step's error once its condition declines it."""
    scene = play("a -> b", a=how(retry=Retry(1, "fixed", 1, jitter=False)))
    scene.start()
    scene.raises("a")
    scene.wait(1)
    scene.start()
    scene.declines("a")
    assert scene.outcome == "succeeded"
    assert scene.state.errors == {}


def test_an_attempt_that_never_began_costs_nothing(play):
    """A returned attempt is handed out again under a new token, without counting as a try."""
    scene = play("a", a=how(pool="p"))
    scene.start()
    scene.returns("a")
    assert scene.state.attempts[0] == 0
    assert scene.start() == ["a"]
    assert scene.token("a") == 2


def test_that_an_attempt_began_is_recorded_for_its_log(play):
    """`Begun` counts for nothing else; of an attempt that is not under way it is not even recorded."""
    scene = play("a")
    scene.start()
    scene.begins("a")
    scene.done("a")
    assert scene.told() == ["start a", "begin a", "succeed a", "end succeeded"]
