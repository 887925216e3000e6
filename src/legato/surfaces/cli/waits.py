"""`legato waits`, `legato approve` and `legato signal`: what flows wait for, and answers to them."""

from __future__ import annotations

import time
from collections.abc import Container

import click
import msgspec
from msgspec.structs import replace

from legato.ports.store import Store
from legato.service.shell import command as shell
from legato.service.waiting import Answered, Waiting, approve, list_waits, run_of, signal, unheard
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, when
from legato.terms.errors import UsageError

PATIENCE_S, LOOK_EVERY_S = 10.0, 0.05
MOST_NEXT = 5
"""How many commands are proposed below a list."""


@command
def waits_command(call: Call) -> None:
    """List what flows wait for: time, approvals, signals, jobs elsewhere."""
    workspace = call.workspace_in_force()
    store = call.reader(workspace)
    found = list_waits(workspace, store) if store is not None else []
    call.answer(found, lambda: _draw(call.screen, found))


@command
@click.argument("run")
@click.argument("question", required=False)
@click.option("--reject", is_flag=True, help="Say no.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the run.")
def approve_command(call: Call, run: str, question: str | None, reject: bool, reason: str) -> None:
    """Approve, or reject, what a flow asks for.

    RUN is a run's id, the beginning of one, or `last`. QUESTION tells which, where it asks for more than one thing.
    """
    workspace = call.workspace_in_force()
    store = call.history(workspace)
    found = approve(workspace, store, run_of(store, run), question, yes=not reject, reason=reason)
    _answer(call, workspace, store, found, "rejected" if reject else "approved")


@command
@click.argument("name")
@click.option("--run", metavar="RUN", help="Only to this run.")
@click.option("--data", default="null", metavar="JSON", help="What the flow receives.")
def signal_command(call: Call, name: str, run: str | None, data: str) -> None:
    """Send a signal to all open runs: what waits for it goes on; where nothing does yet, it is kept until something does."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(
            "usage", f"--data is no JSON that can be read: {error}", next="""legato signal NAME --data '{"rows": 12}'"""
        ) from error
    workspace = call.workspace_in_force()
    store = call.history(workspace)
    found = signal(workspace, store, name, None if run is None else run_of(store, run), value)
    _answer(call, workspace, store, found, "sent")


def _answer(call: Call, workspace: Workspace, store: Store, found: Answered, verb: str) -> None:
    """Tell what was answered, once it is recorded; at once where no process works on the run."""
    until = time.monotonic() + PATIENCE_S
    while any((left := unheard(workspace, store, found)).values()) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
    found = replace(found, heard=not left)
    call.answer(found, lambda: _draw_answer(call.screen, found, verb, left))


def _draw_answer(screen: Screen, found: Answered, verb: str, left: Container[str]) -> None:
    for each in found.waits:
        resume = screen.paint(f"legato resume {each.run}", "bold")
        effect = f"it takes effect with {resume}" if each.run in left else "the flow goes on"
        screen.say(screen.hang(f"{verb}: ", f"{each.name} (run {each.run}, {each.flow}); {effect}"))
    for run in found.kept[:MOST_NEXT]:
        screen.say(f"kept: nothing in run {run} waits for it yet; it is there when something does")
    if len(found.kept) > MOST_NEXT:
        screen.say(f"kept: for {len(found.kept) - MOST_NEXT} runs more")


def _draw(screen: Screen, found: list[Waiting]) -> None:
    if not found:
        screen.say("nothing waits")
        return
    rows = [
        (
            screen.paint(each.run, "bold"), each.state, each.flow, each.kind, each.who, when(each.until),
            each.name + (f" (answered by {each.answered})" if each.answered else ""),
        )
        for each in found
    ]  # fmt: skip
    screen.table(("run", "state", "flow", "waits for", "who", "until", "what"), rows)
    commands = list(dict.fromkeys(filter(None, map(_next, found))))
    for number, words in enumerate(commands[:MOST_NEXT]):
        screen.say(f"{screen.paint('next:', 'dim') if number == 0 else '     '} {screen.paint(words, 'bold')}")


def _next(wait: Waiting) -> str:
    if wait.answered or wait.kind in ("sleep", "poll"):
        return f"legato resume {wait.run}" if wait.state == "interrupted" else ""
    words = ("approve", wait.run, wait.name) if wait.kind == "approval" else ("signal", wait.name)
    return shell("legato", *words)
