"""How a project is as a whole: statuses, open troubles, last runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from legato.ports.store import Holder, Store, Trouble
from legato.service.asking import status_of
from legato.service.folding import Folder
from legato.service.planning import Planner
from legato.service.reporting import RunLine, list_runs
from legato.service.workspace import Workspace
from legato.terms.instant import Instant
from legato.terms.key import show

FOLLOWING = ("upstream", "halted")
"""Troubles that only follow from another."""


class TroubleShown(Struct, frozen=True, kw_only=True):
    """The same trouble of several partitions of one asset."""

    asset: str
    partitions: str
    count: int
    example: str
    kind: str
    message: str
    run: str
    at: Instant


class Health(Struct, frozen=True, kw_only=True):
    """How the project is: asset partitions by status, open troubles (the same for several partitions told once), last runs."""

    project: str
    statuses: dict[str, int]
    troubles: tuple[TroubleShown, ...]
    runs: tuple[RunLine, ...]
    holder: Holder | None


def health(workspace: Workspace, store: Store | None) -> Health:
    """How the project is. A trouble of what is fresh again (its cause was taken back) is over."""
    planner = Planner(workspace, store)
    statuses: dict[str, int] = {}
    fresh: set[tuple[str, str]] = set()
    for step in planner.everything().steps:
        node = workspace.project.nodes[step.node]
        if step.reason.kind == "fresh":
            fresh.update((asset, step.partition) for asset in node.outputs)
        if node.kind == "asset":
            statuses[status_of(step)] = statuses.get(status_of(step), 0) + len(node.outputs)
    folder = Folder(workspace.project, planner.extents)
    open_troubles = [each for each in store.troubles() if (each.asset, each.partition) not in fresh] if store else []
    return Health(
        project=workspace.project.name, statuses=statuses, holder=workspace.find_holder(),
        troubles=tuple(_troubles(workspace, folder, open_troubles)),
        runs=tuple(list_runs(workspace, store, limit=5)) if store else (),
    )  # fmt: skip


def _troubles(workspace: Workspace, folder: Folder, troubles: Sequence[Trouble]) -> Iterable[TroubleShown]:
    """Troubles that are alike as one, and before all that they hold up."""
    alike: dict[tuple[bool, str, str, str], list[Trouble]] = {}
    for each in troubles:
        follows = each.kind in FOLLOWING
        alike.setdefault((follows, each.asset, "" if follows else f"{each.kind} {each.message}", each.run), []).append(each)
    for _, same in sorted(alike.items(), key=lambda item: item[0][0]):
        first = same[0]
        others = len({each.message for each in same}) - 1
        yield TroubleShown(
            asset=first.asset, count=len(same), example=show(first.asset, first.partition), kind=first.kind, run=first.run,
            partitions=folder.partitions(workspace.project.makers.get(first.asset, ""), [each.partition for each in same]),
            message=first.message + (f" and {others} more" if others else ""), at=max(each.at for each in same),
        )  # fmt: skip
