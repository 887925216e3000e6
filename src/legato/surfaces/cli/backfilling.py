"""`legato backfill`: make many partitions, behind other work."""

from __future__ import annotations

import click

from legato.service.backfilling import foresee_backfill
from legato.service.folding import Folder
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Filling, Request
from legato.service.running import run
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.preview import draw_preview
from legato.surfaces.cli.running import Sitting, run_options
from legato.surfaces.cli.there import run_there
from legato.surfaces.cli.view import answer_nothing


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
        plan, folder = plan_request(planner, request), Folder(workspace.project, planner.extents)
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
