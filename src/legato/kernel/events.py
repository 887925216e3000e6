"""What happened to a run, in past tense. A run's state is the fold of its events; nothing else changes it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from legato.plan.records import Handling
from legato.terms.attempt import Call, Fact, LogSpan, Mode, Output, Ref
from legato.terms.fact import Error
from legato.terms.instant import Instant

Then = Literal["retry", "fallback", "fail", "again", "cancel", "stuck"]
"""What follows a failed attempt: a later try, the fallback, failure, an immediate try, cancellation, or an undo given up."""

Outcome = Literal["succeeded", "failed", "cancelled", "rolled_back", "partly_undone"]
WaitEnd = Literal["over", "granted", "refused", "timed out"]
StopReason = Literal["timeout", "cancel", "calls", "depth", "pool"]
SkipKind = Literal["upstream", "halted", "condition", "blocked"]


class Event(Struct, frozen=True, array_like=True, omit_defaults=True, tag=str.lower):
    """Anything that happened, at an instant."""

    at: Instant


class AttemptsStarted(Event, frozen=True):
    """These steps were handed out; the first has token `token`, each further one the next number."""

    steps: tuple[int, ...]
    token: int
    mode: Mode = "run"


class AttemptBegun(Event, frozen=True):
    """The attempt reached user code; its output grows from `log` on. Recorded only for attempts that last."""

    step: int
    token: int
    log: LogSpan | None = None


class StepSucceeded(Event, frozen=True):
    """The step's result is recorded, its outputs are published by the same commit. `previous` are the versions they replace."""

    step: int
    token: int
    seconds: float
    value: bytes | None = None
    kept: Ref | None = None
    outputs: tuple[Output, ...] = ()
    previous: tuple[str, ...] = ()
    log: LogSpan | None = None
    cached: str = ""
    """The run that made the result, where it is an earlier one: then there was no attempt (token 0)."""


class StepKeyed(Event, frozen=True):
    """The step's own function has said under what its result is found among those of earlier runs; it is ready again."""

    step: int
    token: int
    key: str
    seconds: float = 0.0
    log: LogSpan | None = None


class AttemptFailed(Event, frozen=True):
    """The attempt failed; `then` says what follows, at `due` where it waits (after `delay_s`). `outputs` are quarantined."""

    step: int
    token: int
    error: Error
    then: Then
    seconds: float = 0.0
    due: Instant = Instant(0)
    delay_s: float = 0.0
    outputs: tuple[Output, ...] = ()
    log: LogSpan | None = None


class AttemptStopping(Event, frozen=True):
    """The attempt is being stopped with its whole process group; its end is awaited."""

    step: int
    token: int
    why: StopReason


class AttemptsReturned(Event, frozen=True):
    """These steps are ready again at no cost: their attempts never began, or their conductor is gone."""

    steps: tuple[int, ...]


class StepDeclined(Event, frozen=True):
    """The step's own condition said no."""

    step: int
    token: int


class StepsSkipped(Event, frozen=True):
    """These steps will not run; `root` is the step that decided it (-1: none)."""

    steps: tuple[int, ...]
    kind: SkipKind
    root: int = -1


class StepsCancelled(Event, frozen=True):
    """These steps had not started when the run was cancelled."""

    steps: tuple[int, ...]


class RunHalted(Event, frozen=True):
    """A step failed that halts the run: no new step starts. With `rollback` what was completed is undone next."""

    root: int
    rollback: bool = False


class CodeChanged(Event, frozen=True):
    """The run goes on with other code of these nodes: their fingerprints from now on."""

    code: dict[str, str]


class StepsCalled(Event, frozen=True):
    """A flow called these: they are steps of the run from now on, numbered after all others, key by key.

    `handling` is of nodes that the plan did not know: they joined the project after the run was accepted. A call whose key is
    known takes the place of the step that had it: what that recorded was of other code.
    """

    parent: int
    calls: tuple[Call, ...]
    handling: dict[str, Handling] = {}


class StepsRevived(Event, frozen=True):
    """A flow that was resumed called these again, each by the call beside it; they did not succeed before, or were undone, and
    are tried anew."""

    steps: tuple[int, ...]
    calls: tuple[Call, ...]


class StepParked(Event, frozen=True):
    """A flow gave its process back until one of these steps has its outcome."""

    step: int
    token: int
    seconds: float
    on: tuple[int, ...]
    log: LogSpan | None = None


class FactsNoted(Event, frozen=True):
    """The attempt told these facts. `keys` are of a flow: what it tells under them is not recorded again (0: it is)."""

    step: int
    token: int
    facts: tuple[Fact, ...]
    keys: tuple[int, ...] = ()


class WaitEnded(Event, frozen=True):
    """What a flow waited for has come (a refusal is an answer, too: its value is false), or will not come: it timed out."""

    step: int
    end: WaitEnd
    value: bytes = b"\xc0"
    actor: str = ""
    note: str = ""


class SignalCame(Event, frozen=True):
    """A signal reached the run. What waited for it has ended; if nothing did, it is `kept` for the first that asks."""

    id: str
    name: str
    value: bytes
    actor: str
    kept: bool


class CancelRequested(Event, frozen=True):
    """Somebody asked to stop the run."""

    actor: str
    reason: str = ""


class RunPaused(Event, frozen=True):
    """Somebody asked that the run stand still: no new attempt starts, what is under way ends."""

    actor: str
    reason: str = ""


class RunUnpaused(Event, frozen=True):
    """The run goes on where it stood still."""

    actor: str


class StepUndone(Event, frozen=True):
    """What the step did is undone: by its own undo, and by publishing again what its outputs had replaced."""

    step: int
    token: int = 0
    log: LogSpan | None = None


class RunResumed(Event, frozen=True):
    """An ended run goes on: these steps, which failed, were skipped or cancelled, wait again."""

    actor: str
    steps: tuple[int, ...]


class RunEnded(Event, frozen=True):
    """Every step has its outcome."""

    outcome: Outcome


AnyEvent = (
    AttemptsStarted | AttemptBegun | StepSucceeded | StepKeyed | AttemptFailed | AttemptStopping | AttemptsReturned
    | StepDeclined | CodeChanged | StepsCalled | StepsRevived | StepParked | FactsNoted | WaitEnded | SignalCame | StepsSkipped
    | StepsCancelled | RunHalted | CancelRequested | RunPaused | RunUnpaused | StepUndone | RunResumed | RunEnded
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
encode = _encoder.encode
decode = _decoder.decode
