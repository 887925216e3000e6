"""state: readiness by counters, at a cost that follows change."""

from __future__ import annotations

from scene import MORNING, make_plan

from legato.kernel.decide import decide
from legato.kernel.inputs import Offer
from legato.kernel.state import RunState
from legato.terms.attempt import Done, Raised
from legato.terms.fact import Error


def test_all_to_all_costs_the_sum_and_not_the_product():
    """Steps that wait for the same range share one joint: 10,000 below 10,000 hold 20,000 entries, not 100 million."""
    state = RunState("r", make_plan("a*10000 -> b*10000"))
    assert [len(waiters) for waiters in state.joints.waiters] == [10_000]
    assert [state.joints.of(index) for index in range(20_000)] == [(0,)] * 10_000 + [()] * 10_000


def test_the_last_of_many_releases_all_that_wait(play):
    """Nothing starts before all of a range is done; then everything may."""
    scene = play("a*4 -> b*3")
    for name in scene.start()[:-1]:
        scene.done(name)
        assert scene.start() == []
    scene.done("a@3")
    assert scene.start() == ["b@0", "b@1", "b@2"]


def test_one_failure_skips_a_wide_cone_at_the_cost_of_its_width():
    """A failure above two layers of 3,000 each, all to all, looks at each step once, not at 9 million pairs."""
    state = RunState("r", make_plan("a -> b*3000 -> c*3000"))
    looks = 0

    class Counting(list):
        def __getitem__(self, at):
            nonlocal looks
            looks += 1
            return super().__getitem__(at)

    state.joints.waiters = Counting(state.joints.waiters)
    decide(state, Offer(1.0, 256, {}), MORNING)
    decide(state, Raised("r", 0, 1, 1.0, Error("raised", "no luck")), MORNING)
    assert state.ended == "failed"
    assert looks <= len(state.joints.waiters) + 1


def test_a_run_of_many_steps_decides_each_at_constant_cost():
    """Decisions touch what changed: handing out and finishing all of 20,000 steps makes a few events for each batch."""
    state = RunState("r", make_plan("a*20000"))
    events = 0
    while state.ended is None:
        decision = decide(state, Offer(0.02, 256, {"a": 1e-5}), MORNING)
        events += len(decision.events)
        for command in decision.commands:
            for token, index in enumerate(command.steps, command.token):
                events += len(decide(state, Done("r", index, token, 1e-5), MORNING).events)
    assert events == 20_000 + -(-20_000 // 256) + 1
