"""The steps of a run, page by page."""

from __future__ import annotations

from msgspec import Struct

from legato.kernel.state import Status
from legato.plan.records import ReasonKind
from legato.ports.store import Run, Store
from legato.service.readings import Reading, Readings
from legato.terms.errors import UsageError
from legato.terms.fact import Error

_STATUSES = {status.name.lower(): status for status in Status}


class StepLine(Struct, frozen=True, kw_only=True):
    """One step: its number in the run, how it is, how often it was tried, and how the last try failed. `parent` is the flow that
    called it, -1 if the plan has it."""

    step: int
    name: str
    node: str
    partition: str
    status: str
    reason: ReasonKind
    attempts: int
    parent: int
    error: Error | None


class StepPage(Struct, frozen=True, kw_only=True):
    """Steps in the order of their numbers; `next` is the number to ask for the next page with, -1 if there is none."""

    run: str
    steps: list[StepLine]
    next: int


def list_steps(
    store: Store, run: Run, *, after: int = -1, limit: int = 200, status: str = "", node: str = "",
    readings: Readings | None = None,
) -> StepPage:  # fmt: skip
    """The steps of a run from after the given number on; of one status or node alone, where they are said."""
    if status and status not in _STATUSES:
        raise UsageError("step-status", f"{status!r} is no status of a step", why=f"they are {', '.join(_STATUSES)}")
    with (readings or Readings()).of(store, Reading, run.id) as (found,):
        return _page(found, after, limit, _STATUSES.get(status), node)


def _page(found: Reading, after: int, limit: int, wanted: Status | None, node: str) -> StepPage:
    state = found.state
    steps: list[StepLine] = []
    for index in range(after + 1, len(state.status)):
        step = state.plan.steps[index]
        if (wanted is not None and state.status[index] != wanted) or (node and step.node != node):
            continue
        if len(steps) == limit:
            return StepPage(run=state.run_id, steps=steps, next=steps[-1].step)
        steps.append(
            StepLine(
                step=index, name=found.names.of(index), node=step.node, partition=step.partition,
                status=Status(state.status[index]).name.lower(), reason=step.reason.kind, attempts=state.attempts[index],
                parent=state.calls.parent(index) if index >= state.planned else -1, error=state.errors.get(index),
            )
        )  # fmt: skip
    return StepPage(run=state.run_id, steps=steps, next=-1)
