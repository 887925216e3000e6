"""The conductor in small worlds made for one question each."""

from __future__ import annotations

from random import Random

from legato.declare.node import Cache, Dep, Node, Project, Retry
from legato.declare.pool import Use
from legato.kernel import events as ev
from legato.kernel.inputs import Resume
from legato.ports.store import Commit
from legato.terms.attempt import Returned
from legato.testing.sample import Script
from legato.testing.world import Wish, World


def node(name, *deps, **options):
    return Node(name=name, kind="asset", outputs=(name,), deps=tuple(Dep(dep, dep) for dep in deps), code=name, **options)


def open_world(*nodes, bad=(), **seconds):
    """A world of these nodes; the bad ones fail, the others take so many seconds."""
    project = Project(name="p", nodes={each.name: each for each in nodes}, makers={each.name: each.name for each in nodes})
    tempers = {each.name: "bad" if each.name in bad else "sound" for each in nodes}
    script = Script(Random(1), tempers, {each.name: seconds.get(each.name, 0.001) for each in nodes})
    return World(1, sample=(project, script), workers=2)


def wish(name, *nodes):
    return Wish(name, frozenset(nodes), force=True)


def accept(world, *wishes):
    """Lives one conductor's life with these wishes; the states of their runs at its end."""
    states = []

    def begin(conductor):
        for each in wishes:
            run = conductor.accept(world.plan(conductor.store, each), actor="ann")
            states.append(conductor.runs[run].state)

    assert world.live(begin)
    return states


def head_run(world, asset):
    """The run that made the published version."""
    head = world.site.read().head(asset, "")
    return head and head.version.partition(".")[0]


def test_a_step_that_cannot_be_ordered_fails_on_record():
    """An input that was withdrawn after planning fails the step, and the run's end is written before the conductor rests."""
    world = open_world(node("a"), node("b", "a"))
    accept(world, wish("first", "a"))

    def begin(conductor):
        plan = world.plan(conductor.store, wish("second", "b"))
        conductor.store.commit([Commit(run_id=next(iter(world.witness.plans)), unpublished=[("a", "")])])
        conductor.accept(plan, actor="ann")

    assert world.live(begin)
    store = world.site.read()
    assert [run.state for run in store.runs()] == ["failed", "succeeded"]
    (trouble,) = store.troubles()
    assert (trouble.asset, trouble.kind) == ("b", "input")
    assert "a is not published" in trouble.message


def test_an_adopted_run_frees_no_claim_of_a_live_one():
    """The history of a run, read while another one writes the same asset, is history: the claim stays where it is."""
    world = open_world(node("x"), bad=("x",), x=0.3)
    (failed,) = accept(world, wish("first", "x"))
    world.script.healed = True
    adopted = []

    def resume_late(conductor):
        if not adopted and any(live.state.running for live in conductor.runs.values()):
            conductor.adopt(failed.run_id)
            adopted.append(failed.run_id)
            return [(failed.run_id, Resume("ann"))]
        return []

    def begin(conductor):
        conductor.accept(world.plan(conductor.store, wish("second", "x")), actor="ann")
        conductor.requests = lambda: resume_late(conductor)

    assert world.live(begin)
    assert adopted
    assert [run.state for run in world.site.read().runs()] == ["succeeded", "succeeded"]


def test_a_rollback_gives_back_the_former_version():
    """The version that was published before the run is published again; where there was none, none is."""
    world = open_world(node("old"), node("new", "old"), node("last", "new", on_failure="rollback"), bad=("last",))
    (before,) = accept(world, wish("first", "old"))
    (after,) = accept(world, wish("second", "old", "new", "last"))
    assert after.ended == "rolled_back"
    assert head_run(world, "old") == before.run_id
    assert head_run(world, "new") is None


def test_a_rollback_leaves_what_others_published_since():
    """A run takes back its own versions only: a newer one, of another run, stays what readers see."""
    world = open_world(node("x"), node("last", "x", on_failure="rollback"), bad=("last",), x=0.01, last=5.0)
    rolled, other = accept(world, wish("first", "x", "last"), wish("second", "x"))
    assert (rolled.ended, other.ended) == ("rolled_back", "succeeded")
    assert head_run(world, "x") == other.run_id


def test_a_run_may_outlive_a_node_of_its_project():
    """A step whose node is gone fails with the reason when its run is adopted; the others go on."""
    world = open_world(node("kept"), node("gone"), bad=("gone", "kept"))
    (state,) = accept(world, wish("first", "kept", "gone"))
    world.script.healed = True
    world.graph = open_world(node("kept")).graph
    world.live(lambda conductor: conductor.resume(state.run_id, actor="ann"))
    troubles = {each.asset: each.message for each in world.site.read().troubles()}
    assert list(troubles) == ["gone"]
    assert "no longer part of the project" in troubles["gone"]


def test_a_run_that_is_owned_already_is_resumed_in_place():
    """Resuming twice in one conductor neither reads the run again nor loses a slot."""
    world = open_world(node("x", pools=(Use("p"),)), bad=("x",))

    def begin(conductor):
        run = conductor.accept(world.plan(conductor.store, wish("first", "x")), actor="ann")
        conductor.drive()
        world.script.healed = True
        state = conductor.runs[run].state
        assert conductor.resume(run, actor="ann") is state

    assert world.live(begin)
    assert [run.state for run in world.site.read().runs()] == ["succeeded"]


def test_a_late_word_does_not_hide_that_another_attempt_began():
    """Else the time that it waited for its turn would count as its own."""
    world = open_world(node("x", timeout_s=1.0), x=0.5)

    def begin(conductor):
        run = conductor.accept(world.plan(conductor.store, wish("first", "x")), actor="ann")
        poll = conductor.executor.poll
        conductor.executor.poll = lambda timeout_s: [
            word for each in poll(timeout_s) for word in (each, Returned(run, each.step, each.token + 7))
        ]

    assert world.live(begin)
    store = world.site.read()
    events = [ev.decode(body) for run in store.runs() for _, body in store.events(run.id)]
    assert [type(event) for event in events].count(ev.AttemptBegun) == 1


def test_what_waits_behind_a_slow_step_goes_to_an_idle_worker():
    """One that lasts longer than ever before holds nobody up but itself."""
    world = open_world(*(node(name) for name in "abcd"), **dict.fromkeys("abcd", 0.0001))
    accept(world, wish("first", *"abcd"))
    world.script.seconds["a"] = 10.0
    begun = world.clock.now()
    (state,) = accept(world, wish("second", *"abcd"))
    events = [ev.decode(body) for _, body in world.site.read().events(state.run_id)]
    ended = {state.plan.steps[event.step].node: event.at for event in events if isinstance(event, ev.StepSucceeded)}
    assert max(ended[name] for name in "bcd") < begun + 500_000


def test_the_cache_is_asked_with_what_was_published_in_the_same_turn():
    """The task becomes ready when its input is decided to be published: the version before that is not its input."""
    source, task = (
        Node(name="s", kind="source", outputs=("s",)),
        Node(name="t", kind="task", deps=(Dep("x", "x"),), cache=Cache()),
    )
    world = open_world(source, node("x", "s"), task, node("y", "t"))
    made = []
    for generation in (0, 1):
        world.generation = generation
        plan = Wish(f"run {generation}", frozenset("sxty"), force=False)
        accept(world, plan)
        made.append(world.published()["y", ""])
    assert made[0] != made[1]


def test_a_graceful_stop_lets_attempts_end_and_keeps_the_run_open():
    """After `drain` nothing new starts; what runs ends and is recorded; the next conductor goes on from there."""
    world = open_world(node("a"), node("b", "a"), a=1.0)

    def begin(conductor):
        conductor.accept(world.plan(conductor.store, wish("first", "a", "b")), actor="ann")
        conductor.requests = lambda: conductor.drain() or [] if world.witness.made else []

    assert world.live(begin)
    assert (head_run(world, "a") is None, head_run(world, "b")) == (False, None)
    (run,) = world.site.read().runs(state="open")
    assert world.live(lambda conductor: conductor.adopt(run.id))
    assert world.witness.made == 2
    assert world.site.read().run(run.id).state == "succeeded"


def test_a_version_is_made_of_the_one_before():
    """An attempt is handed what is published when it starts: nothing at first; when it is tried again, the same again."""
    world = open_world(node("x", previous={"before": "x"}, retry=Retry(2, delay_s=0.0)))
    handed = []
    begin = world.witness.saw_begin
    world.witness.saw_begin = lambda order, at: [handed.append(order.arguments[0].refs), begin(order, at)]
    accept(world, wish("first", "x"))
    world.script.tempers["x"] = "flaky"
    for name in ("second", "third"):
        accept(world, wish(name, "x"))
    _, second, first = (version.ref for _, version in world.site.read().versions("x"))
    assert handed == [(), *[(first,)] * 3, *[(second,)] * 3]
