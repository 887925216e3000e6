"""What the witness sees of flows: what they called, what they were told, how they waited, what is left of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

import msgspec

from legato.declare.node import Project
from legato.kernel import events as ev
from legato.plan.records import Reason, Step
from legato.ports.storage import Storage
from legato.terms.attempt import Answers, Argument, Call, Order, Ref
from legato.terms.codec import unpack
from legato.terms.instant import Instant, after
from legato.testing.ledger import Ledger
from legato.testing.program_tasks import Told, answer_to, tag
from legato.testing.witness import Key, Witness

_SLACK_S = 1.0
"""How late a sleep may end while a conductor is there."""
_PURE = frozenset(
    (
        "make",
        "make_later",
        "narrow",
        "polite",
        "flaky",
        "slow",
        "weak",
        "balky",
        "patient",
        "thrifty",
        "thriftier",
        "begin_elsewhere",
        "look_elsewhere",
        "chatty",
        "book",
        "tour",
        "ruin",
        "stopper",
    )
)


class Outcome(msgspec.Struct, frozen=True):
    """What is on record of a call that has ended."""

    outcome: str
    value: bytes | None = None
    kept: Ref | None = None


class FlowWitness(Witness):
    """Holds besides what it saw of flows against what they promise; watches what programs do to the world outside.

    `plain` gives what a request's flow gives when it is called as a plain function; `may_fail` says that some faults are final.
    """

    def __init__(self, project: Project, values: Storage, random: Random) -> None:
        super().__init__(project, values)
        self.random = random
        self.plain: Callable[[str], Any] = lambda request: None
        self.edited: dict[str, Counter[str]] = {}
        self.made_with: dict[Key, int] = {}
        self.may_fail = False
        self.calls: dict[Key, Call] = {}
        self.parents: dict[Key, Key] = {}
        self.children: dict[Key, dict[bytes, int]] = {}
        self.outcomes: dict[Key, Outcome] = {}
        self.waiting: dict[Key, Instant] = {}
        self.now: dict[Key, int] = {}
        self.stopping: set[tuple[str, int, int | None]] = set()
        self.seated: set[Key] = set()
        self.kept: dict[tuple[str, str], Any] = {}
        self.looks: Counter[str] = Counter()
        self.drawn: dict[str, int] = {}
        self.tickets: dict[Key, int] = {}
        self.began_at = Instant(0)
        self.earlier: set[Instant] = set()
        self.ledger = Ledger(self.refuse)
        self.taken_back: set[tuple[str, str]] = set()
        self._numbers = count(1)

    # -- what is written --

    def saw_conductor_begin(self, now: Instant) -> None:
        """From here on somebody does what is due."""
        super().saw_conductor_begin(now)
        self.began_at = now
        self.earlier = set(self.waiting.values())

    def moment(self, since: Instant, seconds: float) -> Instant:
        """So long after a wait began; where the clock was set back meanwhile, so long after the conductor did, at most."""
        due = after(since, seconds)
        return min(due, after(self.began_at, seconds)) if since in self.earlier else due

    def _saw_event(self, run: str, event: ev.AnyEvent) -> None:
        super()._saw_event(run, event)
        act = _SEEN.get(type(event))
        if act is not None:
            act(self, run, event)

    def _note_calls(self, run: str, event: ev.StepsCalled) -> None:
        parent = (run, event.parent)
        self._require_under_way(parent, "calls")
        plan, known = self.plans[run], self.children.setdefault(parent, {})
        plan.handling.update(event.handling)
        for call in event.calls:
            for place, key in enumerate(call.keys):
                if key in known and not self._is_outdated((run, known[key]), call):
                    self.refuse(f"{self._name(*parent)} made the call {key!r} twice")
                if key in known and (label := self._label((run, known[key]))) is not None:
                    self.kept.pop(label, None)
                self._note_call((run, len(plan.steps)), parent, call.one(place), event.at)

    def _is_outdated(self, former: Key, call: Call) -> bool:
        """Whether the code of a call that was made before was edited since it ended, or what it reads was made anew since."""
        siblings, node = self.children[self.parents[former]], self._step(*former).node
        remade = any(siblings[needed] > former[1] for _, needed in call.inputs)
        return remade or self.made_with.get(former, 0) < self.edited.get(former[0], Counter())[node]

    def _note_code(self, run: str, event: ev.CodeChanged) -> None:
        self.edited.setdefault(run, Counter()).update(event.code.keys())

    def _note_call(self, key: Key, parent: Key, call: Call, at: Instant) -> None:
        known = self.children[parent]
        needs = tuple(bound for _, needed in call.inputs for bound in (known[needed], known[needed] + 1))
        node = call.node if call.wait is None else f"lg.{call.wait.kind}"
        self.plans[key[0]].steps.append(Step(node, call.partition, True, _CALLED, needs))
        known[call.keys[0]] = key[1]
        self.calls[key], self.parents[key] = call, parent
        if call.wait is not None:
            self.waiting[key] = at

    def _note_revival(self, run: str, event: ev.StepsRevived) -> None:
        for step in event.steps:
            key = (run, step)
            if self._outcome(key) == "succeeded":
                self.refuse(f"{self._name(*key)} is tried anew, but its success is on record")
            self.outcomes.pop(key, None)
            if self.calls[key].wait is not None:
                self.waiting[key] = event.at

    def _note_started(self, run: str, event: ev.AttemptsStarted) -> None:
        for token, step in enumerate(event.steps, event.token):
            key = (run, step)
            self.now[key] = token
            parent = self.parents.get(key)
            if parent is not None and event.mode != "undo" and parent in self.outcomes:
                self.refuse(f"{self._name(*key)} is started, but the flow that called it is {self._outcome(parent)}")

    def _note_result(self, run: str, event: ev.StepSucceeded) -> None:
        key = (run, event.step)
        self._end(key, Outcome("succeeded", event.value, event.kept))
        if not event.cached:
            ordered = self._step(*key).node != "follow_later"  # what goes on at once is told in any order
            self.ledger.check(key, self._name(*key), event.token, ordered=ordered)
        if (label := self._label(key)) is not None:
            self.kept[label] = self._value(key)
            self.taken_back.discard(label)
        if key in self.calls and self.calls[key].node.startswith("ticket"):
            self.tickets[key] = self._value(key)
        elif key in self.calls:
            self._check_value(key)
        elif event.step == 0 and self._value(key) != (plain := self.plain(self.plans[run].request)):
            self.refuse(f"run {run} gives {self._value(key)}, but as a plain function {plain}")
        for child in self.children.get(key, {}).values():
            if (run, child) not in self.outcomes and (run, child, self.now.get((run, child))) not in self.stopping:
                self.refuse(f"{self._name(*key)} is over, but {self._name(run, child)}, which it called, is not")

    def _note_failed(self, run: str, event: ev.AttemptFailed) -> None:
        if event.then in ("fail", "cancel"):
            self._end((run, event.step), Outcome("failed" if event.then == "fail" else "cancelled"))

    def _note_closed(self, run: str, event: ev.StepsSkipped | ev.StepsCancelled) -> None:
        for step in event.steps:
            if (run, step) in self.outcomes:
                self.refuse(f"{self._name(run, step)} is closed, but it is {self._outcome((run, step))}")
            self._end((run, step), Outcome("skipped" if isinstance(event, ev.StepsSkipped) else "cancelled"))
            self.waiting.pop((run, step), None)

    def _note_declined(self, run: str, event: ev.StepDeclined) -> None:
        self._end((run, event.step), Outcome("skipped"))

    def _note_undone(self, run: str, event: ev.StepUndone) -> None:
        key = (run, event.step)
        self._end(key, Outcome("undone"))
        if (label := self._label(key)) is not None:
            if self._handling(*key).undo and label not in self.taken_back:
                self.refuse(f"{self._name(*key)} is undone on record, but nobody took {label[1]} back")
            self.kept.pop(label, None)
        self.tickets.pop(key, None)

    def _note_stopping(self, run: str, event: ev.AttemptStopping) -> None:
        self.stopping.add((run, event.step, event.token))

    def _note_resumed(self, run: str, event: ev.RunResumed) -> None:
        for step in event.steps:
            self.outcomes.pop((run, step), None)

    def _note_ended(self, run: str, event: ev.RunEnded) -> None:
        if event.outcome != "succeeded" and run not in self.cancelled and not self.may_fail:
            self.refuse(f"run {run} is {event.outcome}, but nothing that went wrong was final")

    def _note_parked(self, run: str, event: ev.StepParked) -> None:
        self._saw_word(run, event.step, event.token)
        strange = set(event.on) - set(self.children.get((run, event.step), {}).values())
        if strange:
            self.refuse(f"{self._name(run, event.step)} waits for steps {strange}, which it did not call")

    def _note_wait_end(self, run: str, event: ev.WaitEnded) -> None:
        key = (run, event.step)
        if key not in self.waiting:
            self.refuse(f"{self._name(*key)} ends twice")
        since, wait = self.waiting.pop(key), self.calls[key].wait
        assert wait is not None
        due = None if wait.seconds is None else self.moment(since, wait.seconds)
        if event.end in ("over", "timed out") and (due is None or event.at < due):
            self.refuse(f"{self._name(*key)} ends before its time")
        if due is not None and event.end in ("over", "timed out") and event.at > after(max(due, self.began_at), _SLACK_S):
            self.refuse(f"{self._name(*key)} ends {(event.at - due) / 1e6} s too late")
        self._end(key, Outcome("failed") if event.end == "timed out" else Outcome("succeeded", event.value))
        if event.end != "timed out":
            self.done[run][event.step] = None
        if wait.kind == "approval":
            given = "nobody" if event.end == "timed out" else unpack(event.value, Any)
            if given != answer_to(wait.name):
                self.refuse(f"{self._name(*key)}: the first answer was {answer_to(wait.name)}, but {given} is on record")

    def _note_facts(self, run: str, event: ev.FactsNoted) -> None:
        key = (run, event.step)
        if event.token != self.now.get(key) or (*key, event.token) in self.over:
            self.refuse(f"{self._name(*key)} tells something, but this attempt of it is not under way")
        self.ledger.record(key, self._name(*key), event)

    # -- what is made --

    def saw_begin(self, order: Order, now: Instant) -> None:
        """An attempt is made: it tells everything anew."""
        super().saw_begin(order, now)
        is_body = order.mode == "run" and self._handling(order.run, order.step).flow
        self.ledger.begin((order.run, order.step), order.token, is_body=is_body)

    def saw_hand_out(self, orders: Sequence[Order]) -> None:
        """Orders leave: each is given what its call was given, and what was recorded of the calls that it waits for."""
        super().saw_hand_out(orders)
        for order in orders:
            key = (order.run, order.step)
            if key not in self.calls or order.mode == "undo" or self._handling(*key).outputs:
                continue
            if {each.param: each for each in order.arguments} != self._arguments(key):
                self.refuse(f"{self._name(*key)} is given {order.arguments}, but its call {self._arguments(key)}")

    def saw_answers(self, answers: Sequence[Answers]) -> None:
        """Outcomes leave for flows: each is of a call of this very flow, and is on record."""
        for each in answers:
            flow = (each.run, each.step)
            if (*flow, each.token) not in self.handed_out:
                self.refuse(f"{self._name(*flow)} is told something under a token that it never had")
            for answer in each.answers:
                step = self.children.get(flow, {}).get(answer.key)
                if step is None:
                    self.refuse(f"{self._name(*flow)} is told of {answer.key!r}, which it did not call")
                    continue
                known = self.outcomes.get((each.run, step), Outcome("waiting"))
                if (answer.outcome, answer.value, answer.kept) != (known.outcome, known.value, known.kept):
                    self.refuse(f"{self._name(*flow)} is told that {answer.key!r} is {answer.outcome}: it is {known.outcome}")

    # -- what is done to the world outside --

    def entered(self, node: str, label: str) -> None:
        """The function of a task begins: nobody may make what is on record."""
        if (node, label) in self.kept:
            self.refuse(f"{node} runs again for {label}, but its success is on record")

    def draw(self, label: str) -> int:
        """A number that nobody else gets."""
        return next(self._numbers)

    def saw(self, label: str, number: int) -> None:
        """A body got this number, and no other call did; once it is on record, the body gets it whenever it is entered again."""
        former = self.drawn.get(label, number)
        if former != number and former in self.tickets.values():
            self.refuse(f"{label} was {former} before, and now is {number}")
        self.drawn[label] = number
        if sum(each == number for each in self.drawn.values()) > 1:
            self.refuse(f"{label} is {number}, as another call is")

    def is_busy(self, handle: str) -> bool:
        """Whether this job still goes on: it does when it is looked at for the first times."""
        self.looks[handle] += 1
        return self.looks[handle] < 3

    def undid(self, node: str, label: str, result: str) -> None:
        """What a task or a flow did is taken back: only what it did."""
        if (node, label) not in self.kept:
            self.refuse(f"{node} is undone for {label}, but that it was done is not on record")
        if result != (wanted := self.kept[node, label]):
            self.refuse(f"{node} is undone for {label} with {result}, but {wanted} is on record")
        self.taken_back.add((node, label))

    def told(self, key: str, fact: Told) -> None:
        """A step tells a fact."""
        run, step, *_ = key.split(":")
        self.ledger.tell((run, int(step)), fact)

    def shuffle(self, items: list[str]) -> list[str]:
        """The items in another order each time."""
        return self.random.sample(items, len(items))

    # -- room --

    def saw_conductor_die(self, now: Instant) -> None:
        """All process groups are gone; what flows hold until they are over they hold on."""
        super().saw_conductor_die(now)
        for key in self.seated:
            self.busy.update(self._shares(*key))

    def saw_report(self, run: str, step: int) -> None:
        """The end of an attempt is about to be heard; a flow holds its slots until it has its outcome."""
        if (run, step) not in self.seated:
            super().saw_report(run, step)

    def _take_slots(self, run: str, step: int) -> None:
        if (run, step) in self.seated:
            return
        super()._take_slots(run, step)
        if self._handling(run, step).flow:
            self.seated.add((run, step))

    def _count_starts(self, run: str, step: int, at: Instant) -> None:
        if (run, step) not in self.seated:
            super()._count_starts(run, step, at)

    def _end(self, key: Key, outcome: Outcome) -> None:
        """A step has its outcome."""
        self.outcomes[key] = outcome
        self.made_with[key] = self.edited.get(key[0], Counter())[self._step(*key).node]
        if key in self.seated:
            self.seated.discard(key)
            super().saw_report(*key)

    def _key_value(self, run: str, step: int, param: str) -> str:
        given = self._arguments((run, step)).get(param) if (run, step) in self.calls else None
        return super()._key_value(run, step, param) if given is None else str(self._read(given))

    # -- by itself --

    def _require_under_way(self, key: Key, does: str) -> None:
        token = self.now.get(key)
        if token is None or (*key, token) in self.over:
            self.refuse(f"{self._name(*key)} {does}, but no attempt of it is under way")

    def _costs_a_try(self, key: Key, kind: str) -> bool:
        """A look at a job that goes on does not."""
        return kind != "pending" or key not in self.calls or self.calls[key].poll_s is None

    def _outcome(self, key: Key) -> str:
        return self.outcomes[key].outcome if key in self.outcomes else ""

    def _label(self, key: Key) -> tuple[str, str] | None:
        """Node and label of a task whose calls are all different."""
        node = self._step(*key).node
        return (node, str(self._given(key))) if node in _PURE and key in self.calls else None

    def _given(self, key: Key) -> Any:
        """The first argument of a call."""
        arguments = list(self._arguments(key).values())
        return self._read(arguments[0]) if arguments else None

    def _arguments(self, key: Key) -> dict[str, Argument]:
        call, siblings = self.calls[key], self.children[self.parents[key]]
        given = {each.param: each for each in call.arguments}
        for param, other in call.inputs:
            known = self.outcomes[key[0], siblings[other]]
            given[param] = Argument(param, value=known.value) if known.kept is None else Argument(param, (known.kept,))
        return given

    def _read(self, argument: Argument) -> Any:
        return self.values.load(argument.refs, Any) if argument.value is None else unpack(argument.value, Any)

    def _value(self, key: Key) -> Any:
        known = self.outcomes[key]
        return self._read(Argument("", (known.kept,) if known.kept else (), known.value))

    def _check_value(self, key: Key) -> None:
        """A call's value is the one of its own inputs."""
        node = self._step(*key).node
        given = [self._read(each) for each in self._arguments(key).values()]
        if node in _PURE:
            wanted: Any = tag(node, *given)
        elif node == "pair":
            by_name = {name: self._read(each) for name, each in self._arguments(key).items()}
            wanted = tag("pair", repr((by_name["a"], by_name["b"])))
        elif node == "turn":
            by_name = {name: self._read(each) for name, each in self._arguments(key).items()}
            wanted = tag("turn", f"{by_name['x']} {by_name['kind']}")
        elif node == "big":
            wanted = [tag("big", *given)] * 40
        else:
            return
        if self._value(key) != wanted:
            self.refuse(f"{self._name(*key)} of {given} is {self._value(key)}, and not {wanted}")


_CALLED = Reason("called")
_SEEN: dict[type, Callable[[FlowWitness, str, Any], None]] = {
    ev.CodeChanged: FlowWitness._note_code,
    ev.StepsCalled: FlowWitness._note_calls,
    ev.StepsRevived: FlowWitness._note_revival,
    ev.AttemptsStarted: FlowWitness._note_started,
    ev.FactsNoted: FlowWitness._note_facts,
    ev.StepSucceeded: FlowWitness._note_result,
    ev.AttemptFailed: FlowWitness._note_failed,
    ev.StepsSkipped: FlowWitness._note_closed,
    ev.StepsCancelled: FlowWitness._note_closed,
    ev.AttemptStopping: FlowWitness._note_stopping,
    ev.StepDeclined: FlowWitness._note_declined,
    ev.StepUndone: FlowWitness._note_undone,
    ev.RunResumed: FlowWitness._note_resumed,
    ev.StepParked: FlowWitness._note_parked,
    ev.WaitEnded: FlowWitness._note_wait_end,
    ev.RunEnded: FlowWitness._note_ended,
}
