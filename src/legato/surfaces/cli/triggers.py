"""`legato triggers`, `legato next` and `legato decisions`: what runs by itself, when, and what was decided."""

from __future__ import annotations

import click

from legato.service.shell import command as shell
from legato.service.ticks import (
    Coming,
    ComingTick,
    DecisionLine,
    DecisionPage,
    TriggerLine,
    list_coming,
    list_decisions,
    list_triggers,
)
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, readable, when

MOST_DAYS = 3_660


@command
@click.argument("selection", nargs=-1)
def triggers(call: Call, selection: tuple[str, ...]) -> None:
    """List triggers: what they wait for, when they are next due, what was decided last.

    SELECTION is as in `legato list`. Without it all triggers are listed.
    """
    workspace = call.workspace_in_force()
    found = list_triggers(workspace, call.reader(workspace), " ".join(selection))
    call.answer(found, lambda: _draw_triggers(call.screen, found))


def _draw_triggers(screen: Screen, found: list[TriggerLine]) -> None:
    if not found:
        screen.say("nothing here runs by itself")
        return
    rows = [
        (
            screen.paint(each.name, "bold"), each.trigger, _state(screen, each), _due(each),
            "" if each.last is None else _sentence(each.last),
        )
        for each in found
    ]  # fmt: skip
    screen.table(("name", "runs", "state", "next due", "last decision"), rows)


def _state(screen: Screen, line: TriggerLine) -> str:
    state = screen.paint("paused", "yellow") if line.paused else ""
    asked = f"{line.asked} waits for `legato up`" if line.asked else ""
    return ", ".join(filter(None, (state, asked)))


def _due(line: TriggerLine) -> str:
    if line.due is None:
        return ""
    skipped = f" (skipped: {line.due.day_off})" if line.due.day_off else ""
    return ("overdue since " if line.overdue else "") + _local(line.due) + skipped


def _local(tick: ComingTick) -> str:
    return f"{tick.local} {tick.offset}"


@command
@click.argument("trigger", required=False)
@click.option("--days", type=click.FloatRange(0, MOST_DAYS, min_open=True), default=7, show_default=True, help="How far to look.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Ticks to show.")
def next_command(call: Call, trigger: str | None, days: float, limit: int) -> None:
    """Say what the clock will bring: the ticks to come, on the clocks of their triggers.

    TRIGGER is the name of one asset or flow. Ticks that a day off or a pause will skip are told with why, and so is what is
    odd about a tick where clocks are changed.
    """
    workspace = call.workspace_in_force()
    found = list_coming(workspace, call.reader(workspace), trigger or "", days=days, limit=limit)
    call.answer(found, lambda: _draw_coming(call.screen, found, days, limit))


def _draw_coming(screen: Screen, found: Coming, days: float, limit: int) -> None:
    rows = [(_local(each), each.tz, screen.paint(each.trigger, "bold"), each.moment, each.note) for each in found.ticks]
    screen.table(("at", "clock of", "trigger", "moment", "note"), rows)
    if not rows:
        screen.say(f"the clock brings nothing in the next {days:g} days")
    if found.more:
        screen.say(f"and more: --limit {limit * 4}")
    for name, words in found.untimed.items():
        screen.say(screen.hang(f"{screen.paint(name, 'bold')} has no clock: ", words))


@command
@click.argument("trigger", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Decisions to show.")
@click.option("--before", type=int, default=0, metavar="NUMBER", help="Go on with those older than this.")
def decisions(call: Call, trigger: str | None, limit: int, before: int) -> None:
    """List what was decided of ticks, newest first: what fired and which run it became, what was skipped and why.

    TRIGGER is the name of one asset or flow.
    """
    workspace = call.workspace_in_force()
    found = list_decisions(workspace, call.reader(workspace), trigger or "", limit=limit, before=before)
    call.answer(found, lambda: _draw_decisions(call.screen, found, limit))


def _draw_decisions(screen: Screen, found: DecisionPage, limit: int) -> None:
    if not found.decisions:
        screen.say(f"nothing was decided{f' of {found.trigger}' if found.trigger else ''} yet")
        return
    rows = [
        (when(each.on), screen.paint(each.trigger, "bold"), _became(screen, each), _sentence(each)) for each in found.decisions
    ]  # fmt: skip
    screen.table(("decided", "trigger", "run", "what"), rows)
    if found.older:
        words = ["legato", "decisions", *([found.trigger] if found.trigger else []), "--before", str(found.older)]
        screen.say(f"older ones: {shell(*words, *(['--limit', str(limit)] if limit != 20 else []))}")


def _became(screen: Screen, line: DecisionLine) -> str:
    if line.run:
        return f"{line.run} {screen.status(line.state)}".rstrip()
    return "waits" if line.waits else "none" if line.note else ""


def _sentence(line: DecisionLine) -> str:
    """The sentence, and why what fired never became a run. File names may be anything: nothing in them reaches the terminal."""
    return readable(line.sentence + (f"; it never became a run: {line.note}" if line.note else ""))
