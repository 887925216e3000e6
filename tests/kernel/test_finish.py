"""rules/finish: when a run is over, and how it ended."""

from __future__ import annotations

import pytest
from scene import how

from legato.plan.records import Plan
from legato.terms.codec import pack, unpack


def test_a_run_with_nothing_to_do_ends_at_once(play):
    """The first decision of a run in which every step is fresh ends it."""
    scene = play("a -> b", fresh="a b")
    scene.wait(0)
    assert scene.told() == ["end succeeded"]


def test_fresh_steps_keep_nobody_waiting(play):
    """What the plan found fresh counts as done."""
    scene = play("a -> c, b -> c", fresh="a")
    assert scene.start() == ["b"]
    scene.done("b")
    assert scene.start() == ["c"]


@pytest.mark.parametrize(("ends", "outcome"), [
    (("done", "done"), "succeeded"),
    (("done", "raises"), "failed"),
    (("declines", "done"), "succeeded"),
    (("declines", "raises"), "failed"),
])  # fmt: skip
def test_one_failure_makes_a_run_fail(play, ends, outcome):
    """A run succeeds unless a step failed; a condition that said no is no failure."""
    scene = play("a, b")
    scene.start()
    for name, end in zip("ab", ends, strict=True):
        getattr(scene, end)(name)
    assert scene.outcome == outcome


def test_a_run_ends_once(play):
    """Nothing that arrives later moves an ended run."""
    scene = play("a", a=how(timeout_s=5.0))
    scene.start()
    scene.done("a")
    scene.done("a", token=1)
    scene.wait(5)
    scene.start()
    assert scene.told() == ["start a", "succeed a", "end succeeded"]


def test_a_plan_survives_its_bytes(play):
    """What is accepted is what is printed: a plan comes back equal from its stored form."""
    plan = play("a -> b*3, c", fresh="c", b=how(pool="db")).plan
    assert unpack(pack(plan), Plan) == plan
