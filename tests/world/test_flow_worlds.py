"""Flows in random worlds: lost processes, crashes, late and doubled reports, cancels, resumes, clocks that jump, answers.

Bodies, harness, kernel and conductor are the real ones. Each world must keep every guarantee that an outside witness can see, and
each flow must give in the end what the same function gives when it is just called.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from legato.kernel import events as ev
from legato.testing.flow_world import draw, play_flows
from legato.worker import window

SHORT, LONG = 100, 1500
GATHERED = 1000

CONSTRUCTS = {
    "calls": ["chain", "a", 4],
    "names": ["named", "make", "a"],
    "if": ["if", "a", [["call", "make", "b"]], [["call", "make", "c"], ["call", "flaky", "d"]]],
    "while": ["while", "a", 5],
    "try": ["try", [["call", "make", "a"], ["call", "bad", "b"], ["call", "make", "c"]], "d"],
    "submit": ["submit", "make", ["a", "b", "c", "d"]],
    "nobody asks": ["loose", "make", ["a", "b", "c"]],
    "done": ["done", "flaky", ["a", "b"]],
    "another order each time": ["shuffled", "make", ["a", "b", "c", "d", "e"]],
    "futures as inputs": ["passed", "a", "b"],
    "map": ["map", "flaky", "a", 12],
    "map with a future": ["shared", "a", 5],
    "map over nothing": ["map", "make", "a", 0],
    "map over what raises half-way": ["broken", "a", 5],
    "sub-flow": ["sub", [["call", "make", "a"], ["sub", [["chain", "b", 3]]]]],
    "sub-flow that fails": ["try", [["sub", [["loose", "make", ["a", "b"]], ["call", "bad", "c"]]]], "d"],
    "sub-flow that leaves much": ["try", [["sub", [["loose", "make", [*"abcdefghijklmno"]], ["call", "bad", "p"]]]], "q"],
    "gather": ["later", [["chain", "a", 3], ["chain", "b", 2], ["group", [["call", "flaky", "c"], ["while", "d", 3]]]]],
    "assets": ["tables"],
    "a job elsewhere": ["sub", [["external", "a"], ["external", "b"]]],
    "sleep": ["sleep", 20.0],
    "sleeps beside each other": ["later", [["sleep", 3.0], ["chain", "a", 2], ["sleep", 5.0]]],
    "approval": ["sub", [["approval", "yes a"], ["approval", "no b"]]],
    "approval at the last moment": ["approval", "just a"],
    "approval too late": ["approval", "never a"],
    "signals": ["sub", [["signal", "a"], ["signal", "a"], ["signal", "b"]]],
    "retries": ["submit", "flaky", ["a", "b", "c"]],
    "retries of a flow": ["stubborn", [["submit", "balky", ["a", "b"]], ["chain", "c", 2], ["loose", "slow", ["d"]]]],
    "time limit": ["submit", "slow", ["a", "b", "c"]],
    "fallback": ["submit", "weak", ["a", "b"]],
    "fallback of a flow": ["frail", [["loose", "make", ["a", "b"]], ["call", "make", "c"]]],
    "one at a time": ["submit", "narrow", ["a", "b", "c", "d"]],
    "a rate": ["submit", "polite", ["a", "b", "c", "d", "e", "f", "g"]],
    "a pool for each value": ["turns", ["a", "b", "c", "d", "e", "f", "g", "h"]],
    "a flow that holds its slot": ["guarded", [[["call", "make", "a"], ["sleep", 3.0]], [["call", "make", "b"], ["sleep", 2.0]]]],
    "a full pool": ["sub", [["loose", "narrow", ["a", "b"]], ["call", "narrow", "c"]]],
    "large values": ["sub", [["submit", "big", ["a", "b"]], ["shared", "c", 3]]],
    "a result that is waited for": ["submit", "patient", ["a", "b", "c"]],
    "results of before": ["sub", [["twice", "thrifty", "a"], ["twice", "thriftier", "b"]]],
    "jobs beside each other": ["later", [["external", "a"], ["chain", "b", 2], ["external", "c"]]],
    "rollback": ["sub", [["call", "book", "a"], ["submit", "book", ["b", "c"]], ["approval", "yes d"], ["call", "ruin", "e"]]],
    "rollback of what was passed on": ["sub", [["passed", "a", "b"], ["shared", "c", 3], ["call", "ruin", "d"]]],
    "undo of a flow": ["sub", [
        ["tour", "a", [["tell", "b", 2], ["tour", "c", [["call", "book", "d"]]]]], ["sleep", 2.0], ["call", "ruin", "e"],
    ]],
    "facts of a flow": ["tell", "a", 4],
    "facts of a flow that is tried again": ["stubborn", [["tell", "a", 2], ["call", "balky", "b"], ["tell", "c", 3]]],
    "facts of what goes on at once": ["later", [["tell", "a", 3], ["sleep", 1.0], ["tell", "b", 3]]],
    "facts of tasks": ["submit", "chatty", ["a", "b", "c"]],
    "time limit of a flow": ["hurried", [["chain", "a", 5], ["submit", "make", ["b", "c"]], ["call", "flaky", "d"]]],
    "time limit of a flow that is final": ["sub", [["overdue", "a"], ["call", "make", "b"], ["overdue", "c"]]],
    "halt": ["sub", [["loose", "make", ["a", "b"]], ["call", "stopper", "c"]]],
}  # fmt: skip


@pytest.mark.parametrize("first", range(0, SHORT, 20))
def test_flows_keep_every_guarantee(first):
    """A violation names its seed: `legato.testing.flow_world.play_flows(seed)` repeats it."""
    for seed in range(first, first + 20):
        play_flows(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(SHORT, LONG, 100))
def test_many_flows_keep_every_guarantee(first):
    """The same for 1,500 seeds."""
    for seed in range(first, first + 100):
        play_flows(seed)


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_each_construct_alone(name):
    """Whatever goes wrong around it."""
    for seed in range(8):
        play_flows(seed, ("follow", [CONSTRUCTS[name], ["call", "make", "last"]]))


@pytest.mark.parametrize("seed", [3, pytest.param(range(8), marks=pytest.mark.long)])
def test_a_map_over_more_than_a_window(seed, monkeypatch):
    """All of its calls are made, some as others end, in the presence of crashes too."""
    monkeypatch.setattr(window, "WINDOW", 400)
    monkeypatch.setattr(window, "FEWEST", 100)
    for each in seed if isinstance(seed, range) else (seed,):
        play_flows(each, ("follow", [["map", "make", "a", 1100]]))


EDITED = ("make", "make_later", "flaky", "weak", "narrow", "big", "pair")


def edit(seed):
    """A flow whose tasks are edited while no conductor is there."""
    random = Random(f"edit {seed}")
    name, program = draw(random, "p", flat=True)
    return play_flows(seed, (name, [*program, ["passed", "q1", "q2"]] if name == "follow_later" else [
        *program, ["chain", "q", 3], ["shared", "r", 2], ["call", "ruin", "s"]
    ]), edited=EDITED)  # fmt: skip


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.long) for first in range(50, 500, 50))])
def test_edited_tasks_run_again_and_the_others_do_not(first):
    """Their results are those of the code of then, whatever was made before."""
    for seed in range(first, first + 50):
        edit(seed)


def gather(seed):
    """Calls beside each other that end in any order, one behind the other in many places; each task's time is another one."""
    random = Random(f"gather {seed}")
    program = [["chain", f"a{number}", random.randint(1, 3)] for number in range(random.randint(3, 10))]
    program.append(["group", [["chain", f"b{number}", 2] for number in range(random.randint(1, 4))]])
    program += [["map", "c", random.randint(2, 8)], ["while", "d", 3]]
    return play_flows(seed, ("follow_later", random.sample(program, len(program))))


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.long) for first in range(50, GATHERED, 50))])
def test_gathered_results_are_never_mixed_up(first):
    """Over 1,000 seeds, with crashes of every process."""
    for seed in range(first, first + 50):
        gather(seed)


def test_a_seed_tells_the_same_story_twice():
    """Everything in a world follows from its seed, down to the last event."""
    stories = []
    for _ in range(2):
        store = play_flows(44).site.read()
        stories.append([list(store.events(run.id)) for run in store.runs()])
    assert stories[0] == stories[1] != []


def test_flow_worlds_are_not_idle():
    """The faults do happen: flows lose their processes, park, are cancelled, rolled back, entered again and again."""
    seen, ends, own, lives, losses = Counter(), Counter(), Counter(), 0, 0
    ruinous = [
        ("follow", [CONSTRUCTS[name]])
        for name in ("rollback", "undo of a flow", "sub-flow that leaves much", "approval", "approval too late")
    ]
    for seed, *wanted in [*((seed,) for seed in range(120)), *((seed, each) for seed in range(5) for each in ruinous)]:
        world = play_flows(seed, *wanted)
        lives += world.lives
        store = world.site.read()
        for run in store.runs():
            for _, body in store.events(run.id):
                event = ev.decode(body)
                seen[type(event)] += 1
                ends[getattr(event, "outcome", getattr(event, "end", ""))] += 1
                losses += isinstance(event, ev.AttemptFailed) and event.error.kind == "lost"
                if isinstance(event, ev.AttemptStopping | ev.FactsNoted | ev.StepUndone):
                    own[type(event), world.witness.plans[run.id].steps[event.step].node] += 1
    assert min(seen[kind] for kind in (ev.StepsCalled, ev.StepParked, ev.StepsRevived, ev.StepUndone, ev.StepsCancelled)) > 3
    stopped, told, undone = ev.AttemptStopping, ev.FactsNoted, ev.StepUndone
    flows = [(stopped, "hurried"), (stopped, "overdue"), (undone, "tour")]
    flows += [(told, "follow"), (told, "follow_later"), (told, "chatty")]
    assert min(own[each] for each in flows) > 3
    assert min(ends[end] for end in ("over", "granted", "refused", "timed out", "failed", "cancelled", "rolled_back")) > 1
    assert lives > 150
    assert losses > 40
