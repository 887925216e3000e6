"""`--code then|now`: with which code a run goes on, or is repeated; said, asked on a terminal, or that of now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import click

from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.former import Code, has_code
from legato.service.resuming import changed_since
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call
from legato.surfaces.cli.output import when
from legato.terms.errors import LegatoError

_MOST = 1_000


class Chosen(NamedTuple):
    """The project with the code that was chosen, its store for reading, the run, and the choice; empty where nobody made one."""

    workspace: Workspace
    history: Store
    run: Run
    code: Code


def choose_code(
    call: Call, code: Code | None, find: Callable[[Store], Run], *, again: Callable[[Run], str] | None = None, **where: Any
) -> Chosen:
    """The project as it is wanted for the run that `find` finds, with workers as in `where`.

    For a run that is repeated `again` gives the command that takes the code of then: it is told where nobody is asked.
    """

    def then(run: Run, choice: Code) -> Chosen:
        workspace = call.workspace_of(run.project, **where)
        return Chosen(workspace, call.history(workspace), run, choice)

    if code == "then":
        return then(find(call.past()), "then")
    workspace = call.workspace(**where)
    history = call.history(workspace)
    run = find(history)
    now = Chosen(workspace, history, run, code or "")
    if code == "now" or run.project == workspace.project.fingerprint:
        return now
    if again is None and run.state == "open" and workspace.is_served:  # it is under way, and stays with its version
        with suppress(LegatoError):
            return then(run, "")
        return now
    changed, removed = changed_since(read_state(history, run.id), workspace.project)
    if not (changed or removed) or not has_code(history, run.project):
        return now
    if call.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        if again is not None and not call.json:
            call.aside.say(f"run {run.id} is of other code: this takes the code of now; for that of then: {again(run)}")
        return now
    return then(run, "then") if _ask(call, history, run, changed, removed) == "then" else now._replace(code="now")


def _ask(call: Call, history: Store, run: Run, changed: tuple[str, ...], removed: tuple[str, ...]) -> str:
    in_force = {each.fingerprint: each.at for each in history.projects(limit=_MOST)}
    since = f", in force since {when(in_force[run.project])}" if run.project in in_force else ""
    call.screen.say(f"run {call.screen.paint(run.id, 'bold')} worked with version {run.project[:12]}{since}")
    for words, names in (("changed since: ", changed), ("no longer there: ", removed)):
        if names:
            call.screen.say(call.screen.hang(words, ", ".join(names)))
    answer: str = click.prompt("with the code of", type=click.Choice(["then", "now"]), default="now")
    return answer
