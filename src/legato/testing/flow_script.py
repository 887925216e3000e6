"""A conductor of few lines, for tests of executors: it plays the other side of a flow and keeps its records in memory."""

from __future__ import annotations

import random
import time
from typing import Any

import msgspec

from legato.ports.executor import Executor
from legato.terms.attempt import (
    Answer,
    Answers,
    Argument,
    Begun,
    Call,
    Called,
    Declined,
    Done,
    Fact,
    Lost,
    Noted,
    Order,
    Parked,
    Raised,
    Ref,
    Report,
    Returned,
)
from legato.terms.fact import Error
from legato.testing.executor_site import PATIENCE_S
from legato.worker.preload import Kit


class Step(msgspec.Struct):
    """A step of the script: an attempt of it, and what it waits for."""

    number: int
    node: str
    arguments: tuple[Argument, ...] = ()
    call: Call | None = None
    parent: int = -1
    token: int = 0
    entries: int = 0
    parked: tuple[bytes, ...] = ()
    keys: dict[bytes, int] = {}
    answer: Answer | None = None
    end: Report | None = None
    noted: list[tuple[Fact, int]] = []


class Script:
    """Plays the conductor: keeps outcomes, makes orders, answers. `chance` lets outcomes wait and answers change their order.

    `beside` says whether direct calls are made at the flow's own place; `waits` maps the names of waits to their outcome, once
    it is to be known. `retries` of children that were lost are without end, like those of flows.
    """

    def __init__(self, executor: Executor, kit: Kit, *, beside: bool = True, chance: random.Random | None = None) -> None:
        self.executor, self.kit, self.beside, self.chance = executor, kit, beside, chance
        self.steps: list[Step] = []
        self.waits: dict[str, Any] = {}
        self.begun: list[Begun] = []
        self.calls: list[Call] = []
        self.reports: list[Report] = []
        self.made: list[str] = []
        self.most_open = self.ended = 0
        self._tokens = 0
        self._ready: list[Step] = []
        self._answers: list[Answers] = []
        self._dependents: dict[int, list[Step]] = {}

    def start(self, node: str, **inputs: Any) -> Step:
        """A flow to be run."""
        arguments = tuple(Argument(name, value=msgspec.msgpack.encode(value)) for name, value in inputs.items())
        return self._add(Step(0, node, arguments))

    def run(self, node: str, **inputs: Any) -> Report:
        """The end of a flow."""
        return self.finish(self.start(node, **inputs))

    def value(self, node: str, **inputs: Any) -> Any:
        """What a flow returned."""
        end = self.run(node, **inputs)
        assert isinstance(end, Done), end
        if end.kept is not None:
            return self.kit.open_storages()["files"].load((end.kept,), Any)
        assert end.value is not None
        return msgspec.msgpack.decode(end.value)

    def finish(self, step: Step, timeout_s: float = PATIENCE_S) -> Report:
        """Conduct until this flow has its end."""
        self.conduct(lambda: step.end is not None, timeout_s)
        assert step.end is not None
        return step.end

    def conduct(self, until: Any, timeout_s: float = PATIENCE_S) -> None:
        """Turns until the condition holds."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"nothing came of it: {[step for step in self.steps if step.end is None][:5]}"
            self.turn()

    def turn(self) -> None:
        """One turn: hand out, answer, listen."""
        self._hand_out()
        if self.chance is not None:
            self.chance.shuffle(self._answers)
        for part in [self._answers[at::3] for at in range(3)] if self.chance else [self._answers]:
            if part:
                self.executor.answer(part)
        self._answers = []
        for report in self.executor.poll(0.01):
            self.reports.append(report)
            self._hear(report)

    def give(self, name: str, value: Any) -> None:
        """A wait of this name is over, with this value; an Error is a failure."""
        self.waits[name] = value
        for step in self.steps:
            if step.answer is None and step.call is not None and step.call.wait is not None:
                self._end_wait(step)

    def entered(self, node: str) -> int:
        """How often steps of this node were begun or tried to."""
        return sum(step.entries for step in self.steps if step.node == node)

    # -- outcomes --

    def _end_wait(self, step: Step) -> None:
        assert step.call is not None
        assert step.call.wait is not None
        name = step.call.wait.name or step.call.wait.kind
        if name in self.waits:
            value = self.waits[name]
            if isinstance(value, Error):
                self._record(step, "failed", error=value)
            else:
                self._record(step, "succeeded", msgspec.msgpack.encode(value))

    def _record(
        self, step: Step, outcome: Any, value: bytes | None = None, kept: Ref | None = None, error: Error | None = None
    ) -> None:
        parent = self.steps[step.parent]
        assert step.call is not None
        assert step.answer is None
        self.ended += 1
        (key,) = step.call.keys
        step.answer = Answer(key, value, kept, outcome, error)
        self._tell(parent, step.answer)
        if key in parent.parked:
            parent.parked = ()
            self._ready.append(parent)
        for other in self._dependents.pop(step.number, ()):
            if other.answer is None and outcome != "succeeded":
                self._record(other, "skipped")
            elif other.answer is None and self._is_ready(other):
                self._ready.append(other)

    def _tell(self, flow: Step, answer: Answer) -> None:
        self._answers.append(Answers("r", flow.number, flow.token, (answer,)))

    # -- orders --

    def _add(self, step: Step) -> Step:
        step.number = len(self.steps)
        self.steps.append(step)
        if self._is_ready(step):
            self._ready.append(step)
        elif step.call is not None:
            for needed in {self.steps[step.parent].keys[key] for _, key in step.call.inputs}:
                self._dependents.setdefault(needed, []).append(step)
        return step

    def _is_ready(self, step: Step) -> bool:
        keys = self.steps[step.parent].keys if step.call else {}
        return step.call is None or all(self.steps[keys[key]].answer for _, key in step.call.inputs)

    def _order(self, step: Step) -> Order:
        self._tokens += 1
        step.token = self._tokens
        step.entries += 1
        arguments = step.arguments
        if step.call is not None:
            keys = self.steps[step.parent].keys
            known = ((param, self.steps[keys[key]].answer) for param, key in step.call.inputs)
            passed = (Argument(param, (ans.kept,) if ans.kept else (), ans.value) for param, ans in known if ans)
            arguments = (*step.call.arguments, *passed)
        partition = step.call.partition if step.call else ""
        noted = tuple(key for _, key in step.noted if key)
        return Order("r", step.number, step.token, step.node, partition, arguments, noted=noted)

    def _hand_out(self) -> None:
        ready, self._ready = self._ready, []
        if self.chance is not None:
            self.chance.shuffle(ready)
        batches: dict[int, list[Order]] = {}
        for step in ready:
            place = self._place(step, batches)
            if place is None or (self.chance is not None and step.call and self.chance.random() < 0.3):
                self._ready.append(step)
            else:
                batches.setdefault(place, []).append(self._order(step))
        for place, orders in batches.items():
            self.executor.start(orders, place, 0.0)

    def _place(self, step: Step, taken: dict[int, list[Order]]) -> int | None:
        if self.kit.project.nodes[step.node].kind == "flow":
            return next((place for place in self.executor.free_for_flows() if place not in taken), None)
        if self.beside and step.call is not None and step.call.beside:
            parent = self.steps[step.parent]
            if (place := self.executor.place_of("r", parent.number, parent.token)) is not None:
                return place
        return step.number % self.executor.workers()

    # -- reports --

    def _hear(self, report: Report) -> None:
        step = self.steps[report.step]
        if isinstance(report, Begun):
            self.begun.append(report)
            return
        assert report.token == step.token, f"{report} is of no attempt that is out: {step}"
        assert step.end is None, f"ended twice: {report}"
        if isinstance(report, Called):
            self._hear_calls(step, report)
        elif isinstance(report, Noted):
            step.noted += zip(report.facts, report.keys or (0,) * len(report.facts), strict=True)
        elif isinstance(report, Parked):
            self._park(step, report)
        elif isinstance(report, Lost | Returned):
            self._ready.append(step)
        else:
            assert isinstance(report, Done | Raised | Declined)
            self._hear_end(step, report)

    def _hear_end(self, step: Step, report: Done | Raised | Declined) -> None:
        step.end = report
        self.made.append(step.node)
        if step.call is None:
            return
        if isinstance(report, Done):
            self._record(step, "succeeded", report.value, report.kept)
        elif isinstance(report, Raised):
            self._record(step, "failed", error=report.error)

    def _hear_calls(self, flow: Step, report: Called) -> None:
        for call in (each.one(place) for each in report.calls for place in range(len(each.keys))):
            self.calls.append(call)
            (key,) = call.keys
            if key in flow.keys:
                known = self.steps[flow.keys[key]]
            else:
                flow.keys[key] = len(self.steps)
                known = Step(0, call.node, call=call, parent=flow.number)
                known = self._wait(known) if call.wait else self._add(known)
            if known.answer is not None:
                self._tell(flow, known.answer)
            elif call.wait is not None:
                self._tell(flow, Answer(key, outcome="waiting"))
        self.most_open = max(self.most_open, len(flow.keys) - self.ended)

    def _wait(self, step: Step) -> Step:
        step.number = len(self.steps)
        self.steps.append(step)
        self._end_wait(step)
        return step

    def _park(self, flow: Step, report: Parked) -> None:
        assert report.keys
        assert all(key in flow.keys for key in report.keys)
        if any(self.steps[flow.keys[key]].answer for key in report.keys):
            self._ready.append(flow)
        else:
            flow.parked = report.keys
