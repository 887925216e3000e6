"""`legato versions` and `legato rollback`: what was published when, and going back to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from legato.service.actor import actor
from legato.service.asks import RollBack, RolledBack
from legato.service.guest import ask
from legato.service.history import History, VersionLine, list_versions
from legato.service.publishing import Aftermath, Move, look_below, moves_back
from legato.service.publishing import rollback as publish_again
from legato.service.shell import command as shell_command
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, clip, count, size_in_words, when
from legato.terms.errors import UsageError

_MOST_MOVES = 20


@command
@click.argument("asset", metavar="ASSET[@PARTITION]")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Versions to show.")
@click.option("--before", type=int, default=0, metavar="NUMBER", help="Go on with those older than this.")
def versions(call: Call, asset: str, limit: int, before: int) -> None:
    """List the versions of an asset, newest first.

    The one that readers see has a mark: *. Quarantined versions failed a blocking check and were never published.
    """
    workspace = call.workspace_in_force()
    found = list_versions(workspace, call.history(workspace), asset, limit=limit, before=before)
    call.answer(found, lambda: _draw_versions(call.screen, found, asset, limit))


def _draw_versions(screen: Screen, found: History, asked: str, limit: int) -> None:
    if not found.versions:
        screen.say(f"{asked} has no versions" + ("" if "@" in asked else " yet"))
        screen.say(f"  next: {shell_command('legato', 'why', asked)}")
        return
    titles = ("", "version", "partition", "state", "at", "run", "rows", "size", "checks", "note")
    screen.table(titles, [_row(screen, each) for each in found.versions], right=("rows", "size"))
    if found.older:
        words = ["legato", "versions", asked, "--before", str(found.older)] + (["--limit", str(limit)] if limit != 20 else [])
        screen.say(f"older ones: {shell_command(*words)}")


def _row(screen: Screen, each: VersionLine) -> tuple[str, ...]:
    return (
        screen.paint("*", "green", "bold") if each.current else " ", each.version, each.partition, screen.status(each.state),
        when(each.at), each.run, "" if each.rows < 0 else f"{each.rows:,}", size_in_words(each.size_bytes), each.checks,
        clip(each.note.replace("\n", " "), 70),
    )  # fmt: skip


@command
@click.argument("asset", metavar="ASSET[@PARTITIONS]")
@click.option("--to", metavar="VERSION", help="The version to go back to, or a run: to what it made. [default: the one before]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rollback(call: Call, asset: str, to: str | None, yes: bool) -> None:
    """Publish an older version of an asset again.

    \b
      legato rollback report                      to the version before the present one
      legato rollback flights@2013-01-05          of one partition, or of a range: flights@2013-01-05..2013-01-09
      legato rollback flights@2013-01 --to RUN    what a run made of them

    Readers see all of the older versions at once. The present ones stay, and can be published again by their name.
    """
    workspace = call.workspace_or_last()
    reader = call.history(workspace)
    moves, stay = moves_back(workspace, reader, asset, to)
    if not call.json:
        _draw_moves(call.screen, moves, stay)
    words = ["rollback", asset, *(["--to", to] if to else [])]
    if not yes and not _agreed(call, words):
        call.screen.say("nothing was changed")
        return
    run_id = _publish(workspace, moves, asset, to, words)
    after = look_below(workspace, reader, moves, asset)
    result = {"run": run_id, "moves": [_as_record(move) for move in moves], "stay": stay, "after": after}
    call.answer(result, lambda: _draw_aftermath(call.screen, moves, run_id, after, asset))


def _publish(workspace: Workspace, moves: Sequence[Move], asset: str, to: str | None, words: Sequence[str]) -> str:
    """Publish these versions, by way of the service where one runs; the run that did."""
    if workspace.is_served:
        return ask(workspace.state, RollBack(actor=actor(), what=asset, to=to or ""), RolledBack).run
    writer = workspace.open_writer(" ".join(["legato", *words]))
    try:
        return publish_again(workspace, writer, moves, " ".join(words))
    finally:
        writer.close()


def _agreed(call: Call, words: Sequence[str]) -> bool:
    if call.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "confirm", "a rollback changes what readers see, and there is nobody here to ask", why="this is no terminal",
            next=shell_command("legato", *words, "--yes"),
        )  # fmt: skip
    return click.confirm("Publish these versions?")


def _as_record(move: Move) -> dict[str, str]:
    return {"asset": move.asset, "partition": move.partition, "from": move.before, "to": move.to.ref.version}


def _draw_moves(screen: Screen, moves: Sequence[Move], stay: Sequence[str]) -> None:
    rows = [
        (
            move.partition, move.before or "nothing", "→", move.to.ref.version, when(move.to.at), move.to.run,
            "" if move.to.ref.rows < 0 else f"{move.to.ref.rows:,}",
        )
        for move in moves[:_MOST_MOVES]
    ]  # fmt: skip
    screen.table(("partition", "readers see", "", "will see", "made at", "by run", "rows"), rows, right=("rows",))
    if len(moves) > _MOST_MOVES:
        screen.say(f"and {count(len(moves) - _MOST_MOVES, 'more partition')}")
    if stay:
        screen.say(screen.paint(f"{count(len(stay), 'partition')} without an earlier version: as before", "dim"))


def _draw_aftermath(screen: Screen, moves: Sequence[Move], run_id: str, after: Aftermath, asked: str) -> None:
    what = f"version {moves[0].to.ref.version}" if len(moves) == 1 else f"{count(len(moves), 'older version')}"
    screen.say(f"readers now see {what} (run {run_id})")
    if after.stale_below:
        screen.say(screen.hang("stale now: ", f"{after.names} ({count(after.stale_below, 'step')})"))
        for line in after.commands:
            screen.say(f"  next: {line}")
    if after.remade:
        screen.say(screen.hang("note: ", f"a run of {asked} would make it anew ({after.remade})"))
    if len(moves) == 1 and moves[0].before:
        screen.say(f"  undo: {shell_command('legato', 'rollback', asked, '--to', moves[0].before)}")
