"""Backfills: what they will cost going by history, and how far each of them is."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from legato.kernel.standing import Standing
from legato.plan.records import Backfill, Order, Plan
from legato.ports.store import Head, Run, Store
from legato.service.estimating import Timings, estimate, seconds_a_step
from legato.service.folding import Folder
from legato.service.reporting import state_in_words
from legato.service.workspace import Workspace
from legato.terms.errors import NotFound
from legato.terms.instant import Instant
from legato.terms.key import show

_A_PAGE = 200


class Part(Struct, frozen=True, kw_only=True):
    """What a backfill makes of one node: which partitions, how long one takes, how large it is (None: nobody knows yet)."""

    node: str
    partitions: str
    count: int
    seconds: float | None
    size_bytes: float | None
    rows: float | None


class Preview(Struct, frozen=True, kw_only=True):
    """What a backfill would do. `fresh` are skipped, `blocked` cannot be made; `first` and `last` say where it begins and ends.

    `work_s` is as one worker would need it, `lasts_s` with those that it may use, if nothing else is to be done.

    `unknown` steps were never made before, and are in no estimate; of `unsized` ones nobody knows how large they are.
    """

    request: str
    requested: int
    fresh: int
    blocked: int
    parts: tuple[Part, ...]
    order: Order
    first: str
    last: str
    at_once: int
    urgent: bool
    work_s: float
    lasts_s: float
    unknown: int
    size_bytes: float
    unsized: int


def foresee_backfill(workspace: Workspace, store: Store | None, folder: Folder, plan: Plan) -> Preview:
    """What a backfill of this plan will do and cost, going by what was made before."""
    backfill = plan.backfill or Backfill()
    timings: Timings = store.timings() if store is not None else {}
    heads = store.heads(sorted({asset for each in plan.handling.values() for asset in each.outputs})) if store is not None else {}
    parts = _parts(plan, timings, heads, folder)
    size_bytes = sum((each.size_bytes or 0.0) * each.count for each in parts)
    work, lanes = estimate(plan, timings), _lanes(workspace, backfill)
    kinds = [step.reason.kind for step in plan.steps]
    turns = [index for index in backfill.turns or range(len(plan.steps)) if plan.steps[index].run]
    named = [show(plan.steps[index].node, plan.steps[index].partition) for index in (*turns[:1], *turns[-1:])]
    return Preview(
        request=plan.request, requested=plan.size + kinds.count("blocked"), fresh=kinds.count("fresh"),
        blocked=kinds.count("blocked"), parts=parts, order=backfill.order, first=named[0] if named else "",
        last=named[-1] if named else "", at_once=lanes, urgent=backfill.urgent, work_s=work.seconds,
        lasts_s=work.seconds / lanes, unknown=work.unknown, size_bytes=size_bytes,
        unsized=sum(each.count for each in parts if each.size_bytes is None and plan.handling[each.node].outputs),
    )  # fmt: skip


def _lanes(workspace: Workspace, backfill: Backfill) -> int:
    """How many steps it may have under way: a service leaves one of its workers free, unless it is urgent."""
    free = workspace.workers - 1 if not backfill.urgent and workspace.is_served else workspace.workers
    return min(max(1, free), backfill.at_once or workspace.workers)


def _parts(plan: Plan, timings: Timings, heads: Mapping[str, Mapping[str, Head]], folder: Folder) -> tuple[Part, ...]:
    cost_s = seconds_a_step(timings)
    keys: dict[str, list[str]] = {}
    for step in plan.steps:
        if step.run:
            keys.setdefault(step.node, []).append(step.partition)
    parts = []
    for node, found in keys.items():
        refs = [[head.ref for head in heads.get(asset, {}).values()] for asset in plan.handling[node].outputs]
        sizes = [sum(ref.size_bytes for ref in each) / len(each) for each in refs if each]
        rows = [sum(ref.rows for ref in each) / len(each) for each in refs if each and all(ref.rows >= 0 for ref in each)]
        parts.append(
            Part(
                node=node, partitions=folder.partitions(node, found), count=len(found), seconds=cost_s.get(node),
                size_bytes=sum(sizes) if sizes else None, rows=sum(rows) if rows else None,
            )
        )  # fmt: skip
    return tuple(parts)


class BackfillLine(Struct, frozen=True, kw_only=True):
    """A backfill, and how far it is. `state` is the run's own, but for an open one: running, paused or interrupted."""

    id: str
    request: str
    actor: str
    state: str
    at: Instant
    ended: Instant | None
    standing: Standing
    domains: tuple[str, ...] = ()


def list_backfills(
    workspace: Workspace, store: Store, *, limit: int, before: str | None = None, state: str | None = None
) -> list[BackfillLine]:  # fmt: skip
    """Backfills, newest first; `before` is the last of the page before. Of one state they are looked for among all there are."""
    holder, newest = workspace.find_holder(), next((each.id for each in store.runs(limit=1)), "")
    lines: list[BackfillLine] = []
    size = limit if state is None else max(limit, _A_PAGE)
    while len(lines) < limit:
        found = store.backfills(limit=size, before=before)
        made = [_line(run, run.backfill, state_in_words(run, holder, newest)) for run in found if run.backfill is not None]
        lines += [line for line in made if state in (None, line.state)]
        if len(found) < size:
            break
        before = found[-1].id
    return lines[:limit]


def describe_backfill(workspace: Workspace, store: Store, run: Run) -> BackfillLine:
    """How far a backfill is, from its row alone; `NotFound` (`run`) of any other run."""
    if run.backfill is None:
        raise NotFound("run", f"run {run.id} is no backfill", next=f"legato status {run.id}")
    newest = next((each.id for each in store.runs(limit=1)), "")
    return _line(run, run.backfill, state_in_words(run, workspace.find_holder(), newest))


def _line(run: Run, standing: Standing, words: str) -> BackfillLine:
    return BackfillLine(
        id=run.id, request=run.request, actor=run.actor, state=words, at=run.at, ended=run.ended, standing=standing,
        domains=run.domains,
    )  # fmt: skip
