"""`legato clean`: what is older than the project keeps it goes at once, or is only counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from legato.declare.keep import Keep
from legato.kernel.state import RunState
from legato.ports.clock import Clock
from legato.ports.storage import Storage
from legato.ports.store import Store
from legato.runtime.replay import read_state
from legato.service.keeping import Keeper, Part
from legato.terms.instant import Instant

_END_OF_TIME = Instant((1 << 63) - 1)
_EVERYTHING = 1_000_000


@dataclass(frozen=True)
class Room:
    """Where a project keeps things, and how to reach them; nothing of its code is loaded."""

    keep: Keep
    logs: Path
    clock: Clock
    storages: Mapping[str, Storage]
    open_reader: Callable[[], Store]
    open_writer: Callable[[str], Store]


class Spare(Struct, kw_only=True):
    """What goes: runs, versions of assets, decisions, other records, values with their bytes, log files with theirs.

    The bytes of `later` values follow when nobody can be reading them any more.
    """

    runs: int = 0
    versions: int = 0
    decisions: int = 0
    records: int = 0
    values: int = 0
    logs: int = 0
    freed_bytes: int = 0
    later: int = 0
    later_bytes: int = 0


def preview(room: Room) -> Spare:
    """What `clean` would let go now; nothing is changed."""
    spare, now = Spare(), room.clock.now()
    store = room.open_reader()
    try:
        keeper = _keeper(room, store)
        for part in keeper.spare_runs(now):
            _count(spare, part)
            for run in part.removal.runs:
                refs = [ref for _, body in store.events(run) for ref in keeper.own_values(run, body)]
                spare.later += len(refs)
                spare.later_bytes += sum(ref.size_bytes for ref in refs)
        for parts in (keeper.spare_versions(now, all=True), keeper.spare_records(now), keeper.spare_logs(now)):
            for part in parts:
                _count(spare, part)
        spare.later += sum(1 for _ in store.wastes(_END_OF_TIME, _EVERYTHING))
        spare.later_bytes += sum(waste.ref.size_bytes for _, waste in store.wastes(_END_OF_TIME, _EVERYTHING))
    finally:
        store.close()
    return spare


def clean(room: Room) -> Spare:
    """Let all go that is older than it is kept, at the writer's place; what went."""
    spare, now = Spare(), room.clock.now()
    room.open_reader().close()  # to open for writing would make a store where there is none
    store = room.open_writer("legato clean")
    try:
        keeper = _keeper(room, store)
        for part in keeper.round(now):
            _count(spare, part)
            keeper.do(part)
        left = store.wastes(_END_OF_TIME, _EVERYTHING)
        spare.later, spare.later_bytes = len(left), sum(waste.ref.size_bytes for _, waste in left)
    finally:
        store.close()
    return spare


def _keeper(room: Room, store: Store) -> Keeper:
    def states() -> list[RunState]:
        return [read_state(store, run.id) for run in store.runs(state="open", limit=_EVERYTHING)]

    return Keeper(store, lambda: room, states)


def _count(spare: Spare, part: Part) -> None:
    removal = part.removal
    spare.runs += len(removal.runs)
    spare.versions += len(removal.versions)
    spare.decisions += len(removal.decisions)
    spare.records += len(removal.projects) + len(removal.tokens) + len(removal.audits)
    spare.later += len(removal.wasted)
    spare.later_bytes += sum(waste.ref.size_bytes for waste in removal.wasted)
    spare.values += len(part.values)
    spare.logs += len(part.files)
    spare.freed_bytes += sum(ref.size_bytes for ref in part.values)
    for path in part.files:
        with suppress(OSError):
            spare.freed_bytes += path.stat().st_size
