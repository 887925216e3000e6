"""The versions of an asset: which there were, which one readers see, what its checks said."""

from __future__ import annotations

from msgspec import Struct

from legato.ports.store import Head, Store, Version
from legato.service.workspace import Workspace
from legato.terms.errors import UsageError
from legato.terms.instant import Instant


class VersionLine(Struct, frozen=True, kw_only=True):
    """One version in a list. `number` is for paging, `current` says that readers see it, `checks` sums up its verdicts."""

    number: int
    version: str
    asset: str
    partition: str
    state: str
    current: bool
    at: Instant
    run: str
    rows: int
    size_bytes: int
    checks: str
    note: str


class History(Struct, frozen=True, kw_only=True):
    """A page of versions, newest first; `older` is the number to ask for the next page with, 0 if there is none."""

    asset: str
    versions: list[VersionLine]
    older: int


def list_versions(workspace: Workspace, store: Store, text: str, *, limit: int = 20, before: int = 0) -> History:
    """The versions of `ASSET` or `ASSET@PARTITION`, newest first."""
    asset, partition = workspace.key(text, store)
    require_asset(workspace, asset)
    heads = store.heads([asset])[asset]
    found = store.versions(asset, partition or None, limit=limit + 1, before=before)
    lines = [_line(number, each, heads.get(each.ref.partition)) for number, each in found[:limit]]
    return History(asset=asset, versions=lines, older=lines[-1].number if len(found) > limit else 0)


def _line(number: int, version: Version, head: Head | None) -> VersionLine:
    ref = version.ref
    return VersionLine(
        number=number, version=ref.version, asset=ref.asset, partition=ref.partition, state=version.state,
        current=head is not None and head.version == ref.version, at=version.at, run=version.run, rows=ref.rows,
        size_bytes=ref.size_bytes, checks=_checks(version), note=version.note,
    )  # fmt: skip


def _checks(version: Version) -> str:
    failed = sum(verdict.blocks for verdict in version.verdicts)
    warned = sum(not verdict.passed for verdict in version.verdicts) - failed
    passed = sum(verdict.passed for verdict in version.verdicts)
    told = (f"{failed} failed" if failed else "", f"{warned} warned" if warned else "", f"{passed} passed" if passed else "")
    return ", ".join(filter(None, told))


def require_asset(workspace: Workspace, name: str) -> None:
    """Refuse what has no versions that Legato keeps."""
    if workspace.node(name).kind != "asset":
        kind = workspace.node(name).kind
        why = "what others make has versions with them" if kind == "source" else f"a {kind}'s value lives only in its run"
        raise UsageError("versions", f"{name} is a {kind}: it has no versions here", why=why, next=f"legato show {name}")
