"""`legato pause` and `legato unpause`: let a trigger stand still, and go on."""

from __future__ import annotations

import time

import click
from msgspec.structs import replace

from legato.service.inbox import Inbox
from legato.service.pausing import Paused, ask_to_pause, is_paused
from legato.service.shell import command as shell
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen

PATIENCE_S, LOOK_EVERY_S = 10.0, 0.05


@command
@click.argument("trigger")
def pause(call: Call, trigger: str) -> None:
    """Let a trigger stand still: what comes meanwhile is skipped for good.

    TRIGGER is the name of an asset or flow. Each tick that comes while it is paused is recorded as skipped, and not made up for
    when it goes on. Runs that it asked for before go on, and `legato run` runs it as ever.
    """
    _ask(call, trigger, paused=True)


@command
@click.argument("trigger")
def unpause(call: Call, trigger: str) -> None:
    """Let a paused trigger go on, with what comes from now on.

    TRIGGER is the name of an asset or flow.
    """
    _ask(call, trigger, paused=False)


def _ask(call: Call, trigger: str, *, paused: bool) -> None:
    workspace = call.workspace()
    found = ask_to_pause(workspace, call.reader(workspace), trigger, paused=paused)
    live = not found.heard and _is_live(workspace)
    if live:
        found = _await(call, workspace, found)
    call.answer(found, lambda: _draw(call.screen, found, live=live))


def _is_live(workspace: Workspace) -> bool:
    """Whether a service runs that takes it up."""
    from legato.service.desk import is_open

    return is_open(workspace.state)


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
