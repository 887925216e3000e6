"""The cache in small worlds made for one question each: what counts as an earlier result, and what never does."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from legato.declare.node import Cache, Dep, Node, Project
from legato.kernel import events as ev
from legato.testing.sample import Script
from legato.testing.world import Wish, World


def task(name, *deps, cache=None, **options):
    return Node(
        name=name, kind="task", deps=tuple(Dep(dep, dep) for dep in deps), code=options.pop("code", name), cache=cache, **options
    )


FEED = Node(name="feed", kind="source", outputs=("feed",))
LAST = Node(name="last", kind="asset", outputs=("last",), deps=(Dep("t", "t"),), code="last", on_failure="rollback")


class Place:
    """A world of one source, the task `t` that reads it, and more; `run` says how the run ended and what was made in it."""

    def __init__(self, *nodes, **tempers):
        self.nodes = {each.name: each for each in (FEED, *nodes)}
        project = Project(name="p", nodes=self.nodes, makers={name: name for name in self.nodes})
        seconds = dict.fromkeys(self.nodes, 0.001)
        script = Script(Random(1), {name: tempers.get(name, "sound") for name in self.nodes}, seconds)
        self.world = World(1, sample=(project, script), workers=2)
        self.remarks = []
        saw = self.world.witness.saw_hand_out
        self.world.witness.saw_hand_out = lambda orders: (self.remarks.extend(each.remark for each in orders), saw(orders))

    def run(self, *names, force=False):
        self.made = []
        wanted = Wish(f"run {len(self.world.witness.plans)}", frozenset(names or self.nodes), force)

        def begin(conductor):
            self.id = conductor.accept(self.world.plan(conductor.store, wanted), actor="ann")

        assert self.world.live(begin)
        store = self.world.site.read()
        events = [ev.decode(body) for _, body in store.events(self.id)]
        steps = self.world.witness.plans[self.id].steps
        self.cached = {
            steps[each.step].node: each.cached for each in events if isinstance(each, ev.StepSucceeded) and each.cached
        }
        starts = [each for each in events if isinstance(each, ev.AttemptsStarted)]
        self.made = [steps[step].node + ("" if each.mode == "run" else f" {each.mode}") for each in starts for step in each.steps]
        run = store.run(self.id)
        assert run.cached == (0 if run.state == "rolled_back" else len(self.cached))
        return run.state

    def change(self, name, **changes):
        """The project has other code from now on."""
        self.nodes[name] = replace(self.nodes[name], **changes)
        self.world.graph = type(self.world.graph)(replace(self.world.project, nodes=dict(self.nodes)))


def test_a_later_run_takes_the_result_over():
    place = Place(task("t", "feed", cache=Cache()), task("u", "t"))
    assert (place.run(), place.made, place.cached) == ("succeeded", ["t", "u"], {})
    first = place.id
    assert (place.run(), place.made, place.cached) == ("succeeded", ["u"], {"t": first})
    assert (place.run(), place.made, place.cached) == ("succeeded", ["u"], {"t": first}), "also the third, from the first"


def test_a_value_that_is_stored_is_taken_over_where_it_is():
    place = Place(task("b", "feed", cache=Cache()), task("u", "b"))
    place.run()
    first, stored = place.id, set(place.world.values.values)
    assert (place.run(), place.made, place.cached) == ("succeeded", ["u"], {"b": first})
    assert set(place.world.values.values) == stored


def test_a_result_is_as_old_as_its_making_and_no_older_than_it_may_be():
    place = Place(task("t", "feed", cache=Cache("1h")))
    place.run()
    first = place.id
    place.world.clock.advance(3_000)
    place.run()
    assert place.cached == {"t": first}
    place.world.clock.advance(700)
    place.run()
    assert (place.made, place.cached) == (["t"], {}), "that it was taken over made it no younger"
    second = place.id
    place.run()
    assert place.cached == {"t": second}


CODES = [
    ({"code": "1"}, {"code": "2"}, False),
    ({"code": "1", "cache": Cache(version="x")}, {"code": "2", "cache": Cache(version="x")}, True),
    ({"code": "1", "cache": Cache(version="x")}, {"code": "1", "cache": Cache(version="y")}, False),
    ({"code": "1", "cache": Cache("1h")}, {"code": "1", "cache": Cache("2h")}, True),
    ({"code": "1"}, {"code": "1", "cache": None}, False),
]


def test_code_counts_or_the_version_in_its_place():
    for before, after, is_taken in CODES:
        place = Place(task("t", "feed", **{"cache": Cache(), **before}))
        place.run()
        place.change("t", **after)
        place.run()
        assert bool(place.cached) is is_taken, (before, after)


def test_other_inputs_have_other_results():
    place = Place(task("t", "feed", cache=Cache()))
    place.run()
    first = place.id
    place.world.generation = 1
    place.run()
    assert place.made == ["t"]
    place.world.generation = 0
    place.run()
    assert place.cached == {"t": first}, "what was before is there still"


def test_a_key_of_its_own_stands_for_the_inputs():
    place = Place(task("t", "feed", cache=Cache(key=True)))
    place.run()
    assert place.made == ["t key", "t"]
    first = place.id
    place.run()
    assert (place.made, place.cached) == (["t key"], {"t": first})


def test_a_forced_run_takes_nothing_over_and_its_results_count():
    place = Place(task("t", "feed", cache=Cache()))
    place.run()
    place.run(force=True)
    second = place.id
    assert place.made == ["t"]
    place.run()
    assert place.cached == {"t": second}


def test_what_was_rolled_back_is_never_taken_over():
    place = Place(task("t", "feed", cache=Cache()), LAST, last="bad")
    assert place.run() == "rolled_back"
    rolled = place.id
    assert (place.run("feed", "t"), place.made) == ("succeeded", ["t"])
    kept = place.id
    assert (place.run(), place.cached) == ("rolled_back", {"t": kept}), "what another run made is not this one's to take back"
    place.run("feed", "t")
    assert place.cached == {"t": kept}
    place.world.script.healed = True
    assert place.world.live(lambda conductor: conductor.resume(rolled, actor="ann"))
    assert place.world.site.read().run(rolled).state == "succeeded"


def test_what_failed_and_what_stood_in_is_not_in_the_cache():
    place = Place(task("t", "feed", cache=Cache(), fallback="t"), t="bad")
    assert (place.run(), place.made) == ("succeeded", ["t", "t fallback"])
    assert (place.run(), place.cached) == ("succeeded", {})


def test_a_stored_value_that_is_gone_is_made_again_and_the_log_says_so():
    place = Place(task("b", "feed", cache=Cache()))
    place.run()
    first = place.id
    place.world.values.values.clear()
    place.remarks.clear()
    assert (place.run(), place.made) == ("succeeded", ["b"])
    (remark,) = place.remarks
    assert remark.startswith(f"what run {first} made is in the cache, but ")
    assert remark.endswith(": it is made again")
    second = place.id
    place.run()
    assert place.cached == {"b": second}


def test_two_runs_at_once_may_both_make_it():
    place = Place(task("t", "feed", cache=Cache()))
    wishes = [Wish(name, frozenset(place.nodes), False) for name in ("one", "other")]

    def begin(conductor):
        for wish in wishes:
            conductor.accept(place.world.plan(conductor.store, wish), actor="ann")

    assert place.world.live(begin)
    assert place.world.witness.made == 2
    assert {run.state for run in place.world.site.read().runs()} == {"succeeded"}


def test_a_success_and_its_entry_are_one_commit():
    place = Place(task("t", "feed", cache=Cache()))
    seen, saw = [], place.world.witness.saw_commit

    def watch(commits):
        for each in commits:
            made = any(isinstance(ev.decode(body), ev.StepSucceeded) for body in each.events)
            seen.append((made, len(each.cached)))
        saw(commits)

    place.world.witness.saw_commit = watch
    place.run()
    assert (True, 1) in seen
    assert all(bool(entries) is made for made, entries in seen)
