"""Random programs, repeated from a random call of a run that went through every fault, through faults of their own.

What the repeated run gives is what the program gives as a plain function, and nothing of what it reuses is made again.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random

import pytest
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.service.record import Record
from legato.testing.crash import RandomFuse
from legato.testing.flow_witness import FlowWitness, Outcome
from legato.testing.flow_world import FlowWorld, play_flows
from legato.testing.program_draw import Luck
from legato.testing.witness import Violation
from legato.testing.world import Faults

SHORT, LONG = 60, 1000
STRANGE = 1_000_000


class RepeatWitness(FlowWitness):
    """Knows what the plan reuses: that is on record from the moment in which it is called for."""

    def __init__(self, *given):
        super().__init__(*given)
        self.reused = set()
        self._numbers = count(STRANGE)

    def _note_call(self, key, parent, call, at):
        super()._note_call(key, parent, call, at)
        path, above = list(call.keys), parent
        while above in self.parents:
            path.append(self.calls[above].keys[0])
            above = self.parents[above]
        for each in self.plans[key[0]].reused:
            if each.path == tuple(reversed(path)):
                self._take(key, each)

    def _take(self, key, reused):
        self.reused.add(key)
        self.waiting.pop(key, None)
        steps = self.plans[key[0]].steps  # another run did it: this one does not take it back
        steps[key[1]] = replace(steps[key[1]], run=False)
        self.outcomes[key] = Outcome("succeeded", reused.value, reused.kept)
        if (label := self._label(key)) is not None and reused.node not in self.ttls:  # an equal call may find no result here
            self.kept[label] = key
        if reused.node.startswith("ticket"):
            self.tickets[key] = self._value(key)

    def _saw_event(self, run, event):
        """What is reused was done by another run: this one does not take it back."""
        if isinstance(event, ev.StepUndone | ev.RunEnded):
            mine = {step: None for step in self.done[run] if (run, step) not in self.reused}
            others = {step: None for step in self.done[run] if step not in mine}
            self.done[run] = mine
            super()._saw_event(run, event)
            self.done[run] = {**others, **self.done[run]}
        else:
            super()._saw_event(run, event)
        steps = event.steps if isinstance(event, ev.AttemptsStarted) else [event.step] if isinstance(event, ev.StepUndone) else []
        if taken := [step for step in steps if (run, step) in self.reused]:
            self.refuse(f"steps {taken} of run {run} are to be reused, but {type(event).__name__}")


class RepeatedWorld(FlowWorld):
    """One run of another world, repeated from a call."""

    def __init__(self, seed, luck, first, run, faults):
        super().__init__(seed + STRANGE, luck, faults=faults)  # its runs have other names
        self.values = first.values
        self.witness = RepeatWitness(self.project, self.values, self.random)
        record = Record(self.project.nodes, first.site.read(), run)
        state = record.state
        calls = range(state.planned, len(state.status))
        now = [step for step in calls if state.calls.of(state.calls.parent(step)).get(state.calls.key(step)) == step]
        self.start = self.random.choice(now)
        self.reused = tuple(replace(each, step=0) for each in record.before(self.start))

    def plan(self, store, wish):
        return replace(super().plan(store, wish), reused=self.reused)


def repeat(seed):
    """The first run of a world, repeated; None if it called nothing, or made assets, which the second world does not have."""
    first = play_flows(seed)
    run = first.site.read().runs()[-1]
    state = Record(first.project.nodes, first.site.read(), run).state
    if len(state.status) == state.planned or any(state.handling(step).outputs for step in range(len(state.status))):
        return None
    random = Random(f"repeat {seed}")
    faults = Faults(stutter=random.choice((0.0, 0.3)), drain=random.choice((0.0, 0.01)))
    luck = Luck(Random(random.random()), deaths=random.choice((0.0, 0.1)), hard=False, undo_fails=frozenset())
    world = RepeatedWorld(seed, luck, first, run, faults)
    world.fuse = RandomFuse(random, random.choice((0.0, 0.02)), most=6)
    try:
        world.play([world.wish("again", *first.programs[run.request])])
    except BaseException as error:
        raise Violation(f"seed {seed}: {error}") from error
    return world


@pytest.mark.parametrize("first", range(0, SHORT, 20))
def test_a_repeated_flow_gives_the_same_and_makes_nothing_twice(first):
    for seed in range(first, first + 20):
        repeat(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(SHORT, LONG, 100))
def test_many_repeated_flows(first):
    for seed in range(first, first + 100):
        repeat(seed)


def test_repeated_worlds_are_not_idle():
    """Calls are reused and made, in flows below flows, waits too, and in runs that crashed, parked and were resumed."""
    seen, depths = Counter(), Counter()
    for seed in range(40):
        world = repeat(seed)
        if world is None:
            continue
        seen["reused"] += len(world.witness.reused)
        seen["waits"] += sum(each.node.startswith("lg.") for each in world.reused)
        depths.update(len(each.path) for each in world.reused)
        store = world.site.read()
        for run in store.runs():
            seen.update(type(ev.decode(body)) for _, body in store.events(run.id))
    assert min(seen["reused"], seen["waits"], seen[ev.StepSucceeded], seen[ev.StepParked], seen[ev.AttemptFailed]) > 5
    assert len(depths) > 1
