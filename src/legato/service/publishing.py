"""Which version readers see: its history, and going back to an older one."""

from __future__ import annotations

from collections.abc import Sequence

from legato.plan.records import Plan
from legato.ports.store import Commit, Run, Store, Version
from legato.runtime.book import head_of
from legato.service.running import actor
from legato.service.workspace import Workspace
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, NotFound
from legato.terms.key import run_id, show

_PAGE = 200


def rollback(workspace: Workspace, store: Store, asset: str, partitions: Sequence[str], to: str | None = None) -> list[Version]:
    """Publish an older version of each asset partition again, all in one transaction; the versions now published.

    Without `to` it is the one published before the present one. The versions in between stay, so it can be taken back.
    """
    chosen = [_former(workspace, store, asset, partition, to) for partition in partitions]
    now = workspace.clock.now()
    request = f"rollback {asset}" + (f"@{partitions[0]}" if len(partitions) == 1 and partitions[0] else "")
    identity = run_id(now // 1_000_000, workspace.clock.noise(20))
    run = Run(
        id=identity, request=request, actor=actor(), project=workspace.project.fingerprint, at=now, ended=now, state="succeeded",
        steps=0, counts={"rolled back": len(chosen)},
    )  # fmt: skip
    store.accept(run, pack(Plan(request=request, project=run.project, steps=[], handling={})), [])
    store.commit([Commit(run_id=identity, heads=[head_of(version) for version in chosen])])
    return chosen


def _former(workspace: Workspace, store: Store, asset: str, partition: str, to: str | None) -> Version:
    name = show(asset, partition)
    head = store.head(asset, partition)
    found = _find(store, asset, partition, head.version if head else "", to)
    if found is None:
        raise NotFound(
            "version", f"{name} has no {'version ' + to if to else 'earlier published version'} to go back to", next=f"legato versions {name}"
        )
    if found.state != "published":
        raise LegatoError(
            "version-quarantined", f"version {found.ref.version} of {name} was never published: it is {found.state}",
            why=found.note or "a blocking check failed", next=f"legato versions {name}",
        )  # fmt: skip
    storage = workspace.storages.get(found.ref.storage)
    wrong = "" if storage is None else storage.check(found.ref)
    if wrong:
        raise LegatoError("storage-changed", f"version {found.ref.version} of {name} cannot be published again", why=wrong)
    return found


def _find(store: Store, asset: str, partition: str, current: str, to: str | None) -> Version | None:
    """The version asked for, or the newest published one that is older than the present one."""
    passed, before = False, 0
    while page := store.versions(asset, partition, limit=_PAGE, before=before):
        for number, version in page:
            before = number
            if to is not None and version.ref.version.startswith(to):
                return version
            if to is None and passed and version.state == "published":
                return version
            passed = passed or version.ref.version == current
    return None
