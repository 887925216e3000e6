"""`legato list` and `legato show`: what there is in the project."""

from __future__ import annotations

import click

from legato.service.asking import Described, Listed, Patch, describe_node, list_nodes
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count, size_in_words, when
from legato.terms.fact import Verdict

STATUSES = ("fresh", "stale", "missing", "failed", "observed")


@command
@click.argument("selection", nargs=-1)
def list_command(call: Call, selection: tuple[str, ...]) -> None:
    """List assets, tasks, sources and flows with their state.

    SELECTION is as in `legato plan`, for example: +report  tag:daily  "status:stale and not raw_*". Without it everything
    is listed.
    """
    workspace = call.workspace_or_last()
    found = list_nodes(workspace, call.reader(workspace), " ".join(selection))
    call.answer(found, lambda: _draw_list(call.screen, found))


def _draw_list(screen: Screen, found: list[Listed]) -> None:
    rows = [
        (
            screen.paint(each.name, "bold"), each.kind, each.partitions,
            in_counts(screen, each.statuses) if each.count else "no partitions yet", when(each.published), each.owner,
            " ".join(each.tags), each.trigger,
        )
        for each in found
    ]  # fmt: skip
    screen.table(("name", "kind", "partitions", "status", "last published", "owner", "tags", "runs"), rows)


def in_counts(screen: Screen, statuses: dict[str, int]) -> str:
    """Statuses with their numbers: `363 fresh, 2 failed`; the bare status of what is only one."""
    if sum(statuses.values()) == 1:
        return screen.status(next(iter(statuses)))
    told = [(name, statuses[name]) for name in STATUSES if statuses.get(name)]
    return ", ".join(f"{number:,} {screen.status(name)}" for name, number in told)


@command
@click.argument("name")
def show(call: Call, name: str) -> None:
    """Show all there is to know of one asset, task, source or flow.

    NAME is its name, without a partition.
    """
    workspace = call.workspace_or_last()
    found = describe_node(workspace, call.reader(workspace), name)
    call.answer(found, lambda: _draw_node(call.screen, found))


def _draw_node(screen: Screen, node: Described) -> None:
    screen.say(f"{screen.paint(node.name, 'bold')}  {node.kind}" + (f", {node.place}" if node.place else ""))
    if node.description:
        screen.say(screen.hang("  ", node.description.strip()))
    _draw_facts(screen, node)
    _draw_parameters(screen, node)
    _draw_inputs(screen, node)
    _draw_contract(screen, node)
    if node.checks:
        _head(screen, "checks")
        rows = [(check.name, check.severity, check.rule, str(check.place or "")) for check in node.checks]
        screen.table(("name", "severity", "rule", "declared"), rows, indent="  ")
    if node.kind in ("task", "flow"):
        return
    _head(screen, "status")
    _draw_published(screen, node)
    for patch in node.patches:
        _draw_patch(screen, patch, whole=not patch.partitions)


def _draw_facts(screen: Screen, node: Described) -> None:
    facts = {"owner": node.owner, "domain": node.domain, "tags": " ".join(node.tags), "runs": node.trigger}
    if node.count != 1 or not node.partitions.startswith("not"):
        facts["partitions"] = f"{node.partitions} ({node.count:,})"
    if node.outputs and node.outputs != (node.name,):
        facts["made with"] = ", ".join(name for name in node.outputs if name != node.name)
    told = {name: text for name, text in {**facts, **node.policy}.items() if text}
    width = max(map(len, told), default=0)
    for name, text in told.items():
        screen.say(screen.hang(f"  {screen.paint(name.ljust(width), 'dim')}  ", text))


def _draw_parameters(screen: Screen, node: Described) -> None:
    if node.parameters:
        _head(screen, "parameters")
        rows = [(each.option, each.type, "must be given" if each.required else each.default) for each in node.parameters]
        screen.table(("option", "type", "default"), rows, indent="  ")
    if node.kind == "task" and node.parameters:
        screen.say("  only a flow can call it")
    if node.kind == "asset" and node.parameters:
        given = ", ".join(f"{each.name}=..." for each in node.parameters if each.required)
        screen.say(f"  made by flows: {node.name}.materialize({given})")


def _draw_inputs(screen: Screen, node: Described) -> None:
    if node.inputs:
        _head(screen, "inputs")
        rows = [(each.name, "" if each.param in ("", each.name) else f"as {each.param}", each.mapping) for each in node.inputs]
        screen.table(("name", "parameter", "which partitions"), rows, indent="  ")
    if node.used_by:
        _head(screen, "used by")
        screen.say(screen.hang("  ", ", ".join(node.used_by)))


def _draw_contract(screen: Screen, node: Described) -> None:
    if node.contract is None:
        return
    _head(screen, "contract")
    rows = []
    for each in node.contract.columns:
        bounds = f"{'' if each.low is None else each.low}..{'' if each.high is None else each.high}"
        rules = [
            "" if each.nulls else "no nulls", "unique" if each.unique else "", "" if bounds == ".." else bounds,
            f"one of {', '.join(map(str, each.among))}" if each.among else "", f"matches {each.pattern}" if each.pattern else "",
        ]  # fmt: skip
        rows.append((each.name, each.type or "any", ", ".join(filter(None, rules)), each.description))
    screen.table(("column", "type", "rules", "description"), rows, indent="  ")
    extra = "other columns are allowed" if node.contract.extra == "allow" else "no other columns"
    more = "" if node.contract.compatibility == "none" else f"; {node.contract.compatibility} compatible"
    screen.say(f"  {extra}{more}")


def _draw_published(screen: Screen, node: Described) -> None:
    here = node.published
    if here is None:
        return
    rows = "" if here.rows < 0 else f", {count(here.rows, 'row')}"
    many = "" if here.version else f"{count(here.partitions, 'partition')} published, "
    version = f"version {here.version}, run {here.run}, " if here.version else ""
    screen.say(f"  {many}{version}last at {when(here.at)}{rows}, {size_in_words(here.size_bytes)}")
    for verdict in here.verdicts:
        screen.say(f"  {_verdict(screen, verdict)}")


def _verdict(screen: Screen, verdict: Verdict) -> str:
    word = screen.paint("passed", "green") if verdict.passed else screen.paint("failed", "red")
    return f"check {verdict.check} {word}" + (f": {verdict.message}" if verdict.message and not verdict.passed else "")


def _draw_patch(screen: Screen, patch: Patch, *, whole: bool) -> None:
    if whole:
        screen.say(f"  {screen.status(patch.status)}")
    else:
        head = f"  {screen.status(patch.status)}{' ' * (8 - len(patch.status))}  {patch.count:>6,}  "
        screen.say(screen.hang(head, patch.partitions))


def _head(screen: Screen, title: str) -> None:
    screen.say()
    screen.say(screen.paint(title, "bold"))
