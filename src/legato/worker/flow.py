"""A flow's body under way: its calls become steps of the run, and it waits for them, or gives its process back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, NoReturn

from legato.declare.alone import is_looping
from legato.declare.body import Body
from legato.declare.calling import CALLER, Future
from legato.terms.attempt import Answer, Call, Called, Done, Order, Report, Wait
from legato.terms.codec import pack
from legato.terms.errors import LegatoError
from legato.worker.arguments import Arguments, Bound, Shape
from legato.worker.failure import Refused
from legato.worker.line import Line, Taken
from legato.worker.loop import Loop
from legato.worker.numbers import Numbers
from legato.worker.outcome import Outcomes
from legato.worker.pending import Awaited, Pending
from legato.worker.pump import GRACE_S, Pump
from legato.worker.row import Row
from legato.worker.window import CHUNK, Window

GiveUp = Callable[[Refused], Report]
"""Makes the end of an attempt whose body does not come to one."""

MOST_IGNORED = 100
"""How often a body may ask for more after it was told to give its process back."""
_SWALLOWED = (
    "the body went on after it was told to give its process back: something in it catches BaseException; "
    "catch Exception instead, or raise it again"
)


class Parking(BaseException):
    """Unwinds a flow's body, which is entered again once one of the calls with these keys has ended."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        super().__init__("this flow waits and gives its process back; it is entered again later")
        self.keys = keys


class Flow:
    """One pass through a flow's body; a `Caller` for the faces that it calls.

    A call is known by its key, whatever the order of calls: what the node is, its inputs, and its number among equal calls of
    this flow; or the name that it was given. For the thread of the body alone.
    """

    def __init__(self, order: Order, line: Line, arguments: Arguments, outcomes: Outcomes, give_up: GiveUp) -> None:
        self._order, self._line, self._give_up = order, line, give_up
        self._arguments, self._outcomes = arguments, outcomes
        self._pump = Pump(self, line)
        self._thread = threading.get_ident()
        self._numbers = Numbers()
        self._names: set[str] = set()
        self._calls: list[Call] = []
        self._unsent = self._made = 0
        self._open: dict[bytes, Pending | Window] = {}
        self._held: set[bytes] = set()
        self._failed: list[Pending] = []
        self._beside: Call | None = None
        self._known: list[bytes] = []
        self._leaving: BaseException | None = None
        self._ignored = 0
        self._is_over = False

    # -- the whole pass --

    def run(self, body: Body, kwargs: dict[str, Any], loop: Loop) -> Any:
        """What the body returns, once all that it called has ended. `Parking` where it gives its process back."""
        token = CALLER.set(self)
        try:
            value = body.fn(**kwargs)
            if isinstance(value, Coroutine):
                value = loop.run_clean(self._below_loop(value))
            if self._leaving is None:
                value = value.result() if isinstance(value, Pending) else value
                self._join()
        except BaseException as error:
            self._unwind(error)
        finally:
            self._is_over = True
            self._pump.stop()
            CALLER.reset(token)
        if self._leaving is not None:
            raise Refused("flow", _SWALLOWED)
        return value

    async def _below_loop(self, body: Coroutine[Any, Any, Any]) -> Any:
        CALLER.set(self)  # the loop may have been made in a context of its own
        return await body

    def _join(self) -> None:
        """Wait for every call that is under way; one that failed without anybody seeing it fails the flow."""
        self._wait(lambda: not self._open, lambda: list(self._open)[-1:])
        unseen = [pending for pending in self._failed if not pending.is_seen]
        if unseen:
            min(unseen, key=lambda pending: pending.number).result()

    def _unwind(self, error: BaseException) -> NoReturn:
        if self._leaving is None:
            raise error
        if _is_of_parking(error):
            raise self._leaving from None
        raise Refused("flow", _SWALLOWED) from error

    # -- what faces ask for --

    def call(self, face: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, name: str | None = None) -> Any:
        """Make a call and wait for its result; of an `async def`, a coroutine that does so."""
        shape = self._arguments.shape(face.node.name)
        if shape.is_async:
            return self._call_later(shape, args, kwargs, name)
        beside = shape.node.kind == "task" and not is_looping()
        return self._begin(shape, args, kwargs, name, beside=beside).result()

    async def _call_later(self, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str | None) -> Any:
        return await self._begin(shape, args, kwargs, name)

    def submit(self, face: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, name: str | None = None) -> Pending:
        """Begin a call and go on."""
        pending = self._begin(self._arguments.shape(face.node.name), args, kwargs, name)
        self.send()
        return pending

    def poll(self, face: Any, handle: Future[Any], every_s: float, limit_s: float | None) -> Pending:
        """Look after a job: one call, made again and again until it has a result."""
        shape = self._arguments.shape(face.node.name)
        pending = self._begin(shape, (handle,), {}, None, poll_s=every_s, limit_s=limit_s)
        self.send()
        return pending

    def map(self, face: Any, items: Iterable[Any], shared: Mapping[str, Any]) -> Any:
        """One call for each item; the results in order. Of an `async def`, a coroutine that makes them."""
        shape = self._arguments.shape(face.node.name)
        _require_callable(shape)
        row = Row(self._arguments, shape, shared)
        read = partial(self._outcomes.value, subject=shape.node.name, fn=shape.fn)
        window = Window(items, partial(self._begin_all, row), read)
        if shape.is_async:
            return self._map_later(window)
        while window.go_on():
            self._wait(lambda: not window.is_stuck(), window.waits)
        return window.results()

    async def _map_later(self, window: Window) -> list[Any]:
        while window.go_on():
            await self.pause(window)
        return window.results()

    def materialize(self, face: Any, partition: str, arguments: Mapping[str, Any]) -> Any:
        """Make and publish an asset, or one partition of it, with what no plan could give it."""
        shape = self._arguments.shape(face.node.name)
        bound = self._arguments.materialize(shape, partition, arguments)
        pending = self._add_bound(shape, None, bound, None)
        return pending if is_looping() else pending.result()

    def wait(self, wait: Wait) -> Any:
        """Wait for time, an approval or a signal; below a running loop, a future to await."""
        lasting = wait.seconds if wait.kind == "sleep" else None
        digest = blake2b(pack((wait.kind, wait.name, lasting)), digest_size=16).digest()
        subject = f"{wait.kind} {wait.name}" if wait.name else wait.kind
        pending = self._add(digest, None, subject, None, wait=wait)
        return pending if is_looping() else pending.result()

    # -- making calls --

    def _begin(self, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str | None, **how: Any) -> Pending:
        _require_callable(shape)
        return self._add_bound(shape, name, self._arguments.bind(shape, args, kwargs), shape.fn, **how)

    def _add_bound(self, shape: Shape, name: str | None, bound: Bound, fn: Any, **how: Any) -> Pending:
        return self._add(
            bound.digest, name, shape.node.name, fn, node=shape.node.name, partition=bound.partition,
            arguments=bound.arguments, inputs=bound.inputs, **how,
        )  # fmt: skip

    def _add(self, digest: bytes, name: str | None, subject: str, fn: Any, **rest: Any) -> Pending:
        self._require_open()
        key = self._numbers.keys((digest,))[0] if name is None else self._named(name)
        pending = self._open[key] = Pending(self, key, subject, fn, self._made)
        call = Call((key,), **rest)
        if call.beside:
            self._beside = call
        self._take_on([call], 1)
        return pending

    def _begin_all(self, row: Row, window: Window, items: Sequence[Any]) -> tuple[list[bytes], int]:
        self._require_open()
        keys, calls = row.calls(items, self._numbers.keys)
        self._open.update(dict.fromkeys(keys, window))
        self._take_on(calls, len(keys))
        self.send()
        return keys, sum(len(item) for call in calls for item in call.items if isinstance(item, bytes))

    def _take_on(self, calls: list[Call], count: int) -> None:
        self._calls += calls
        self._made += count
        self._unsent += count
        if self._unsent >= CHUNK:
            self.send()

    def _named(self, name: str) -> bytes:
        if not isinstance(name, str) or not name or name in self._names:
            why = "two calls of this flow have it" if name in self._names else "it is no text, or empty"
            raise LegatoError("call-name", f"name={name!r} names no call", why=why, next="give each call a name of its own")
        self._names.add(name)
        return name.encode()

    def _require_open(self) -> None:
        if self._leaving is not None:
            self._ignored += 1
            if self._ignored > MOST_IGNORED:
                self._line.abandon(self._give_up(Refused("flow", _SWALLOWED)))
            raise self._leaving
        if self._is_over:
            raise LegatoError("flow-over", "the flow is over: nobody would wait for this call", next="await what it starts")
        if threading.get_ident() != self._thread:
            raise LegatoError(
                "flow-thread", "a flow makes its calls from its own thread",
                why="their order has to be the same each time it is entered", next="use submit() or map(): both are parallel",
            )  # fmt: skip

    def send(self) -> None:
        """Send the calls that were made."""
        if self._calls:
            order, called = self._order, (tuple(self._calls), tuple(self._known))
            self._calls, self._known, self._unsent = [], [], 0
            self._line.call(Called(order.run, order.step, order.token, *called))

    # -- waiting --

    def wait_for(self, pending: Pending) -> None:
        """Until this call has ended; what arrives meanwhile is made or taken in."""
        self._wait(lambda: pending.answer is not None, pending.waits)

    async def pause(self, awaited: Awaited) -> None:
        """Let the event loop go on meanwhile."""
        self._require_open()
        await self._pump.pause(awaited)

    def look(self) -> None:
        """Take in what has arrived."""
        self._require_open()
        self.send()
        while (taken := self._line.take(0.0)) is not None:
            self.take_in(taken)

    def grace_s(self, waits: Callable[[], list[bytes]]) -> float:
        """How long to wait for these: no time where all of them are known to wait for time or for people."""
        return 0.0 if self._held and self._held.issuperset(waits()) else GRACE_S

    def _wait(self, is_over: Callable[[], bool], waits: Callable[[], list[bytes]]) -> None:
        while not is_over():
            self._require_open()
            self.send()
            taken = self._line.take(self.grace_s(waits))
            if taken is None:
                parking = self.park(waits())
                self._pump.cancel()
                raise parking
            self.take_in(taken)

    def park(self, waits: list[bytes]) -> BaseException:
        """Decide to give the process back until one of these has ended."""
        return self.leave(Parking(tuple(waits)))

    def leave(self, error: BaseException) -> BaseException:
        """Decide to unwind the body with this, now and at each call that it still makes."""
        self._leaving = error
        return error

    # -- what comes in --

    def take_in(self, taken: Taken) -> None:
        """Learn outcomes; those for another attempt, and those that are known, are no news."""
        if isinstance(taken, tuple):
            self._learn(*taken)
            return
        order = self._order
        if (taken.run, taken.step, taken.token) == (order.run, order.step, order.token):
            for answer in taken.answers:
                self._settle(answer)

    def _learn(self, made: Order, report: Report) -> None:
        """A value that was made beside can be used at once: the conductor hears of it before it hears of what follows."""
        call = self._beside
        if call is not None and type(report) is Done and _is_for(made, call) and made.run == self._order.run:
            self._settle(Answer(call.keys[0], report.value, report.kept))
            self._known.append(call.keys[0])

    def _settle(self, answer: Answer) -> None:
        awaited = self._open.get(answer.key)
        if awaited is None:
            return
        if answer.outcome != "succeeded":
            if answer.outcome == "waiting":
                self._held.add(answer.key)
                return
            if isinstance(awaited, Pending):
                self._failed.append(awaited)
        del self._open[answer.key]
        if self._held:
            self._held.discard(answer.key)
        awaited.end(answer)

    def value_of(self, answer: Answer, subject: str, fn: Any) -> Any:
        """The value of a call that has ended, or its error raised."""
        return self._outcomes.value(answer, subject, fn)


def _require_callable(shape: Shape) -> None:
    if shape.node.kind not in ("task", "flow"):
        raise LegatoError("call-node", f"{shape.node.name} is no task and no flow", next="call its materialize()")


def _is_for(made: Order, call: Call) -> bool:
    """Whether an order is for this call: another one, left over from an earlier pass, may be made beside the flow too."""
    if made.mode == "undo" or (made.node, made.partition) != (call.node, call.partition):
        return False
    return all(argument in made.arguments for argument in call.arguments)


def _is_of_parking(error: BaseException) -> bool:
    """Whether an exception is nothing but the body's unwinding; an event loop unwinds by cancelling."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_of_parking, error.exceptions))
    asyncio = sys.modules.get("asyncio")  # it costs 15 ms to import; where nobody has, nobody raised its error
    return isinstance(error, Parking) or (asyncio is not None and isinstance(error, asyncio.CancelledError))
