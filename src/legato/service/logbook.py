"""The attempts of a run as its events tell them, and where their output stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.kernel.family import step_of
from legato.kernel.shelf import Shelf
from legato.plan.records import Handling, Plan
from legato.ports.store import Store
from legato.runtime.replay import read_events
from legato.service.naming import Names
from legato.service.workspace import Workspace
from legato.terms.attempt import LogSpan, Mode
from legato.terms.codec import unpack
from legato.terms.errors import NotFound
from legato.terms.fact import Error
from legato.terms.instant import Instant
from legato.terms.key import show

_CHUNK = 1 << 16
_NOT_YET = "not there yet, tried again"
_FAILED = {
    "retry": "failed, tried again", "again": "lost, tried again", "fallback": "failed, fallback next", "cancel": "cancelled",
    "stuck": "could not be undone",
}  # fmt: skip


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One attempt of a step, as the run's events tell it. `outcome` is empty while it has none, `seconds` is its own time."""

    step: int
    token: int
    node: str
    partition: str
    number: int
    mode: Mode
    started: Instant
    outcome: str = ""
    seconds: float = 0.0
    error: Error | None = None
    log: LogSpan | None = None

    @property
    def is_expected(self) -> bool:
        """Whether it failed only because its result was not there yet, and another one follows."""
        return self.outcome == _NOT_YET


class Logbook:
    """The attempts of one run. `read` takes up what was committed since the last call.

    `causes` maps a skipped step to the step that decided it, `cached` one that made nothing to the run that did; `outcome` is the
    run's own, None while it is open.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self.run_id = run_id
        self.plan = unpack(store.plan(run_id), Plan)
        self.attempts: dict[int, AttemptRecord] = {}
        self.causes: dict[int, int] = {}
        self.cached: dict[int, str] = {}
        self.outcome: ev.Outcome | None = None
        self._tries: dict[int, int] = {}
        self._newest: dict[int, int] = {}
        self._names = Names(self.plan.steps, self.plan.handling, len(self.plan.steps))
        self._shelf = Shelf(self.plan.reused)
        self._after = 0

    @property
    def size(self) -> int:
        """How many steps the run has."""
        return len(self.plan.steps)

    def read(self, store: Store) -> list[AttemptRecord]:
        """Attempts that are new or changed since the last call, in order of their tokens."""
        touched: set[int] = set()
        for number, event in read_events(store, self.run_id, self._after):
            self._after = number
            touched.update(self._take(event))
        return [self.attempts[token] for token in sorted(touched) if token in self.attempts]

    def _take(self, event: ev.AnyEvent) -> Iterable[int]:
        match event:
            case ev.AttemptsStarted():
                return [self._start(event, step, token) for token, step in enumerate(event.steps, event.token)]
            case ev.AttemptBegun():
                return self._change(event.token, log=event.log)
            case ev.StepsCalled():
                self._join(event)
            case ev.StepParked():
                return self._park(event)
            case ev.AttemptsReturned():
                return self._forget(event.steps)
            case ev.StepsSkipped():
                self.causes.update(dict.fromkeys(event.steps, event.root))
            case ev.RunResumed():
                self.outcome = None
            case ev.RunEnded():
                self.outcome = event.outcome
            case ev.StepSucceeded() | ev.AttemptFailed() | ev.StepDeclined() | ev.StepUndone() | ev.StepKeyed():
                return self._end(event)
        return ()

    def _end(self, event: ev.StepSucceeded | ev.AttemptFailed | ev.StepDeclined | ev.StepUndone | ev.StepKeyed) -> Iterable[int]:
        match event:
            case ev.StepSucceeded(cached=run) if run:
                self.cached[event.step] = run
                return ()
            case ev.StepSucceeded():
                return self._change(event.token, outcome="succeeded", seconds=event.seconds, log=event.log)
            case ev.AttemptFailed():
                waits = event.error.kind == "pending" and event.then == "retry"
                words = _NOT_YET if waits else _FAILED.get(event.then, "failed")
                return self._change(event.token, outcome=words, seconds=event.seconds, error=event.error, log=event.log)
            case ev.StepDeclined():
                return self._change(event.token, outcome="declined")
            case ev.StepUndone():
                return self._change(event.token, outcome="undone", log=event.log)
            case ev.StepKeyed():
                self._tries[event.step] -= 1
                return self._change(event.token, outcome="keyed", seconds=event.seconds, log=event.log)

    def _start(self, event: ev.AttemptsStarted, step: int, token: int) -> int:
        planned = self.plan.steps[step]
        self._tries[step] = self._tries.get(step, 0) + 1
        self._newest[step] = token
        self.attempts[token] = AttemptRecord(
            step=step, token=token, node=planned.node, partition=planned.partition, number=self._tries[step], mode=event.mode,
            started=event.at,
        )  # fmt: skip
        return token

    def _join(self, event: ev.StepsCalled) -> None:
        """What a flow calls is a step from then on, numbered after all others."""
        for call in event.calls:
            step, first = step_of(call), len(self.plan.steps)
            self.plan.steps.extend([step] * len(call.keys))
            self.plan.handling.setdefault(step.node, Handling())
            for index, key in enumerate(call.keys, first) if self.plan.reused else ():
                if (reused := self._shelf.take(event.parent, index, (step.node, step.partition), key)) is not None:
                    self.plan.steps[index] = replace(step, run=False, reason=reused.reason)

    def _park(self, event: ev.StepParked) -> list[int]:
        """A flow that waits without a process goes on with the same try."""
        self._tries[event.step] -= 1
        return self._change(event.token, outcome="parked", seconds=event.seconds, log=event.log)

    def _forget(self, steps: tuple[int, ...]) -> list[int]:
        """Attempts that were taken back are no tries; those that had begun before their conductor died may have left output."""
        kept: list[int] = []
        for step in steps:
            token = self._newest.get(step, 0)
            if token not in self.attempts or self.attempts[token].outcome:
                continue
            self._tries[step] -= 1
            if self.attempts[token].log is None:
                del self.attempts[token]
            else:
                kept += self._change(token, outcome="unfinished")
        return kept

    def _change(self, token: int, **changes: object) -> list[int]:
        if token not in self.attempts:
            return []
        self.attempts[token] = replace(self.attempts[token], **changes)
        return [token]

    def steps_of(self, text: str) -> frozenset[int]:
        """The steps that a text names, as in `Names.find`, or by a number in the plan."""
        if text.isdigit() and int(text) < len(self.plan.steps):
            return frozenset((int(text),))
        return frozenset(self._names.find(text, run=self.run_id))

    def title(self, attempt: AttemptRecord) -> str:
        """The attempt's step as people write it, with its mode if it is not just run, and its number from the second try on."""
        again = "" if attempt.number == 1 else f" (try {attempt.number})"
        return self._names.of(attempt.step) + ("" if attempt.mode == "run" else f" {attempt.mode}") + again

    def why_not(self, step: int) -> str:
        """Why a step made no attempt."""
        planned = self.plan.steps[step]
        if not planned.run:
            return str(planned.reason)
        if step in self.cached:
            return f"its result is from the cache: run {self.cached[step]} made it"
        if step not in self.causes:
            return "it has not begun" if self.outcome is None else f"the run {self.outcome.replace('_', ' ')} before it"
        root = self.causes[step]
        return "the run was halted before it" if root < 0 else f"it waited for {self.name(root)}"

    def cached_by(self, steps: frozenset[int] | None = None) -> dict[str, list[int]]:
        """Of these steps (None: of all) those that made nothing, by the run that had made their results."""
        found: dict[str, list[int]] = {}
        for step, run in self.cached.items():
            if steps is None or step in steps:
                found.setdefault(run, []).append(step)
        return found

    def name(self, step: int) -> str:
        """A step as people write it: by the asset that it makes."""
        planned = self.plan.steps[step]
        outputs = self.plan.handling[planned.node].outputs
        return show(outputs[0], planned.partition) if outputs else self._names.of(step)


def read_log(workspace: Workspace, span: LogSpan, start: int | None = None) -> Iterator[bytes]:
    """The bytes of a span, from `start` (an offset in the file) on; up to what is there now if it still grows."""
    path = _path(workspace, span)
    position = span.start if start is None else start
    try:
        with path.open("rb") as file:
            file.seek(position)
            while span.end < 0 or position < span.end:
                chunk = file.read(_CHUNK if span.end < 0 else min(_CHUNK, span.end - position))
                if not chunk:
                    return
                position += len(chunk)
                yield chunk
    except FileNotFoundError:
        raise _gone(span) from None


def last_lines(workspace: Workspace, span: LogSpan, most: int) -> list[str]:
    """The last lines of a span, read from its end."""
    path = _path(workspace, span)
    try:
        with path.open("rb") as file:
            end = span.end if span.end >= 0 else file.seek(0, 2)
            start = max(span.start, end - _CHUNK)
            file.seek(start)
            lines = file.read(end - start).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        raise _gone(span) from None
    return lines[-most:]


def _path(workspace: Workspace, span: LogSpan) -> Path:
    path = workspace.logs / Path(span.file)
    if not path.resolve().is_relative_to(workspace.logs.resolve()):
        raise NotFound("log", f"{span.file} is not a log of this project")
    return path


def _gone(span: LogSpan) -> NotFound:
    return NotFound(
        "log",
        f"the log {span.file} is gone",
        why="it is older than the project keeps logs, or somebody deleted it",
        next="legato explain keep",
    )
