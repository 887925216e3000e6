"""`legato why`: why an asset is as it is, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from legato.service.caching import CacheUse
from legato.service.changes import InputChange
from legato.service.evidence import FailedCheck, Failure
from legato.service.why import Advice, Overview, Seen, Why, explain_asset
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, clip, count, pad, size_in_words, when

_WIDTH = 11
_MOST_CELLS = 40
_VERBS = {"failed": "", "never made": "was "}
_COLOURS = {"held up": "yellow", "never made": "yellow", "blocked": "yellow"}


@command
@click.argument("asset", metavar="ASSET[@PARTITION]")
def why(call: Call, asset: str) -> None:
    """Say why an asset is as it is: fresh, stale, failed, quarantined, held up, blocked or never made.

    Also what readers see meanwhile, what failed and where, what waits for it, and what to do.
    """
    workspace = call.workspace_or_last()
    found = explain_asset(workspace, call.reader(workspace), asset)
    call.answer(found, lambda: _draw_overview(call.screen, found) if isinstance(found, Overview) else _draw(call.screen, found))


def _draw(screen: Screen, found: Why) -> None:
    screen.say(f"{screen.paint(found.name, 'bold')} {_said(screen, found.state)}")
    if found.failure is None or found.state == "fresh":
        _line(screen, "because", found.reason)
    if found.root and found.state == "held up":
        _line(screen, "root", found.root)
    for change in found.changes:
        _line(screen, "input", _change(change))
    if found.kind == "asset":
        _line(screen, "readers see", _seen(found.seen))
    if found.cache is not None:
        _line(screen, "cache", _cache_use(found.cache))
    if found.failure is not None:
        _draw_failure(screen, found.failure)
    for check in found.seen.warnings if found.seen is not None else ():
        _draw_check(screen, check, "warning")
    if found.holds_up is not None:
        title = "holds up" if found.state not in ("stale", "never made", "kept nowhere") else "needed by"
        _line(screen, title, f"{found.holds_up.names} ({count(found.holds_up.count, 'step')})")
    _advise(screen, found.next)


def _said(screen: Screen, state: str) -> str:
    return _VERBS.get(state, "is ") + _state(screen, state)


def _state(screen: Screen, state: str) -> str:
    return screen.paint(state, _COLOURS[state], "bold") if state in _COLOURS else screen.status(state)


def _line(screen: Screen, title: str, text: str) -> None:
    screen.say(screen.hang(f"  {screen.paint(pad(title, _WIDTH), 'dim')}  ", text))


def _seen(seen: Seen | None) -> str:
    if seen is None:
        return "nothing yet"
    rows = "" if seen.rows < 0 else f", {count(seen.rows, 'row')}"
    return f"version {seen.version}, made at {when(seen.at)} by run {seen.run}{rows}, {size_in_words(seen.size_bytes)}"


def _cache_use(use: CacheUse) -> str:
    if not use.cached:
        return f"run {use.run} found nothing there"
    makers = ", ".join(use.made_by[:5]) + (" and others" if len(use.made_by) > 5 else "")
    return f"run {use.run} took {use.cached:,} of {count(use.steps, 'result')} from there, made by run {makers}"


def _change(change: InputChange) -> str:
    version = f": now version {change.version}" if change.version else ""
    made = f", made at {when(change.at)} by run {change.run}" if change.at is not None else ""
    return f"{change.name} {change.what}{version}{made}"


def _draw_failure(screen: Screen, failure: Failure) -> None:
    tries = f", {failure.tries} tries" if failure.tries > 1 else ""
    version = f", quarantined as version {failure.version}" if failure.version else ""
    _line(screen, "newest try", f"{when(failure.at)} in run {failure.run}{tries}{version}")
    if not failure.checks:
        _line(screen, "error", failure.error)
    if failure.where:
        _line(screen, "where", failure.where)
    for check in failure.checks:
        _draw_check(screen, check, "check" if check.severity == "block" else "warning")
    if failure.file:
        _line(screen, "file", failure.file)
    if failure.lines and not failure.checks:
        _line(screen, "printed", screen.paint("(its last lines)", "dim"))
        for text in failure.lines:
            screen.say(f"    {screen.paint('|', 'dim')} {text}")


def _draw_check(screen: Screen, check: FailedCheck, title: str) -> None:
    _line(screen, title, f"{check.check}: {check.message or 'failed'}")
    if check.sample:
        names = list(dict.fromkeys(name for row in check.sample for name in row))
        numbers = [name for name in names if all(_is_number(row.get(name)) for row in check.sample)]
        rows = [[_cell(screen, row.get(name)) for name in names] for row in check.sample]
        screen.table(names, rows, right=numbers, indent="      ")
    if check.query:
        screen.say(f"      {screen.paint('all of them:', 'dim')} {check.query}")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(screen: Screen, value: Any) -> str:
    return screen.paint("null", "dim") if value is None else clip(str(value).replace("\n", " "), _MOST_CELLS)


def _draw_overview(screen: Screen, found: Overview) -> None:
    told = ", ".join(f"{number:,} {_state(screen, state)}" for state, number in found.counts.items())
    screen.say(f"{screen.paint(found.name, 'bold')}: {told}")
    rows = [(_state(screen, each.state), each.partitions, f"{each.count:,}", clip(each.reason, 100)) for each in found.groups]
    if rows:
        screen.table(("state", "partitions", "number", "because"), rows, right=("number",), indent="  ")
    if found.more_groups:
        screen.say(f"  and {count(found.more_groups, 'more reason')}: legato why --json {found.name}")
    _advise(screen, found.next)


def _advise(screen: Screen, advice: Sequence[Advice]) -> None:
    """Commands below each other, what each is good for beside them."""
    if not advice:
        return
    screen.say()
    width = max(len(each.command) for each in advice)
    for number, each in enumerate(advice):
        head = "next: " if number == 0 else "      "
        screen.say(f"{head}{pad(each.command, width)}  {screen.paint(each.purpose, 'dim')}")
