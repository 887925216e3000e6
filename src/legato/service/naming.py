"""How the steps of a run are named: `delays@2013-01-05`; and, where a flow made several calls of one node, `enrich#3`."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from legato.declare.resolve import did_you_mean
from legato.kernel.state import RunState
from legato.plan.records import Handling, Step
from legato.terms.errors import NotFound
from legato.terms.key import show, split, split_number

_TIMES = {1: "once", 2: "twice"}


class Names:
    """The names of a run's steps, of which those from `planned` on were called by flows. Steps may join while it is in use."""

    def __init__(self, steps: Sequence[Step], handling: Mapping[str, Handling], planned: int) -> None:
        self._steps, self._handling, self._planned = steps, handling, planned
        self._numbers = array("I")
        self._sizes: dict[tuple[str, str], int] = {}

    def of(self, index: int) -> str:
        """The step as people write it; with its number among the calls of its node, where there are several."""
        step, number = self._steps[index], self.number(index)
        several = number and self._sizes[step.node, step.partition] > 1
        return show(step.node, step.partition, number if several else 0)

    def number(self, index: int) -> int:
        """Which call of its node, at its partition, the step is; 0 if no flow called it."""
        self._catch_up()
        return self._numbers[index - self._planned] if index >= self._planned else 0

    def find(self, text: str, *, run: str) -> list[int]:
        """The steps that a text names: `NODE`, `NODE@PARTITION`, an asset that the node makes, or one call: `NODE#3`."""
        self._catch_up()
        found = self._named(text)
        name, number = split_number(text)
        if not found and number:
            found = [index for index in self._called(name) if self.number(index) == number]
        if not found:
            raise NotFound("step", f"run {run} has no step {text!r}", why=self._why_none(text), next=f"legato status {run}")
        return found

    def _named(self, text: str) -> list[int]:
        name, partition = split(text)
        makers = {node for node, handling in self._handling.items() if name in (node, *handling.outputs)}
        steps = enumerate(self._steps)
        return [index for index, step in steps if step.node in makers and partition in ("", step.partition)] if makers else []

    def _called(self, name: str) -> list[int]:
        """The calls that have this name and a number."""
        partition = split(name)[1]
        return [index for index in self._named(name) if index >= self._planned and self._steps[index].partition == partition]

    def _why_none(self, text: str) -> str:
        name, number = split_number(text)
        if number and (there := len(self._called(name))):
            return f"it called {name} {_TIMES.get(there, f'{there} times')}"
        node, partition = split(name)
        known = {each for step in self._steps for each in (step.node, *self._handling[step.node].outputs)}
        if node not in known:
            return did_you_mean(node, known)
        return f"{node} is a step of it, but not at {partition}" if partition else f"{name} is one step of it, and no call"

    def _catch_up(self) -> None:
        for step in self._steps[self._planned + len(self._numbers) :]:
            key = step.node, step.partition
            self._sizes[key] = self._sizes.get(key, 0) + 1
            self._numbers.append(self._sizes[key])


def names_of(state: RunState) -> Names:
    """The names of the steps of a run."""
    return Names(state.plan.steps, state.plan.handling, state.planned)
