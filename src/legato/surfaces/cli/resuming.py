"""`legato resume`: what a run will do when it goes on, told first; then it does."""

from __future__ import annotations

from typing import Any

import click

from legato.service.finding import run_to_resume
from legato.service.former import Code
from legato.service.resuming import Resumption, plan_resumption
from legato.service.running import resume
from legato.service.shell import command as words_of
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.choosing import choose_code
from legato.surfaces.cli.output import Screen, count
from legato.surfaces.cli.params import takes_code
from legato.surfaces.cli.running import Sitting, run_options


@command
@click.argument("run", required=False)
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be done. Nothing is changed.")
@click.option("--failed", "failed_only", is_flag=True, help="Only what failed, and fell with it: what was cancelled stays so.")
@takes_code
@run_options
def resume_command(
    call: Call, run: str | None, only_plan: bool, failed_only: bool, code: Code | None, no_wait: bool, **where: Any
) -> int | None:
    """Let a run go on where it stopped, or stands still.

    RUN is a run's id, the beginning of one, or `last`; without it, the newest run that did not succeed. What is recorded
    stays; what failed, was skipped or cancelled is tried again. Calls of a flow whose code has changed run again, if the flow
    still makes them; what that changes is told before it goes on.

    Where the code has changed since, a terminal asks which is to be taken; without one it is that of now.
    """
    wanted = "now" if only_plan and code is None else code
    workspace, history, chosen, code = choose_code(call, wanted, lambda store: run_to_resume(store, run), **where)
    if only_plan:
        found = plan_resumption(workspace, history, chosen, failed_only=failed_only)
        call.answer(found, lambda: draw_resumption(call.screen, found, whole=True))
        return None
    if workspace.is_served:
        from legato.surfaces.cli.there import resume_there

        _tell(call, plan_resumption(workspace, history, chosen, failed_only=failed_only))
        return resume_there(call, workspace, chosen.id, failed_only=failed_only, code=code)
    sitting = Sitting(call, workspace)
    with sitting.place(f"legato resume {chosen.id}", wait=not no_wait) as session:
        with sitting.watch():
            resume(session, chosen.id, lambda found: _tell(call, found), sitting.follow, failed_only=failed_only)
        return sitting.answer()


def _tell(call: Call, found: Resumption) -> None:
    if call.json:
        call.event("plan", run=found.run, result=found)
    else:
        draw_resumption(call.screen, found, whole=bool(found.changed or found.removed))


def draw_resumption(screen: Screen, found: Resumption, *, whole: bool) -> None:
    """What a run does when it goes on: in one line, or as a `whole` plan."""
    screen.say(f"run {screen.paint(found.run, 'bold')} goes on: {found.request}, {count(found.reused, 'recorded result')} reused")
    if not whole:
        return
    if found.changed:
        screen.say(screen.hang("code changed since it was accepted: ", ", ".join(found.changed)))
    if found.then and (found.changed or found.removed):
        words = f"for that of then: {words_of('legato', 'resume', found.run, '--code', 'then')}"
        screen.say(f"this takes the code of now; {words if found.kept else 'that of then is not kept'}")
    rows = [
        (
            screen.paint(part.action, "cyan" if part.action == "run" else "dim"), part.node, part.partitions,
            f"{part.count:,}", part.reason,
        )
        for part in found.parts
    ]  # fmt: skip
    screen.table(("", "name", "partitions", "steps", "reason"), rows, right=("steps",))
    if found.again:
        screen.say(f"{count(found.again, 'recorded call')} will run again, if the flow still makes them")
