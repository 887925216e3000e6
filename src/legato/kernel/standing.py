"""How far a run is, in four numbers that always add up to what was requested, known without looking at any step."""

from __future__ import annotations

from msgspec import Struct

from legato.kernel.state import CANCELLED, FAILED, FRESH, SKIPPED, SUCCEEDED, UNDONE, RunState
from legato.plan.records import Plan


class Standing(Struct, frozen=True, array_like=True):
    """The steps of a run by what became of them. What was fresh before is not requested.

    `done` are made, or there was nothing to make. `failed` are also those that fell with a failure, that had no input, or that
    were taken back. Everything else is `cancelled`, or `pending`.
    """

    requested: int
    done: int
    failed: int
    cancelled: int
    pending: int


def standing_of(state: RunState) -> Standing:
    """How far the run is."""
    counts, spared = state.counts, len(state.spared)
    return Standing(
        requested=len(state.status) - counts[FRESH],
        done=counts[SUCCEEDED] + spared,
        failed=counts[FAILED] + counts[UNDONE] + counts[SKIPPED] - spared,
        cancelled=counts[CANCELLED],
        pending=state.open,
    )


def standing_before(plan: Plan) -> Standing:
    """How far a run of this plan is before anything has happened."""
    blocked = sum(step.reason.kind == "blocked" for step in plan.steps)
    return Standing(plan.size + blocked, 0, blocked, 0, plan.size)
