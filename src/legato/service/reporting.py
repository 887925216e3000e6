"""How a run is, or how it ended: counts, what failed and why, what was skipped because of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from legato.kernel.events import SkipKind
from legato.kernel.standing import Standing, standing_of
from legato.kernel.state import FAILED, SKIPPED, RunState
from legato.ports.store import Holder, Run, Store
from legato.service.blocking import Waiting, board_of, others_of, waiting_steps
from legato.service.folding import MOST_RANGES, Folder
from legato.service.naming import Names, names_of
from legato.service.readings import Reading, Readings, Warned
from legato.service.tally import Tally
from legato.service.workspace import Workspace
from legato.terms.errors import UsageError
from legato.terms.fact import Error, Progress
from legato.terms.instant import Instant
from legato.terms.key import show

_OF_OPEN = ("running", "paused", "interrupted")
STATES = (*_OF_OPEN, "succeeded", "failed", "cancelled", "rolled_back", "partly_undone")
"""How a run is, as it is told of it; those that are not ended are `open`."""

_OPEN_PAGE = 200
MOST_METRICS = 20
"""How many metrics a report has."""


class Failure(Struct, frozen=True, kw_only=True):
    """Steps of one node that failed in the same way. `example` names the first of them; `skipped` counts what waited for any.

    `partitions` says which they are: of calls of a flow, by their names.
    """

    node: str
    partitions: str
    count: int
    example: str
    step: int
    kind: str
    message: str
    where: str
    attempts: int
    skipped: int
    held_up: str


class Skip(Struct, frozen=True, kw_only=True):
    """Steps that were skipped for another reason than a failure above them."""

    kind: SkipKind
    count: int
    names: str


class Warning(Struct, frozen=True, kw_only=True):
    """What a check that does not block said of some versions of one asset; `example` names the first, `message` is of it."""

    check: str
    asset: str
    partitions: str
    count: int
    example: str
    message: str


class Running(Struct, frozen=True, kw_only=True):
    """A step that was handed out."""

    name: str
    step: int
    since: Instant
    progress: Progress | None = None


class Measured(Struct, frozen=True, kw_only=True):
    """The newest value of a metric that a step told."""

    step: int
    name: str
    metric: str
    value: int | float
    unit: str
    at: Instant


class RunShown(Struct, frozen=True, kw_only=True):
    """What is said of a run wherever it is shown. `state` is its own, but for an open one: running, paused or interrupted.

    `counts` are all steps by status.
    """

    id: str
    request: str
    actor: str
    state: str
    at: Instant
    ended: Instant | None
    seconds: float | None
    steps: int
    counts: dict[str, int]
    cached: int = 0


class RunReport(RunShown, frozen=True, kw_only=True):
    """One run, in full.

    `not_undone` are steps that a rollback could not take back, with the errors of their undo. `metrics` are the newest ones, the
    last one last; `facts` counts all that was told.
    """

    failures: tuple[Failure, ...] = ()
    not_undone: tuple[Failure, ...] = ()
    skips: tuple[Skip, ...] = ()
    warnings: tuple[Warning, ...] = ()
    running: tuple[Running, ...] = ()
    metrics: tuple[Measured, ...] = ()
    facts: int = 0
    waiting: tuple[Waiting, ...] = ()
    backfill: Standing | None = None


class RunLine(RunShown, frozen=True, kw_only=True):
    """One run in a list."""

    domains: tuple[str, ...] = ()
    backfill: Standing | None = None


def state_in_words(run: Run, holder: Holder | None, newest: str) -> str:
    """The run's state; an open run is `paused`, or `running` if a live process works on it, else `interrupted`."""
    if run.state != "open" or run.paused:
        return "paused" if run.paused else run.state
    if holder is None:
        return "interrupted"
    if "up" in holder.command.split():  # the service has all open runs
        return "running"
    named = {"resume", "cancel", "pause"} & set(holder.command.split())
    return "running" if (run.id in holder.command if named else run.id == newest) else "interrupted"


def list_runs(
    workspace: Workspace, store: Store, *, limit: int, state: str | None = None, before: str | None = None
) -> list[RunLine]:  # fmt: skip
    """Runs, newest first; `before` is the last of the page before. `state` is a run's state, or of open ones how they are;
    `UsageError` (`run-state`) if it is neither. Of those that are open, all are looked at."""
    require_state(state)
    holder, newest = workspace.find_holder(), next((each.id for each in store.runs(limit=1)), "")
    stored, size = ("open", max(limit, _OPEN_PAGE)) if state in _OF_OPEN else (state, limit)
    lines: list[RunLine] = []
    while len(lines) < limit:
        found = store.runs(limit=size, before=before, state=stored)  # type: ignore[arg-type]
        words = ((run, state_in_words(run, holder, newest)) for run in found)
        lines += [_line(run, said) for run, said in words if state in (None, "open", said)]
        if len(found) < size:
            break
        before = found[-1].id
    return lines[:limit]


def require_state(state: str | None) -> None:
    """Refuse the name of a state that no run has."""
    if state is not None and state not in ("open", *STATES):
        raise UsageError(
            "run-state", f"{state!r} is no state of a run", why=f"they are open, {', '.join(STATES)}", next="legato runs"
        )


def report_run(workspace: Workspace, store: Store, run: Run, readings: Readings | None = None) -> RunReport:
    """How a run is, from its recorded events."""
    newest = next((each.id for each in store.runs(limit=1)), "")
    words = state_in_words(run, workspace.find_holder(), newest)
    folder, is_open = Folder(workspace.project, workspace.extents(store)), run.state == "open"
    others = others_of(store, run) if is_open else []
    with (readings or Readings()).of(store, Reading, run.id, *others) as found:
        board = board_of(workspace, store, [each.state for each in found]) if is_open else None
        waiting = () if board is None else waiting_steps(found[0].state, board, workspace.clock.now())
        return report_state(folder, run, found[0].state, words, found[0].warned, found[0].tally, waiting)


def report_state(
    folder: Folder, run: Run, state: RunState, words: str, warned: Sequence[Warned], tally: Tally,
    waiting: tuple[Waiting, ...] = (),
) -> RunReport:  # fmt: skip
    """How a run is, from its state; `words` say how it is as a whole, `waiting` what its open steps wait for."""
    line, names = _line(run, words), names_of(state)
    held_up, skips = _skips(folder, state)
    return RunReport(
        id=run.id, request=run.request, actor=run.actor, state=words, at=run.at, ended=run.ended, seconds=line.seconds,
        steps=sum(step.run for step in state.plan.steps),
        counts=state.tally(), cached=len(state.cached),
        failures=_failures(folder, state, names, [each for each in state.errors if state.status[each] == FAILED], held_up),
        not_undone=_failures(folder, state, names, state.stuck, {}), skips=skips,
        warnings=tuple(_warnings(folder, state, warned)),
        running=tuple(
            Running(name=names.of(index), step=index, since=attempt.started, progress=tally.progress.get(index))
            for index, attempt in state.running.items()
        ) if words == "running" else (),
        metrics=tuple(
            Measured(step=index, name=names.of(index), metric=each.name, value=each.value, unit=each.unit, at=each.at)
            for (index, _), each in list(tally.metrics.items())[-MOST_METRICS:]
        ), facts=tally.count,
        waiting=waiting, backfill=None if run.backfill is None else standing_of(state),
    )  # fmt: skip


def _line(run: Run, words: str) -> RunLine:
    seconds = None if run.ended is None else (run.ended - run.at) / 1e6
    return RunLine(
        id=run.id, request=run.request, actor=run.actor, state=words, at=run.at, ended=run.ended, seconds=seconds,
        steps=run.steps, counts=run.counts, cached=run.cached, domains=run.domains, backfill=run.backfill,
    )  # fmt: skip


def _warnings(folder: Folder, state: RunState, warned: Sequence[Warned]) -> Iterable[Warning]:
    makers = {asset: node for node, handling in state.plan.handling.items() for asset in handling.outputs}
    alike: dict[tuple[str, str], list[Warned]] = {}
    for ref, verdict in warned:
        alike.setdefault((ref.asset, verdict.check), []).append((ref, verdict))
    for (asset, check), same in alike.items():
        first, verdict = same[0]
        yield Warning(
            check=check, asset=asset, count=len(same), example=show(asset, first.partition), message=verdict.message,
            partitions=folder.partitions(makers.get(asset, asset), [ref.partition for ref, _ in same]),
        )  # fmt: skip


def _skips(folder: Folder, state: RunState) -> tuple[dict[int, list[int]], tuple[Skip, ...]]:
    """What failures held up, by the step that failed; and what was skipped for other reasons."""
    held_up: dict[int, list[int]] = {}
    others: dict[SkipKind, list[int]] = {}
    for index, (kind, root) in sorted(state.causes.items()):
        if state.status[index] != SKIPPED:
            continue
        if kind == "upstream" and state.status[root] == FAILED:
            held_up.setdefault(root, []).append(index)
        else:
            others.setdefault(kind, []).append(index)
    skips = (Skip(kind=kind, count=len(steps), names=_names(folder, state, steps)) for kind, steps in others.items())
    return held_up, tuple(skips)


def _failures(
    folder: Folder, state: RunState, names: Names, steps: Iterable[int], held_up: dict[int, list[int]]
) -> tuple[Failure, ...]:  # fmt: skip
    alike: dict[tuple[str, str, str], list[int]] = {}
    for index in sorted(steps):
        error = state.errors[index]
        alike.setdefault((state.plan.steps[index].node, error.kind, error.message), []).append(index)
    return tuple(_failure(folder, state, names, same, held_up) for same in alike.values())


def _failure(folder: Folder, state: RunState, names: Names, steps: Sequence[int], held_up: dict[int, list[int]]) -> Failure:
    first = steps[0]
    error: Error = state.errors[first]
    below = sorted({index for step in steps for index in held_up.get(step, ())})
    node, keys = state.plan.steps[first].node, [state.plan.steps[index].partition for index in steps]
    tries = state.fails[first] + state.losses[first] if first in state.stuck else state.attempts[first]
    return Failure(
        node=node, partitions=folder.partitions(node, keys) or _listed(names, steps), count=len(steps),
        example=names.of(first), step=first, kind=error.kind, message=error.message, where=error.where,
        attempts=max(1, tries), skipped=len(below), held_up=_names(folder, state, below),
    )  # fmt: skip


def _listed(names: Names, steps: Sequence[int]) -> str:
    """The names of a flow's calls, where there are several."""
    more = f" and {len(steps) - MOST_RANGES} more" if len(steps) > MOST_RANGES else ""
    return ", ".join(map(names.of, steps[:MOST_RANGES])) + more if len(steps) > 1 else ""


def _names(folder: Folder, state: RunState, steps: Sequence[int]) -> str:
    return folder.names((state.plan.steps[index].node, state.plan.steps[index].partition) for index in steps)
