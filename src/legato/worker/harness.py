"""Makes one attempt: the function that every executor calls, in whatever process."""

from __future__ import annotations

import contextlib
import os
import reprlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

from legato.declare.body import Body, cache_key, undo_key, until_key, when_key
from legato.declare.calling import CALLER
from legato.declare.node import Node
from legato.quality.schema import describe
from legato.terms.attempt import Declined, Done, LogSpan, Noted, Order, Output, Parked, Raised, Ref, Report, Returned
from legato.terms.codec import NIL, fingerprint, pack
from legato.terms.errors import LegatoError
from legato.terms.fact import TIMEOUT_TYPES, Error
from legato.worker import context, kin
from legato.worker.arguments import Arguments
from legato.worker.capture import Capture
from legato.worker.failure import Refused, describe_failure
from legato.worker.flow import Flow, GiveUp, Parking
from legato.worker.gathering import Gathering, Headless
from legato.worker.inputs import Inputs
from legato.worker.lending import lend
from legato.worker.line import Line
from legato.worker.loop import Loop
from legato.worker.mask import Mask
from legato.worker.outcome import Outcomes
from legato.worker.preload import Kit
from legato.worker.resources import Resources
from legato.worker.surroundings import Surroundings
from legato.worker.teller import Teller
from legato.worker.values import Values

if TYPE_CHECKING:
    from legato.ports.clock import Clock

_TELLING = (str, int, float, bytes, dict, list, tuple)
_Result = tuple[bytes | None, Ref | None, tuple[Output, ...]]


class Harness:
    """Everything around a user's function in one process: inputs, value, output, errors, and what it leaves behind.

    Attempts start in the project's folder. `make` never raises. `owns_process` says that the process is a worker's: then
    each attempt's leftover child processes are killed when it ends. What has to outlive an attempt is made by a resource. What is
    told is dated by the clock, or the system's.
    """

    def __init__(
        self, kit: Kit, capture: Capture | None = None, *, owns_process: bool = False,
        inline_limit_bytes: int = 64 * 2**10, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        storages = kit.open_storages()
        self._kit = kit
        self._capture = capture
        self._owns_process = owns_process
        self._mask = Mask(kit.code.secrets)
        self._pid = os.getpid()
        self._loop = Loop()
        self._resources = Resources(kit.code, self._loop.run, self._accept_change)
        self._inputs = Inputs(storages, kit.storage, self._resources)
        self._values = Values(kit.code, storages, kit.storage, self._inputs, self._call, inline_limit_bytes)
        self._keep: frozenset[int] = frozenset()
        self._surroundings = Surroundings()
        self._tellers: list[Teller] = []
        self._clock = clock
        self._gathering = Gathering()

    def makes_flow(self, order: Order) -> bool:
        """Whether the order is for a flow's body."""
        node = self._kit.project.nodes.get(order.node)
        return node is not None and node.kind == "flow" and order.mode == "run"

    def make(self, order: Order, line: Line | None = None, send: Callable[[Noted], None] | None = None) -> Report:
        """Make the attempt, whatever the user's code does short of ending the process. A flow's calls go through the line.

        The facts that it tells are sent meanwhile, from whatever thread, and all of them before this returns.
        """
        started = perf_counter()
        start = self._capture.position if self._capture is not None else 0
        result: _Result | None = None
        caught: BaseException | None = None
        body: Body | None = None
        try:
            if not self._owns_process:
                os.chdir(self._kit.root)
            if order.remark:
                print(f"legato: {order.remark}", flush=True)
            node, body = self._find(order)
            context.enter(node, order, self._listen(node, order, send))
            give_up = partial(self._give_up, order, body, started, start)
            result = self._attempt(node, body, order, line, give_up)
        except BaseException as error:
            caught = error
        if os.getpid() != self._pid:  # a child that the user's code forked came back here
            _end_stray()
        seconds = perf_counter() - started
        keys, is_headless = caught.keys if isinstance(caught, Parking) else None, isinstance(caught, Headless)
        failure = None if keys is not None else self._describe(caught, body, order)
        del caught
        self._end_telling()
        self._tidy()
        log = self._end_log(start)
        if is_headless:
            return Returned(order.run, order.step, order.token)
        if keys is not None:
            return Parked(order.run, order.step, order.token, seconds, keys, log)
        if failure is not None:
            return Raised(order.run, order.step, order.token, seconds, failure, log)
        if result is None:
            return Declined(order.run, order.step, order.token, seconds)
        value, kept, outputs = result
        outputs = self._mask.hide_in_outputs(outputs)
        return Done(order.run, order.step, order.token, seconds, value, kept, outputs, log)

    def _give_up(self, order: Order, body: Body, started: float, start: int, why: Refused) -> Report:
        """The end of an attempt whose body does not come to one; what it says from now on is nobody's."""
        failure = self._describe(why, body, order)
        assert failure is not None
        self.leave_behind()
        return Raised(order.run, order.step, order.token, perf_counter() - started, failure, self._end_log(start))

    def leave_behind(self) -> None:
        """Go on without the attempt of now, whose body does not come to an end."""
        self._end_telling()
        self._tidy()

    def close(self) -> None:
        """Let resources clean up, and stop every process that was started here."""
        self._resources.close()
        self._loop.close()
        if self._owns_process:
            kin.end_children()

    def send_due(self) -> None:
        """Send the facts that wait to be sent, if it is time; from whatever thread."""
        for teller in tuple(self._tellers):
            teller.send_due()

    def _listen(self, node: Node, order: Order, send: Callable[[Noted], None] | None) -> Teller | None:
        if send is None:
            return None
        keep = partial(self._values.keep_file, node, order.partition)
        has_keys = node.kind == "flow" and order.mode == "run"
        teller = Teller(order, self._mask, keep, send, has_keys=has_keys, clock=self._clock)
        self._tellers.append(teller)
        return teller

    def _end_telling(self) -> None:
        teller = context.teller()
        context.leave()
        if teller is not None:
            self._tellers.remove(teller)
            teller.close()

    def _find(self, order: Order) -> tuple[Node, Body]:
        node = self._kit.project.nodes.get(order.node)
        if node is None:
            raise LegatoError(
                "node", f"this project has no {order.node}", why="the run was planned from other code",
                next="plan the run again",
            )  # fmt: skip
        if order.mode == "run":
            return node, self._kit.code.body(node.name)
        names = {"fallback": node.fallback, "undo": undo_key(node.name), "key": cache_key(node.name)}
        return node, self._kit.code.body(names[order.mode])

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let other attempts be made while a flow's body waits; what it changed around it is put back afterwards.

        So is its output kept apart, and the processes that it started are no leftovers of the others.
        """
        self.send_due()
        now, token = context.set_aside(), CALLER.set(None)
        mine = self._surroundings if self._surroundings.holds() else Surroundings()
        if mine is not self._surroundings:
            self._surroundings.restore()
        started = frozenset(kin.children()) - self._keep if self._owns_process and kin.has_children() else frozenset()
        self._keep |= started
        self._end_log(0)
        try:
            yield
        finally:
            self._keep -= started
            if mine is not self._surroundings:  # which is what each attempt ends with
                mine.restore()
            CALLER.reset(token)
            context.resume(now)

    def _attempt(self, node: Node, body: Body, order: Order, line: Line | None, give_up: GiveUp) -> _Result | None:
        """Value, stored value and outputs; None if the condition said no."""
        if node.when and order.mode == "run":
            condition = self._kit.code.body(when_key(node.name))
            if not self._call(condition, self._inputs.bind(condition, node, order)):
                return None
        is_flow = self.makes_flow(order)
        if order.head:
            value = self._gathering.take(node, order, lambda: self._call(body, self._inputs.bind(body, node, order)))
            return None, None, self._values.stage(node, order, value, None)
        kwargs = self._inputs.bind(body, node, order)
        value = self._flow(node, body, kwargs, order, line, give_up) if is_flow else self._call(body, kwargs)
        if order.mode == "undo":
            return NIL, None, ()
        if order.mode == "key":
            return _key(node, value), None, ()
        if order.mode == "run":
            self._require_ready(node, order, value)
        if node.kind == "asset":
            return None, None, self._values.stage(node, order, value, body)
        return *self._values.keep(node, order, value, body), ()

    def _require_ready(self, node: Node, order: Order, value: Any) -> None:
        """Refuse a value that is not there yet: as None says where it was asked for a job's, or the node's own `until`."""
        if order.poll and value is None:
            raise Refused("pending", "the job goes on", TIMEOUT_TYPES)
        if not node.retry.until:
            return
        judge = self._kit.code.body(until_key(node.name))
        kwargs = self._inputs.bind(judge, node, order)
        kwargs.update({binding.param: value for binding in judge.bindings if binding.source == "result"})
        if not self._call(judge, kwargs):
            told = reprlib.repr(value) if isinstance(value, _TELLING) else describe(value)
            raise Refused("pending", f"not there yet: `until` says no to {told}", TIMEOUT_TYPES)

    def _flow(
        self, node: Node, body: Body, kwargs: dict[str, Any], order: Order, line: Line | None, give_up: GiveUp
    ) -> Any:  # fmt: skip
        if line is None:
            raise LegatoError("flow-line", f"{node.name} is a flow, and nobody here takes its calls", next="legato run")
        arguments = Arguments(self._kit.project, self._kit.code, self._values, node, order)
        flow = Flow(order, line, arguments, Outcomes(self._inputs), give_up)
        if self._owns_process:
            with lend(body):
                return flow.run(body, kwargs, self._loop)
        loop = Loop()  # several bodies wait in one process, each in a loop of its own
        try:
            return flow.run(body, kwargs, loop)
        finally:
            loop.close()

    def _describe(self, caught: BaseException | None, body: Body | None, order: Order) -> Error | None:
        if caught is None:
            return None
        kind = "undo" if order.mode == "undo" else "raised"
        return describe_failure(caught, body, self._kit.root, kind, self._mask.cover())

    def _end_log(self, start: int) -> LogSpan | None:
        """What was written from this position on. What others wrote meanwhile, while this attempt was set aside, stands in it."""
        if self._capture is None:
            return None
        self._capture.end()
        return self._capture.since(start)

    def _call(self, body: Body, kwargs: dict[str, Any]) -> Any:
        with lend(body):
            value = body.fn(**kwargs)
            return self._loop.run_clean(value) if type(value) is CoroutineType else value

    def _accept_change(self) -> None:
        """Let what a resource changed and started stay for the attempts to come."""
        self._surroundings = Surroundings()
        if self._owns_process:
            self._keep = frozenset(kin.children())

    def _tidy(self) -> None:
        self._surroundings.restore()
        if self._owns_process and kin.has_children():
            kin.end_children(keep={*self._keep, *_kept_by_python()})


def _key(node: Node, value: Any) -> bytes:
    """What the value of a node's own key function is known by."""
    try:
        if value is not None:
            return fingerprint(pack(value)).encode()
    except Exception as error:  # no plain data
        raise Refused("value", f"the cache key of {node.name} is {describe(value)}, and no plain data") from error
    raise Refused("value", f"the cache key of {node.name} is nothing (None); is a return missing?")


def _end_stray() -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)


def _kept_by_python() -> set[int]:
    """Processes that Python itself keeps beside a program and cannot do without; its fork server is stopped instead."""
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    if getattr(server, "_forkserver_pid", None) is not None:
        server._stop()  # type: ignore[union-attr]
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    pid = getattr(tracker, "_pid", None)
    return set() if pid is None else {pid}
