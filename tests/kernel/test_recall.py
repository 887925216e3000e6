"""rules/recall, and the attempts that say a key: results of earlier runs that count."""

from __future__ import annotations

import pytest
from flow_stage import HANDLING, Stage
from scene import how

from legato.declare.body import cache_key
from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel.board import Board
from legato.kernel.commands import Deliver
from legato.kernel.inputs import Found, Recall
from legato.plan.records import Handling, Plan
from legato.terms.attempt import Call, Ref

CACHED = {"cached": True}
KEYED = {"cached": True, "keyed": True}
KEPT = Ref("a", "", "earlier.1", "memory", "", "json", digest="d")


def test_an_earlier_result_is_the_steps_own_without_an_attempt(play):
    """What waits for the step goes on; no attempt starts, and none is counted."""
    scene = play("a -> b", a=how(**CACHED))
    assert scene.asks() == ["a"]
    scene.recall("a")
    assert scene.told() == ["succeed a by earlier"]
    assert (scene.state.values, list(scene.state.attempts)) == ({0: b"old"}, [0, 0])
    assert scene.start() == ["b"]
    scene.done("b")
    assert scene.outcome == "succeeded"


def test_steps_ask_once_each_time_they_become_ready(play):
    """Those that wait, and those that nothing is cached of, do not ask; after a failure a step asks again."""
    scene = play("a -> b, c", a=how(retry=Retry(1, "fixed", 1.0, jitter=False), **CACHED), b=how(**CACHED))
    assert scene.asks() == ["a"]
    assert scene.start() == ["a", "c"]
    assert scene.asks() == []
    scene.raises("a")
    scene.wait(1)
    assert scene.asks() == ["a"]
    scene.recall("a", kept=KEPT, value=None)
    assert (scene.state.kept, scene.state.errors) == ({0: KEPT}, {})
    assert scene.asks() == ["b"]


def test_an_earlier_result_costs_no_slot_and_no_start(play):
    """A full pool, and one whose rate is used up, hold no step back that nothing is to be done for."""
    scene = play("a*3, b", board=Board({"api": Limit(1, 1, 60.0)}), a=how(pool="api", **CACHED), b=how(pool="api", priority=9))
    assert scene.start() == ["b"]
    for name in ("a@0", "a@1", "a@2"):
        scene.recall(name)
    scene.done("b")
    assert scene.outcome == "succeeded"


@pytest.mark.parametrize("state", ["waiting", "running", "succeeded", "cancelled", "halted"])
def test_an_earlier_result_counts_for_steps_that_are_ready_alone(play, state):
    """Whoever looked has looked a moment ago: in between the step may have begun, or the run may have been stopped."""
    scene = play("a -> b, c, d", a=how(**CACHED), b=how(**CACHED), c=how(on_failure="halt"))
    if state == "cancelled":
        scene.cancel()
    else:
        scene.start()
    if state == "succeeded":
        scene.done("a")
    if state == "halted":
        scene.returns("a")
        scene.raises("c")
    name = "b" if state == "waiting" else "a"
    assert scene.recall(name).events == []


def test_a_rollback_does_not_undo_what_another_run_did(play):
    """The step stands in the row of what is undone, but nothing of it is run."""
    scene = play("a, b -> c", a=how(undo=True, **CACHED), b=how(undo=True), c=how(on_failure="rollback"))
    scene.recall("a")
    scene.start()
    scene.done("b")
    scene.start()
    scene.raises("c")
    assert scene.start() == ["b"]
    scene.done("b")
    scene.offer()
    assert scene.told()[-4:] == ["start b (undo)", "undo b", "undo a", "end rolled_back"]
    scene.asks()
    scene.resume()
    assert scene.asks() == ["a"]
    assert scene.start() == ["a", "b"], "made anew, it is this run's own"
    assert scene.state.cached == set()
    scene.done("a", "b")
    scene.start()
    scene.done("c")


def test_a_take_over_keeps_what_was_recalled_and_asks_for_what_is_ready(play):
    """The event says which run made it: nobody looks again."""
    scene = play("a, b", a=how(**CACHED), b=how(**CACHED))
    scene.recall("a")
    scene.start()
    scene.die()
    assert scene.status("a") == "succeeded"
    assert [name for name in scene.asks() if scene.status(name) == "ready"] == ["b", "b"]


# -- keys --


def test_a_step_with_a_key_function_says_its_key_first(play):
    """Its first attempt is for the key; then it is ready again, and asks."""
    scene = play("a", a=how(**KEYED))
    scene.asks()
    assert scene.start() == ["a"]
    scene.done("a", value=b"k7")
    assert scene.told() == ["start a (key)", "key a: k7"]
    assert (scene.state.keys, scene.asks(), scene.state.values) == ({0: "k7"}, ["a"], {})
    assert scene.start() == ["a"]
    assert scene.state.attempts[0] == 1, "to say a key is no try"
    scene.done("a", value=b"new")
    assert scene.told()[:2] == ["start a", "succeed a"]


def test_keys_are_said_in_batches_of_their_own(play):
    """They travel together as long as their own time fits, and not with what is made."""
    scene = play("a*4, b", a=how(**KEYED))
    assert scene.offer(1.0, **{cache_key("a"): 0.1, "a": 0.4, "b": 0.1}) == ["a@0", "a@1", "a@2", "a@3"]
    assert scene.offer(1.0, b=0.1) == ["b"]
    assert scene.told() == ["start a@0 a@1 a@2 a@3 (key)", "start b"]


def test_saying_a_key_takes_no_slot(play):
    """Only what is made needs room in a pool; and it does, whatever stood in line before."""
    scene = play("a*3", board=Board({"api": Limit(1)}), a=how(pool="api", **KEYED))
    assert scene.start() == ["a@0", "a@1", "a@2"]
    scene.done("a@0", "a@1", "a@2", value=b"k")
    assert scene.start() == ["a@0"]
    scene.recall("a@1")
    scene.done("a@0")
    assert scene.start() == ["a@2"]


def test_a_key_that_fails_is_a_try_that_failed(play):
    """It is tried again like the work itself, and then the fallback has its turn, without a key."""
    scene = play("a", a=how(retry=Retry(1, "fixed", 1.0, jitter=False), fallback=True, **KEYED))
    scene.start()
    scene.raises("a")
    scene.wait(1)
    scene.start()
    scene.raises("a")
    assert scene.start() == ["a"]
    assert [line for line in scene.told() if line.startswith("start")] == ["start a (key)", "start a (key)", "start a (fallback)"]


def test_a_key_is_said_again_after_a_resume(play):
    """What the function looks at may have changed."""
    scene = play("a", a=how(**KEYED))
    scene.start()
    scene.done("a", value=b"k7")
    scene.die()
    assert scene.state.keys == {0: "k7"}, "a restart alone changes nothing"
    scene.start()
    scene.raises("a")
    scene.resume()
    assert scene.state.keys == {}
    scene.start()
    assert scene.told()[-1] == "start a (key)"


def test_a_run_that_is_forced_says_no_keys(play):
    """Nothing is taken from the cache: the work begins at once."""
    scene = play("a", a=how(**KEYED))
    scene.close()
    scene = play("a", a=how(**KEYED), force=True)
    scene.start()
    assert scene.told() == ["start a"]


# -- flows --


class Flow(Stage):
    """A run of a flow that calls what may be in the cache."""

    def _plan(self) -> Plan:
        plan = super()._plan()
        plan.handling.update({"cached": Handling(cached=True), "kept": Handling(flow=True, cached=True, keyed=True)})
        return plan


def test_a_flow_hears_of_an_earlier_result_at_once():
    """Also a direct call waits for whoever looks; then it has its outcome, and no attempt was made."""
    stage = Flow()
    token = stage.start_flow()
    assert stage.call(token, Call((b"a",), "cached", beside=True)) == []
    assert stage.state.asked == [1]
    assert stage.tell(Recall([Found(1, "earlier", b"\x07")])) == [Deliver(0, token, (1,))]
    stage.replay()


def test_what_is_not_in_the_cache_is_made_by_a_worker():
    """A direct call is made like any other, if it was not found."""
    stage = Flow()
    stage.call(stage.start_flow(), Call((b"a",), "cached", beside=True))
    ((step, token),) = stage.offer()
    stage.done(step, token)
    assert stage.statuses() == ["running", "succeeded"]
    stage.replay()


def test_the_key_of_a_flow_is_said_by_a_worker():
    """Only its body takes a place for flows."""
    assert "kept" not in HANDLING
    stage = Flow()
    stage.call(stage.start_flow(), Call((b"f",), "kept"))
    ((step, token),) = stage.offer()
    stage.done(step, token, b"k")
    assert stage.offer() == []
    assert stage.start_flow() == token + 1
    stage.replay()
