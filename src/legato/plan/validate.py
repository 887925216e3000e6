"""Finds the faults of a project that need the plan's eyes: inputs whose partitions cannot be told."""

from __future__ import annotations

from legato.declare.node import Project
from legato.plan.links import fault
from legato.terms.errors import Fault


def faults(project: Project) -> list[Fault]:
    """A fault for each input whose partition mapping is impossible. Hand it to `load_project` as its `judge`."""
    found = []
    seen: dict[tuple[object, int, int], str] = {}
    for node in project.nodes.values():
        for dep in (*node.deps, *(dep for check in node.checks for dep in check.deps)):
            up = project.maker(dep.node)
            key = (dep.mapping, id(node.partitions), id(up.partitions))
            if key not in seen:
                seen[key] = fault(dep.mapping, node.partitions, up.partitions)
            if seen[key]:
                hint = f'say which partitions: deps={{"{dep.param or dep.node}": lg.all_partitions()}}, or another mapping'
                what = f"{node.name}: its partitions cannot be mapped to those of `{dep.node}`: {seen[key]}"
                found.append(Fault("mapping", what, node.place, hint))
    return found
