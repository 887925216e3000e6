"""What changed since: the events of all runs as one sequence, each told by what it is and not by what it holds."""

from __future__ import annotations

from msgspec import Struct

from legato.kernel import events as ev
from legato.ports.store import Store
from legato.terms.errors import UsageError
from legato.terms.instant import Instant


class Change(Struct, frozen=True, kw_only=True):
    """One event: its number in the one rising sequence, its run, what it is, and the step that it is of (-1: none, or many)."""

    number: int
    run: str
    what: str
    at: Instant
    step: int = -1


def read_changes(store: Store, after: int, limit: int = 1_000) -> list[Change]:
    """The changes after this number, in order, without gap or duplicate."""
    found = []
    for number, run, body in store.changes(after, limit):
        event = ev.decode(body)
        what = type(event).__struct_config__.tag
        found.append(Change(number=number, run=run, what=str(what), at=event.at, step=getattr(event, "step", -1)))
    return found


def require_number(store: Store, after: int) -> None:
    """Refuse a number that lies ahead: it is from another store."""
    newest = store.newest_change()
    if after > newest:
        raise UsageError(
            "changes-ahead", f"there is no change {after} yet: the newest is {newest}", why="the number is from another store",
            next="look at everything anew, and follow from there",
        )  # fmt: skip
