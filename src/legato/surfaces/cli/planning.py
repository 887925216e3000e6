"""`legato plan`, and how every plan is drawn: alike steps in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from legato.plan.records import Plan
from legato.service.estimating import Estimate, Timings, estimate
from legato.service.folding import Fold, Folder
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count
from legato.surfaces.cli.params import read_request, takes_params, takes_results
from legato.surfaces.shape import plan_record
from legato.terms.instant import format_seconds
from legato.terms.key import show

MOST_LINES = 40
"""How many lines of a plan `run` prints before it starts; `plan` prints all."""


@takes_params
@command
@click.argument("selection", nargs=-1)
@click.option("--force", is_flag=True, help="Also run what is fresh.")
@click.option("--all", "each", is_flag=True, help="Print every step in a line of its own.")
@takes_results
def plan(call: Call, selection: tuple[str, ...], force: bool, each: bool, **more: Any) -> None:
    """Say what would run, and why. Nothing is changed.

    \b
    SELECTION says of what (without it: everything):
      report  raw_*            names and patterns        delays@2013-01   partitions of it
      +report  report+         with all that it needs, with all that needs it
      tag:daily  owner:ops*    status:stale|missing|failed|fresh   kind:asset|task|source|flow
      a b   "a and not b"      several, combined
    """
    workspace = call.workspace()
    store = call.reader(workspace)
    planner = Planner(workspace, store)
    made = plan_request(planner, read_request(workspace, selection, force, **more))
    timings = store.timings() if store else {}
    folder = Folder(workspace.project, planner.extents)

    def draw() -> None:
        if each:
            _draw_steps(call.screen, made)
        else:
            draw_folds(call.screen, folder.plan(made))
        call.screen.say(totals(made, timings))
        draw_notes(call.screen, made)
        for note in planner.unpopulated:
            call.screen.say(call.screen.hang("note: ", str(note)))
            if note.next:
                call.screen.say(f"  next: {note.next}")

    call.answer({**plan_record(made, timings), "unpopulated": planner.unpopulated}, draw)


def draw_folds(screen: Screen, folds: list[Fold], most: int | None = None) -> None:
    """The plan's lines: what runs, what is skipped, of which partitions, why."""
    shown = folds if most is None else folds[:most]
    rows = [
        (
            screen.paint(_action(fold.run), "cyan" if fold.run else "dim"), screen.paint(fold.node, *_weight(fold.run)),
            fold.partitions, f"{fold.count:,}" if fold.partitions or fold.count > 1 else "", fold.words,
        )
        for fold in shown
    ]  # fmt: skip
    screen.table(("", "name", "partitions", "steps", "reason"), rows, right=("steps",))
    if len(shown) < len(folds):
        screen.say(f"and {count(len(folds) - len(shown), 'more line')}: legato plan")


def _draw_steps(screen: Screen, plan: Plan) -> None:
    rows = [
        (screen.paint(_action(step.run), "cyan" if step.run else "dim"), show(step.node, step.partition), str(step.reason))
        for step in plan.steps
    ]
    rows += [(screen.paint(_action(False), "dim"), each.name, str(each.reason)) for each in plan.reused if each.path]
    screen.table(("", "step", "reason"), rows)


def draw_notes(screen: Screen, plan: Plan) -> None:
    """What else is to be said of what a plan reuses."""
    for note in plan.notes:
        screen.say(screen.hang("note: ", note))


def _action(run: bool) -> str:
    return "run" if run else "skip"


def _weight(run: bool) -> tuple[str, ...]:
    return ("bold",) if run else ()


def totals(plan: Plan, timings: Timings) -> str:
    """The last line of a plan: how much runs, how much is skipped, how long it takes."""
    skipped = len(plan.steps) - plan.size
    if not plan.size:
        return f"nothing to run: {in_reasons(plan.reasons)}"
    calls = [each.pinned for each in plan.reused if each.path]
    rest = f", {skipped:,} skipped" if skipped else ""
    for number, words in ((calls.count(False), "reused"), (calls.count(True), "pinned")):
        rest += f", {count(number, 'call')} {words}" if number else ""
    return f"{count(plan.size, 'step')} to run{rest}; {_expected(estimate(plan, timings))}"


def in_reasons(counts: Mapping[str, int]) -> str:
    """Why nothing runs: the steps by reason, `1,475 fresh, 2 blocked`."""
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items()) or "there are no partitions yet"


def _expected(work: Estimate) -> str:
    if not work.known:
        return "no history yet to say how long it takes"
    more = f", and {count(work.unknown, 'step')} without history" if work.unknown else ""
    return f"about {format_seconds(work.seconds)} of work{more}"
