"""`legato cancel`: stop a run, whoever works on it."""

from __future__ import annotations

import time

import click

from legato.ports.store import Run, Store
from legato.service.actor import actor
from legato.service.asks import CancelRun, Heard
from legato.service.finding import find_run
from legato.service.guest import ask
from legato.service.inbox import Cancellation, Inbox
from legato.service.planning import Planner
from legato.service.reporting import report_run
from legato.service.running import session
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import when
from legato.surfaces.cli.summary import in_counts, in_words
from legato.terms.errors import Unreachable, UsageError

PATIENCE_S, LOOK_EVERY_S = 10.0, 0.05


@command
@click.argument("run")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the run.")
def cancel_command(call: Call, run: str, reason: str) -> None:
    """Stop a run: nothing new starts, what runs is killed with all it started. A rollback goes on to its end.

    RUN is a run's id, the beginning of one, or `last`.
    """
    workspace = call.workspace_in_force()
    store = call.history(workspace)
    chosen = find_run(store, run)
    if chosen.state != "open":
        raise UsageError(
            "run-ended", f"run {chosen.id} has {chosen.state} at {when(chosen.ended)}", next=f"legato status {chosen.id}"
        )
    if workspace.find_holder() is not None:
        _ask(workspace, store, chosen, reason)
    else:
        _cancel(workspace, chosen, reason)
    report = report_run(workspace, store, find_run(store, chosen.id))
    ended = call.screen.status(in_words(report.state))  # a rollback is not cancelled, and a run may end by itself meanwhile
    call.answer(report, lambda: call.screen.say(f"run {report.id} {ended}: {in_counts(report.counts)}"))


def _ask(workspace: Workspace, store: Store, run: Run, reason: str) -> None:
    """Ask the process that runs steps, and wait until it has done so."""
    if workspace.is_served:
        ask(workspace.state, CancelRun(actor=actor(), run=run.id, reason=reason), Heard)
    else:
        Inbox(workspace.inbox).leave(Cancellation(run.id, actor(), reason), workspace.clock)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        now = store.run(run.id)
        if now is not None and now.state != "open":
            return
        time.sleep(LOOK_EVERY_S)
    holder = workspace.find_holder()
    raise Unreachable(
        "cancel-unheard", f"run {run.id} was not cancelled within {PATIENCE_S:.0f} s",
        why=f"process {holder.pid} (`{holder.command}`) may be at work on another run" if holder else "its process has ended",
        next=f"legato cancel {run.id}, once that has ended",
    )  # fmt: skip


def _cancel(workspace: Workspace, run: Run, reason: str) -> None:
    """Nobody works on it: take the conductor's place for as long as it takes to say so."""
    with session(workspace, f"legato cancel {run.id}") as opened:
        conductor = opened.conductor(Planner(workspace, opened.store))
        conductor.adopt(run.id)
        conductor.cancel(run.id, actor=actor(), reason=reason)
        conductor.drive()
