"""`legato backfill`: make many partitions, behind other work; and how its preview is drawn."""

from __future__ import annotations

import click

from legato.service.backfilling import Part, Preview, foresee_backfill
from legato.service.folding import Fold, Folder
from legato.service.planning import Filling, Planner, Request
from legato.service.running import run
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, size_in_words
from legato.surfaces.cli.running import Sitting, run_options
from legato.surfaces.cli.there import run_there
from legato.surfaces.cli.view import answer_nothing
from legato.terms.instant import format_seconds


@command
@click.argument("selection", nargs=-1)
@click.option("--from", "begin", default="", metavar="TIME", help="From when on: 2013, 2013-01, 2013-01-05, 2013-01-05T07.")
@click.option("--to", "end", default="", metavar="TIME", help="Until when, this included.")
@click.option("--newest-first", "newest", is_flag=True, help="Begin with the newest partitions, not the oldest.")
@click.option("--at-once", type=click.IntRange(1, 1 << 20), metavar="N", help="Make no more than N partitions at once.")
@click.option("--urgent", is_flag=True, help="Take turns with other work, instead of staying behind it.")
@click.option("--again", is_flag=True, help="Also make what is fresh.")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be made, and what it takes. Nothing is changed.")
@run_options
def backfill(  # noqa: PLR0913 - each is an option
    call: Call, selection: tuple[str, ...], begin: str, end: str, newest: bool, at_once: int | None, urgent: bool, again: bool,
    only_plan: bool, executor: str | None, workers: int | None, no_wait: bool,
) -> int | None:  # fmt: skip
    """Make the partitions of a stretch of time that are missing or stale.

    SELECTION is as in `legato plan`. Other work always goes first, however long the backfill takes; partitions start in order of
    time. Pause it with `legato pause RUN`, let it go on with `legato resume RUN`, which also makes again what failed.

    \b
      legato backfill delays --from 2013-01 --to 2013-03 --plan      what that would take
      legato backfill delays+ --from 2013-03-05 --again --at-once 1  with all that reads it, one by one
    """
    workspace = call.workspace(executor=executor, workers=workers)
    filling = Filling(begin=begin, end=end, order="newest" if newest else "oldest", at_once=at_once, urgent=urgent)
    request = Request(" ".join(selection), again, backfill=filling)
    if only_plan:
        store = call.reader(workspace)
        planner = Planner(workspace, store)
        plan, folder = planner.plan(request), Folder(workspace.project, planner.extents)
        found = foresee_backfill(workspace, store, folder, plan)
        call.answer(found, lambda: draw_preview(call.screen, found, folder.plan(plan)))
        return None
    if workspace.is_served:
        return run_there(call, workspace, request, alone=bool(executor or workers))
    sitting = Sitting(call, workspace)
    with sitting.place(f"legato {request}", wait=not no_wait) as session:
        with sitting.watch():
            plan, state = run(session, request, sitting.begin)
        if state is None:
            return answer_nothing(call, plan.request, plan.reasons)
        return sitting.answer()


def draw_preview(screen: Screen, found: Preview, folds: list[Fold], most: int | None = None) -> None:
    """What a backfill makes, how long it takes and how much it is."""
    parts = {part.node: part for part in found.parts}
    shown = folds if most is None else folds[:most]
    rows = [
        (
            screen.paint("make" if fold.run else "skip", "cyan" if fold.run else "dim"),
            screen.paint(fold.node, *(("bold",) if fold.run else ())), fold.partitions,
            f"{fold.count:,}", *_each(parts.get(fold.node) if fold.run else None, fold.count), fold.words,
        )
        for fold in shown
    ]  # fmt: skip
    screen.table(("", "name", "partitions", "steps", "time", "size", "reason"), rows, right=("steps", "time", "size"))
    if len(shown) < len(folds):
        screen.say(f"and {count(len(folds) - len(shown), 'more line')}, all of them with --plan")
    for line in _totals(found):
        screen.say(line)


def _each(part: Part | None, number: int) -> tuple[str, str]:
    """What so many partitions of a node take together, and how large they are."""
    if part is None:
        return "", ""
    seconds = "" if part.seconds is None else format_seconds(part.seconds * number)
    return seconds, "" if part.size_bytes is None else size_in_words(part.size_bytes * number)


def _totals(found: Preview) -> list[str]:
    made = found.requested - found.blocked
    rest = [(found.fresh, "fresh"), (found.blocked, "without input (+NAME also makes what it needs)")]
    left = ", ".join(f"{number:,} {words}" for number, words in rest if number)
    if not made:
        return [f"nothing to make: {left or 'there are no partitions yet'}"]
    ends = f": {found.first}" + (f" ... {found.last}" if made > 1 else "")
    place = "taking turns with other work" if found.urgent else "behind all other work"
    return [
        f"{count(made, 'step')} to make" + (f", {left}" if left else ""),
        f"{found.order} first{ends}, at most {found.at_once} at once, {place}",
        _cost(found),
    ]


def _cost(found: Preview) -> str:
    """Time and volume, as far as history tells."""
    made = found.requested - found.blocked
    if found.unknown == made:
        return "no history yet to say how long it takes, and how much it is"
    time = f"about {format_seconds(found.lasts_s)} ({format_seconds(found.work_s)} of work)"
    more = f", and {count(found.unknown, 'step')} without history" if found.unknown else ""
    size = f"; about {size_in_words(found.size_bytes)} of data" if found.size_bytes else ""
    return f"{time}{more}{size}"
