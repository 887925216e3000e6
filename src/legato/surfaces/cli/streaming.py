"""A run as JSON lines: its plan's size, then every outcome of a step or attempt as it is recorded."""

from __future__ import annotations

from typing import Any

from legato.kernel import events as ev
from legato.kernel.standing import standing_of
from legato.kernel.state import RunState
from legato.service.estimating import Timings
from legato.service.naming import names_of
from legato.surfaces.cli.call import Call
from legato.surfaces.shape import as_plain
from legato.terms.instant import Instant, to_datetime


class Stream:
    """JSON lines: the plan, then every outcome of a step or attempt as it is recorded."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def begin(self, state: RunState, slots: int, timings: Timings) -> None:
        """The run is about to start."""
        self._state, self._names = state, names_of(state)
        steps = sum(step.run for step in state.plan.steps)
        self._call.event("run", run=state.run_id, request=state.plan.request, steps=steps, workers=slots)

    def hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        """Tell what happened."""
        for event in events:
            if isinstance(event, ev.RunPaused | ev.RunUnpaused):
                status = "paused" if isinstance(event, ev.RunPaused) else "running"
                self._call.event("run", run=state.run_id, status=status, at=to_datetime(event.at), actor=event.actor)
            else:
                self._hear(state, event)
        if state.plan.backfill is not None:
            self._call.event("standing", run=state.run_id, **as_plain(standing_of(state)))

    def _hear(self, state: RunState, event: ev.AnyEvent) -> None:
        match event:
            case ev.StepSucceeded():
                made_by = {"cached": event.cached} if event.cached else {}
                self._tell(event.step, "succeeded", at=event.at, seconds=round(event.seconds, 6), **made_by)
            case ev.AttemptFailed():
                status = {"fail": "failed", "cancel": "cancelled", "stuck": "failed"}.get(event.then, "retrying")
                self._tell(event.step, status, at=event.at, seconds=round(event.seconds, 6), error=event.error)
            case ev.StepsCalled() if state.taken:
                known = state.calls.of(event.parent)
                for index in (known.get(key, -1) for call in event.calls for key in call.keys):
                    if index in state.taken:
                        self._tell(index, "reused", at=event.at, run_reused=state.taken[index].run)
            case ev.StepDeclined():
                self._tell(event.step, "skipped", at=event.at, why="condition")
            case ev.StepUndone():
                self._tell(event.step, "undone", at=event.at)
            case ev.StepsSkipped():
                root = {"because_of": self._names.of(event.root)} if event.root >= 0 else {}
                for index in event.steps:
                    self._tell(index, "skipped", at=event.at, why=event.kind, **root)
            case ev.StepsCancelled():
                for index in event.steps:
                    self._tell(index, "cancelled", at=event.at)

    def tick(self) -> None:
        """Programs need no sign of life."""

    def note(self, text: str) -> None:
        """Words are for people: they go aside."""
        self._call.aside.say(text)

    def end(self) -> None:
        """The summary follows."""

    def _tell(self, index: int, status: str, *, at: Instant, **fields: Any) -> None:
        step = self._state.plan.steps[index]
        self._call.event(
            "step", run=self._state.run_id, step=index, name=self._names.of(index), node=step.node,
            partition=step.partition, status=status, at=to_datetime(at), **fields,
        )  # fmt: skip
