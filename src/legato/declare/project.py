"""Collects what modules declare, finds everything that is wrong with it, and freezes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from legato.declare import order
from legato.declare.body import Code, check_key
from legato.declare.draft import Draft, Site, local
from legato.declare.faces import Declaration
from legato.declare.node import Check, Node, Project
from legato.terms.codec import fingerprint
from legato.terms.errors import Fault, InvalidProject


def collect(modules: Iterable[Mapping[str, Any]]) -> list[Declaration]:
    """The declarations in these modules' namespaces, and in lists, tuples, sets and dicts there: each once, as first found."""
    found: dict[int, Declaration] = {}
    for namespace in modules:
        for value in list(namespace.values()):
            for each in _declared(value):
                found.setdefault(id(each), each)
                for check in getattr(each, "checks", ()):
                    found.setdefault(id(check), check)
    return list(found.values())


def _declared(value: Any) -> Iterator[Declaration]:
    # type() and not isinstance(): a lazy proxy among a module's names must not be woken by being looked at
    kind = type(value)
    if issubclass(kind, Declaration):
        yield value
    elif kind in (list, tuple, set, frozenset, dict):
        for each in value.values() if kind is dict else value:
            if issubclass(type(each), Declaration):
                yield each


def freeze(
    declared: Sequence[Declaration],
    site: Site,
    *,
    code_of: Callable[[Any], str],
    judge: Callable[[Project], list[Fault]] | None = None,
    known: Sequence[Fault] = (),
) -> tuple[Project, Code]:
    """The closed project and its functions, or `InvalidProject` with every fault, the `known` ones first.

    `code_of` fingerprints a function with the project code that it uses. `judge` finds faults that need more than the
    declarations' floor, such as partition mappings that lead nowhere.
    """
    draft = Draft(site)
    draft.read(declared)
    needs = draft.needs()
    project = draft.project(order.sort(needs))
    draft.find_cycles(needs)
    faults = [*draft.faults, *(judge(project) if judge else ())]
    if known or faults:
        shown = (replace(fault, place=local(fault.place, site.root)) for fault in (*known, *sorted(faults, key=_by_place)))
        raise InvalidProject(list(dict.fromkeys(shown)))
    return _fingerprinted(project, draft.code(), code_of, site.root)


def contract_fingerprint(node: Node, asset: str) -> str:
    """What an asset's versions are judged by, as a fingerprint: its contract and checks; empty if there are none."""
    contract = node.contracts.get(asset)
    checks = [replace(check, place=None) for check in node.checks if check.asset == asset]
    if contract is None and not checks:
        return ""
    return fingerprint(contract, sorted(checks, key=lambda check: check.name))


def _by_place(fault: Fault) -> tuple[str, int]:
    return (fault.place.file, fault.place.line) if fault.place else ("", 0)


def _fingerprinted(project: Project, code: Code, code_of: Callable[[Any], str], root: str) -> tuple[Project, Code]:
    """The project with every node's and check's fingerprint, and its own over everything but places."""

    def judged(check: Check) -> Check:
        made = code_of(code.body(check_key(check.asset, check.name)).fn) if check.kind == "function" else ""
        return replace(check, code=made, place=None)

    nodes, bare = {}, {}
    for name, node in project.nodes.items():
        made = fingerprint("version", node.version) if node.version else code_of(code.body(name).fn)
        checks = tuple(map(judged, node.checks))
        bare[name] = replace(node, code=made, checks=checks, place=None)
        placed = tuple(replace(new, place=local(old.place, root)) for new, old in zip(checks, node.checks, strict=True))
        nodes[name] = replace(bare[name], checks=placed, place=local(node.place, root))
    whole = fingerprint(project.name, project.pools, bare)
    return replace(project, nodes=nodes, fingerprint=whole), code
