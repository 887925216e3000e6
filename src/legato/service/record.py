"""What an earlier run recorded, as far as another run can take it over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from legato.declare.node import Node
from legato.kernel import events as ev
from legato.kernel.family import WAITS
from legato.kernel.state import CANCELLED, FAILED, FRESH, SKIPPED, SUCCEEDED, UNDONE
from legato.plan.again import Spot
from legato.plan.records import Reused
from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.naming import names_of
from legato.terms.attempt import Ref
from legato.terms.instant import Instant

_OUTCOMES = {
    FRESH: "was not run", SUCCEEDED: "succeeded", SKIPPED: "was skipped", FAILED: "failed", CANCELLED: "was cancelled",
    UNDONE: "was undone",
}  # fmt: skip


class Result(Struct, frozen=True):
    """What a step gave, and when; of a wait, also who answered."""

    at: Instant
    value: bytes | None = None
    kept: Ref | None = None
    actor: str = ""


class Record:
    """One run's steps, their names and results. `nodes` are those of the project as it is now."""

    def __init__(self, nodes: Mapping[str, Node], store: Store, run: Run) -> None:
        self.run = run
        self.results: dict[int, Result] = {}
        self.state = read_state(store, run.id, hear=self._hear)
        self.names = names_of(self.state)
        self._nodes = nodes

    def _hear(self, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.StepSucceeded):
            self.results[event.step] = Result(event.at, event.value, event.kept)
        elif isinstance(event, ev.WaitEnded) and event.end != "timed out":
            self.results[event.step] = Result(event.at, event.value, actor=event.actor)

    @property
    def request(self) -> str:
        """What was asked for, without what it took over from yet earlier runs."""
        return self.state.plan.repeats or self.run.request

    @property
    def planned(self) -> range:
        """The steps of its plan."""
        return range(self.state.planned)

    def spot(self, index: int) -> Spot:
        """The step's node and partition."""
        step = self.state.plan.steps[index]
        return step.node, step.partition

    @cached_property
    def _places(self) -> dict[Spot, int]:
        return {self.spot(index): index for index in self.planned}

    def made_at(self, spot: Spot) -> Instant:
        """When a planned step gave its value; of one that gave none, when the run began."""
        found = self.results.get(self._places.get(spot, -1))
        return self.run.at if found is None else found.at

    def ran(self, index: int) -> bool:
        """Whether the step was tried or waited for, or taken over from a run in which it was."""
        state = self.state
        is_wait = state.plan.steps[index].node in WAITS.values()
        return bool(state.attempts[index]) or is_wait or index in self.results or index in state.taken

    def has_result(self, index: int) -> bool:
        """Whether the step gave something that can be taken over: it succeeded, and was not undone."""
        return index in self.state.taken or (self.state.status[index] == SUCCEEDED and index in self.results)

    def outcome(self, index: int) -> str:
        """How the step ended, or that it did not, in words."""
        return f"it {_OUTCOMES.get(self.state.status[index], 'has not ended')}"

    def result(self, index: int) -> Reused:
        """The step's result, to be taken over by a step of a plan yet to be made."""
        node, partition = self.spot(index)
        found = self.state.taken.get(index)
        if found is None:
            kept = self.results[index]
            found = Reused(self.run.id, self.names.of(index), node, value=kept.value, kept=kept.kept, actor=kept.actor)
        changed = "code" if self._has_other_code(index) else found.changed
        return replace(found, partition=partition, step=-1, path=(), number=0, changed=changed, pinned=False)

    def _has_other_code(self, index: int) -> bool:
        state, node = self.state, self.state.plan.steps[index].node
        declared = self._nodes.get(node)
        return declared is not None and state.code(node, state.made.get(index, 0)) not in ("", declared.code)

    # -- flows --

    def root(self, index: int) -> int:
        """The planned flow that the call is below, directly or not."""
        while index >= self.state.planned:
            index = self.state.calls.parent(index)
        return index

    def path(self, index: int) -> tuple[bytes, ...]:
        """The keys of the calls that lead to this one, from the planned flow down, with its own."""
        keys: list[bytes] = []
        while index >= self.state.planned:
            keys.append(self.state.calls.key(index))
            index = self.state.calls.parent(index)
        return tuple(reversed(keys))

    def before(self, index: int) -> Iterator[Reused]:
        """What was called before this call, and succeeded: in its flow, and in those that this one is part of."""
        flow, path = self.root(index), self.path(index)
        for depth, key in enumerate(path):
            calls = self.state.calls.of(flow)
            for other, step in calls.items():
                if other == key:
                    break
                if self.has_result(step):
                    yield replace(self.result(step), path=(*path[:depth], other))
            flow = calls[key]
