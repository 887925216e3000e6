"""Runs of a backfill: their own order and pool, their place behind other work, and how far they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scene import MORNING, Scene, asset, how
from test_random import CALM, act, acts, handlings, links, sizes, text_of, treat

from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.fold import fold
from legato.kernel.inputs import TakeOver
from legato.kernel.standing import standing_before, standing_of
from legato.kernel.state import RunState
from legato.plan.records import Backfill
from legato.terms.instant import after


def test_steps_start_in_the_order_of_the_plan_s_own(play):
    """Newest first, and day by day: what becomes ready later, but has its turn before others, goes before them."""
    scene = play("a*3 -> b", backfill=Backfill(turns=(2, 1, 3, 0)))
    assert [scene.offer(most=1) for _ in range(3)] == [["a@2"], ["a@1"], ["a@0"]]
    scene = play("a -> c, b*2", backfill=Backfill(turns=(0, 3, 1, 2)), run_id="q")
    assert scene.plan.steps[3].node == "c"
    assert scene.offer(most=1) == ["a"]
    scene.done("a")
    assert [scene.offer(most=1) for _ in range(3)] == [["c"], ["b@0"], ["b@1"]]


def test_it_has_a_pool_of_its_own(play):
    """No more steps are under way at once than it says; other runs know nothing of that, and after its end nor does the board."""
    board = Board()
    scene, other = play("a*4", backfill=Backfill(at_once=2), board=board), play("b*4", board=board, run_id="q")
    assert other.start() == [f"b@{number}" for number in range(4)]
    assert scene.start() == ["a@0", "a@1"]
    scene.done("a@0")
    assert scene.start() == ["a@2"]
    scene.done("a@1", "a@2")
    scene.start()
    scene.done("a@3")
    assert (scene.outcome, board.limits, +board.used) == ("succeeded", {}, {})


def test_other_work_always_goes_first(play):
    """However long it has waited, and however urgent its nodes are: what yields starts when nothing else wants to."""
    board = Board()
    scene = play("a*2", a=how(priority=100), backfill=Backfill(), board=board)
    assert scene.offer(most=1) == ["a@0"]
    late = play("b", b=how(priority=-100), board=board, run_id="q", at=after(MORNING, 30 * 86_400))
    scene.now = late.now
    assert scene.offer() == []
    assert late.offer() == ["b"]
    assert scene.offer() == ["a@1"]


def test_an_urgent_one_waits_its_turn_like_all_others(play):
    """It may say so: then it goes by when it was asked for, and does not come before what has waited longer."""
    board = Board()
    first = play("a", board=board, at=after(MORNING, -120))
    scene = play("b*2", backfill=Backfill(urgent=True), board=board, run_id="q")
    last = play("c", board=board, run_id="s", at=after(MORNING, 120))
    assert scene.offer() == last.offer() == []
    assert first.offer() == ["a"]
    assert last.offer() == []
    assert scene.start() == ["b@0", "b@1"]
    assert last.offer() == ["c"]


def test_of_two_the_older_goes_first(play):
    """Neither starves: what the older one has no room for, the other takes."""
    board = Board()
    older = play("a*2", backfill=Backfill(at_once=1), board=board)
    newer = play("b", backfill=Backfill(), board=board, run_id="q", at=after(MORNING, 600))
    assert newer.offer() == []
    assert older.offer() == ["a@0"]
    assert newer.offer() == ["b"]


def test_it_stays_behind_after_a_take_over(play):
    """The next conductor lets it yield, too, in the same order and within its own pool."""
    scene = play("a*3", backfill=Backfill(turns=(2, 1, 0), at_once=2))
    scene.start()
    board = Board()
    scene.state = scene.replay()
    scene.tell(TakeOver())
    scene.state.join(board, scene.now)
    other = play("b", board=board, run_id="q", at=after(MORNING, 600))
    assert scene.offer() == []
    assert other.offer() == ["b"]
    assert scene.start() == ["a@2", "a@1"]


def test_four_numbers_say_how_far_it_is(play):
    """What was fresh is not asked for; a condition that says no leaves nothing to do; what falls with a failure has failed."""
    scene = play("a, b -> c, d -> e, f, g -> h", fresh="f", blocked="g", b=asset("x"))
    assert scene.stands() == (7, 0, 1, 0, 6)
    scene.wait(0)
    assert scene.stands() == (7, 0, 2, 0, 5)
    scene.start()
    scene.done("a")
    assert scene.stands() == (7, 1, 2, 0, 4)
    scene.declines("d")
    assert scene.stands() == (7, 3, 2, 0, 2)
    scene.raises("b")
    assert (scene.outcome, scene.stands()) == ("failed", (7, 3, 4, 0, 0))
    scene.resume()
    assert scene.stands() == (7, 3, 2, 0, 2)
    scene.start()
    scene.cancel()
    scene.lost("b")
    assert (scene.outcome, scene.stands()) == ("cancelled", (7, 3, 2, 2, 0))


@CALM
@given(links, sizes, st.lists(handlings, min_size=5, max_size=5), acts)
def test_the_numbers_add_up_after_every_event(edges, counts, treated, acts):
    """Whatever happens, in every prefix of what is recorded: they add up to what was asked for, which never changes, and say the
    same as a count of what the events did to each step."""
    scene = Scene(text_of(edges, counts), backfill=Backfill(at_once=3), **treat(treated))
    for what, number, dies in acts:
        act(scene, what, number)
        if dies:
            scene.die()
    state, asked = RunState("r", scene.plan), standing_before(scene.plan)
    outcomes = {}
    for event in scene.events:
        fold(state, event)
        note(outcomes, event)
        found = standing_of(state)
        assert found.requested == asked.requested == found.done + found.failed + found.cancelled + found.pending
        told = list(outcomes.values())
        assert (found.done, found.failed, found.cancelled) == tuple(map(told.count, ("done", "failed", "cancelled")))


def note(outcomes, event):
    """What the events say of each step, kept the plain way."""
    match event:
        case ev.StepSucceeded():
            outcomes[event.step] = "done"
        case ev.StepDeclined():
            outcomes[event.step] = "done"
        case ev.AttemptFailed(then="fail") | ev.StepUndone():
            outcomes[event.step] = "failed"
        case ev.AttemptFailed(then="cancel"):
            outcomes[event.step] = "cancelled"
        case ev.StepsSkipped(kind="upstream"):
            outcomes.update(dict.fromkeys(event.steps, outcomes[event.root]))
        case ev.StepsSkipped():
            outcomes.update(dict.fromkeys(event.steps, "failed"))
        case ev.StepsCancelled():
            outcomes.update(dict.fromkeys(event.steps, "cancelled"))
        case ev.RunResumed():
            for step in event.steps:
                if outcomes.get(step) != "done":
                    outcomes.pop(step, None)
