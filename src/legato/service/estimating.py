"""How long work takes, going by earlier attempts."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from legato.plan.records import Plan

Timings = Mapping[str, tuple[int, float]]
"""By node: attempts that succeeded, and their seconds in all."""


class Estimate(Struct, frozen=True):
    """Seconds of work in a plan, as one worker would need them; `unknown` steps were never made before and are not in it."""

    seconds: float
    known: int
    unknown: int


def seconds_a_step(timings: Timings) -> dict[str, float]:
    """The mean seconds of one attempt, by node."""
    return {node: seconds / count for node, (count, seconds) in timings.items() if count}


def estimate(plan: Plan, timings: Timings) -> Estimate:
    """The work in the steps that run."""
    cost_s = seconds_a_step(timings)
    nodes = [step.node for step in plan.steps if step.run]
    known = [cost_s[node] for node in nodes if node in cost_s]
    return Estimate(sum(known), len(known), len(nodes) - len(known))
