"""What there is in a project and how it is: the list, and one node in full."""

from __future__ import annotations

from collections import abc
from typing import Any

from msgspec import Struct

from legato.declare.contract import Contract
from legato.declare.node import Cache, Check, Node, Project, Retry
from legato.declare.partitions import All, ByDimension, Explicit, LookBack, Mapping, Overlap, Same, Subset, describe
from legato.declare.pool import Limit, Use
from legato.declare.region import size
from legato.plan.graph import Edge
from legato.plan.records import Step
from legato.plan.select import Selection
from legato.plan.spread import default_mapping
from legato.plan.stale import Needs
from legato.ports.store import Head, Store
from legato.service.folding import Folder
from legato.service.params import ParameterShown, parameters_of
from legato.service.params import describe as describe_parameters
from legato.service.planning import STATUSES, Planner
from legato.service.workspace import Workspace
from legato.terms.errors import Place
from legato.terms.fact import Verdict
from legato.terms.instant import Instant, format_seconds
from legato.triggers.words import describe as describe_trigger

_BY_REASON = {kind: status for status, kinds in STATUSES.items() for kind in kinds} | {"observed": "observed"}
_STATED = ("asset", "source")
"""The kinds of nodes that have a status."""


class Listed(Struct, frozen=True, kw_only=True):
    """One node in a list. `statuses` counts its partitions (1 where there are none); tasks and flows have none."""

    name: str
    kind: str
    partitions: str
    count: int
    statuses: dict[str, int]
    published: Instant | None
    owner: str
    tags: tuple[str, ...]
    description: str
    trigger: str


class Patch(Struct, frozen=True):
    """The partitions of one status, as the selection language writes them."""

    status: str
    partitions: str
    count: int


class InputShown(Struct, frozen=True, kw_only=True):
    """One input: as which parameter (empty: only before it), and which of its partitions a partition needs."""

    name: str
    param: str
    mapping: str


class CheckShown(Struct, frozen=True, kw_only=True):
    """A check, what it demands in words, and where it is declared."""

    name: str
    asset: str
    severity: str
    rule: str
    place: Place | None


class Published(Struct, frozen=True, kw_only=True):
    """What readers see of an asset: how many partitions, when the newest came, how much it is in all.

    The version's name and verdicts are there for an asset without partitions. `rows` is -1 for values without rows.
    """

    partitions: int
    at: Instant
    rows: int
    size_bytes: int
    version: str = ""
    run: str = ""
    verdicts: tuple[Verdict, ...] = ()


class Described(Struct, frozen=True, kw_only=True):
    """All there is to know of one node, by the name of an asset that it makes."""

    name: str
    kind: str
    description: str
    place: Place | None
    owner: str
    domain: str
    tags: tuple[str, ...]
    outputs: tuple[str, ...]
    inputs: tuple[InputShown, ...]
    used_by: tuple[str, ...]
    partitions: str
    count: int
    contract: Contract | None
    checks: tuple[CheckShown, ...]
    policy: dict[str, str]
    parameters: tuple[ParameterShown, ...]
    published: Published | None
    patches: tuple[Patch, ...]
    trigger: str


def list_nodes(workspace: Workspace, store: Store | None, words: str) -> list[Listed]:
    """What the words select: a line an asset, task, source or flow."""
    planner = Planner(workspace, store)
    selection = planner.select(words, whole=True)
    statuses = _statuses(planner, selection)
    assets = [asset for name in selection for asset in workspace.project.nodes[name].outputs]
    heads = store.heads(assets) if store is not None else {}
    lines = []
    for name, region in selection.items():
        node = workspace.project.nodes[name]
        for made in node.outputs or (name,):
            newest = max((head.at for head in heads.get(made, {}).values()), default=None)
            lines.append(
                Listed(
                    name=made, kind=node.kind, partitions=describe(node.partitions) if node.partitions else "",
                    count=size(region), statuses=statuses.get(name, {}), published=newest, owner=node.owner, tags=node.tags,
                    description=_first_line(node.description), trigger=_trigger(node),
                )
            )  # fmt: skip
    return lines


def _statuses(planner: Planner, selection: Selection) -> dict[str, dict[str, int]]:
    """By node, the selected partitions by status."""
    nodes, needs = planner.workspace.project.nodes, Needs(planner.workspace.graph, planner.extents)
    wanted = {name: set(needs.keys(name, region)) for name, region in selection.items() if nodes[name].kind in _STATED}
    found: dict[str, dict[str, int]] = {name: {} for name in wanted}
    for step in planner.everything().steps:
        if step.node in wanted and step.partition in wanted[step.node]:
            status = status_of(step)
            found[step.node][status] = found[step.node].get(status, 0) + 1
    return found


def status_of(step: Step) -> str:
    """The status of an asset partition, from its step in a plan of everything."""
    return _BY_REASON[step.reason.kind]


# -- one node --


def describe_node(workspace: Workspace, store: Store | None, name: str) -> Described:
    """All there is to know of an asset, task, source or flow."""
    node = workspace.node(name)
    planner = Planner(workspace, store)
    graph = workspace.graph
    heads = store.heads([name]).get(name, {}) if store is not None else {}
    patches = _patches(planner, node)
    return Described(
        name=name, kind=node.kind, description=node.description, place=node.place, owner=node.owner, domain=node.domain,
        tags=node.tags, outputs=node.outputs, inputs=(*(_input(workspace, edge) for edge in graph.needs[node.name]), *_own(node)),
        used_by=tuple(dict.fromkeys(edge.down for edge in graph.needed_by[node.name] if edge.name == name)),
        partitions=describe(node.partitions), count=size(planner.extents.of(node.partitions)),
        contract=node.contracts.get(name), policy=_policy(node, workspace.project),
        parameters=describe_parameters(parameters_of(workspace, node.name)) if node.called else (),
        checks=tuple(_check(check) for check in node.checks if check.asset == name or not node.outputs),
        published=_published(store, heads), patches=patches, trigger=_trigger(node),
    )  # fmt: skip


def _patches(planner: Planner, node: Node) -> tuple[Patch, ...]:
    """The node's partitions by status; none for a task or flow."""
    if node.kind not in _STATED:
        return ()
    by_status: dict[str, list[str]] = {}
    for step in planner.everything().steps:
        if step.node == node.name:
            by_status.setdefault(status_of(step), []).append(step.partition)
    folder = Folder(planner.workspace.project, planner.extents)
    return tuple(Patch(status, folder.partitions(node.name, keys, most=8), len(keys)) for status, keys in by_status.items())


def _input(workspace: Workspace, edge: Edge) -> InputShown:
    nodes = workspace.project.nodes
    down, up = nodes[edge.down].partitions, nodes[edge.up].partitions
    words = "" if up is None else _mapping(edge.mapping or default_mapping(down, up))
    return InputShown(name=edge.name, param=edge.param, mapping=words)


def _own(node: Node) -> abc.Iterator[InputShown]:
    """What the node takes of its own versions."""
    for param, asset in node.previous.items():
        yield InputShown(name=asset, param=param, mapping="its version before")


def _mapping(mapping: Mapping) -> str:
    """Which partitions of the input, for people."""
    match mapping:
        case Same():
            return "the same partition"
        case Overlap():
            return "partitions that overlap in time"
        case LookBack():
            return f"the last {mapping.count}" + (f", skipping {mapping.skip}" if mapping.skip else "")
        case All():
            return "all partitions"
        case Subset():
            return _in_words({name or "keys": keys for name, keys in mapping.fixed})
        case Explicit():
            return f"by a table of {len(mapping.table)} keys"
        case ByDimension():
            return "; ".join(f"{name}: {_mapping(part)}" for name, part in mapping.parts)


def _check(check: Check) -> CheckShown:
    rule = "" if check.kind == "function" else f"{check.kind} {_in_words(check.args)}".strip()
    return CheckShown(name=check.name, asset=check.asset, severity=check.severity, rule=rule, place=check.place)


def _in_words(values: abc.Mapping[str, Any]) -> str:
    """Arguments for people: `column=carrier, low=0`."""
    told = ((name, value) for name, value in values.items() if value not in (None, [], (), 0, ""))
    return ", ".join(f"{name}={_value(value)}" for name, value in told)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:5])) + (", …" if len(value) > 5 else "")
        return f"[{shown}]"
    return str(value)


def _policy(node: Node, project: Project) -> dict[str, str]:
    """How the node is tried, as far as it differs from the default."""
    told = {
        "retries": _retry(node.retry), "timeout": format_seconds(node.timeout_s) if node.timeout_s else "",
        "pool": ", ".join(_use(use, project.pools) for use in node.pools), "priority": str(node.priority or ""),
        "on failure": "" if node.on_failure == "skip" else node.on_failure, "fallback": node.fallback,
        "undo": "yes" if node.undo else "", "when": "has a condition" if node.when else "",
        "cache": _cache(node.cache) if node.cache else "", "storage": node.storage,
        "version": node.version,
    }  # fmt: skip
    return {name: text for name, text in told.items() if text}


def _use(use: Use, pools: abc.Mapping[str, Limit]) -> str:
    """A pool for people: `crm (2 slots)`, `5 in 60 s for each tenant`."""
    own, size = use.pool.endswith(")"), str(pools.get(use.pool, ""))
    words = size if own else f"{use.pool} ({size})" if size else use.pool
    return f"{words} for each {use.key}" if use.key else words


def _retry(retry: Retry) -> str:
    if retry.times == 0:
        return ""
    on = f", on {', '.join(name.rpartition('.')[2] for name in retry.on)}" if retry.on else ""
    until = ", until its result is accepted" if retry.until else ""
    limit = f", for {format_seconds(retry.max_time_s)} at most" if retry.max_time_s is not None else ""
    times = "any number" if retry.times is None else f"{retry.times}"
    return f"{times}, {retry.backoff} from {format_seconds(retry.delay_s)}{on}{until}{limit}"


def _cache(cache: Cache) -> str:
    limit = "any age" if cache.ttl_s is None else f"up to {format_seconds(cache.ttl_s)} old"
    key = ", by a key of its own" if cache.key else ""
    return f"{limit}{key}" + (f", version {cache.version}" if cache.version else "")


def _published(store: Store | None, heads: abc.Mapping[str, Head]) -> Published | None:
    if store is None or not heads:
        return None
    newest = max(heads.values(), key=lambda head: head.at)
    rows = [head.ref.rows for head in heads.values() if head.ref.rows >= 0]
    version = store.version(newest.asset, "", newest.version) if list(heads) == [""] else None
    return Published(
        partitions=len(heads), at=newest.at, rows=sum(rows) if rows else -1,
        size_bytes=sum(head.ref.size_bytes for head in heads.values()),
        version=newest.version if version else "", run=version.run if version else "",
        verdicts=version.verdicts if version else (),
    )  # fmt: skip


def _trigger(node: Node) -> str:
    """When the node runs by itself, in words; empty if it does not."""
    return "" if node.trigger is None else describe_trigger(node.trigger)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
