"""Random worlds: small random projects under crashes, lost workers, late reports, cancels and clocks that jump.

Each seed's world must keep every guarantee that an outside witness can see, end, and publish what an undisturbed one does.
"""

from __future__ import annotations

import pytest

from legato.kernel import events as ev
from legato.testing.clock import MORNING, VirtualClock
from legato.testing.world import play

SHORT, LONG = 100, 2000


@pytest.mark.parametrize("first", range(0, SHORT, 20))
def test_worlds_keep_every_guarantee(first):
    """A violation names its seed: `legato.testing.world.play(seed)` repeats it."""
    for seed in range(first, first + 20):
        play(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(SHORT, LONG, 100))
def test_many_worlds_keep_every_guarantee(first):
    """The same for 2,000 seeds."""
    for seed in range(first, first + 100):
        play(seed)


def test_a_seed_tells_the_same_story_twice():
    """Everything in a world follows from its seed, down to the last event."""
    stories = []
    for _ in range(2):
        world = play(44)
        store = world.site.read()
        stories.append([list(store.events(run.id)) for run in store.runs()])
    assert stories[0] == stories[1] != []


def test_worlds_are_not_idle():
    """The faults do happen: in so many seeds runs fail, are cancelled and rolled back, and conductors die."""
    outcomes, lives, recalled = set(), 0, 0
    for seed in range(100):
        world = play(seed)
        lives += world.lives
        recalled += world.witness.recalled
        store = world.site.read()
        events = [ev.decode(body) for run in store.runs() for _, body in store.events(run.id)]
        outcomes.update(event.outcome for event in events if isinstance(event, ev.RunEnded))
    assert outcomes >= {"succeeded", "failed", "cancelled", "rolled_back"}
    assert lives > 200
    assert recalled > 10


def test_the_virtual_clock_moves_only_when_told():
    """It advances by what is asked, never goes back on its own, and may be set; noise follows from the seed."""
    clock = VirtualClock(seed=3)
    assert clock.now() == clock.now() == MORNING
    clock.advance(1.5)
    assert clock.now() == MORNING + 1_500_000
    clock.advance_to(MORNING)
    assert clock.now() == MORNING + 1_500_000
    clock.set(MORNING)
    assert clock.now() == MORNING
    same = VirtualClock(seed=3)
    assert [clock.noise(20) for _ in range(3)] == [same.noise(20) for _ in range(3)]
