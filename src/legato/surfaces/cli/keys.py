"""`legato keys`: the keys of dynamic partitions."""

from __future__ import annotations

import click

from legato.service.actor import actor
from legato.service.asks import AddKeys
from legato.service.guest import ask
from legato.service.keys import Added, Keys, KeySet, add_keys, count_set, judge_keys, list_keys, sets_of
from legato.service.shell import command as shell
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count
from legato.terms.errors import UsageError


@command
@click.argument("name", required=False)
@click.argument("key", nargs=-1)
@click.option("--add", is_flag=True, help="Add the keys that follow.")
def keys(call: Call, name: str | None, key: tuple[str, ...], add: bool) -> None:
    """List the keys of dynamic partitions, or add some.

    \b
      legato keys                              the project's dynamic sets
      legato keys customers                    the keys of one, oldest first
      legato keys customers --add acme globex  two more
      xargs -d '\\n' legato keys customers --add < customers.txt

    Keys are never taken away. Those that are there already stay where they are.
    """
    if add and not key:
        raise UsageError("usage", "there are no keys to add", next=f"legato keys {name or 'NAME'} --add KEY")
    if key and not add:
        raise UsageError("usage", f"what is to be done with {key[0]!r}?", next=shell("legato", "keys", str(name), "--add", *key))
    if add and name is not None:
        _add(call, name, key)
        return
    workspace = call.workspace_in_force()
    store = call.reader(workspace)
    if name is None:
        sets = [count_set(store, name, cuts) for name, cuts in sets_of(workspace).items()]
        call.answer(sets, lambda: _draw_sets(call.screen, sets))
    else:
        found = list_keys(workspace, store, name)
        call.answer(found, lambda: _draw_keys(call.screen, found))


def _add(call: Call, name: str, given: tuple[str, ...]) -> None:
    workspace = call.workspace_in_force()
    sound = judge_keys(workspace, name, given)
    if workspace.is_served:
        there = ask(workspace.state, AddKeys(actor=actor(), name=name, keys=tuple(sound)), Added)
        call.answer(there, lambda: _draw_added(call.screen, there))
        return
    writer = workspace.open_writer(f"legato keys {name} --add")
    try:
        added = add_keys(workspace, writer, name, sound)
    finally:
        writer.close()
    call.answer(added, lambda: _draw_added(call.screen, added))


def _draw_sets(screen: Screen, sets: list[KeySet]) -> None:
    if not sets:
        screen.say("the project has no dynamic partitions")
        return
    rows = [(screen.paint(each.name, "bold"), f"{each.count:,}", ", ".join(each.cuts)) for each in sets]
    screen.table(("name", "keys", "partitions of"), rows, right=("keys",))


def _draw_keys(screen: Screen, found: Keys) -> None:
    for key in found.keys:
        screen.say(key)
    if not found.keys:
        screen.say(f"{found.name} has no keys yet")
        screen.say(f"  next: legato keys {found.name} --add KEY")


def _draw_added(screen: Screen, added: Added) -> None:
    known = f", {added.known:,} known before" if added.known else ""
    screen.say(f"{count(len(added.new), 'new key')} in {added.name}{known}: {added.count:,} in all")
    if added.new:
        screen.say(f"  next: {added.next}")
