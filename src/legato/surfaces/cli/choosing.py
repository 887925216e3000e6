"""`--code then|now`: with which code a run goes on, or is repeated; said, asked on a terminal, or that of now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import click

from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.former import Code, has_code
from legato.service.resuming import changed_since
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call
from legato.surfaces.cli.output import when

_MOST = 1_000


class Chosen(NamedTuple):
    """The project with the code that was chosen, its store for reading, the run, and the choice; empty where nobody made one."""

    workspace: Workspace
    history: Store
    run: Run
    code: Code


def choose_code(
    call: Call, code: Code | None, find: Callable[[Store], Run], *, executor: str | None = None, workers: int | None = None,
    told: Callable[[Run], str] | None = None,
) -> Chosen:  # fmt: skip
    """The project as it is wanted for the run that `find` finds. Where nobody is asked, `told` gives the command that chooses
    the code of then, to be told beside what is done."""
    if code == "then":
        run = find(call.past())
        workspace = call.workspace_of(run.project, executor=executor, workers=workers)
        return Chosen(workspace, call.history(workspace), run, "then")
    workspace = call.workspace(executor=executor, workers=workers)
    history = call.history(workspace)
    run = find(history)
    if code == "now" or run.project == workspace.project.fingerprint:
        return Chosen(workspace, history, run, code or "")
    changed, removed = changed_since(read_state(history, run.id), workspace.project)
    if not (changed or removed) or not has_code(history, run.project):
        return Chosen(workspace, history, run, "")
    if call.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        if told is not None and not call.json:
            call.aside.say(f"run {run.id} is of other code: this takes the code of now; for that of then: {told(run)}")
        return Chosen(workspace, history, run, "")
    if _ask(call, history, run, changed, removed) == "now":
        return Chosen(workspace, history, run, "now")
    workspace = call.workspace_of(run.project, executor=executor, workers=workers)
    return Chosen(workspace, history, run, "then")


def _ask(call: Call, history: Store, run: Run, changed: tuple[str, ...], removed: tuple[str, ...]) -> str:
    in_force = {each.fingerprint: each.at for each in history.projects(limit=_MOST)}
    since = f", in force since {when(in_force[run.project])}" if run.project in in_force else ""
    call.screen.say(f"run {call.screen.paint(run.id, 'bold')} worked with version {run.project[:12]}{since}")
    for words, names in (("changed since: ", changed), ("no longer there: ", removed)):
        if names:
            call.screen.say(call.screen.hang(words, ", ".join(names)))
    answer: str = click.prompt("with the code of", type=click.Choice(["then", "now"]), default="now")
    return answer
