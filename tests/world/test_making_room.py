"""Making room while runs go on, crash and are rolled back: what is needed stays, and what is not needed goes in the end."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from legato.declare.keep import Keep
from legato.declare.node import Dep, Node, Project
from legato.service.keeping import Keeper
from legato.terms.instant import Instant
from legato.testing.crash import NoFuse, RandomFuse
from legato.testing.sample import Script
from legato.testing.world import Faults, Wish, World

STRICT = Keep(runs_s=0.001, versions=1, logs_s=None)
END = Instant((1 << 63) - 1)


class TidyWorld(World):
    """A world whose conductors let go of all that they may, all the time."""

    def keep_house(self, conductor, storage):
        place = SimpleNamespace(keep=STRICT, storages={self.values.name: storage}, logs=None)
        keeper = Keeper(conductor.store, lambda: place, conductor.open_states, newest=1, grace_s=0.0)

        def keep_on():
            for part in keeper.round(self.clock.now()):
                keeper.do(part)

        conductor.on_turn = keep_on


def settle(world):
    """One conductor more, that has nothing to do but to let go."""

    def begin(conductor):
        conductor.on_turn()
        conductor.on_turn()

    world.fuse = NoFuse()
    world.clock.advance(10)
    assert world.live(begin)
    return world.site.read()


def play(seed):
    random = Random(f"tidy {seed}")
    faults = Faults(stutter=random.choice((0.0, 0.3)), drain=random.choice((0.0, 0.01)))
    world, calm = TidyWorld(seed, faults=faults), World(seed, calm=True)
    calm.play([calm.everything("calm")])
    world.fuse = RandomFuse(random, random.choice((0.0, 0.02, 0.1)), most=10)
    for number in range(4):
        world.script.healed = False
        world.play([world.everything(f"all {number}", force=True)])
        world.clock.advance(5)
    assert world.published() == calm.published()
    return world


@pytest.mark.parametrize("seed", range(60))
def test_nothing_that_is_needed_goes_and_the_rest_does(seed):
    world = play(seed)
    store = settle(world)
    world.witness.check_end(store)
    _newest, *older = store.runs()
    assert {run.id for run in older} <= {trouble.run for trouble in store.troubles()}, "the newest stays, and what is still open"
    assert store.removed_events() == []
    assert store.wastes(END) == []
    for asset in store.assets():
        for partition in {version.ref.partition for _, version in store.versions(asset)}:
            assert len(store.versions(asset, partition)) <= 2, "one that is published, and one that is not"


CHAIN = [
    Node(name="feed", kind="source", outputs=("feed",)),
    Node(name="first", kind="asset", outputs=("first",), deps=(Dep("feed", "feed"),), code="1"),
    Node(name="last", kind="asset", outputs=("last",), deps=(Dep("first", "first"),), code="2", on_failure="rollback"),
]


def test_a_rollback_finds_what_was_published_before_its_run():
    """`first` is published over what was there; `last` fails for good; meanwhile all is let go that may be."""
    nodes = {each.name: each for each in CHAIN}
    script = Script(Random(1), {"feed": "sound", "first": "sound", "last": "sound"}, dict.fromkeys(nodes, 0.001))
    world = TidyWorld(1, sample=(Project(name="p", nodes=nodes, makers={name: name for name in nodes}), script), workers=1)
    world.play([Wish("sound", frozenset(nodes), True)])
    before = {asset: world.site.read().head(asset, "").version for asset in ("first", "last")}
    script.healed, script.tempers["last"] = False, "bad"
    world.clock.advance(5)
    world._live_until_done([Wish("broken", frozenset(nodes), True)])
    store = world.site.read()
    assert store.runs()[0].state == "rolled_back"
    assert {asset: store.head(asset, "").version for asset in ("first", "last")} == before
    assert all(world.values.check(store.head(asset, "").ref) == "" for asset in before)
