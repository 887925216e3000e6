"""`legato diff`: what changed between two versions of the project."""

from __future__ import annotations

import click

from legato.plan.diff import Change, Difference
from legato.ports.store import ProjectVersion
from legato.service.projects import diff_projects
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, when

_MOST = 50
_COLOURS = {"new": "green", "changed": "yellow", "removed": "red"}


@command
@click.argument("older", metavar="[A]", required=False)
@click.argument("newer", metavar="[B]", required=False)
@click.option("--list", "list_them", is_flag=True, help="List the versions of the project instead.")
def diff(call: Call, older: str | None, newer: str | None, list_them: bool) -> None:
    """Say what changed from one version of the project to another.

    A and B are versions by the beginning of their names, as `--list` tells them. Without B the newest is compared, without
    both the last two. A version is kept when something runs with it, or when it comes into force in `legato up`.
    """
    store = call.history(call.workspace_in_force())
    if list_them:
        versions = store.projects(limit=_MOST)
        call.answer(versions, lambda: _draw_versions(call.screen, versions))
        return
    found = diff_projects(store, older, newer)
    call.answer(found, lambda: _draw(call.screen, found))


def _draw_versions(screen: Screen, versions: list[ProjectVersion]) -> None:
    screen.table(("version", "in force since"), [(each.fingerprint[:12], when(each.at)) for each in versions])


def _draw(screen: Screen, found: Difference) -> None:
    changes = count(len(found.changes), "change") if found.changes else "no change"
    screen.say(f"{found.older[:12]} -> {found.newer[:12]}: {changes}")
    for change in found.changes:
        _draw_change(screen, change)


def _draw_change(screen: Screen, change: Change) -> None:
    words = f": {'; '.join(change.words)}" if change.words else ""
    what, name = screen.paint(change.what.ljust(8), _COLOURS[change.what]), screen.paint(change.name, "bold")
    screen.say(f"  {what} {change.kind} {name}{words}")
    for each in change.breaking:
        screen.say(f"           {screen.paint('breaking:', 'red', 'bold')} {each}")
