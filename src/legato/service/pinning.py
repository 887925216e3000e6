"""`--pin STEP=RUN`: what a step gave in an earlier run, to be taken instead of being made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from legato.kernel.family import WAITS
from legato.plan.again import Spot
from legato.plan.records import Reused
from legato.service.record import Record
from legato.service.shell import command
from legato.terms.errors import UsageError
from legato.terms.key import show

_CALLS = "a pinned call takes what the same call gave, or else the one with its number; one that finds neither runs"


class Pin:
    """The steps of one run that a text names and that gave something: those of its plan by spot, and calls of its flows."""

    def __init__(self, step: str, record: Record, found: list[int]) -> None:
        self.step, self.record = step, record
        self._refuse_assets(found)
        usable = [index for index in found if record.has_result(index)]
        if not usable:
            raise UsageError(
                "step-not-run", f"{step} gave nothing in run {record.run.id}", why=record.outcome(found[0]),
                next=command("legato", "status", record.run.id),
            )  # fmt: skip
        self.planned = {record.spot(index): self._pinned(index) for index in usable if index in record.planned}
        self._calls = [index for index in usable if index not in record.planned]
        self._flows = {record.spot(record.root(index))[0] for index in self._calls}

    def _refuse_assets(self, found: list[int]) -> None:
        for index in found:
            if outputs := self.record.state.handling(index).outputs:
                name = show(outputs[0], self.record.spot(index)[1])
                raise UsageError(
                    "pin-asset", f"{self.step} is an asset: its versions are kept", why="who reads it reads what is published",
                    next=command("legato", "rollback", name, "--to", self.record.run.id),
                )  # fmt: skip

    def _pinned(self, index: int) -> Reused:
        return replace(self.record.result(index), pinned=True)

    def calls(self, flows: Collection[str]) -> Iterator[Reused]:
        """What calls of these flows may take; a wait is taken for the same question alone."""
        for index in self._calls if not self._flows.isdisjoint(flows) else ():
            node, _ = self.record.spot(index)
            number = 0 if node in WAITS.values() else self.record.names.number(index)
            yield replace(self._pinned(index), path=(self.record.state.calls.key(index),), number=number)

    def notes(self, spots: Iterable[Spot], flows: Collection[str]) -> Iterator[str]:
        """What is to be said of the pin in a plan of these steps and flows; `UsageError` if nothing in it could take anything."""
        run, nodes = self.record.run.id, {node for node, _ in self.planned}
        same = [spot for spot in spots if spot[0] in nodes]
        if self._calls and not self._flows.isdisjoint(flows):
            yield _CALLS
        elif self._calls and flows:
            ran, asked = ", ".join(sorted(self._flows)), ", ".join(sorted(flows))
            why = "a call is pinned to a run of the same flow"
            raise UsageError("pin-flow", f"run {run} ran {ran}, not {asked}", why=why, next="legato runs")
        elif not same:
            raise UsageError(
                "pin-step", f"{self.step} is no step of this plan", why="nothing in it takes its value", next="legato plan"
            )
        yield from (
            f"run {run} has no result of {show(*spot)}: it is planned as ever" for spot in same if spot not in self.planned
        )
