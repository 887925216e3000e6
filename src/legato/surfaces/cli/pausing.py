"""`legato pause` and `legato unpause`: let a trigger or a run stand still, and a trigger go on."""

from __future__ import annotations

import time

import click
from msgspec.structs import replace

from legato.ports.store import Run, Store
from legato.service.finding import find_run, require_open
from legato.service.inbox import Inbox
from legato.service.pausing import Paused, RunStandsStill, ask_to_pause, is_paused, pause_run, standstill
from legato.service.shell import command as shell
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count
from legato.surfaces.cli.summary import in_standing
from legato.terms.errors import Unreachable

PATIENCE_S, LOOK_EVERY_S = 10.0, 0.05


@command
@click.argument("name", metavar="RUN|TRIGGER")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the run.")
def pause(call: Call, name: str, reason: str) -> None:
    """Let a run or a trigger stand still.

    RUN is a run's id, the beginning of one, or `last`: nothing new starts, what is under way ends, and `legato resume RUN` goes
    on from there.

    TRIGGER is the name of an asset or flow. Each tick that comes while it is paused is recorded as skipped, and not made up for
    when it goes on. Runs that it asked for before go on, and `legato run` runs it as ever.
    """
    workspace = call.workspace_in_force()
    store = call.reader(workspace)
    if name in workspace.project.makers or store is None:
        _ask(call, name, paused=True)
    else:
        _pause_run(call, workspace, store, find_run(store, name), reason)


def _pause_run(call: Call, workspace: Workspace, store: Store, run: Run, reason: str) -> None:
    pause_run(workspace, store, run, reason)
    until = time.monotonic() + PATIENCE_S
    while not (now := find_run(store, run.id)).paused and now.state == "open":
        if time.monotonic() > until:
            raise Unreachable(
                "pause-unheard", f"run {run.id} was not paused within {PATIENCE_S:.0f} s",
                why="the process that runs steps may be at work on another run", next=f"legato status {run.id}",
            )  # fmt: skip
        time.sleep(LOOK_EVERY_S)
    require_open(now)  # it may have ended meanwhile
    found = standstill(store, now)
    call.answer(found, lambda: _draw_run(call.screen, found))


def _draw_run(screen: Screen, found: RunStandsStill) -> None:
    ending = f"; {count(found.running, 'attempt')} under way will end" if found.running else ""
    screen.say(f"run {screen.paint(found.run, 'bold')} {screen.status('paused')}: {in_standing(found.standing)}{ending}")
    screen.say(f"{screen.paint('next: ', 'dim')}{screen.paint(f'legato resume {found.run}', 'bold')}")


@command
@click.argument("trigger")
def unpause(call: Call, trigger: str) -> None:
    """Let a paused trigger go on, with what comes from now on.

    TRIGGER is the name of an asset or flow. A run goes on by `legato resume RUN`.
    """
    _ask(call, trigger, paused=False)


def _ask(call: Call, trigger: str, *, paused: bool) -> None:
    workspace = call.workspace_in_force()
    found = ask_to_pause(workspace, call.reader(workspace), trigger, paused=paused)
    live = not found.heard and workspace.is_served
    if live:
        found = _await(call, workspace, found)
    call.answer(found, lambda: _draw(call.screen, found, live=live))


def _await(call: Call, workspace: Workspace, found: Paused) -> Paused:
    """Wait until the service has recorded it."""
    inbox, store = Inbox(workspace.inbox), call.reader(workspace)
    until = time.monotonic() + PATIENCE_S
    while True:
        if is_paused(store, found.name) == found.paused and found.name not in inbox.pausings():
            return replace(found, heard=True)
        if time.monotonic() > until:
            return found
        time.sleep(LOOK_EVERY_S)


def _draw(screen: Screen, found: Paused, *, live: bool) -> None:
    name = screen.paint(found.name, "bold")
    verb = "pause" if found.paused else "unpause"
    if found.heard:
        screen.say(f"{name} {'is paused' if found.paused else 'is not paused'}: {_meaning(found)}")
    elif live:
        screen.say(
            f"{name}: the service has not taken up the request to {verb} it yet; see {shell('legato', 'triggers', found.name)}"
        )
    else:
        screen.say(f"{name}: no service runs; the request to {verb} it waits for the next {screen.paint('legato up', 'bold')}")
        screen.say(f"  from then on: {_meaning(found)}")


def _meaning(found: Paused) -> str:
    if found.paused:
        return f"what comes is skipped for good, until {shell('legato', 'unpause', found.name)}"
    return f"{found.trigger}; what was skipped is not made up for"
