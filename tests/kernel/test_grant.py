"""rules/grant: who may start now."""

from __future__ import annotations

from scene import asset, how

from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel.board import Board


def test_a_pool_allows_so_many_attempts_at_once(play):
    """Slots bound the attempts under way, whatever workers offer."""
    board = Board({"db": Limit(2)})
    scene = play("a*5", a=how(pool="db"), board=board)
    assert scene.offer(a=1e-5) == ["a@0", "a@1"]
    assert scene.offer(a=1e-5) == []
    scene.done("a@0")
    assert scene.start() == ["a@2"]
    assert board.used == {("db", ""): 2}


def test_a_full_pool_hides_no_other_pools_work(play):
    """Ready steps behind a full pool, though first by priority, leave the way free for others."""
    board = Board({"db": Limit(1)})
    scene = play("a*50, b", a=how(pool="db", priority=9), board=board)
    assert scene.start() == ["a@0", "b"]


def test_a_pool_is_shared_by_all_runs(play):
    """Two runs together never hold more slots than there are."""
    board = Board({"db": Limit(1)})
    first, second = (play("a*2", a=how(pool="db"), board=board, run_id=run_id) for run_id in "rq")
    assert first.start() == ["a@0"]
    assert second.start() == []
    first.done("a@0")
    assert second.start() == [], "of steps that wait equally long the older run's go first"
    assert first.start() == ["a@1"]
    first.done("a@1")
    assert second.start() == ["a@0"]


def test_slots_come_back_however_an_attempt_ends(play):
    """Success, failure, loss, refusal, return and cancellation all free the slot."""
    board = Board({"db": Limit(1)})
    scene = play("a*6", a=how(pool="db", lost_retries=0), board=board)
    for end in (scene.done, scene.raises, scene.lost, scene.declines):
        end(*scene.start())
        assert board.used["db", ""] == 0
    (name,) = scene.start()
    scene.returns(name)
    assert board.used["db", ""] == 0
    scene.start()
    scene.cancel()
    scene.lost(name)
    assert board.used["db", ""] == 0
    assert scene.outcome == "cancelled"


def test_higher_priority_starts_first_then_plan_order(play):
    """Priority decides among all ready steps, also across pools."""
    scene = play("a, b, c, d", b=how(priority=5), c=how(priority=-1), d=how(priority=7, pool="db"), board=Board({"db": Limit(1)}))
    assert scene.start() == ["d", "b", "a", "c"]


def test_priority_holds_across_pools_when_steps_were_skipped(play):
    """A stale entry at the head of one pool lends its priority to nobody."""
    scene = play(
        "x, a, b, c", board=Board({"p": Limit(9), "q": Limit(9)}), x=how(on_failure="halt"), a=how(pool="p", priority=9),
        b=how(pool="p"), c=how(pool="q", priority=5),
    )  # fmt: skip
    assert scene.offer() == ["a"]
    scene.die()
    scene.start()
    scene.done("a")
    scene.die()
    assert scene.start() == ["c", "x", "b"]


def test_short_steps_travel_together(play):
    """A batch fills the offered seconds with steps of known cost, and no more."""
    scene = play("a*10, b", b=how(priority=1))
    assert scene.offer(room_s=0.02, a=0.004, b=0.003) == ["b", "a@0", "a@1", "a@2", "a@3"]
    assert scene.offer(room_s=0.02, most=2, a=0.004) == ["a@4", "a@5"]


def test_a_long_step_travels_even_if_it_exceeds_the_offer(play):
    """What costs more than the offer goes alone; it never waits for a bigger one."""
    scene = play("a*2")
    assert scene.offer(room_s=0.02, a=60.0) == ["a@0"]


def test_unknown_and_crashing_steps_travel_alone(play):
    """A step whose time is unknown, or whose worker died, must not take others down or hold them up."""
    scene = play("a*2, b*2, c", b=how(timeout_s=5.0))
    cost = {"b": 1e-5, "c": 1e-5}
    assert [scene.offer(**cost) for _ in range(3)] == [["a@0"], ["a@1"], ["b@0", "b@1", "c"]]
    scene.lost("c")
    scene.done("b@0", "b@1", "a@0")
    scene.lost("a@1")
    assert [scene.offer(a=1e-5, **cost) for _ in range(2)] == [["a@1"], ["c"]]


def test_no_step_is_handed_out_twice_in_one_batch(play):
    """After a take-over, a resume or a return a step is ready once, whatever entries its earlier lives left behind."""
    scene = play("a*3")
    scene.offer(a=1e-5)
    scene.die()
    assert scene.offer(a=1e-5) == ["a@0", "a@1", "a@2"]
    scene.die()
    scene.cancel()
    scene.resume()
    assert scene.offer(a=1e-5) == ["a@0", "a@1", "a@2"]


def test_one_attempt_at_a_time_writes_an_asset_partition(play):
    """Of two runs that want the same asset partition one waits for the other; other partitions do not wait."""
    board = Board()
    first = play("a*2", a=asset("x"), board=board, run_id="first")
    second = play("a*3", a=asset("x"), board=board, run_id="second")
    assert first.start() == ["a@0", "a@1"]
    assert second.start() == ["a@2"]
    first.done("a@1")
    assert second.start() == ["a@1"]
    first.raises("a@0")
    assert second.start() == ["a@0"]


def test_who_waits_for_a_claim_may_be_cancelled_and_resumed(play):
    """A parked step that is cancelled, or resumed, neither starts twice nor is forgotten."""
    board = Board()
    first = play("a", a=asset("x"), board=board, run_id="first")
    second = play("a", a=asset("x"), board=board, run_id="second")
    first.start()
    assert second.start() == []
    second.cancel()
    assert second.outcome == "cancelled"
    second.resume()
    assert second.start() == []
    first.done("a")
    assert second.offer(a=1e-5) == ["a"]


def test_a_retry_lets_others_write_in_between(play):
    """A step in back-off holds no claim."""
    board = Board()
    first = play("a", a=asset("x", retry=Retry(1, "fixed", 10, jitter=False)), board=board, run_id="first")
    second = play("a", a=asset("x"), board=board, run_id="second")
    first.start()
    first.raises("a")
    assert second.start() == ["a"]
    first.wait(10)
    assert first.start() == []
    second.done("a")
    assert first.start() == ["a"]


def test_several_outputs_are_claimed_together(play):
    """A step that makes two assets waits for both."""
    board = Board()
    one = play("a, b", a=asset("x"), b=asset("y"), board=board, run_id="one")
    both = play("a", a=asset("x", "y"), board=board, run_id="both")
    assert one.start() == ["a", "b"]
    assert both.start() == []
    one.done("a")
    assert both.start() == []
    one.done("b")
    assert both.start() == ["a"]


def test_partitions_that_one_call_makes_go_together(play):
    """As many as the call takes, whatever they cost; nothing else goes with them."""
    scene = play("a*7 -> b", a=asset("x", together=3), c=how())
    assert scene.offer() == ["a@0", "a@1", "a@2"]
    assert scene.offer(room_s=0.001, a=9.0) == ["a@3", "a@4", "a@5"]
    assert scene.offer(b=0.001) == ["a@6"]
    scene = play("a*2, b", a=asset("x", together=3), run_id="q")
    assert scene.offer(a=0.001, b=0.001) == ["a@0", "a@1"]
    assert scene.offer(a=0.001, b=0.001) == ["b"]


def test_a_limit_holds_for_what_goes_together(play):
    """A pool counts partitions, not calls."""
    scene = play("a*5", a=asset("x", together=5, pool="two"), board=Board({"two": Limit(2)}))
    assert scene.start() == ["a@0", "a@1"]


def test_what_took_a_worker_along_is_made_alone(play):
    """One of the partitions may be the one that kills it: each gets a worker of its own."""
    scene = play("a*3", a=asset("x", together=3))
    assert scene.offer() == ["a@0", "a@1", "a@2"]
    for name in scene.where("running"):
        scene.lost(name)
    assert [scene.offer() for _ in range(3)] == [["a@0"], ["a@1"], ["a@2"]]


def test_what_fails_together_is_tried_again_together(play):
    """Jitter keeps others apart; these wait for the same moment."""
    scene = play("a*3", a=asset("x", together=3, retry=Retry(1, "fixed", 10.0)))
    for name in scene.offer():
        scene.raises(name)
    scene.wait(10)
    assert scene.offer() == ["a@0", "a@1", "a@2"]


def test_only_the_call_has_a_time_limit(play):
    """What is made by one call is stopped with it; then each is made alone, with the time limit for itself."""
    scene = play("a*3", a=asset("x", together=3, timeout_s=5.0, retry=Retry(1, "fixed", 0.0)))
    assert scene.offer() == ["a@0", "a@1", "a@2"]
    scene.wait(5)
    assert scene.commands() == ["kill a@0 1"]
    for name in scene.where("running"):
        scene.lost(name)
    assert scene.told()[-3:] == ["fail a@0: timeout, retry in 0 s", "fail a@1: lost, again", "fail a@2: lost, again"]
    scene.wait(0)
    assert sorted([scene.offer() for _ in range(3)]) == [["a@0"], ["a@1"], ["a@2"]]
