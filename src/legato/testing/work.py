"""What simulated workers do in an attempt: make values up, or call the functions of a real project."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any, Protocol

from msgspec.structs import replace

from legato.ports.clock import Clock
from legato.ports.storage import Slot, Storage
from legato.terms.attempt import Argument, Declined, Done, Order, Output, Raised, Report
from legato.terms.codec import fingerprint, pack, unpack
from legato.terms.fact import TIMEOUT_TYPES, Error, Verdict
from legato.testing.sample import Act, Script
from legato.testing.witness import Witness
from legato.worker.harness import Harness
from legato.worker.preload import Kit

_NO_LUCK = Error("raised", "no luck", ("builtins.RuntimeError", "builtins.Exception"))
_NOT_YET = Error("pending", "not there yet", TIMEOUT_TYPES)
_STORES_ITS_VALUE = "bdf"
"""Tasks of these names return values too large to travel inline."""
_INLINE_LIMIT_BYTES = 400
"""In worlds with real functions: what is larger is stored."""


class Work(Protocol):
    """How attempts are made; `script` says how long they take and how they end, `harness` makes flows where there are any."""

    script: Script

    @property
    def harness(self) -> Harness:
        """What makes flows."""
        ...

    def begin(self, order: Order) -> Any:
        """Read the inputs."""
        ...

    def end(self, order: Order, act: Act, inputs: Any) -> list[Report]:
        """What an attempt tells, and its end, which its process lives to see."""
        ...

    def die(self, order: Order, inputs: Any) -> list[Report]:
        """The process dies of it; the last words that may still be on their way."""
        ...

    def close(self) -> None:
        """No more attempts are made."""
        ...


class MadeUpWork:
    """Values follow from the names of nodes and from what they are given, and from nothing else."""

    def __init__(self, storage: Storage, script: Script, witness: Witness) -> None:
        self._storage, self.script, self._witness = storage, script, witness

    @property
    def harness(self) -> Harness:
        """None: there are no functions."""
        raise LookupError("what is made up has no harness, and no flows")

    def begin(self, order: Order) -> list[Any]:
        """The values of the order's arguments, read now."""
        return [self._input(argument) for argument in order.arguments]

    def end(self, order: Order, act: Act, inputs: list[Any]) -> list[Report]:
        """What the act says."""
        return [not_done(order, act) or self._success(order, act.seconds, inputs, gate_closes=act.ending == "gate")]

    def die(self, order: Order, inputs: list[Any]) -> list[Report]:
        """A success; of an undo nothing."""
        return [] if order.mode == "undo" else [self._success(order, 0.1, inputs)]

    def close(self) -> None:
        """Nothing is left."""

    def _input(self, argument: Argument) -> Any:
        if argument.value is not None:
            return unpack(argument.value, object)
        return self._storage.load(argument.refs, Any, many=argument.many) if argument.refs else None

    def _success(self, order: Order, seconds: float, inputs: list[Any], *, gate_closes: bool = False) -> Done:
        plan = self._witness.plans[order.run]
        names = plan.handling[order.node].outputs
        key, version = (order.run, order.step, order.token), f"{order.run}.{order.token}"
        if order.mode == "undo":
            return Done(*key, seconds)
        if order.mode == "key":
            return Done(*key, seconds, fingerprint(repr(inputs)).encode())
        if not names:
            value = self.script.value(order.node, order.partition, inputs)
            if order.node in _STORES_ITS_VALUE:
                return Done(*key, seconds, kept=self._storage.stage(Slot(order.node, order.partition, version), value).ref)
            return Done(*key, seconds, pack(value))
        verdicts = (Verdict("few_rows", False, "warn"), *([Verdict("sound", False)] if gate_closes else []))
        outputs = []
        for name in names:
            staged = self._storage.stage(Slot(name, order.partition, version), self.script.value(name, order.partition, inputs))
            outputs.append(Output(staged.ref, staged.columns, verdicts))
        return Done(*key, seconds, outputs=tuple(outputs))


class RealWork:
    """The functions of a project, called by the real harness; luck still says which attempts fail before they are called."""

    def __init__(self, kit: Kit, storage: Storage, script: Script, random: Random, clock: Clock) -> None:
        storages = {kit.storage: storage}
        self.script = script
        kit = dataclasses.replace(kit, open_storages=lambda: storages)
        self.harness = Harness(kit, inline_limit_bytes=_INLINE_LIMIT_BYTES, clock=clock)
        self._random = random

    def begin(self, order: Order) -> None:
        """Nothing yet: the harness reads the inputs."""

    def end(self, order: Order, act: Act, inputs: None) -> list[Report]:
        """What the function does, where the act does not say that it fails before."""
        failed = not_done(order, act)
        return self._make(order, act.seconds) if failed is None else [failed]

    def die(self, order: Order, inputs: None) -> list[Report]:
        """What the function did, if the process died after that."""
        return self._make(order, 0.0) if self._random.random() < 0.5 else []

    def _make(self, order: Order, seconds: float) -> list[Report]:
        told: list[Report] = []
        end = self.harness.make(order, send=told.append)
        return [*told, replace(end, seconds=seconds)]

    def close(self) -> None:
        """The harness gives back what it holds."""
        self.harness.close()


def not_done(order: Order, act: Act) -> Report | None:
    """The end of an attempt that fails or declines by luck alone."""
    key = order.run, order.step, order.token
    if act.ending in ("raise", "pend"):
        return Raised(*key, act.seconds, _NO_LUCK if act.ending == "raise" else _NOT_YET)
    return Declined(*key, act.seconds) if act.ending == "decline" else None
