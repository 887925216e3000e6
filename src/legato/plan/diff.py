"""What changed from one version of a project to another: new, changed, removed, and what of it breaks whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import fields

from legato.declare.contract import Contract, ContractColumn
from legato.declare.node import Check, Node
from legato.declare.partitions import describe
from legato.declare.snapshot import Parameter, Snapshot
from legato.quality.schema import breaks
from legato.terms.fact import Column

What = Literal["new", "changed", "removed"]
_OWN_WORDS = frozenset(("name", "place", "code", "contracts", "checks", "partitions", "deps", "outputs", "kind", "arguments"))
_SHORT = {
    "timeout_s": "timeout", "retry": "retries", "trigger": "on", "limits": "sizes of pools",
    "on_failure": "what follows a failure", "lost_retries": "retries after lost workers",
}  # fmt: skip


class Change(Struct, frozen=True, kw_only=True):
    """What became of one node, in words; `breaking` are those of the words that others may stumble over."""

    name: str
    kind: str
    what: What
    words: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()


class Difference(Struct, frozen=True, kw_only=True):
    """Two versions of a project, the older first, and all changes, by name."""

    older: str
    newer: str
    changes: tuple[Change, ...]

    @property
    def breaking(self) -> bool:
        """Whether anything breaks."""
        return any(change.breaking for change in self.changes)


def compare(older: Snapshot, newer: Snapshot) -> Difference:
    """What changed from the older to the newer."""
    before, after = older.project.nodes, newer.project.nodes
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            changes.append(Change(name=name, kind=after[name].kind, what="new"))
        elif name not in after:
            missed = tuple(_missed(older, before[name]))
            changes.append(Change(name=name, kind=before[name].kind, what="removed", breaking=missed))
        else:
            words, breaking = list(_words(before[name], after[name])), list(_breaking(older, newer, name))
            if words or breaking:
                changes.append(
                    Change(name=name, kind=after[name].kind, what="changed", words=tuple(words), breaking=tuple(breaking))
                )
    return Difference(older=older.fingerprint, newer=newer.fingerprint, changes=tuple(changes))


def _missed(older: Snapshot, node: Node) -> Iterator[str]:
    """Who needed a node that is gone."""
    readers = sorted(_readers(older, node.outputs or (node.name,)))
    if readers:
        yield f"read by {', '.join(readers)}"
    if node.kind == "flow":
        yield "nobody can start it any more"


def _readers(snapshot: Snapshot, names: tuple[str, ...]) -> set[str]:
    return {each.name for each in snapshot.project.nodes.values() for dep in each.deps if dep.node in names}


def _words(old: Node, new: Node) -> Iterator[str]:
    """What changed, one phrase a thing."""
    if old.kind != new.kind:
        yield f"was a {old.kind}"
    if old.code != new.code:
        yield "code"
    before, after = {(dep.node, dep.param): dep for dep in old.deps}, {(dep.node, dep.param): dep for dep in new.deps}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            kind = "no longer reads" if key not in after else "now reads" if key not in before else "reads other partitions of"
            yield f"{kind} {key[0]}"
    if old.partitions != new.partitions:
        yield f"partitions: {_parts(old)} -> {_parts(new)}"
    if old.contracts != new.contracts:
        yield "contract"
    yield from _checks(old.checks, new.checks)
    for each in fields(Node):
        if each.name not in _OWN_WORDS and getattr(old, each.name) != getattr(new, each.name):
            yield _SHORT.get(each.name, each.name)


def _checks(old: tuple[Check, ...], new: tuple[Check, ...]) -> Iterator[str]:
    before, after = ({_unplaced(check): check for check in checks} for checks in (old, new))
    names = {check.name for check in before.values()} | {check.name for check in after.values()}
    for name in sorted(names):
        was, now = ({key for key, check in found.items() if check.name == name} for found in (before, after))
        if was != now:
            yield f"{'new ' if not was else 'no longer has ' if not now else ''}check {name}"


def _unplaced(check: Check) -> str:
    return repr((check.name, check.asset, check.severity, check.kind, sorted(check.args.items()), check.deps, check.code))


def _parts(node: Node) -> str:
    return describe(node.partitions) if node.partitions else "none"


def _breaking(older: Snapshot, newer: Snapshot, name: str) -> Iterator[str]:
    old, new = older.project.nodes[name], newer.project.nodes[name]
    if old.kind != new.kind:
        yield f"{name} is no {old.kind} any more"
    for asset in sorted(set(old.outputs) - set(new.outputs)):
        readers = sorted(_readers(older, (asset,)))
        yield f"no longer makes {asset}" + (f", read by {', '.join(readers)}" if readers else "")
    if old.partitions != new.partitions and old.kind in ("asset", "source"):
        yield "its partitions are others: what is published has keys of before"
    for asset, contract in old.contracts.items():
        if asset in new.outputs:
            yield from _contract(asset, contract, new.contracts.get(asset))
    yield from _parameters(older.parameters.get(name, ()), newer.parameters.get(name, ()))


def _contract(asset: str, old: Contract, new: Contract | None) -> Iterator[str]:
    """How readers lose what was promised, and how what was accepted is accepted no longer."""
    if new is None:
        yield f"contract of {asset}: promises nothing any more"
        return
    for words in breaks(_promised(old), _promised(new), "backward"):
        yield f"contract of {asset}: {words}"
    if old.extra == "allow" and new.extra == "forbid":
        yield f"contract of {asset}: other columns are no longer allowed"
    before = {column.name: column for column in old.columns}
    for column in new.columns:
        for words in _narrower(before.get(column.name), column):
            yield f"contract of {asset}: column {column.name} {words}"


def _promised(contract: Contract) -> tuple[Column, ...]:
    return tuple(Column(column.name, column.type or "null", column.nulls) for column in contract.columns)


def _narrower(old: ContractColumn | None, new: ContractColumn) -> Iterator[str]:
    if old is None:
        yield "must be there"
        return
    if old.nulls and not new.nulls:
        yield "may no longer be null"
    if new.unique and not old.unique:
        yield "must be unique"
    if _cuts(new.low, old.low, above=True) or _cuts(new.high, old.high, above=False):
        yield "has narrower bounds"
    if new.among and (not old.among or set(map(repr, old.among)) - set(map(repr, new.among))):
        yield "may have fewer values"
    if new.pattern and new.pattern != old.pattern:
        yield "must match another pattern"


def _cuts(new: Any, old: Any, *, above: bool) -> bool:
    """Whether a lower (`above`) or an upper bound allows less than it did."""
    if new is None or new == old:
        return False
    if old is None:
        return True
    try:
        return bool(new > old if above else new < old)
    except TypeError:  # bounds of different types
        return True


def _parameters(old: tuple[Parameter, ...], new: tuple[Parameter, ...]) -> Iterator[str]:
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    for name in sorted(before.keys() - after.keys()):
        yield f"parameter {name} is gone"
    for name, each in after.items():
        if each.required and (name not in before or not before[name].required):
            yield f"parameter {name} must be given"
        elif name in before and before[name].schema != each.schema:
            yield f"parameter {name} takes other values: {before[name].type or 'anything'} -> {each.type or 'anything'}"
