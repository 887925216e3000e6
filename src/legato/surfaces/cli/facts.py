"""`legato facts`: what a run's steps told while they ran."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click

from legato.service.facts import RunFacts, Series, StepFacts, TableTold, read_facts
from legato.service.finding import find_run
from legato.service.shell import command as shell
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.numbers import in_unit, number, progress_in_words, sparkline
from legato.surfaces.cli.output import Screen, bar, clip, count, readable, size_in_words
from legato.terms.errors import LegatoError

_MOST_STEPS = 20
_BAR = 20
_WIDEST_CELL = 40


@command
@click.argument("run", default="last")
@click.argument("step", required=False, default="")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="What the Nth try of each step told.")
@click.option("--rows", type=click.IntRange(min=0), default=20, show_default=True, metavar="N", help="Rows of each table.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Copy the images there.")
def facts(call: Call, run: str, step: str, attempt: int | None, rows: int, save: Path | None) -> None:
    """Show what a run's steps told: progress, metrics, tables, texts and images.

    RUN is a run's name, the beginning of one, or `last`, which is also meant where there is none. STEP is as in `legato logs`. Of
    a step that was tried again the newest try that told anything is shown.
    """
    workspace = call.workspace_in_force()
    store = call.history(workspace)
    found = read_facts(workspace, store, find_run(store, run).id, step, attempt or 0)
    saved = _save(found, save) if save is not None else []
    result = found if save is None else {"run": found.run, "steps": found.steps, "saved": saved}
    call.answer(result, lambda: _draw(call.screen, found, step, rows, saved))


def _draw(screen: Screen, found: RunFacts, asked: str, rows: int, saved: list[str]) -> None:
    if not found.steps:
        screen.say(f"{asked or 'no step'} of run {found.run} told {'nothing' if asked else 'anything'}")
    shown = found.steps if asked else found.steps[:_MOST_STEPS]
    for at, step in enumerate(shown):
        if at:
            screen.say()
        _draw_step(screen, step, rows)
    if len(found.steps) > len(shown):
        screen.say()
        next = shell("legato", "facts", found.run, found.steps[len(shown)].name)
        screen.say(f"and {count(len(found.steps) - len(shown), 'more step')}, such as {next}")
    if saved:
        screen.say()
        screen.say(f"saved {count(len(saved), 'image')}: {', '.join(saved)}")


def _draw_step(screen: Screen, step: StepFacts, rows: int) -> None:
    again = f" (try {step.attempt})" if step.attempt > 1 else ""
    screen.say(screen.paint(f"── {step.name}{again}", "bold"))
    if step.progress is not None:
        full, rest = bar(step.progress.done / step.progress.total, _BAR) if step.progress.total else ("", "")
        course = f"{screen.paint(full, 'green')}{screen.paint(rest, 'dim')} " if full or rest else ""
        screen.say(f"  progress  {course}{progress_in_words(step.progress)}")
    titles = ("metric", "last", "low", "mean", "high", "values", "course")
    screen.table(titles, [_row(each) for each in step.metrics], right=("last", "low", "mean", "high", "values"), indent="  ")
    for table in step.tables:
        _draw_table(screen, table, rows)
    for text in step.texts:
        screen.say(f"  {screen.paint('text', 'dim')} {readable(text.name)}")
        for line in text.text.expandtabs(4).splitlines():
            screen.say(f"    {_in_markdown(screen, readable(line))}".rstrip())
    images = [(readable(each.name), each.kind, size_in_words(each.size_bytes), each.file or "gone") for each in step.images]
    screen.table(("image", "kind", "size", "file"), images, right=("size",), indent="  ")


def _row(series: Series) -> tuple[str, ...]:
    name, last = readable(series.name), in_unit(series.last, series.unit)
    if series.count == 1:
        return name, last, "", "", "", "", ""
    course = sparkline([(point.number, point.value) for point in series.points])
    return name, last, number(series.low), number(series.mean), number(series.high), f"{series.count:,}", course


def _draw_table(screen: Screen, table: TableTold, most: int) -> None:
    shown = table.rows[:most]
    of = "" if len(shown) == table.total else f", {len(shown):,} of {count(table.total, 'row')}"
    screen.say(f"  {screen.paint('table', 'dim')} {readable(table.name)}{screen.paint(of, 'dim')}")
    numbers = [readable(name) for at, name in enumerate(table.columns) if all(_is_number(row[at]) for row in shown)]
    cells = [[_cell(value) for value in row] for row in shown]
    screen.table([readable(name) for name in table.columns], cells, right=numbers, indent="    ")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return "null" if value is None else clip(readable(str(value)), _WIDEST_CELL)


def _in_markdown(screen: Screen, line: str) -> str:
    """A line of Markdown, which is readable as it stands, with headings and emphasis in bold where the terminal can show it."""
    if not screen.in_colour:
        return line
    if heading := re.match(r"#{1,6}\s+(.*)", line):
        return screen.paint(heading[1], "bold")
    return re.sub(r"\*\*(.+?)\*\*", lambda found: screen.paint(found[1], "bold"), line)


def _save(found: RunFacts, folder: Path) -> list[str]:
    """Copy all images into the folder, each under the names of its step and its own; the files."""
    images = [(step, image) for step in found.steps for image in step.images if image.file]
    saved: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for step, image in images:
            name, suffix = re.sub(r"[^\w.@#-]+", "_", f"{step.name}-{image.name}")[:120], Path(image.file).suffix
            target, again = folder / f"{name}{suffix}", 1
            while str(target) in saved:
                again += 1
                target = folder / f"{name}-{again}{suffix}"
            shutil.copyfile(image.file, target)
            saved.append(str(target))
    except OSError as error:
        raise LegatoError(
            "folder-unwritable", "the images cannot be saved there", where=str(error.filename or folder),
            why=error.strerror or str(error), next="name another folder",
        ) from error  # fmt: skip
    return saved
