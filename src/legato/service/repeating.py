"""Plans that take over what earlier runs recorded: a run repeated from a step on, and results that are pinned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from legato.declare.partitions import coord_of
from legato.declare.region import of_coords
from legato.kernel.family import WAITS
from legato.kernel.state import FRESH, SUCCEEDED
from legato.plan.again import Again, Spot
from legato.plan.graph import Edge
from legato.plan.records import Plan, Reused
from legato.plan.select import Selection
from legato.plan.stale import Needs
from legato.ports.store import Head
from legato.service.finding import find_run, nothing_ran
from legato.service.params import arguments_of, require_fitting
from legato.service.pinning import Pin
from legato.service.record import Record
from legato.service.shell import command
from legato.terms.errors import LegatoError, NotFound, UsageError
from legato.terms.key import show

if TYPE_CHECKING:
    from legato.service.planning import Planner
    from legato.service.request import Request


def plan_again(planner: Planner, request: Request) -> Plan:
    """The plan for a request that starts from a step of an earlier run, or has results pinned."""
    repeat = _Repeat(planner)
    if request.start is not None:
        record = repeat.start(*request.start, request)
        base, selection, arguments = record.request, repeat.selection(record), record.state.plan.arguments
        words = f"{base} {command('--from', request.start[0], record.run.id)}"
        for flow in (name for name in selection if planner.workspace.project.nodes[name].kind == "flow"):
            require_fitting(planner.workspace, flow, arguments.get(flow, ()))
    else:
        base = words = str(replace(request, pins=()))
        selection = planner.select(request.selection)
        arguments = arguments_of(planner.workspace, selection, request.params)
    words += "".join(f" {command('--pin', repeat.pin(text, request))}" for text in request.pins)
    plan = planner.make(selection, words, request.force, arguments, repeat.again())
    return replace(repeat.complete(plan), repeats=base, force=request.force or request.start is not None)


class _Repeat:
    """What one plan takes over. `start` and `pin` collect it, `complete` writes it into the plan."""

    def __init__(self, planner: Planner) -> None:
        if planner.store is None:
            raise nothing_ran()
        self._planner, self._store = planner, planner.store
        self._nodes = planner.workspace.project.nodes
        self._needs = Needs(planner.workspace.graph, planner.extents)
        self._records: dict[str, Record] = {}
        self._anew: set[Spot] = set()
        self._recorded: dict[Spot, tuple[Record, Reused]] = {}
        self._pinned: dict[Spot, tuple[Record, Reused]] = {}
        self._before: list[tuple[Spot, Reused]] = []
        self._pins: list[Pin] = []
        self._notes: list[str] = []
        self._heads: dict[str, dict[str, Head]] = {}
        self._moved: dict[tuple[str, Spot], bool] = {}

    def _read(self, text: str) -> Record:
        run = find_run(self._store, text)
        if run.id not in self._records:
            self._records[run.id] = Record(self._nodes, self._store, run)
        return self._records[run.id]

    # -- from a step on --

    def start(self, step: str, run: str, request: Request) -> Record:
        """Take over what the run recorded before the step."""
        if request.selection or request.params or request.force:
            raise UsageError(
                "from-request", "--from repeats what a run was asked for: it takes no selection, no parameters and no --force",
                next=command("legato", "run", "--from", step, run),
            )  # fmt: skip
        record = self._read(run)
        found = self._found(record, step)
        ran = [index for index in found if record.ran(index)]
        if not ran:
            raise UsageError(
                "step-not-run", f"{step} never ran in run {record.run.id}", why=record.outcome(found[0]),
                next=command("legato", "status", record.run.id),
            )  # fmt: skip
        planned = [index for index in ran if index in record.planned]
        self._anew = {record.spot(index) for index in planned}
        entered = -1 if planned else record.root(ran[0])
        if not planned:
            self._before = [(record.spot(entered), each) for each in record.before(ran[0])]
            self._notes.append(f"{record.names.of(ran[0])} and all that {record.spot(entered)[0]} calls after it are made anew")
        for index in record.planned:
            if index != entered and (reused := self._standing(record, index)) is not None:
                self._recorded[record.spot(index)] = (record, reused)
        return record

    def _standing(self, record: Record, index: int) -> Reused | None:
        """What a planned step gave, if it is there: a recorded value, or of an asset, what is published."""
        node, partition = record.spot(index)
        declared = self._nodes.get(node)
        if declared is None or declared.kind == "source":
            return None
        if declared.kind != "asset":
            return record.result(index) if record.has_result(index) else None
        heads = [self._published(asset).get(partition) for asset in declared.outputs]
        if record.state.status[index] not in (FRESH, SUCCEEDED) or heads[0] is None or None in heads:
            return None
        changed = "code" if heads[0].code != declared.code else ""
        return Reused(heads[0].version.rpartition("-")[0], show(node, partition), node, partition, changed=changed)  # type: ignore[arg-type]

    def _published(self, asset: str) -> dict[str, Head]:
        if asset not in self._heads:
            self._heads.update(self._store.heads([asset]))
        return self._heads[asset]

    def selection(self, record: Record) -> Selection:
        """What the run was asked for, as far as it is there: its steps, but for tasks that were only needed."""
        keys: dict[str, list[str]] = {}
        for index in record.planned:
            step = record.state.plan.steps[index]
            if step.reason.kind not in ("needed", "unneeded"):
                keys.setdefault(step.node, []).append(step.partition)
        found: Selection = {}
        for node, partitions in keys.items():
            if node not in self._nodes:
                self._notes.append(f"{node} is no longer part of the project, and left out")
                continue
            coords = list(self._coords(node, partitions))
            if coords:
                found[node] = of_coords(coords)
        return found

    def _coords(self, node: str, partitions: list[str]) -> Iterator[tuple[int, ...]]:
        for partition in partitions:
            try:
                yield coord_of(self._nodes[node].partitions, partition, self._planner.extents.dynamic)
            except LegatoError:
                self._notes.append(f"{show(node, partition)} is there no more, and left out")

    def pin(self, text: str, request: Request) -> str:
        """Take a step's result from a run, as in `STEP=RUN`; the same with the run's full name."""
        step, _, run = text.rpartition("=")
        if not step or not run:
            raise UsageError("pin", f"{text!r} does not say of which run", next="--pin STEP=RUN")
        if request.start is not None and request.start[0] == step:
            raise UsageError("pin", f"{step} is to be made anew (--from) and to be reused (--pin)", next="leave one of them out")
        record = self._read(run)
        pin = Pin(step, record, self._found(record, step))
        self._pins.append(pin)
        self._pinned.update({spot: (record, reused) for spot, reused in pin.planned.items()})
        return f"{step}={record.run.id}"

    def _found(self, record: Record, step: str) -> list[int]:
        found = record.names.find(step, run=record.run.id)
        for node in (record.spot(record.root(found[0]))[0], record.spot(found[0])[0]):
            if node not in self._nodes and node not in WAITS.values():
                why = "it was removed or renamed since that run"
                raise NotFound("step-gone", f"{node} is no longer part of the project", why=why, next="legato list")
        return found

    # -- into the plan --

    def again(self) -> Again:
        """What was collected, as the plan needs it."""
        return Again(frozenset(self._anew), frozenset(self._recorded), frozenset(self._pinned))

    def complete(self, plan: Plan) -> Plan:
        """The plan with the results that it takes over, each of them looked for."""
        steps = {(step.node, step.partition): index for index, step in enumerate(plan.steps)}
        reused: list[Reused] = []
        for spot, index in steps.items():
            if plan.steps[index].reason.kind == "reused":
                taken = self._taken(spot, plan)
                plan.steps[index] = replace(plan.steps[index], reason=taken.reason)
                reused.append(replace(taken, step=index))
        flows = {step.node for step in plan.steps if step.run and plan.handling[step.node].flow}
        for pin in self._pins:
            reused += pin.calls(flows)
            self._notes += pin.notes(steps, flows)
        entered = ((steps.get(spot), each) for spot, each in self._before)
        reused += [replace(each, step=index) for index, each in entered if index is not None and plan.steps[index].run]
        self._require_there(reused)
        return replace(plan, reused=tuple(reused), notes=tuple(dict.fromkeys(self._notes)))

    def _taken(self, spot: Spot, plan: Plan) -> Reused:
        record, found = self._pinned.get(spot) or self._recorded[spot]
        moved = not found.changed and self._nodes[spot[0]].kind == "task" and self._has_moved(record, spot, plan)
        return replace(found, changed="inputs") if moved else found

    def _has_moved(self, record: Record, spot: Spot, plan: Plan) -> bool:
        """Whether a task would read something else now than it did in the run."""
        known = self._moved.get((record.run.id, spot))
        if known is None:
            coord = coord_of(self._nodes[spot[0]].partitions, spot[1], self._planner.extents.dynamic)
            inputs = self._needs.of(spot[0], coord)
            known = any(self._is_other(record, spot, edge, key, plan) for edge, keys in inputs for key in keys)
            self._moved[record.run.id, spot] = known
        return known

    def _is_other(self, record: Record, spot: Spot, edge: Edge, key: str, plan: Plan) -> bool:
        kind = self._nodes[edge.up].kind
        if kind == "task":
            return self._has_moved(record, (edge.up, key), plan)
        if kind == "source":
            then, now = record.state.plan.observed, plan.observed
            return then.get(edge.name, {}).get(key) != now.get(edge.name, {}).get(key)
        head = self._published(edge.name).get(key)
        return head is None or head.at > record.made_at(spot)

    def _require_there(self, reused: Iterable[Reused]) -> None:
        """Refuse to take over what is stored no more."""
        for each in reused:
            if each.kept is None:
                continue
            try:
                self._planner.workspace.storages[each.kept.storage].load((each.kept,), Path)
            except (LegatoError, KeyError) as error:
                why = error.what if isinstance(error, LegatoError) else f"there is no storage {each.kept.storage!r}"
                raise NotFound(
                    "value-gone", f"what {each.name} gave in run {each.run} is gone", why=why,
                    next="start from that step or from one before it, or leave the pin out",
                ) from error  # fmt: skip
