"""`legato doctor`: is everything sound that the project stands on?"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from msgspec.structs import replace

from legato.service.checkup import Checkup, examine, remove_leftovers
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, pad
from legato.terms.errors import EXIT_FAILED, EXIT_OK, UsageError

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


@command
@click.option("--deep", is_flag=True, help="Read all: the store's pages, stored bytes, every run's history.")
@click.option("--fix", is_flag=True, help="Remove what killed attempts have left among the data.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing.")
def doctor(call: Call, deep: bool, fix: bool, yes: bool) -> int:
    """Check what the project stands on: machine, disk, clock, store, runs and data.

    Looks at what is there now, and says what it has not read; --deep reads everything, and takes its time. Works also
    where the project cannot be loaded or nothing has run yet. Nothing is changed, unless --fix is given. Exits with 1
    if there is a fault; warnings are none.
    """
    from legato.wiring.code import open_premises

    premises = open_premises(call.folder or Path.cwd())
    found = examine(premises, deep=deep, leftovers=fix)
    if fix and any(each.subject == "leftovers" and each.level == "warning" for each in found.findings):
        if not call.json:
            _draw(call.screen, found)
        if not yes and not _agreed(call):
            return EXIT_OK if found.is_sound else EXIT_FAILED
        removed = remove_leftovers(premises)
        found = replace(examine(premises, deep=deep, leftovers=True), removed=removed)
    call.answer(found, lambda: _draw_end(call.screen, found, fix=fix), ok=found.is_sound)
    return EXIT_OK if found.is_sound else EXIT_FAILED


def _agreed(call: Call) -> bool:
    if call.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "confirm", "files would be removed, and there is nobody here to ask", why="this is no terminal",
            next="legato doctor --fix --yes",
        )  # fmt: skip
    return click.confirm("Remove these files?")


def _draw_end(screen: Screen, found: Checkup, *, fix: bool) -> None:
    if found.removed:
        screen.say(f"removed {count(len(found.removed), 'file')}")
    else:
        _draw(screen, found)
    faults, warnings = (sum(each.level == level for each in found.findings) for level in ("fault", "warning"))
    told = [count(number, word) for number, word in ((faults, "fault"), (warnings, "warning")) if number]
    sound = "everything is sound" if found.deep else "everything that was looked at is sound; --deep reads all there is"
    screen.say(", ".join(told) if told else sound)


def _draw(screen: Screen, found: Checkup) -> None:
    width = max(len(each.subject) for each in found.findings)
    for each in found.findings:
        level = screen.paint(pad(each.level, 7), _COLOURS[each.level])
        screen.say(screen.hang(f"{level}  {pad(each.subject, width)}  ", each.what))
        if each.fix:
            screen.say(screen.hang(f"{' ' * (width + 9)}  {screen.paint('fix:', 'dim')} ", each.fix))
