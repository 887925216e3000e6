"""What stands on disk against what the store knows: published files that are gone or changed, files that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from legato.kernel import events as ev
from legato.ports.storage import Storage
from legato.ports.store import Store, Version
from legato.service.allowance import UNLIMITED, Allowance, UsedUp
from legato.service.keeping import stored_by
from legato.service.premises import Finding, Premises, in_bytes
from legato.service.shell import command
from legato.storages.files import FileStorage, leftovers
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.terms.key import show

_PAGE = 1_000
_MOST_TOLD = 10
_HEADS, _RECORDS = 1_000, 20_000
"""So many published versions are looked at, and so many files and records are compared, unless all are asked for."""
_END_OF_TIME = Instant((1 << 63) - 1)
_MADE_BY = re.compile(r"\.?(?P<run>[0-9a-z]{6}-[0-9a-z]{4})-\d+(?:-i?\d+)?(?:\.[a-z]+)?\Z")


def examine_data(premises: Premises, store: Store, *, deep: bool, leftovers: bool) -> Iterator[Finding]:
    """Whether what readers see is there, by size, and whether there are files that nobody knows; both as far as that is little
    work. If `deep`: by every byte, older versions as well, and all of it. `leftovers` are all looked for as well.
    """
    assets = store.assets()
    heads, more = _all_heads(store, assets) if deep else _last_heads(store, assets)
    yield from _missing(premises, heads, deep=deep, more=more)
    if deep:
        yield from _history(premises, store, assets, {(ref.asset, ref.partition, ref.version) for ref in heads})
    yield from _unknown(premises, store, Allowance(UNLIMITED if deep or leftovers else _RECORDS))


def _unknown(premises: Premises, store: Store, allowance: Allowance) -> Iterator[Finding]:
    """Files that belong to nothing on record."""
    if premises.find_holder() is not None:
        yield Finding("leftovers", "ok", "not looked for, since something is running")
        return
    try:
        orphans, strangers = find_leftovers(premises, store, allowance)
    except UsedUp:
        yield Finding("leftovers", "ok", f"not looked for among more than {_RECORDS:,} files and records: legato doctor --deep")
        return
    if orphans:
        size = sum(_size(path) for path in orphans)
        what = f"{len(orphans)} file{_s(orphans)} ({in_bytes(size)}) staged by attempts that were killed: {_told(orphans)}"
        yield Finding("leftovers", "warning", what, "legato doctor --fix")
    if strangers:
        what = f"{len(strangers)} file{_s(strangers)} among the data that Legato did not put there: {_told(strangers)}"
        yield Finding("strangers", "warning", what, "move them elsewhere; Legato leaves them alone")
    if not orphans and not strangers:
        yield Finding("leftovers", "ok", "none")


def _all_heads(store: Store, assets: Iterable[str]) -> tuple[list[Ref], bool]:
    """All published versions that have bytes, and that there are no more."""
    return [head.ref for each in store.heads(assets).values() for head in each.values() if _is_kept(head.ref)], False


def _last_heads(store: Store, assets: Sequence[str]) -> tuple[list[Ref], bool]:
    """Published versions that have bytes, of each asset those of the last partitions, and whether there are more."""
    each = max(1, _HEADS // max(1, len(assets)))
    found = [store.last_heads(asset, each + 1) for asset in assets[:_HEADS]]
    more = len(assets) > _HEADS or any(len(heads) > each for heads in found)
    return [head.ref for heads in found for head in heads[:each] if _is_kept(head.ref)], more


def _is_made_by_flows(premises: Premises, ref: Ref) -> bool:
    project = premises.project
    return project is not None and ref.asset in project.makers and project.maker(ref.asset).called


def _is_kept(ref: Ref) -> bool:
    """Whether bytes belong to the version: what was only observed has none."""
    return bool(ref.location)


def _missing(premises: Premises, heads: Sequence[Ref], *, deep: bool, more: bool) -> Iterator[Finding]:
    broken = [(ref, what) for ref in heads if (what := _fault(premises, ref, deep=deep))]
    for ref, what in broken[:_MOST_TOLD]:
        name = show(ref.asset, ref.partition)
        again = "run the flow that makes it" if _is_made_by_flows(premises, ref) else command("legato", "run", "--force", name)
        fix = f"{again}, or go back to an older version: {command('legato', 'rollback', name)}"
        yield Finding("published", "fault", what, fix)
    if len(broken) > _MOST_TOLD:
        yield Finding("published", "fault", f"and {len(broken) - _MOST_TOLD} more published versions are missing or changed")
    if not broken:
        how = "every byte as it was stored" if deep else "all there, with their sizes; --deep compares every byte"
        size = in_bytes(sum(ref.size_bytes for ref in heads))
        number = f"the last {len(heads):,} versions of many" if more else f"{len(heads):,} version{_s(heads)}"
        yield Finding("published", "ok", f"{number}, {size}: {how}{' of all' if more else ''}")


def _history(premises: Premises, store: Store, assets: Iterable[str], heads: set[tuple[str, str, str]]) -> Iterator[Finding]:
    known = (version.ref for asset in assets for version in _versions(store, asset))
    older = [ref for ref in known if _is_kept(ref) and (ref.asset, ref.partition, ref.version) not in heads]
    broken = [what for ref in older if (what := _fault(premises, ref, deep=True))]
    for what in broken[:_MOST_TOLD]:
        yield Finding("history", "warning", what, "nothing can be done; that version cannot be gone back to")
    if len(broken) > _MOST_TOLD:
        yield Finding("history", "warning", f"and {len(broken) - _MOST_TOLD} more older versions are missing or changed")
    if not broken:
        yield Finding("history", "ok", f"{len(older):,} older or quarantined version{_s(older)}: every byte as it was stored")


def _fault(premises: Premises, ref: Ref, *, deep: bool) -> str:
    storage = premises.storages.get(ref.storage)
    if storage is None:
        return f"{show(ref.asset, ref.partition)} is kept in storage {ref.storage!r}, which is not configured"
    what = storage.check(ref) if deep else _shallow(storage, ref)
    return f"{what} ({_place(storage, ref)})" if what else ""


def _shallow(storage: Storage, ref: Ref) -> str:
    try:
        storage.load((ref,), Path)
    except LegatoError as error:
        return error.what
    return ""


def _place(storage: Storage, ref: Ref) -> str:
    return str(storage.root / ref.location) if isinstance(storage, FileStorage) else ref.location


# -- files that nobody knows --


def find_leftovers(premises: Premises, store: Store, allowance: Allowance) -> tuple[list[Path], list[Path]]:
    """Files of no known version: those staged by attempts that were never recorded, and those that others put there. `UsedUp`
    if more files and records are to be compared than may be.

    To be asked only when nothing runs: what a live attempt stages is not known yet.
    """
    known, values = _locations(store, allowance), _RunValues(store, allowance)
    for name, location in _on_their_way_out(store, allowance):
        known.setdefault(name, set()).add(location)
    oldest = store.oldest_runs(limit=1)
    since = oldest[0][1].id if oldest else ""
    roots = {name: storage.root for name, storage in premises.storages.items() if isinstance(storage, FileStorage)}
    orphans: list[Path] = []
    strangers: list[Path] = []
    for name, root in roots.items():
        others = [other for other in roots.values() if other != root and other.is_relative_to(root)]
        for path in sorted(allowance.each(leftovers(root, known.get(name, set())))):
            if any(other.is_relative_to(path) or path.is_relative_to(other) for other in others):
                continue
            run = _made_by(path)
            if not run or (store.run(run) is None and run > since):
                strangers.append(path)
            elif not values.may_hold(run, path.relative_to(root).as_posix()):
                orphans.append(path)
    return orphans, strangers


def _on_their_way_out(store: Store, allowance: Allowance) -> Iterator[tuple[str, str]]:
    """Storages and locations of values whose records are gone, and that are removed when nobody can be reading them."""
    for _, waste in allowance.each(store.wastes(_END_OF_TIME, allowance.left + 1)):
        yield waste.ref.storage, waste.ref.location
    for _, _, body in allowance.each(store.removed_events(allowance.left + 1)):
        with suppress(ValueError):
            yield from ((ref.storage, ref.location) for ref in stored_by(ev.decode(body)))


class _RunValues:
    """Values of a run that are stored, but no versions: what tasks and flows handed on, and pictures that steps told."""

    def __init__(self, store: Store, allowance: Allowance) -> None:
        self._store, self._allowance = store, allowance
        self._locations: dict[str, set[str] | None] = {}

    def may_hold(self, run: str, location: str) -> bool:
        """Whether the run may need what stands there; so may a run whose history cannot be read."""
        if run not in self._locations:
            self._locations[run] = self._read(run) if self._store.run(run) is not None else set()
        known = self._locations[run]
        return known is None or location in known

    def _read(self, run: str) -> set[str] | None:
        try:
            events = [ev.decode(body) for _, body in self._allowance.each(self._store.events(run))]
        except ValueError:
            return None
        return {"/".join(ref.location.split("/")[:3]) for event in events for ref in stored_by(event)}


def remove(paths: Iterable[Path]) -> list[str]:
    """Remove files or folders that `find_leftovers` called orphans; their names."""
    from legato.storages.disk import remove as remove_path

    removed = []
    for path in paths:
        remove_path(path)
        removed.append(str(path))
    return removed


def _locations(store: Store, allowance: Allowance) -> dict[str, set[str]]:
    """The locations of all versions that the store knows, by storage."""
    known: dict[str, set[str]] = {}
    for asset in store.assets():
        for version in allowance.each(_versions(store, asset)):
            known.setdefault(version.ref.storage, set()).add(version.ref.location)
    return known


def _versions(store: Store, asset: str) -> Iterator[Version]:
    before = 0
    while page := store.versions(asset, limit=_PAGE, before=before):
        yield from (version for _, version in page)
        before = page[-1][0]


def _made_by(path: Path) -> str:
    """The run whose attempt staged a file, by its name; empty if the name is none that Legato gives."""
    found = _MADE_BY.match(path.name)
    return found["run"] if found else ""


def _size(path: Path) -> int:
    from legato.storages.disk import size_of

    return size_of(path)


def _told(paths: Sequence[Path]) -> str:
    more = len(paths) - 3
    return ", ".join(map(str, paths[:3])) + (f" and {more} more" if more > 0 else "")


def _s(things: Sequence[object]) -> str:
    return "" if len(things) == 1 else "s"
