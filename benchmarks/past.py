"""A store with a long past: runs as they would have been recorded an hour ago, written in bulk."""

from __future__ import annotations

import time
from pathlib import Path

from legato.kernel.events import AttemptsStarted, RunEnded, StepSucceeded, encode
from legato.plan.records import Handling, Plan, Reason, Step
from legato.ports.store import Commit, Run
from legato.stores.sqlite import SqliteStore
from legato.terms.codec import pack
from legato.terms.instant import Instant

_STEPS, _BATCH = 10_000, 200


def fill(folder: Path, steps: int) -> None:
    """Record so many finished steps, in runs of 10,000."""
    store = SqliteStore(folder / ".legato" / "state.db")
    store.open_writer("benchmark")
    reason = Reason("requested")
    at = Instant(time.time_ns() // 1_000 - 3_600_000_000)  # older ones would be let go while others are measured
    plan = Plan(
        request="past", project="past", steps=[Step("noop", f"k{number:07}", True, reason) for number in range(_STEPS)],
        handling={"noop": Handling()},
    )  # fmt: skip
    body = pack(plan)
    events = []
    for first in range(0, _STEPS, _BATCH):
        events.append(encode(AttemptsStarted(at, tuple(range(first, first + _BATCH)), first + 1)))
        events += [encode(StepSucceeded(at, step, step + 1, 0.0, b"\xc0")) for step in range(first, first + _BATCH)]
    events.append(encode(RunEnded(at, "succeeded")))
    for number in range(max(1, steps // _STEPS)):
        run = Run(
            id=f"past-{number:06}", request="past", actor="past", project="past", at=at, state="succeeded",
            ended=at, steps=_STEPS, counts={"succeeded": _STEPS},
        )  # fmt: skip
        store.accept(run, body, [])
        store.commit([Commit(run_id=run.id, events=events, timings={"noop": (_STEPS, 0.1)})])
    store.close()
