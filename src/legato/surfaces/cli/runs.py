"""`legato runs` and `legato status`: how runs and the project are."""

from __future__ import annotations

import click

from legato.service.backfilling import BackfillLine, list_backfills
from legato.service.finding import find_run
from legato.service.health import FOLLOWING, Health, TroubleShown, health
from legato.service.reporting import STATES, RunLine, RunReport, list_runs, report_run
from legato.service.shell import command as shell
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.listing import in_counts
from legato.surfaces.cli.numbers import progress_in_words
from legato.surfaces.cli.output import Screen, count, when
from legato.surfaces.cli.summary import draw_summary
from legato.terms.instant import format_seconds

MOST_TROUBLES = 10


@command
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option("--backfills", is_flag=True, help="Only backfills, with how far each is.")
def runs(call: Call, limit: int, state: str | None, backfills: bool) -> None:
    """List runs, newest first."""
    workspace = call.workspace_in_force()
    if backfills:
        filled = list_backfills(workspace, call.history(workspace), limit=limit, state=state)
        call.answer(filled, lambda: _draw_backfills(call.screen, filled))
        return
    found = list_runs(workspace, call.history(workspace), limit=limit, state=state)
    call.answer(found, lambda: _draw_runs(call.screen, found))


def _draw_runs(screen: Screen, found: list[RunLine]) -> None:
    rows = [
        (
            screen.paint(run.id, "bold"), when(run.at), screen.status(run.state), f"{run.steps:,}",
            f"{run.cached:,}" if run.cached else "", "" if run.seconds is None else format_seconds(run.seconds), run.actor,
            run.request,
        )
        for run in found
    ]  # fmt: skip
    if rows:
        screen.table(
            ("run", "when", "state", "steps", "cached", "took", "by", "request"), rows, right=("steps", "cached", "took")
        )
    else:
        screen.say("no such runs")


def _draw_backfills(screen: Screen, found: list[BackfillLine]) -> None:
    rows = [
        (
            screen.paint(line.id, "bold"), when(line.at), screen.status(line.state), *(f"{number:,}" for number in (
                line.standing.requested, line.standing.done, line.standing.failed, line.standing.cancelled, line.standing.pending,
            )), line.actor, line.request,
        )
        for line in found
    ]  # fmt: skip
    numbers = ("requested", "done", "failed", "cancelled", "pending")
    if rows:
        screen.table(("run", "when", "state", *numbers, "by", "request"), rows, right=numbers)
    else:
        screen.say("no such backfills")


@command
@click.argument("run", required=False)
def status(call: Call, run: str | None) -> None:
    """Say how the project is, or how one run is.

    RUN is a run's id, the beginning of one, or `last`.
    """
    workspace = call.workspace_or_last() if run is None else call.workspace_in_force()
    if run is None:
        found = health(workspace, call.reader(workspace))
        call.answer(found, lambda: _draw_health(call.screen, found))
        return
    store = call.history(workspace)
    report = report_run(workspace, store, find_run(store, run))
    call.answer(report, lambda: _draw_report(call.screen, report))


def _draw_report(screen: Screen, report: RunReport) -> None:
    screen.say(f"{report.request}, asked by {report.actor} at {when(report.at)}")
    for each in report.running[:5]:
        far = f", {progress_in_words(each.progress)}" if each.progress is not None else ""
        screen.say(f"  {screen.status('running')}  {each.name}, since {when(each.since)}{far}")
    if len(report.running) > 5:
        screen.say(f"  and {len(report.running) - 5} more")
    for wait in report.waiting[:5]:
        what = wait.example if wait.count == 1 else f"{wait.node} ({count(wait.count, 'step')})"
        screen.say(screen.hang(f"  {screen.paint('waits', 'yellow')}    ", f"{what}: {wait.why}"))
    if len(report.waiting) > 5:
        screen.say(f"  and {len(report.waiting) - 5} more kinds of steps wait")
    draw_summary(screen, report)


def _draw_health(screen: Screen, found: Health) -> None:
    total = sum(found.statuses.values())
    told = in_counts(screen, found.statuses) if total != 1 else f"1 {in_counts(screen, found.statuses)}"
    screen.say(f"{screen.paint(found.project, 'bold')}: {count(total, 'asset partition')}: {told}" if total else found.project)
    if found.holder is not None:
        screen.say(f"process {found.holder.pid} is at work: `{found.holder.command}`, since {found.holder.since}")
    if found.troubles:
        screen.say()
        screen.say(screen.paint("troubles", "bold"))
        for trouble in found.troubles[:MOST_TROUBLES]:
            _draw_trouble(screen, trouble)
        if len(found.troubles) > MOST_TROUBLES:
            screen.say(f"  and {len(found.troubles) - MOST_TROUBLES} more: legato list status:failed")
    screen.say()
    if found.runs:
        screen.say(screen.paint("last runs", "bold"))
        _draw_runs(screen, list(found.runs))
    else:
        screen.say("nothing has run here yet: legato run")
    if found.troubles:
        screen.say()
        why = shell("legato", "why", found.troubles[0].example)
        screen.say(f"{screen.paint('next: ', 'dim')}{screen.paint(why, 'bold')}")


def _draw_trouble(screen: Screen, trouble: TroubleShown) -> None:
    name = f"{trouble.asset}@{trouble.partitions}" if trouble.partitions else trouble.asset
    colour = "yellow" if trouble.kind in FOLLOWING else "red"
    message = trouble.message.partition("\n")[0]
    screen.say(screen.hang(f"  {screen.paint(name, colour)}  ", f"{message} (run {trouble.run})"))
