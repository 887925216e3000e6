"""rules/grant and rules/finish: undoing what was done, and how a run ends."""

from __future__ import annotations

from scene import asset, how

from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel.board import Board
from legato.terms.attempt import Done

UNDO = how(undo=True)
BACK = how(on_failure="rollback")


def roll_back(scene):
    """The last step of a chain fails once all before it are done."""
    *before, last = scene.names
    for name in before:
        scene.start()
        scene.done(name)
    scene.start()
    scene.raises(last)


def test_a_rollback_undoes_in_reverse_order_of_completion(play):
    """Each completed step is undone after all that were completed later; the failed one is not."""
    scene = play("a, b -> c -> d", a=UNDO, b=UNDO, c=UNDO, d=BACK)
    scene.start()
    scene.done("b")
    scene.done("a")
    scene.start()
    scene.done("c")
    scene.start()
    scene.raises("d")
    scene.told()
    for name in ("c", "a", "b"):
        assert scene.start() == [name]
        scene.done(name)
    assert scene.told() == [
        "start c (undo)", "undo c", "start a (undo)", "undo a", "start b (undo)", "undo b", "end rolled_back",
    ]  # fmt: skip
    assert scene.where("undone") == ["a", "b", "c"]


def test_a_step_without_an_undo_gives_back_what_it_published(play):
    """No attempt is needed: the event alone says that the former version is published again."""
    scene = play("a -> b -> c", a=asset("x"), b=UNDO, c=BACK)
    roll_back(scene)
    scene.start()
    scene.done("b")
    scene.start()
    assert scene.told()[-3:] == ["undo b", "undo a", "end rolled_back"]


def test_the_rollback_waits_for_what_runs_and_undoes_it_too(play):
    """A step that was running when another failed may end; if it succeeds, it is undone like the rest, and first."""
    scene = play("a, b -> d, c", a=UNDO, b=UNDO, c=BACK)
    scene.start()
    scene.done("a")
    scene.raises("c")
    assert scene.start() == []
    scene.done("b")
    assert scene.start() == ["b"]
    scene.done("b")
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.outcome == "rolled_back"
    assert scene.where("skipped") == ["d"]


def test_an_undo_has_budgets_of_its_own(play):
    """What the step itself used up of its tries is not missing when it is undone."""
    retry = Retry(1, "fixed", 10.0, jitter=False)
    scene = play("a -> b", a=how(undo=True, retry=retry, lost_retries=1), b=BACK)
    scene.start()
    scene.lost("a")
    scene.start()
    scene.raises("a")
    scene.wait(10)
    scene.start()
    scene.done("a")
    scene.start()
    scene.raises("b")
    scene.start()
    scene.lost("a")
    assert scene.start() == ["a"]
    scene.raises("a")
    assert scene.start() == []
    scene.wait(10)
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.outcome == "rolled_back"


def test_an_undo_that_fails_leaves_the_run_partly_undone(play):
    """The rollback goes on with the others; the step stays as it succeeded."""
    scene = play("a -> b -> c", a=UNDO, b=UNDO, c=BACK)
    roll_back(scene)
    scene.start()
    scene.raises("b")
    assert scene.told()[-1] == "fail b: raised, stuck"
    scene.start()
    scene.done("a")
    assert scene.outcome == "partly_undone"
    assert scene.status("b") == "succeeded"


def test_an_undo_that_declines_has_undone_nothing(play):
    """Conditions are not asked of an undo; a worker that declines one has failed."""
    scene = play("a -> b", a=UNDO, b=BACK)
    roll_back(scene)
    scene.start()
    scene.declines("a")
    assert scene.outcome == "partly_undone"


def test_an_undo_is_bound_by_time_pools_and_claims(play):
    """An undo is an attempt: it needs a slot and its asset partitions, and must not outlast its time limit."""
    board = Board({"db": Limit(1)})
    scene = play("a -> b", a=asset("x", undo=True, pool="db", timeout_s=600.0), b=BACK, board=board)
    other = play("a", a=asset("x", pool="db"), board=board, run_id="other")
    scene.start()
    scene.done("a")
    scene.start()
    assert other.start() == ["a"]
    scene.raises("b")
    assert scene.start() == []
    other.done("a")
    assert scene.start() == ["a"], "the deadline of the finished attempt does not hold up its undo"
    scene.wait(600)
    scene.lost("a")
    assert scene.outcome == "partly_undone"
    assert board.used["db", ""] == 0


def test_an_undo_waits_for_a_claim_even_where_slots_are_free(play):
    """At most one attempt writes an asset partition, and an undo is one."""
    board = Board()
    scene = play("a -> b", a=asset("x", undo=True), b=BACK, board=board)
    other = play("a", a=asset("x"), board=board, run_id="other")
    scene.start()
    scene.done("a")
    scene.start()
    other.start()
    scene.raises("b")
    assert scene.start() == []
    other.raises("a")
    assert scene.start() == ["a"]


def test_nothing_is_taken_back_while_another_run_makes_a_version_of_it(play):
    """The version that the other one was given stays until its own stands in its place, and is what it was made of."""
    board = Board({})
    scene = play("a -> b", board=board, run_id="r1", a=asset("x"), b=BACK)
    scene.start()
    scene.done("a")
    scene.start()
    other = play("a", board=board, run_id="r2", a=asset("x"))
    other.start()
    scene.raises("b")
    scene.told()
    assert (scene.start(), scene.told()) == ([], [])
    other.done("a")
    scene.start()
    assert scene.told() == ["undo a", "end rolled_back"]


def test_a_rollback_is_not_cancelled(play):
    """Half undone is worse than either end: a cancel during the rollback changes nothing."""
    scene = play("a -> b", a=UNDO, b=BACK)
    roll_back(scene)
    assert scene.cancel().events == []
    scene.start()
    assert scene.cancel().events == []
    scene.done("a")
    assert scene.outcome == "rolled_back"


def test_a_rollback_survives_the_conductor(play):
    """The next conductor goes on undoing where the former stood, under new tokens."""
    scene = play("a -> b -> c", a=UNDO, b=UNDO, c=BACK)
    roll_back(scene)
    scene.start()
    scene.die()
    assert scene.start() == ["b"]
    scene.done("b", token=4)
    assert scene.status("b") == "succeeded"
    scene.done("b")
    scene.die()
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.outcome == "rolled_back"


def test_a_rolled_back_run_can_be_resumed(play):
    """What was undone is done again, in order, and undone once if it must be."""
    scene = play("a -> b -> c", a=UNDO, c=BACK)
    roll_back(scene)
    scene.start()
    scene.done("a")
    assert scene.outcome == "rolled_back"
    scene.resume()
    for name in "ab":
        assert scene.start() == [name]
        scene.done(name)
    scene.start()
    scene.raises("c")
    scene.told()
    assert scene.start() == ["a"]
    scene.done("a")
    assert scene.told() == ["undo b", "start a (undo)", "undo a", "end rolled_back"]


def test_a_halt_may_become_a_rollback(play):
    """If a step that rolls back fails in a halted run, what was completed is undone after all."""
    scene = play("a, b, c", a=how(on_failure="halt"), b=BACK, c=UNDO)
    scene.start()
    scene.done("c")
    scene.raises("a")
    scene.raises("b")
    scene.start()
    scene.done("c")
    assert scene.outcome == "rolled_back"


def test_a_rollback_with_nothing_to_undo_ends_at_once(play):
    """There is no attempt to wait for."""
    scene = play("a -> b", a=BACK)
    scene.start()
    scene.raises("a")
    assert scene.told()[-3:] == ["roll back for a", "skip b: upstream a", "end rolled_back"]


def test_a_late_success_of_the_work_is_no_success_of_its_undo(play):
    """The token of the step's own attempt undoes nothing."""
    scene = play("a -> b", a=UNDO, b=BACK)
    roll_back(scene)
    scene.start()
    scene.tell(Done("r", 0, 1, 1.0))
    assert scene.status("a") == "succeeded"
    assert scene.outcome is None


def test_a_resumed_run_that_is_partly_undone_goes_on_with_its_rollback(play):
    """What could not be undone is tried again, the last first, with budgets of its own; nothing is made anew."""
    scene = play("a -> b -> c -> d", a=UNDO, b=UNDO, c=UNDO, d=BACK)
    roll_back(scene)
    for name in "cb":
        scene.start()
        scene.raises(name)
    scene.start()
    scene.done("a")
    assert scene.outcome == "partly_undone"
    scene.told()
    scene.resume()
    assert scene.start() == ["c"]
    scene.done("c")
    assert scene.start() == ["b"]
    scene.raises("b")
    assert scene.outcome == "partly_undone"
    scene.resume()
    scene.start()
    scene.done("b")
    assert scene.told() == [
        "resume b c", "start c (undo)", "undo c", "start b (undo)", "fail b: raised, stuck", "end partly_undone",
        "resume b", "start b (undo)", "undo b", "end rolled_back",
    ]  # fmt: skip


def test_the_value_of_a_step_is_kept_for_its_undo(play):
    """Nobody else reads it."""
    scene = play("a -> b", a=UNDO, b=BACK)
    scene.start()
    scene.done("a", value=b"\x07")
    assert scene.state.values == {0: b"\x07"}
    scene.start()
    scene.raises("b")
    scene.start()
    scene.done("a")
    assert scene.state.undone == {0: 1}
