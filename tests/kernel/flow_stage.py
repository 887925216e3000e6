"""A stage for flows: a run of one, what its calls tell, and what was decided."""

from __future__ import annotations

from legato.declare.node import Retry
from legato.declare.pool import Limit, Use
from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.commands import Command, StartAttempts
from legato.kernel.decide import decide
from legato.kernel.fold import fold
from legato.kernel.inputs import Input, Offer, Resolve
from legato.kernel.invariants import violations
from legato.kernel.state import RunState, Status
from legato.plan.records import Handling, Plan, Reason, Step
from legato.terms.attempt import Call, Called, Done, Raised
from legato.terms.fact import Error
from legato.terms.instant import Instant

HANDLING = {
    "flow": Handling(flow=True, lost_retries=100), "sub": Handling(flow=True), "spare": Handling(flow=True, fallback=True),
    "again": Handling(flow=True, retry=Retry(1)), "task": Handling(), "slow": Handling(pools=(Use("one"),)),
    "limited": Handling(timeout_s=5.0, retry=Retry(2)), "undone": Handling(undo=True), "fatal": Handling(on_failure="rollback"),
    "stopper": Handling(on_failure="halt"),
}  # fmt: skip


class Stage:
    """A run of one flow; `tell` checks the invariants after every decision, `replay` that the events alone give the state."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.state = RunState("r", self._plan(), Board({"one": Limit(1)}))
        self.events: list[ev.AnyEvent] = []
        self.commands: list[Command] = []

    def _plan(self) -> Plan:
        step = Step("flow", "", True, Reason("requested"))
        return Plan(request="flow", project="p", steps=[step], handling=dict(HANDLING))

    def tell(self, input: Input) -> list[Command]:
        decision = decide(self.state, input, Instant(self.now))
        self.events += decision.events
        self.commands = decision.commands
        assert violations(self.state) == []
        return decision.commands

    def replay(self) -> RunState:
        state = RunState("r", self._plan(), Board({"one": Limit(1)}))
        for event in self.events:
            fold(state, ev.decode(ev.encode(event)))
        assert bytes(state.status) == bytes(self.state.status)
        assert state.calls.children == self.state.calls.children
        assert state.parked == self.state.parked
        assert state.noted == self.state.noted
        return state

    def start_flow(self) -> int:
        """Let a flow begin; its token."""
        (command,) = self.tell(Offer(1.0, 1, {}, flows=True))
        assert isinstance(command, StartAttempts)
        return command.token

    def offer(self) -> list[tuple[int, int]]:
        """Let tasks begin: (step, token) of each."""
        commands = self.tell(Offer(1.0, 10, dict.fromkeys(HANDLING, 0.01)))
        return [
            (step, command.token + n)
            for command in commands
            if isinstance(command, StartAttempts)
            for n, step in enumerate(command.steps)
        ]

    def call(self, token: int, *calls: Call, step: int = 0) -> list[Command]:
        return self.tell(Called("r", step, token, calls))

    def done(self, step: int, token: int, value: bytes = b"\x01") -> list[Command]:
        return self.tell(Done("r", step, token, 0.01, value))

    def fail(self, step: int, token: int) -> list[Command]:
        return self.tell(Raised("r", step, token, 0.01, Error("raised", "no", ("builtins.ValueError",))))

    def answer(self, step: int, value: bytes, actor: str, refused: str = "", *, ago_s: int = 0) -> list[Command]:
        """Somebody's answer is heard; it was given so many seconds ago."""
        return self.tell(Resolve(step, value, actor, Instant(self.now - ago_s * 1_000_000), refused))

    def statuses(self) -> list[str]:
        return [Status(code).name.lower() for code in self.state.status]
