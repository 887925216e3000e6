"""What attempts wrote to their standard output and error: by run and step, finished or still growing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.plan.records import Plan
from legato.ports.store import Store
from legato.service.workspace import Workspace
from legato.terms.attempt import LogSpan, Mode
from legato.terms.codec import unpack
from legato.terms.errors import NotFound
from legato.terms.fact import Error
from legato.terms.instant import Instant
from legato.terms.key import show, split

_CHUNK = 1 << 20


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One attempt of a step, as the run's events tell it. `outcome` is empty while it runs, `seconds` is its own time."""

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
    def name(self) -> str:
        """The step as people write it, with the attempt's number from the second one on."""
        again = "" if self.number == 1 else f" (try {self.number})"
        return show(self.node, self.partition) + ("" if self.mode == "run" else f" {self.mode}") + again


class Logbook:
    """The attempts of one run. `read` takes up what was committed since the last call."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self.run_id = store, run_id
        self.plan = unpack(store.plan(run_id), Plan)
        self.attempts: dict[int, AttemptRecord] = {}
        self._tries: dict[int, int] = {}
        self._after = 0
        self.ended: ev.Outcome | None = None

    def read(self) -> list[AttemptRecord]:
        """Attempts that are new or changed since the last call, in order of their tokens."""
        touched: set[int] = set()
        for number, body in self._store.events(self.run_id, self._after):
            self._after = number
            touched.update(self._take(ev.decode(body)))
        return [self.attempts[token] for token in sorted(touched)]

    def _take(self, event: ev.AnyEvent) -> Iterable[int]:
        if isinstance(event, ev.AttemptsStarted):
            return [self._start(event, step, token) for token, step in enumerate(event.steps, event.token)]
        if isinstance(event, ev.RunEnded):
            self.ended = event.outcome
        elif isinstance(event, ev.RunResumed):
            self.ended = None
        elif isinstance(event, ev.AttemptsReturned):
            self._forget(event.steps)
        elif isinstance(event, ev.AttemptBegun):
            return self._change(event.token, log=event.log)
        elif isinstance(event, ev.StepSucceeded):
            return self._change(event.token, outcome="succeeded", seconds=event.seconds, log=event.log)
        elif isinstance(event, ev.AttemptFailed):
            outcome = {"retry": "failed, to be tried again", "again": "lost, to be tried again", "fallback": "failed, fallback next"}
            words = outcome.get(event.then, "failed")
            return self._change(event.token, outcome=words, seconds=event.seconds, error=event.error, log=event.log)
        elif isinstance(event, ev.StepDeclined):
            return self._change(event.token, outcome="declined")
        elif isinstance(event, ev.StepUndone):
            return self._change(event.token, outcome="undone", log=event.log)
        return ()

    def _start(self, event: ev.AttemptsStarted, step: int, token: int) -> int:
        planned = self.plan.steps[step]
        self._tries[step] = self._tries.get(step, 0) + 1
        self.attempts[token] = AttemptRecord(
            step=step, token=token, node=planned.node, partition=planned.partition, number=self._tries[step], mode=event.mode,
            started=event.at,
        )  # fmt: skip
        return token

    def _forget(self, steps: tuple[int, ...]) -> None:
        """Attempts that never began are no tries."""
        for token in [token for token, each in self.attempts.items() if each.step in steps and not each.outcome]:
            self._tries[self.attempts[token].step] -= 1
            del self.attempts[token]

    def _change(self, token: int, **changes: object) -> list[int]:
        if token not in self.attempts:
            return []
        self.attempts[token] = replace(self.attempts[token], **changes)
        return [token]

    def matching(self, attempts: Iterable[AttemptRecord], step: str) -> list[AttemptRecord]:
        """Those of a step: `NODE`, `NODE@PARTITION`, an asset that the node makes, or the step's number in the plan."""
        name, partition = split(step)
        makers = {node for node, handling in self.plan.handling.items() if name in (node, *handling.outputs)}
        if step.isdigit() and int(step) < len(self.plan.steps):
            return [each for each in attempts if each.step == int(step)]
        if not makers:
            raise NotFound("step", f"run {self.run_id} has no step {step!r}", next=f"legato status {self.run_id}")
        return [each for each in attempts if each.node in makers and partition in ("", each.partition)]


def read_log(workspace: Workspace, span: LogSpan, start: int | None = None) -> Iterator[bytes]:
    """The bytes of a span, from `start` (an offset in the file) on; up to what is there now if it still grows."""
    path = workspace.logs / Path(span.file)
    if not path.resolve().is_relative_to(workspace.logs.resolve()):
        raise NotFound("log", f"{span.file} is not a log of this project")
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
        raise NotFound("log", f"the log {span.file} is gone", why="somebody deleted files below .legato/logs") from None
