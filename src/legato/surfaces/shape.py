"""The one shape of each answer as data: what `--json` prints is what the API sends."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from legato.terms.errors import InvalidProject, LegatoError
from legato.terms.instant import Instant, to_datetime

if TYPE_CHECKING:
    from legato.plan.records import Plan
    from legato.service.estimating import Timings


def encode(value: Any) -> bytes:
    """A value as JSON: records as objects, instants as ISO 8601 in UTC."""
    return msgspec.json.encode(as_plain(value), enc_hook=str)


def as_plain(value: Any) -> Any:
    """A value with its records as dicts by field name, whatever is most compact for the store."""
    if isinstance(value, msgspec.Struct):
        instants = instants_of(type(value))
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: to_datetime(each) if name in instants and each is not None else as_plain(each) for name, each in fields}
    if isinstance(value, dict):
        return {str(key): as_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_plain(each) for each in value]
    return value


@cache
def instants_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a record that are instants."""
    return frozenset(each.name for each in msgspec.structs.fields(kind) if each.type in (Instant, Instant | None))


def error_record(error: LegatoError) -> dict[str, Any]:
    """An error: code, what, where, why, next, and the faults of a project."""
    faults = error.faults if isinstance(error, InvalidProject) else []
    where = str(error.where) if error.where else ""
    return {"code": error.code, "what": error.what, "where": where, "why": error.why, "next": error.next, "faults": faults}


def plan_record(plan: Plan, timings: Timings) -> dict[str, Any]:
    """A plan: how much runs and how long it may take, every step with its reason, and what is reused of earlier runs."""
    from legato.service.estimating import estimate

    steps = [
        {"node": step.node, "partition": step.partition, "action": "run" if step.run else "skip", "reason": step.reason.kind,
         "detail": step.reason.detail}
        for step in plan.steps
    ]  # fmt: skip
    work = estimate(plan, timings)
    reused = [
        {"step": each.name, "node": each.node, "partition": each.partition, "run": each.run, "pinned": each.pinned,
         "answered_by": each.actor, "changed": each.changed}
        for each in plan.reused
    ]  # fmt: skip
    return {
        "request": plan.request, "run": plan.size, "skip": len(plan.steps) - plan.size,
        "estimate": {"work_seconds": work.seconds, "steps_known": work.known, "steps_unknown": work.unknown}, "steps": steps,
        "reused": reused, "notes": plan.notes,
    }  # fmt: skip
