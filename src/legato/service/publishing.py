"""Going back: an older version is published again, of one asset partition or of many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from legato.declare.partitions import coords, key_of, parse_region
from legato.kernel.events import RunEnded, encode
from legato.plan.records import Plan
from legato.ports.access import Audit
from legato.ports.store import Commit, Run, Store, Version
from legato.runtime.book import head_of
from legato.service.actor import actor
from legato.service.folding import Folder
from legato.service.history import require_asset
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Request
from legato.service.shell import command
from legato.service.workspace import Workspace
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, NotFound, UsageError
from legato.terms.instant import Instant
from legato.terms.key import run_id, show, split

_PAGE = 200
WITHDRAWN = "rolled back"
"""How the note of a version begins that somebody went back from: going back further passes over it."""


class Move(Struct, frozen=True, kw_only=True):
    """One asset partition that goes back: from which version (empty: none is published) to which."""

    asset: str
    partition: str
    before: str
    before_at: Instant | None
    to: Version


class Aftermath(Struct, frozen=True, kw_only=True):
    """What a rollback leaves to do: what below is stale now, and whether the next run would make the asset anew, and why."""

    stale_below: int
    names: str
    remade: str
    commands: tuple[str, ...]


def moves_back(workspace: Workspace, store: Store, text: str, to: str | None = None) -> tuple[list[Move], list[str]]:
    """What `rollback` of `ASSET`, `ASSET@PARTITION` or `ASSET@RANGE` changes, and the partitions that have nowhere to go.

    Without `to` it is the newest version that was published before the present one and not gone back from; `to` is a version, or
    a run, for what that run made. `NotFound` (`version`) if nothing has anywhere to go.
    """
    asset, partitions = _select(workspace, store, text)
    found = {partition: _former(store, asset, partition, to) for partition in partitions}
    moves = [_move(workspace, store, version) for version in found.values() if version is not None]
    stay = [partition for partition, version in found.items() if version is None]
    if not moves:
        which = f"version or run {to!r}" if to else "earlier published version to go back to"
        raise NotFound("version", f"{text} has no {which}", next=f"legato versions {text if len(partitions) == 1 else asset}")
    changes = [move for move in moves if move.before != move.to.ref.version]
    if not changes:
        raise UsageError(
            "rollback-current", f"readers of {text} see {moves[0].to.ref.version} already", next=f"legato versions {text}"
        )
    return changes, stay


def _select(workspace: Workspace, store: Store, text: str) -> tuple[str, list[str]]:
    asset, words = split(text)
    require_asset(workspace, asset)
    parts, extents = workspace.node(asset).partitions, workspace.extents(store)
    if parts is None or not words:
        workspace.key(text, store)
        return asset, sorted(store.heads([asset])[asset]) if parts is not None else [""]
    region = parse_region(parts, words, extents.dynamic, extents.now)
    return asset, [key_of(parts, coord, extents.dynamic) for coord in coords(region)]


def _former(store: Store, asset: str, partition: str, to: str | None) -> Version | None:
    if to is not None:
        exact = store.version(asset, partition, to)
        return exact or next((each for each in _history(store, asset, partition) if each.run == to), None)
    head = store.head(asset, partition)
    passed = head is None
    for version in _history(store, asset, partition):
        if passed and version.state == "published" and not version.note.startswith(WITHDRAWN):
            return version
        passed = passed or (head is not None and version.ref.version == head.version)
    return None


def _history(store: Store, asset: str, partition: str) -> Iterator[Version]:
    before = 0
    while page := store.versions(asset, partition, limit=_PAGE, before=before):
        yield from (version for _, version in page)
        before = page[-1][0]


def _move(workspace: Workspace, store: Store, to: Version) -> Move:
    ref = to.ref
    name = show(ref.asset, ref.partition)
    if to.state != "published":
        raise LegatoError(
            "version-quarantined", f"version {ref.version} of {name} was never published: it is {to.state}",
            why=to.note or "a blocking check failed", next=f"legato versions {name}",
        )  # fmt: skip
    storage = workspace.storages.get(ref.storage)
    wrong = f"its storage {ref.storage!r} is not configured" if storage is None else storage.check(ref)
    if wrong:
        raise LegatoError(
            "storage-changed", f"version {ref.version} of {name} cannot be published again", where=ref.location, why=wrong,
            next=f"legato versions {name}",
        )  # fmt: skip
    head = store.head(ref.asset, ref.partition)
    return Move(
        asset=ref.asset, partition=ref.partition, before=head.version if head else "", before_at=head.at if head else None, to=to
    )


def rollback(
    workspace: Workspace, store: Store, moves: Sequence[Move], request: str, who: str = "", audit: Sequence[Audit] = ()
) -> str:  # fmt: skip
    """Publish the older versions, all in one transaction, under a run of its own; that run.

    The versions that readers saw stay, marked by a note, and can be published again by their name. `who` is who asks, if not the
    user of this process.
    """
    for move in moves:
        head = store.head(move.asset, move.partition)
        if (head.version if head else "") != move.before:
            raise LegatoError(
                "rollback-overtaken", f"{show(move.asset, move.partition)} was published anew in the meantime", next="ask again"
            )
    now, who = workspace.clock.now(), who or actor()
    run = Run(
        id=run_id(now // 1_000_000, workspace.clock.noise(20)), request=request, actor=who, at=now,
        project=workspace.project.fingerprint, domains=tuple({workspace.node(move.asset).domain for move in moves}),
    )  # fmt: skip
    store.accept(run, pack(Plan(request=request, project=run.project, steps=[], handling={})), [], audit)
    commit = Commit(
        run_id=run.id, events=[encode(RunEnded(now, "succeeded"))], heads=[head_of(move.to) for move in moves],
        versions=list(_annotated(store, moves, f"{WITHDRAWN} by {who} in run {run.id}")),
        run=replace(run, state="succeeded", ended=now, counts={"rolled back": len(moves)}),
    )  # fmt: skip
    store.commit([commit])
    return run.id


def _annotated(store: Store, moves: Sequence[Move], note: str) -> Iterator[Version]:
    """The versions that were left, with a note; those that are published again, without theirs."""
    for move in moves:
        left = store.version(move.asset, move.partition, move.before) if move.before else None
        if left is not None:
            yield replace(left, note=note)
        if move.to.note:
            yield replace(move.to, note="")


def look_below(workspace: Workspace, store: Store, moves: Sequence[Move], text: str) -> Aftermath:
    """What the rollback of `text` made stale, and the commands that bring it up to date."""
    planner = Planner(workspace, store)
    node, moved = workspace.node(moves[0].asset).name, {move.partition for move in moves}
    steps_of = planner.look(text).steps
    remade = next((str(each.reason) for each in steps_of if each.run and each.node == node and each.partition in moved), "")
    below = f"{text}+ and not {text}"
    try:
        steps = [(step.node, step.partition) for step in plan_request(planner, Request(below)).steps if step.run]
    except NotFound:
        steps = []
    names = Folder(workspace.project, planner.extents).names(steps)
    commands = (command("legato", "plan", below), command("legato", "run", below)) if steps else ()
    return Aftermath(stale_below=len(steps), names=names, remade=remade, commands=commands)
