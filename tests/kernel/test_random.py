"""The kernel under any plan and any inputs, also nonsense ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scene import MORNING, Scene, asset, how, make_plan, picture

from legato.declare.node import Retry
from legato.declare.pool import Limit
from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.commands import DiscardStaged
from legato.kernel.decide import decide
from legato.kernel.fold import fold
from legato.kernel.inputs import Tick
from legato.kernel.state import RunState
from legato.terms.attempt import Declined, Done, Lost, Noted, Output, Raised, Ref, Returned
from legato.terms.fact import Error, Metric, Verdict

CALM = settings(max_examples=100, deadline=None, derandomize=True, database=None)
NAMES = "abcde"
SLOTS = {"one": Limit(1), "two": Limit(2)}

handlings = st.builds(
    lambda makes, **options: lambda name: asset(*[f"{name}{number}" for number in range(makes)], **options),
    st.integers(0, 2),
    retry=st.builds(Retry, st.integers(0, 2), delay_s=st.sampled_from([0.0, 1.0, 9.0]), jitter=st.booleans()),
    lost_retries=st.integers(0, 2),
    timeout_s=st.sampled_from([None, None, 5.0]),
    pool=st.sampled_from([None, "one", "two"]),
    priority=st.integers(-2, 2),
    on_failure=st.sampled_from(["skip", "skip", "halt", "rollback"]),
    fallback=st.booleans(),
    undo=st.booleans(),
    cached=st.booleans(),
    keyed=st.booleans(),
    together=st.sampled_from([1, 1, 3]),
)
links = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6)
sizes = st.lists(st.integers(1, 3), min_size=5, max_size=5)
WORDS = "offer offer offer done done done raises lost declines returns tells recall gate nonsense wait cancel pause resume die"
acts = st.lists(st.tuples(st.sampled_from(WORDS.split()), st.integers(0, 20), st.booleans()), max_size=60)


def text_of(edges, counts):
    parts = [f"{name}*{count}" for name, count in zip(NAMES, counts, strict=True)]
    return ", ".join(parts + [f"{NAMES[min(pair)]} -> {NAMES[max(pair)]}" for pair in edges if pair[0] != pair[1]])


def treat(treated):
    """The handling of each name; no two make the same asset, just as in a project."""
    return {name: make(name) for name, make in zip(NAMES, treated, strict=True)}


def act(scene, what, number):
    """One input: of what runs where the act needs something that runs, else of anything."""
    running = sorted(scene.state.running)
    if what == "offer":
        scene.offer(1.0, 1 + number % 4, **dict.fromkeys(NAMES[: number % 6], 0.1))
    elif what == "wait":
        scene.wait(number)
    elif what in ("cancel", "pause", "resume", "die"):
        getattr(scene, what)()
    elif what == "recall":
        recall(scene, number)
    elif what == "nonsense":
        nonsense(scene, number)
    elif running:
        name = scene.names[running[number % len(running)]]
        if what == "gate":
            scene.judged(name, Verdict("sound", False))
        else:
            getattr(scene, what)(name)


def recall(scene, number):
    """An earlier run's result is in the cache, for any step that makes no asset and asks."""
    asking = [name for name in scene.asks() if not scene.plan.handling[name.partition("@")[0]].outputs]
    if asking:
        scene.recall(asking[number % len(asking)])


def nonsense(scene, number):
    """A report of an attempt that is not under way."""
    step, token = number % (len(scene.names) + 2), number % scene.state.next_token
    if any(attempt.token == token for attempt in scene.state.running.values()):
        return
    outputs = (Output(Ref("a", "", f"{scene.state.run_id}.{token}", "memory", "", "json")),)
    report = [
        Done("r", step, token, 1.0, outputs=outputs),
        Raised("r", step, token, 1.0, Error("raised", "no luck")),
        Lost("r", step, token, "gone"),
        Declined("r", step, token),
        Returned("r", step, token),
        Noted("r", step, token, (Metric("rows", 1),), (7,)),
    ][number % 6]
    assert scene.tell(report).events == []


def finish(*scenes):
    """From now on everything goes well."""
    for _ in range(200):
        for scene in scenes:
            scene.start()
            while scene.state.running:
                scene.done(scene.names[min(scene.state.running)])
            scene.wait(10)
            if scene.state.paused:
                scene.resume()
        if all(scene.outcome for scene in scenes):
            return
    raise AssertionError([scene.told()[-5:] for scene in scenes])


def recorded_versions(scene):
    kinds = (ev.StepSucceeded, ev.AttemptFailed)
    return {output.ref.version for event in scene.events if isinstance(event, kinds) for output in event.outputs}


def starts_after_success(scene):
    """Steps that were started to be made while their success was on record."""
    done, found = set(), []
    for event in scene.events:
        if isinstance(event, ev.AttemptsStarted) and event.mode != "undo":
            found += done.intersection(event.steps)
        elif isinstance(event, ev.StepSucceeded):
            done.add(event.step)
        elif isinstance(event, ev.StepUndone):
            done.discard(event.step)
    return found


@CALM
@given(links, sizes, st.lists(handlings, min_size=5, max_size=5), acts)
def test_any_two_runs_under_any_inputs(edges, counts, treated, acts):
    """Two runs that share pools and asset partitions: whatever happens, the invariants hold after every decision, what is
    recorded is neither made again nor discarded, a replay gives the same state, and once luck returns, both runs end."""
    board = Board(SLOTS)
    scenes = [Scene(text_of(edges, counts), board=board, run_id=run_id, **treat(treated)) for run_id in "rq"]
    for what, number, second in acts:
        if what == "die" and any(scene.state.running for scene in scenes):
            continue  # conductors die with all their runs: the world ring does that
        if what == "die":
            board.leave(scenes[second].state.number)
        act(scenes[second], what, number)
        if what == "die":
            scenes[second].state.join(board, scenes[second].now)
    finish(*scenes)
    for scene in scenes:
        scene.close()
        assert starts_after_success(scene) == []
        discarded = {ref.version for each in scene.asked if isinstance(each, DiscardStaged) for ref in each.refs}
        assert not discarded & recorded_versions(scene)
    assert all(used == 0 for used in board.used.values())
    assert board.claims == {}


@CALM
@given(links, sizes, st.lists(handlings, min_size=5, max_size=5), acts)
def test_a_run_whose_conductors_die_again_and_again(edges, counts, treated, acts):
    """A take-over at any moment, with attempts under way, loses nothing and repeats nothing that is recorded."""
    scene = Scene(text_of(edges, counts), **treat(treated))
    for what, number, dies in acts:
        act(scene, what, number)
        if dies:
            scene.die()
    finish(scene)
    scene.close()
    assert starts_after_success(scene) == []


instants = st.integers(0, 100)
steps = st.integers(0, 4)
tokens = st.integers(0, 6)
many = st.lists(steps, max_size=4).map(tuple)
versions = [Output(Ref(name, "", "v", "m", "", "json")) for name in "xy"]
outputs = st.lists(st.sampled_from(versions)).map(tuple)
errors = st.sampled_from([Error("raised", ""), Error("lost", ""), Error("timeout", ""), Error("gate", "")])
thens = st.sampled_from(["retry", "fallback", "fail", "again", "cancel", "stuck"])
any_event = st.one_of(
    st.builds(ev.AttemptsStarted, instants, many, tokens, st.sampled_from(["run", "fallback", "undo", "key"])),
    st.builds(ev.AttemptBegun, instants, steps, tokens),
    st.builds(ev.StepSucceeded, instants, steps, tokens, st.just(1.0), outputs=outputs, previous=st.just(("v0",))),
    st.builds(ev.StepSucceeded, instants, steps, st.just(0), st.just(0.0), value=st.just(b"v"), cached=st.just("q")),
    st.builds(ev.StepKeyed, instants, steps, tokens, st.just("k")),
    st.builds(ev.AttemptFailed, instants, steps, tokens, errors, thens, due=instants, outputs=outputs),
    st.builds(ev.AttemptStopping, instants, steps, tokens, st.sampled_from(["timeout", "cancel"])),
    st.builds(ev.AttemptsReturned, instants, many),
    st.builds(ev.StepDeclined, instants, steps, tokens),
    st.builds(ev.StepsSkipped, instants, many, st.sampled_from(["upstream", "halted"]), steps),
    st.builds(ev.StepsCancelled, instants, many),
    st.builds(ev.RunHalted, instants, steps, st.booleans()),
    st.builds(ev.CancelRequested, instants, st.just("ann")),
    st.builds(ev.RunPaused, instants, st.just("ann")),
    st.builds(ev.RunUnpaused, instants, st.just("ann")),
    st.builds(ev.StepUndone, instants, steps, tokens),
    st.builds(ev.SignalCame, instants, st.text(max_size=1), st.just("go"), st.just(b"\x01"), st.just("ann"), st.booleans()),
    st.builds(ev.FactsNoted, instants, steps, tokens, st.just((Metric("rows", 1),)), st.sampled_from([(), (0,), (7,)])),
    st.builds(ev.RunResumed, instants, st.just("ann"), many),
    st.builds(ev.RunEnded, instants, st.sampled_from(["succeeded", "failed"])),
)


@settings(CALM, max_examples=300)
@given(st.lists(any_event, max_size=40))
def test_fold_is_total(events):
    """Any event in any state, however impossible, is folded without an error, and its bytes fold to the same."""
    plan = make_plan("a -> b -> d, a -> c -> d, c -> e", a=asset("x", "y", undo=True), b=how(timeout_s=5.0, pool="one"))
    state, again = RunState("r", plan), RunState("r", plan)
    for event in events:
        fold(state, event)
        copy = ev.decode(ev.encode(event))
        assert copy == event
        fold(again, copy)
        decide(state, Tick(), MORNING)
        decide(again, Tick(), MORNING)
    assert picture(state, MORNING) == picture(again, MORNING)
