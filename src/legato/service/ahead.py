"""What runs are yet to make of the nodes that follow new versions: told from their events, in order, so that it is the same
whenever it is asked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from operator import itemgetter

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.store import Store

Place = tuple[str, str]
"""A node and a partition of it."""
Read = Callable[[str], RunState]
"""The state of a run, by its id."""
_WHOLE = frozenset(("",))


class Ahead:
    """One run: the steps of some nodes whose work it has yet to begin, after the events that were taken so far.

    A step that is tried again begins again. A flow does not: its body may have done half of it.
    """

    def __init__(self, plan: Plan, planned: int, names: Mapping[str, bool]) -> None:
        self._names, self._count = names, planned
        self._takes_calls = not plan.reused  # which calls get a result of an earlier run is nothing that events tell
        self._is_undoing = False
        self._calls: list[tuple[int, int]] = []
        """From which step on they were called by which flow, as long as it was the same one."""
        self._places: dict[int, Place] = {}
        self._idle: set[int] = set()
        self._begun: set[int] = set()
        self.keys: dict[str, dict[str, int]] = {}
        """Partitions by node, each with how many steps are to make it."""
        self.made: set[Place] = set()
        for index, step in enumerate(islice(plan.steps, planned)):
            if step.node in names:
                self._places[index] = step.node, step.partition
                if step.run:
                    self._add((index,))

    def place(self, index: int) -> Place | None:
        """Which node and partition a step is, if it is one of these nodes."""
        return self._places.get(index)

    def flows_above(self, index: int) -> dict[str, Collection[str]]:
        """Those of the nodes that are flows in whose bodies a step was called: they are under way as long as it is."""
        found: dict[str, Collection[str]] = {}
        while self._calls and index >= self._calls[0][0]:
            index = self._calls[bisect_right(self._calls, index, key=itemgetter(0)) - 1][1]
            if index in self._places:
                found[self._places[index][0]] = _WHOLE
        return found

    def take(self, event: ev.AnyEvent) -> None:
        """Take the run's next event."""
        match event:
            case ev.AttemptsStarted(steps=steps) if event.mode != "undo":
                self._begin(steps)
            case ev.StepSucceeded(step=index):
                self._end((index,))
                self.made.update(self._places[each] for each in self._ours((index,)))
            case ev.StepKeyed(step=index) | ev.AttemptFailed(step=index, then="retry" | "again" | "fallback"):
                self._return((index,))
            case ev.AttemptsReturned(steps=steps):
                self._return(steps)
            case ev.StepDeclined(step=index) | ev.AttemptFailed(step=index):
                self._end((index,))
            case ev.StepsSkipped(steps=steps) | ev.StepsCancelled(steps=steps):
                self._end(steps)
            case ev.RunResumed(steps=steps) | ev.StepsRevived(steps=steps) if not self._is_undoing:
                self._add(self._ours(steps))
            case ev.StepsCalled():
                self._take_calls(event)
            case ev.RunEnded():
                self._is_undoing = event.outcome == "partly_undone"  # resumed, it undoes the rest

    def _take_calls(self, event: ev.StepsCalled) -> None:
        for call in event.calls:
            first, self._count = self._count, self._count + len(call.keys)
            if not self._calls or self._calls[-1][1] != event.parent:
                self._calls.append((first, event.parent))
            if call.node in self._names and self._takes_calls:
                steps = range(first, self._count)
                self._places.update(dict.fromkeys(steps, (call.node, call.partition)))
                self._add(steps)

    def _ours(self, steps: Iterable[int]) -> list[int]:
        return [index for index in steps if index in self._places]

    def _add(self, steps: Iterable[int]) -> None:
        for index in steps:
            node, partition = place = self._places[index]
            self.made.discard(place)
            if index not in self._begun and index not in self._idle:
                self._idle.add(index)
                keys = self.keys.setdefault(node, {})
                keys[partition] = keys.get(partition, 0) + 1

    def _drop(self, index: int) -> None:
        if index in self._idle:
            self._idle.discard(index)
            node, partition = self._places[index]
            keys = self.keys[node]
            keys[partition] -= 1
            if not keys[partition]:
                del keys[partition]

    def _begin(self, steps: Iterable[int]) -> None:
        for index in self._ours(steps):
            self._drop(index)
            self._begun.add(index)

    def _return(self, steps: Iterable[int]) -> None:
        """An attempt of each ended, and another follows."""
        again = [index for index in self._ours(steps) if index in self._begun and not self._is_flow(index)]
        self._begun.difference_update(again)
        self._add(again)

    def _end(self, steps: Iterable[int]) -> None:
        for index in self._ours(steps):
            self._drop(index)
            if not self._is_flow(index):
                self._begun.discard(index)

    def _is_flow(self, index: int) -> bool:
        return self._names[self._places[index][0]]


class Foresight:
    """What each run that publishes has yet to begin. Looked up once a run, and only where something follows what it publishes
    that it may make, too. `followers` are the nodes that follow new versions, and whether they are flows."""

    def __init__(self, store: Store, followers: Mapping[str, bool]) -> None:
        self._store, self._followers = store, followers
        self._runs: dict[str, Ahead | None] = {}

    def take(self, run: str, event: ev.AnyEvent) -> None:
        """Take the next event of a run, whichever it is."""
        ahead = self._runs.get(run)
        if ahead is not None:
            ahead.take(event)

    def forget(self, run: str) -> None:
        """The run is over; if it is resumed, it is looked up again."""
        self._runs.pop(run, None)

    def at(self, number: int, run: str, read: Read) -> Ahead | None:
        """What the run is yet to begin after its event of this number, which is the last one taken; None if it never had any."""
        if run not in self._runs:
            self._runs[run] = self._look_up(number, run, read)
        return self._runs[run]

    def _look_up(self, number: int, run: str, read: Read) -> Ahead | None:
        state = read(run)
        handling = state.plan.handling
        if self._followers.keys().isdisjoint(handling) and not any(each.flow for each in handling.values()):
            return None
        ahead = Ahead(state.plan, state.planned, self._followers)
        for at, body in self._store.events(run):
            if at > number:
                break
            ahead.take(ev.decode(body))
        return ahead
