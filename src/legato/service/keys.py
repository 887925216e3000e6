"""The keys of dynamic partitions: which there are, and adding some."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from legato.declare.partitions import key_fault
from legato.declare.resolve import did_you_mean
from legato.ports.access import Audit
from legato.ports.store import Store
from legato.service.shell import command
from legato.service.workspace import Workspace, dynamic_sets
from legato.terms.errors import NotFound, UsageError

_MOST_NAMED = 3


class KeySet(Struct, frozen=True, kw_only=True):
    """A dynamic set of partition keys: how many it has, and which assets, tasks and sources are cut by it."""

    name: str
    count: int
    cuts: tuple[str, ...]


class Keys(Struct, frozen=True, kw_only=True):
    """The keys of one dynamic set, in the order in which they came."""

    name: str
    keys: list[str]


class Added(Struct, frozen=True, kw_only=True):
    """What became of keys that were to be added: which are new, how many were there before, how many there are in all."""

    name: str
    new: list[str]
    known: int
    count: int
    next: str


def sets_of(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """The dynamic sets of the project by name, each with what is cut by it."""
    cuts: dict[str, list[str]] = {name: [] for name in workspace.dynamic}
    for node in workspace.project.nodes.values():
        for name in set(dynamic_sets(node.partitions)):
            cuts[name].append(node.name)
    return {name: tuple(nodes) for name, nodes in cuts.items()}


def count_set(store: Store | None, name: str, cuts: tuple[str, ...]) -> KeySet:
    """One of these sets, with how many keys it has."""
    return KeySet(name=name, count=store.count_keys(name) if store is not None else 0, cuts=cuts)


def list_keys(workspace: Workspace, store: Store | None, name: str, start: int = 0, limit: int | None = None) -> Keys:
    """The keys of one set, or a page of them; `NotFound` (`dynamic-set`) if the project has none of this name."""
    _require_set(workspace, name)
    return Keys(name=name, keys=store.dynamic_keys(name, start, limit) if store is not None else [])


def judge_keys(workspace: Workspace, name: str, keys: Sequence[str]) -> list[str]:
    """The keys to add, each once; `UsageError` (`key-illegal`) names every one that may not be a partition's key."""
    _require_set(workspace, name)
    faults = {key: fault for key in keys if (fault := key_fault(key))}
    if faults:
        what = "cannot be a partition key" if len(faults) == 1 else f"and {len(faults) - 1} more cannot be partition keys"
        raise UsageError(
            "key-illegal", f"{next(iter(faults))!r} {what}, so nothing was added to {name}",
            why="\n".join(f"{key!r}: {fault}" for key, fault in faults.items()), next="write other keys in their place",
        )  # fmt: skip
    return list(dict.fromkeys(keys))


def add_keys(workspace: Workspace, store: Store, name: str, keys: Sequence[str], audit: Sequence[Audit] = ()) -> Added:
    """Add keys that were judged to a set, in one transaction; those that are there stay where they are. A writer's call."""
    known = set(store.dynamic_keys(name))
    new = [key for key in keys if key not in known]
    if new:
        store.add_dynamic_keys(name, new, audit)
    cut = sets_of(workspace)[name]
    below = [f"{each}+" for each in cut] if len(cut) <= _MOST_NAMED else []
    return Added(
        name=name, new=new, known=len(keys) - len(new), count=len(known) + len(new), next=command("legato", "plan", *below)
    )


def _require_set(workspace: Workspace, name: str) -> None:
    known = workspace.dynamic
    if name not in known:
        why = did_you_mean(name, known) if known else "no asset of the project is cut by lg.dynamic(...)"
        raise NotFound("dynamic-set", f"no dynamic set of partition keys is named {name!r}", why=why, next="legato keys")
