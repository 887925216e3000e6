"""Why an asset partition is as it is, and what to do about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from legato.plan.records import Reason, Step
from legato.ports.store import Head, Store, Trouble, Version
from legato.runtime.conductor import read_state
from legato.service.planning import Planner, Request
from legato.service.workspace import Workspace
from legato.terms.attempt import Ref
from legato.terms.fact import Verdict
from legato.terms.key import show

State = Literal["fresh", "stale", "failed", "quarantined", "held up", "never made", "blocked", "observed", "kept nowhere"]


class Why(Struct, frozen=True, kw_only=True):
    """One asset partition: its state, the reason in words, what readers see now, what went wrong, what to do next.

    `offending` are queries that show the rows which a failed check speaks of; `root` is the asset partition to look at next.
    """

    asset: str
    partition: str
    state: State
    reason: str
    published: Head | None = None
    trouble: Trouble | None = None
    verdicts: tuple[Verdict, ...] = ()
    offending: tuple[str, ...] = ()
    root: str = ""
    next: tuple[str, ...] = ()


class Overview(Struct, frozen=True, kw_only=True):
    """A partitioned asset as a whole: its partitions by state, and each one that is neither fresh nor just never made."""

    asset: str
    counts: dict[str, int]
    notable: tuple[Why, ...] = ()


def explain_asset(workspace: Workspace, store: Store, text: str) -> Why | Overview:
    """Why `ASSET` or `ASSET@PARTITION` is as it is."""
    asset, partition = workspace.key(text, store)
    planner = Planner(workspace, store)
    node = workspace.node(asset)
    steps = [step for step in planner.plan(Request(text)).steps if step.node == node.name]
    troubles = {each.partition: each for each in store.troubles([asset])}
    if partition or node.partitions is None:
        return _explain(workspace, store, asset, steps[0], troubles.get(partition))
    states = [(step, _state(node.kind, step.reason, troubles.get(step.partition))) for step in steps]
    counts: dict[str, int] = {}
    for _, state in states:
        counts[state] = counts.get(state, 0) + 1
    quiet = ("fresh", "never made", "observed", "kept nowhere")
    notable = [_explain(workspace, store, asset, step, troubles.get(step.partition)) for step, state in states if state not in quiet]
    return Overview(asset=asset, counts=counts, notable=tuple(notable))


def _state(kind: str, reason: Reason, trouble: Trouble | None) -> State:
    if kind == "source":
        return "observed" if reason.kind == "observed" else "blocked"
    if trouble is not None and reason.kind != "fresh":
        by_kind: dict[str, State] = {"gate": "quarantined", "upstream": "held up", "halted": "held up"}
        return by_kind.get(trouble.kind, "failed")
    if kind == "task":
        return "kept nowhere"
    states: dict[str, State] = {"fresh": "fresh", "missing": "never made", "blocked": "blocked"}
    return states.get(reason.kind, "stale")


def _explain(workspace: Workspace, store: Store, asset: str, step: Step, trouble: Trouble | None) -> Why:
    node = workspace.node(asset)
    state = _state(node.kind, step.reason, trouble)
    troubled = trouble if state in ("failed", "quarantined", "held up") else None
    version = store.version(asset, step.partition, troubled.version) if troubled and troubled.version else None
    failed = tuple(verdict for verdict in version.verdicts if not verdict.passed) if version else ()
    root = _root(store, troubled) if troubled and troubled.kind == "upstream" else ""
    return Why(
        asset=asset, partition=step.partition, state=state, root=root, verdicts=failed, trouble=troubled,
        reason=troubled.message if troubled else str(step.reason),
        published=store.head(asset, step.partition),
        offending=_offending(workspace, version, failed) if version else (),
        next=_next(show(asset, step.partition), state, step.reason, troubled, root),
    )  # fmt: skip


def _root(store: Store, trouble: Trouble) -> str:
    """The asset partition whose failure held this one up."""
    state = read_state(store, trouble.run)
    _, root = state.causes.get(trouble.step, ("", -1))
    if root < 0:
        return ""
    step = state.plan.steps[root]
    outputs = state.plan.handling[step.node].outputs
    return show(outputs[0] if outputs else step.node, step.partition)


def _offending(workspace: Workspace, version: Version, failed: tuple[Verdict, ...]) -> tuple[str, ...]:
    """Queries for the offending rows, over the quarantined version's own file: no other name leads to it."""
    path = path_of(workspace, version.ref)
    if not path or version.ref.format != "parquet":
        return ()
    quoted = path.replace("'", "''")
    return tuple(f"select * from read_parquet('{quoted}') where {verdict.where}" for verdict in failed if verdict.where)


def path_of(workspace: Workspace, ref: Ref) -> str:
    """The file of a stored version; empty where its storage has none."""
    from pathlib import Path

    storage = workspace.storages.get(ref.storage)
    if storage is None:
        return ""
    found = storage.load((ref,), Path)
    return str(found)


def _next(name: str, state: State, reason: Reason, trouble: Trouble | None, root: str) -> tuple[str, ...]:
    if state == "held up" and trouble is not None:
        return (f"legato why {root}" if root else f"legato status {trouble.run}", f"legato run +{name}")
    if state in ("failed", "quarantined") and trouble is not None:
        return (f"legato logs {trouble.run} {name}", f"legato versions {name}", f"legato resume {trouble.run}", f"legato run +{name}")
    if state == "blocked":
        return (f"legato run +{name}",)
    if state in ("stale", "never made"):
        return (f"legato plan +{name}", f"legato run +{name}")
    return ()
