"""What flows wait for, and how somebody's answer reaches them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from legato.kernel import events as ev
from legato.kernel.blocked import begun_by
from legato.kernel.budget import poll_s
from legato.kernel.family import dues_of_waits
from legato.kernel.state import BACKOFF, READY, RUNNING
from legato.plan.records import Plan
from legato.ports.store import Run, Store
from legato.runtime.replay import read_events
from legato.service.actor import actor
from legato.service.finding import find_run
from legato.service.inbox import Inbox, Resolution, Signalling
from legato.service.readings import Reading, Readings
from legato.service.reporting import list_runs
from legato.service.shell import command
from legato.service.workspace import Workspace
from legato.terms.attempt import Wait
from legato.terms.codec import pack, unpack
from legato.terms.errors import Forbidden, NotFound, UsageError
from legato.terms.instant import Instant, to_datetime

MOST_SIGNAL_BYTES = 64 * 2**10
_MOST_RUNS = 1_000
_ENDS: dict[ev.WaitEnd, str] = {"over": "was over", "granted": "was granted", "refused": "was refused", "timed out": "timed out"}


class Waiting(Struct, frozen=True, kw_only=True):
    """One thing that a flow waits for: a sleep until a time, an approval (a question, and who may answer), a signal, or the next
    poll of a job elsewhere (by the steps that ask and that began it).

    `until` is when a sleep is over, an approval or signal comes too late, or a job is polled (None: now). `answered` is who has
    answered, where no process has heard of that yet.
    """

    run: str
    step: int
    flow: str
    kind: str
    name: str
    who: str
    until: Instant | None
    state: str
    answered: str = ""


class Answered(Struct, frozen=True, kw_only=True):
    """What somebody answered. `heard` says that the run goes on with it; else that it does when it is resumed.

    `kept` are open runs in which nothing waits for the signal yet: it is there when something does. `requests` are the runs and
    the names under which this was left for their conductor.
    """

    waits: tuple[Waiting, ...]
    actor: str
    heard: bool = False
    kept: tuple[str, ...] = ()
    requests: tuple[tuple[str, str], ...] = ()


def list_waits(
    workspace: Workspace, store: Store, run: Run | None = None, readings: Readings | None = None
) -> list[Waiting]:  # fmt: skip
    """All that the flows of open runs wait for, or those of one run, as recorded; the oldest run first."""
    words = {line.id: line.state for line in list_runs(workspace, store, limit=_MOST_RUNS, state="open")}
    runs = [run] if run is not None else store.runs(limit=_MOST_RUNS, state="open")
    answered, readings = Inbox(workspace.inbox).answered(), readings or Readings()
    return [
        msgspec.structs.replace(wait, answered=answered.get((wait.run, wait.name if wait.kind == "signal" else wait.step), ""))
        for each in reversed(runs) for wait in _waits(store, readings, each, words.get(each.id, each.state))
    ]  # fmt: skip


def approve(workspace: Workspace, store: Store, run: Run, question: str | None, *, yes: bool, reason: str) -> Answered:
    """Answer the approval that a run waits for, yes or no. The reason is kept with the run.

    `Forbidden` (`approval-who`) if it is for others to say. Of several with the same question the oldest is answered.
    """
    waits = [each for each in list_waits(workspace, store, run) if each.kind == "approval" and question in (None, each.name)]
    if not waits:
        raise _nothing_waits(store, run, "approval", question)
    if len({each.name for each in waits}) > 1:
        raise UsageError(
            "wait-ambiguous", f"run {run.id} waits for {len(waits)} approvals", why="\n".join(each.name for each in waits),
            next=command("legato", "approve", run.id, waits[0].name),
        )  # fmt: skip
    open_waits = _unanswered(_in_time(workspace, waits))
    first = open_waits[0]
    require_answerer(first.run, first.name, first.who, actor(), _groups())
    return _leave(workspace, open_waits[:1], pack(yes), reason)


def signal(workspace: Workspace, store: Store, name: str, run: Run | None, value: object) -> Answered:
    """Send a signal to every open run that has flows, or to one: it ends what waits for it, or is kept until something does."""
    runs = [run] if run is not None else [each for each in store.runs(limit=_MOST_RUNS, state="open") if _has_flows(store, each)]
    if not runs:
        why = "a signal reaches the runs that are open when it is sent"
        raise NotFound("signal-none", f"no run is open that could wait for a signal {name!r}", why=why, next="legato runs")
    body = pack(value)
    require_size(name, body)
    waits = [each for one in runs for each in list_waits(workspace, store, one) if (each.kind, each.name) == ("signal", name)]
    now, who, inbox = workspace.clock.now(), actor(), Inbox(workspace.inbox)
    waits = [each for each in waits if each.until is None or each.until > now]
    requests = tuple((each.id, inbox.leave(Signalling(each.id, name, body, who, now), workspace.clock)) for each in runs)
    kept = tuple(each.id for each in runs if each.id not in {wait.run for wait in waits})
    return Answered(waits=tuple(waits), actor=who, kept=kept, requests=requests)


def require_size(name: str, body: bytes) -> None:
    """Refuse a signal that is too large to be kept in a run's record."""
    if len(body) > MOST_SIGNAL_BYTES:
        raise UsageError(
            "signal-size", f"the signal {name!r} holds {len(body):,} bytes, more than {MOST_SIGNAL_BYTES:,}",
            why="it is kept in the run's record", next="store the data, and send where it is",
        )  # fmt: skip


def unheard(workspace: Workspace, store: Store, answered: Answered) -> dict[str, bool]:
    """The runs in which it is not recorded yet what became of it, and whether a process works on them."""
    inbox = Inbox(workspace.inbox)
    left = {run for run, name in answered.requests if not inbox.is_heard(name)}
    live = {line.id for line in list_runs(workspace, store, limit=_MOST_RUNS, state="running")} if left else set()
    return {run: run in live for run in left}


def run_of(store: Store, text: str) -> Run:
    """The open run of this name."""
    run = find_run(store, text)
    if run.state != "open":
        raise UsageError("run-ended", f"run {run.id} has {run.state}: it waits for nothing", next=f"legato status {run.id}")
    return run


def _waits(store: Store, readings: Readings, run: Run, words: str) -> Iterable[Waiting]:
    if run.state != "open":
        return ()
    with readings.of(store, Reading, run.id) as (found,):
        return list(_waits_of(found, run, words))


def _waits_of(found: Reading, run: Run, words: str) -> Iterator[Waiting]:
    state, names = found.state, found.names
    if not any(each.flow for each in state.plan.handling.values()):
        return
    dues = dues_of_waits(state)
    for step, wait in state.held().items():
        yield Waiting(
            run=run.id, step=step, flow=names.of(state.calls.parent(step)), kind=wait.kind, name=wait.name, who=wait.who,
            until=dues.get(step), state=words,
        )  # fmt: skip
    for step in range(state.planned, len(state.status)):
        if state.status[step] in (READY, RUNNING, BACKOFF) and poll_s(state, step) is not None:
            yield Waiting(
                run=run.id, step=step, flow=names.of(state.calls.parent(step)), kind="poll", who="",
                name=f"{names.of(step)} of {begun_by(state, step)}", until=state.backoff.get(step), state=words,
            )  # fmt: skip


def _has_flows(store: Store, run: Run) -> bool:
    return any(each.flow for each in unpack(store.plan(run.id), Plan).handling.values())


def _leave(workspace: Workspace, waits: Sequence[Waiting], value: bytes, reason: str) -> Answered:
    inbox, who, clock = Inbox(workspace.inbox), actor(), workspace.clock
    asked = [Resolution(each.run, each.step, value, who, clock.now(), reason) for each in waits]
    return Answered(waits=tuple(waits), actor=who, requests=tuple((each.run, inbox.leave(each, clock)) for each in asked))


def _in_time(workspace: Workspace, waits: Sequence[Waiting]) -> list[Waiting]:
    """Those that can still be answered; refused if it is too late for all of them, and no process has seen that yet."""
    now = workspace.clock.now()
    left = [each for each in waits if each.until is None or each.until > now]
    if not left and waits[0].until is not None:
        raise UsageError(
            "wait-over", f"{waits[0].name!r} could be answered until {to_datetime(waits[0].until):%Y-%m-%d %H:%M:%S} UTC",
            why=f"run {waits[0].run} has not gone on since", next=f"legato resume {waits[0].run}",
        )  # fmt: skip
    return left


def _unanswered(waits: Sequence[Waiting]) -> list[Waiting]:
    """Those that nobody has answered; refused if somebody has answered all of them, and nobody has heard of it yet."""
    left = [each for each in waits if not each.answered]
    if not left:
        first = waits[0]
        raise UsageError(
            "wait-answered", f"{first.answered} has answered {first.name!r} already",
            why=f"run {first.run} has not gone on since", next=f"legato resume {first.run}",
        )  # fmt: skip
    return left


def require_answerer(run: str, question: str, wanted: str, who: str, groups: Container[str]) -> None:
    """Refuse an answer by somebody who is neither the user nor in the group that is asked."""
    if wanted and who != wanted and wanted not in groups:
        raise Forbidden(
            "approval-who", f"{question!r} is for {wanted} to approve", why=f"you are {who}, and in no group of that name",
            next=f"ask {wanted} to run: {command('legato', 'approve', run, question)}",
        )  # fmt: skip


def _groups() -> set[str]:
    """The names of the groups that this process's user is in."""
    import grp

    names = set()
    for number in {os.getgid(), *os.getgroups()}:
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:  # a group without a name
            continue
    return names


def _nothing_waits(store: Store, run: Run, kind: str, name: str | None) -> NotFound:
    """That nothing waits, and what became of what did."""
    former: dict[int, Wait] = {}
    told = ""
    number = len(unpack(store.plan(run.id), Plan).steps)
    for event in _events(store, run.id):
        if isinstance(event, ev.StepsCalled):
            for call in event.calls:
                if call.wait is not None:
                    former[number] = call.wait
                number += len(call.keys)
        elif isinstance(event, ev.WaitEnded) and _is_of(former.get(event.step), kind, name):
            told = f"{former[event.step].name!r} {_ENDS[event.end]}{f' by {event.actor}' if event.actor else ''}"
            told += f" at {to_datetime(event.at):%Y-%m-%d %H:%M:%S} UTC{f' ({event.note})' if event.note else ''}"
    named = f"{kind} {name!r}" if name else kind
    return NotFound("wait-none", f"run {run.id} waits for no {named}", why=told, next="legato waits")


def _is_of(wait: Wait | None, kind: str, name: str | None) -> bool:
    return wait is not None and wait.kind == kind and name in (None, wait.name)


def _events(store: Store, run: str) -> Iterator[ev.AnyEvent]:
    return (event for _, event in read_events(store, run))
