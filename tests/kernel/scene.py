"""A stage for the kernel: a plan in a line of text, inputs by name, and what was decided as words."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from legato.declare import order
from legato.declare.pool import Use
from legato.kernel import commands as cmd
from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.decide import Decision, decide
from legato.kernel.fold import fold
from legato.kernel.inputs import Cancel, Found, Input, Offer, Pause, Recall, Resume, TakeOver, Tick
from legato.kernel.invariants import violations
from legato.kernel.standing import standing_of
from legato.kernel.state import READY, RunState, Status
from legato.plan.records import Backfill, Handling, Plan, Reason, ReasonKind, Step
from legato.terms.attempt import Begun, Declined, Done, Fact, Lost, Noted, Output, Raised, Ref, Returned
from legato.terms.fact import TIMEOUT_TYPES, Error, Metric, Verdict
from legato.terms.instant import Instant, after
from legato.terms.key import show

MORNING = Instant(1_700_000_000_000_000)


def how(**options: Any) -> Handling:
    """How a step is treated."""
    return Handling(**_with_pools(options))


def _with_pools(options: dict[str, Any]) -> dict[str, Any]:
    """`pool="db"` is short for the one pool of that name."""
    pool = options.pop("pool", None)
    return options if pool is None else {**options, "pools": (Use(pool),)}


def asset(*names: str, **options: Any) -> Handling:
    """How a step that makes these assets is treated."""
    return Handling(outputs=names, **_with_pools(options))


def make_plan(
    text: str, *, fresh: str = "", blocked: str = "", force: bool = False, backfill: Backfill | None = None, **handling: Handling
) -> Plan:
    """The plan of `a -> b -> c, a*3 -> d`: names with how many partitions they have; each waits for all of what is left of it."""
    sizes: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    for chain in text.split(","):
        above = ""
        for part in chain.split("->"):
            name, _, count = part.strip().partition("*")
            sizes.setdefault(name, 1)
            sizes[name] = max(sizes[name], int(count or 1))
            needs.setdefault(name, [])
            if above and above not in needs[name]:
                needs[name].append(above)
            above = name
    starts: dict[str, int] = {}
    steps: list[Step] = []
    for name in order.sort(needs):
        starts[name], size = len(steps), sizes[name]
        kind: ReasonKind = "fresh" if name in fresh.split() else "blocked" if name in blocked.split() else "requested"
        deps = tuple(bound for up in needs[name] for bound in (starts[up], starts[up] + sizes[up]))
        keys = [str(number) for number in range(size)] if size > 1 else [""]
        steps += [Step(name, key, kind == "requested", Reason(kind), deps) for key in keys]
    treated = {name: handling.get(name, how()) for name in sizes}
    if backfill is not None and backfill.at_once is not None:
        treated = {name: replace(each, pools=(*each.pools, Use(""))) for name, each in treated.items()}
    return Plan(request=text, project="p", steps=steps, handling=treated, force=force, backfill=backfill)


class Scene:
    """One run. Every decision is checked against the invariants; `close` checks that a replay gives the same state."""

    def __init__(
        self, text: str, *, board: Board | None = None, run_id: str = "r", at: Instant = MORNING, **options: Any
    ) -> None:
        self.plan = make_plan(text, **options)
        self.state = RunState(run_id, self.plan, board, at=at)
        self.names = [show(step.node, step.partition) for step in self.plan.steps]
        self.now = at
        self.events: list[ev.AnyEvent] = []
        self.asked: list[cmd.Command] = []
        self._told = 0
        self._clock_was_set_back = False

    # -- inputs --

    def tell(self, input: Input) -> Decision:
        """One decision, checked."""
        decision = decide(self.state, input, self.now)
        self.events += decision.events
        self.asked += decision.commands
        assert violations(self.state) == []
        return decision

    def offer(self, room_s: float = 1.0, most: int = 256, **cost_s: float) -> list[str]:
        """One worker's offer; the names of the steps that it got."""
        decision = self.tell(Offer(room_s, most, cost_s))
        return [self.names[index] for each in decision.commands if isinstance(each, cmd.StartAttempts) for index in each.steps]

    def start(self) -> list[str]:
        """Offers until nobody takes one; the names of all steps that started."""
        started: list[str] = []
        while got := self.offer():
            started += got
        return started

    def token(self, name: str) -> int:
        """The token of the attempt of this step that is under way."""
        return self.state.running[self.names.index(name)].token

    def _key(self, name: str, token: int | None) -> tuple[str, int, int]:
        return self.state.run_id, self.names.index(name), self.token(name) if token is None else token

    def outputs(self, name: str, token: int, verdicts: tuple[Verdict, ...] = ()) -> tuple[Output, ...]:
        """What an attempt of this step stages."""
        index = self.names.index(name)
        return tuple(
            Output(Ref(claim, partition, f"{self.state.run_id}.{token}", "memory", "", "json"), (), verdicts)
            for claim, partition in self.state.claims(index)
        )

    def done(self, *names: str, token: int | None = None, value: bytes | None = None, kept: Ref | None = None) -> Decision:
        """The attempts of these steps return."""
        for name in names:
            key = self._key(name, token)
            decision = self.tell(Done(*key, 1.0, value, kept, self.outputs(name, key[2])))
        return decision

    def judged(self, name: str, *verdicts: Verdict, token: int | None = None) -> Decision:
        """The attempt returns a version of which its checks say this."""
        key = self._key(name, token)
        return self.tell(Done(*key, 1.0, outputs=self.outputs(name, key[2], verdicts)))

    def raises(
        self, name: str, *types: type[BaseException], retry_after_s: float | None = None, token: int | None = None
    ) -> Decision:
        """The attempt raises an exception, of the first of these types."""
        kind = types[0] if types else ValueError
        names = tuple(f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__ if each is not object)
        error = Error("raised", "no luck", names, retry_after_s=retry_after_s)
        return self.tell(Raised(*self._key(name, token), 1.0, error))

    def recall(self, name: str, value: bytes | None = b"old", kept: Ref | None = None) -> Decision:
        """An earlier run's result is in the cache."""
        return self.tell(Recall([Found(self.names.index(name), "earlier", value, kept)]))

    def asks(self) -> list[str]:
        """The steps of which nobody has looked yet whether an earlier run's result is in the cache."""
        asked, self.state.asked = self.state.asked, []
        return [self.names[index] for index in asked]

    def unready(self, name: str) -> Decision:
        """The attempt returned what the node's `until` does not accept."""
        return self.tell(Raised(*self._key(name, None), 1.0, Error("pending", "not there yet", TIMEOUT_TYPES)))

    def lost(self, name: str, token: int | None = None) -> Decision:
        """The worker of the attempt is gone."""
        return self.tell(Lost(*self._key(name, token), "killed by signal 9"))

    def declines(self, name: str) -> Decision:
        """The step's condition says no."""
        return self.tell(Declined(*self._key(name, None)))

    def returns(self, name: str) -> Decision:
        """The attempt had not begun, and never will."""
        return self.tell(Returned(*self._key(name, None)))

    def begins(self, name: str) -> Decision:
        """The attempt reaches user code."""
        return self.tell(Begun(*self._key(name, None)))

    def tells(self, name: str, *facts: Fact, keys: tuple[int, ...] = (), token: int | None = None) -> Decision:
        """The attempt tells these facts."""
        return self.tell(Noted(*self._key(name, token), facts or (Metric("rows", 1),), keys))

    def wait(self, seconds: float) -> Decision:
        """Time passes."""
        self.now = after(self.now, seconds)
        self._clock_was_set_back = self._clock_was_set_back or seconds < 0
        return self.tell(Tick())

    def cancel(self) -> Decision:
        """Ann wants the run stopped."""
        return self.tell(Cancel("ann"))

    def pause(self) -> Decision:
        """Ann wants the run to stand still."""
        return self.tell(Pause("ann"))

    def resume(self, *, failed_only: bool = False) -> Decision:
        """Ann wants the run to go on."""
        return self.tell(Resume("ann", failed_only))

    def die(self) -> Decision:
        """The conductor dies, and another one reads the events and takes over."""
        self.state = self.replay()
        return self.tell(TakeOver())

    # -- what was decided --

    def told(self) -> list[str]:
        """The events since the last call, in words."""
        new, self._told = self.events[self._told :], len(self.events)
        return [self._describe(event) for event in new]

    def commands(self) -> list[str]:
        """What was asked for since the last call, starts apart, in words."""
        asked, self.asked = self.asked, []
        words = []
        for each in asked:
            if isinstance(each, cmd.KillAttempt):
                words.append(f"kill {self.names[each.step]} {each.token}")
            elif isinstance(each, cmd.DiscardStaged):
                words.append("discard " + " ".join(f"{ref.asset} {ref.version}" for ref in each.refs))
        return words

    def status(self, name: str) -> str:
        """Where a step stands."""
        return Status(self.state.status[self.names.index(name)]).name.lower()

    def where(self, status: str) -> list[str]:
        """The steps that stand there."""
        return [name for name, code in zip(self.names, self.state.status, strict=True) if Status(code).name.lower() == status]

    def stands(self) -> tuple[int, int, int, int, int]:
        """Requested, done, failed, cancelled, pending."""
        found = standing_of(self.state)
        return found.requested, found.done, found.failed, found.cancelled, found.pending

    @property
    def outcome(self) -> str | None:
        """How the run ended."""
        return self.state.ended

    def _show(self, steps: tuple[int, ...]) -> str:
        return " ".join(self.names[index] for index in steps)

    def _describe(self, event: ev.AnyEvent) -> str:
        match event:
            case ev.AttemptsStarted():
                return f"start {self._show(event.steps)}" + ("" if event.mode == "run" else f" ({event.mode})")
            case ev.AttemptFailed():
                wait = f" in {event.delay_s:g} s" if event.then == "retry" else ""
                return f"fail {self.names[event.step]}: {event.error.kind}, {event.then}{wait}"
            case ev.StepSucceeded():
                return f"succeed {self.names[event.step]}" + (f" by {event.cached}" if event.cached else "")
            case ev.StepKeyed():
                return f"key {self.names[event.step]}: {event.key}"
            case ev.StepDeclined():
                return f"decline {self.names[event.step]}"
            case ev.AttemptStopping():
                return f"stop {self.names[event.step]}: {event.why}"
            case ev.AttemptsReturned():
                return f"return {self._show(event.steps)}"
            case ev.StepsSkipped():
                return f"skip {self._show(event.steps)}: {event.kind}" + (f" {self.names[event.root]}" if event.root >= 0 else "")
            case ev.StepsCancelled():
                return f"cancel {self._show(event.steps)}"
            case ev.RunHalted():
                return f"{'roll back' if event.rollback else 'halt'} for {self.names[event.root]}"
            case ev.StepUndone():
                return f"undo {self.names[event.step]}"
            case ev.RunResumed():
                return f"resume {self._show(event.steps)}"
            case ev.RunEnded():
                return f"end {event.outcome}"
            case ev.AttemptBegun():
                return f"begin {self.names[event.step]}"
            case ev.FactsNoted():
                return f"note {len(event.facts)} of {self.names[event.step]}"
            case ev.CancelRequested():
                return f"{event.actor} cancels"
            case ev.RunPaused():
                return f"{event.actor} pauses"
            case ev.RunUnpaused():
                return f"{event.actor} lets it go on"

    # -- replay --

    def replay(self) -> RunState:
        """The state that another process reads from the recorded events."""
        state = RunState(self.state.run_id, self.plan)
        for event in self.events:
            fold(state, ev.decode(ev.encode(event)))
        return state

    def close(self) -> None:
        """Nothing is broken, and a replay gives the very same state."""
        assert violations(self.state) == []
        if not self._clock_was_set_back:
            assert picture(self.replay(), self.now) == picture(self.state, self.now)


def picture(state: RunState, now: Instant) -> dict[str, Any]:
    """All that a state knows, once what is due is done. Replays leave stale entries in heaps, so those count by their meaning."""
    decided = decide(state, Tick(), now)
    plain = (
        "status attempts fails losses values kept errors causes swaps fallback_due done_order undo_queue stuck"
        " recorded undone signals heard backoff since cached keys next_token halted rolling cancelling ended counts noted"
        " paused spared"
    )
    seen = {name: getattr(state, name) for name in plain.split()}
    seen["joints"] = list(state.joints.left), list(state.joints.pending)
    seen["decided"] = decided
    seen["running"] = {
        index: (each.token, each.mode, each.started, each.deadline, each.stopping, each.log)
        for index, each in state.running.items()
    }
    seen["ready"] = [index for index, code in enumerate(state.status) if code == READY]
    return {name: list(value) if name == "done_order" else value for name, value in seen.items()}
