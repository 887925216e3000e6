"""`legato clean`: let go of what is older than the project keeps it."""

from __future__ import annotations

from pathlib import Path

import click

from legato.service.cleaning import Spare, preview
from legato.service.cleaning import clean as clean_now
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, size_in_words
from legato.terms.errors import NotFound


@command
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would go, and what it would free.")
def clean(call: Call, only_plan: bool) -> None:
    """Let go of what is older than [keep] in legato.toml says.

    What is published stays, and so does all that open runs need. `legato up` does this by itself, a little at a time, and
    `legato run` does some of it when it ends.
    """
    from legato.wiring.state import open_room

    room = open_room(call.folder or Path.cwd())
    try:
        spare = preview(room) if only_plan else clean_now(room)
    except NotFound as error:
        if error.code != "store-none":
            raise
        spare = Spare()
    call.answer(spare, lambda: _draw(call.screen, spare, only_plan=only_plan))


def _draw(screen: Screen, spare: Spare, *, only_plan: bool) -> None:
    numbers = (
        (spare.runs, "run"), (spare.versions, "version"), (spare.decisions, "decision"), (spare.records, "other record"),
        (spare.values, "stored value"), (spare.logs, "log file"),
    )  # fmt: skip
    told = [count(number, noun) for number, noun in numbers if number]
    if not told and not spare.later:
        screen.say("nothing is older than it is kept")
        return
    would = "would go" if only_plan else "gone"
    screen.say(f"{would}: {', '.join(told) or 'nothing yet'}; {size_in_words(spare.freed_bytes)} of files")
    if spare.later:
        when = "an hour later, when no run is open that began before"
        screen.say(f"later: {count(spare.later, 'stored value')}, {size_in_words(spare.later_bytes)}: {when}")
