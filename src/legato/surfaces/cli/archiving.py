"""`legato export` and `legato restore`: state and data in one file."""

from __future__ import annotations

from pathlib import Path

import click

from legato.service.archive import Archived
from legato.service.exporting import export
from legato.service.restoring import restore
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, size_in_words, when


@command
@click.argument("file", type=click.Path(path_type=Path))
def export_command(call: Call, file: Path) -> None:
    """Write the project's state and data to a new FILE, as they are now.

    A service may go on meanwhile. Code, configuration and logs are not in it; whoever has the file has the data.
    """
    from legato.wiring.state import open_household

    done = export(open_household(call.folder or Path.cwd()), file.absolute())
    call.answer(done, lambda: _draw(call.screen, done, f"{file} has", done.missing))


@command
@click.argument("file", type=click.Path(path_type=Path))
def restore_command(call: Call, file: Path) -> None:
    """Take state and data from a FILE of `legato export` into a project that has none.

    All of it is read and compared with what was written before any of it counts.
    """
    from legato.wiring.state import open_household

    done = restore(open_household(call.folder or Path.cwd()), file.absolute())
    call.answer(done, lambda: _draw(call.screen, done, "restored:", 0))


def _draw(screen: Screen, done: Archived, verb: str, missing: int) -> None:
    values = count(done.values, "stored value")
    screen.say(f"{verb} the store of {done.project} as of {when(done.at)} and {values}, {size_in_words(done.size_bytes)} in all")
    if missing:
        screen.say(f"  {count(missing, 'value')} that the store speaks of had no bytes: legato doctor --deep")
    screen.say(f"  digest: {done.digest}")
