"""Versions of the project: which were in force, and what changed between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from legato.ports.store import ProjectVersion, Store
from legato.service.workspace import Workspace
from legato.terms.errors import NotFound, UsageError

if TYPE_CHECKING:
    from legato.declare.manuscript import Manuscript
    from legato.plan.diff import Difference

_MOST = 1_000


class Kept(NamedTuple):
    """A version whose code is kept."""

    fingerprint: str
    code: Manuscript


def last_in_force(store: Store) -> Kept | None:
    """The version that was in force last, if its code is kept."""
    found = store.projects(limit=1)
    code = store.manuscript(found[0].fingerprint) if found else None
    return None if code is None else Kept(found[0].fingerprint, code)


def keep_project(store: Store, workspace: Workspace) -> None:
    """Record that this version is in force, with its code, unless it is the newest already."""
    if workspace.is_former:
        return
    found, fingerprint = store.projects(limit=1), workspace.project.fingerprint
    newest = found[0] if found and found[0].fingerprint == fingerprint else None
    if newest is not None and newest.code:
        return
    code = workspace.take_manuscript() or store.manuscript(fingerprint)
    if newest is None or code is not None:
        from legato.declare.snapshot import encode

        at = workspace.clock.now() if newest is None else newest.at
        store.keep_project(ProjectVersion(fingerprint, at), encode(workspace.snapshot), code)


def diff_projects(store: Store, older: str | None = None, newer: str | None = None) -> Difference:
    """What changed between two versions, named by the beginnings of their fingerprints: by default the last two."""
    from legato.declare.snapshot import decode
    from legato.plan.diff import compare

    versions = store.projects(limit=_MOST)
    if older is None and len(versions) < 2:
        raise NotFound("project-version", "there are no two versions of the project to compare", next="legato run")
    after = find_version(versions, newer) if newer is not None else versions[0]
    before = find_version(versions, older) if older is not None else versions[1]
    return compare(decode(_body(store, before)), decode(_body(store, after)))


def find_version(versions: list[ProjectVersion], name: str) -> ProjectVersion:
    """The version whose fingerprint begins so; `last` is the newest."""
    if name == "last" and versions:
        return versions[0]
    found = [each for each in versions if name and each.fingerprint.startswith(name)]
    if not found:
        raise NotFound("project-version", f"no version of the project is named {name!r}", next="legato diff --list")
    if len(found) > 1:
        names = ", ".join(each.fingerprint[:12] for each in found[:4])
        raise UsageError("project-version", f"{name!r} could be any of {names}", next="write more of its name")
    return found[0]


def _body(store: Store, version: ProjectVersion) -> bytes:
    body = store.project(version.fingerprint)
    assert body is not None
    return body
