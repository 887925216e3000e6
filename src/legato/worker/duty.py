"""A worker's life: take orders from the pipe, make the attempts one by one, send reports."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NoReturn

from legato.terms.attempt import Answers, Begun, Called, Declined, Done, LogSpan, Order, Raised, Report, Returned
from legato.worker import kin
from legato.worker.capture import Capture
from legato.worker.harness import Harness
from legato.worker.lending import seal
from legato.worker.line import Taken
from legato.worker.mask import Mask
from legato.worker.outbox import Outbox
from legato.worker.pipe import Frame, Splitter, decode_answers, decode_key, decode_orders
from legato.worker.preload import Kit, WorkerSettings
from legato.worker.room import with_room
from legato.worker.slate import Slate
from legato.worker.veil import Veil

TICK_S = 0.05
"""After so long an attempt counts as one that lasts: its `Begun` is sent, and what waited in the outbox."""
_QUICK_S = 0.001
_CHUNK = 1 << 18


class _Look:
    """Tells the main thread that nobody else reads the pipe any more."""


_Item = tuple[int, Order] | Answers | None
_Queued = _Item | _Look


class Duty:
    """The main thread makes attempts. Whoever has the *ear* reads the pipe: the main thread where it has nothing to do, so that
    an order is begun without a word between threads; a second one, the standby, as soon as an attempt lasts, so that orders can
    be recalled meanwhile, and for as long as a flow's event loop is to be rung for what arrives.

    Each order is taken out of the queue by exactly one of the two (the queue sees to that): by the main thread, which makes
    it, or by whoever reads, who gives it back. So what was given back was never begun.

    To a flow this is its `Line`: while its body waits, the main thread takes answers, and orders to be made beside it, from
    the same queue.
    """

    def __init__(self, sock: socket.socket, slate: Slate, harness: Harness, capture: Capture) -> None:
        self._socket = sock
        self._slate = slate
        self._harness = harness
        self._capture = capture
        self._outbox = Outbox(sock, slate)
        self._queue: SimpleQueue[_Queued] = SimpleQueue()
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        self._splitter = Splitter()
        self._ear = threading.Lock()
        self._bell = threading.Event()
        self._is_resting = False
        self._asked = 0
        self._arrived = 0
        self._now: Order | None = None
        self._announced: Order | None = None
        self._flow: tuple[int, Order, int] | None = None
        self._ring: Callable[[], None] | None = None
        self._unwanted: set[tuple[str, int, int]] = set()
        self._quick: dict[str, bool] = {}
        self._head = "", 0

    def run(self) -> None:
        """Work until told to quit."""
        threading.Thread(target=self._stand_by, name="legato-pipe", daemon=True).start()
        while (item := self._next()) is not None:
            if isinstance(item, tuple):
                self._make(*item)
        self._harness.close()
        self._outbox.flush()

    def _next(self, timeout_s: float | None = None) -> _Item:
        """What is to be done next. Empty if the time is over."""
        self._asked += 1
        until = None if timeout_s is None else monotonic() + timeout_s
        while True:
            try:
                item: _Queued = self._queue.get_nowait()
            except Empty:
                self._outbox.flush()
                item = self._await(None if until is None else max(0.0, until - monotonic()))
            if not isinstance(item, _Look):
                return item

    def _await(self, timeout_s: float | None) -> _Queued:
        """What arrives: read here, or by the standby if that is at it."""
        if not self._ear.acquire(blocking=False):
            return self._queue.get(timeout=timeout_s)
        try:
            while self._queue.empty() and self._poller.poll(None if timeout_s is None else timeout_s * 1000):
                self._receive()
        finally:
            self._ear.release()
        return self._queue.get_nowait()

    def _make(self, number: int, order: Order) -> Report:
        self._slate.enter(number, self._capture.position)
        is_flow = self._harness.makes_flow(order)
        if is_flow:
            self._flow = number, order, self._capture.position
        self._now = order
        if self._is_resting:
            self._bell.set()
        if order.head:
            self._head = order.run, order.head
        follows = order.head != 0 and order.head != order.token  # what one call made is reported in one go
        is_quick = follows or self._quick.get(order.node)
        if is_flow or not is_quick or (self._unwanted and _key(order) in self._unwanted):
            self._announce(order)
        report = self._harness.make(order, self, self._outbox.put)
        if is_flow:
            self._flow = self._ring = None
        elif isinstance(report, Done | Raised | Declined):
            self._quick[order.node] = report.seconds < _QUICK_S
        self._now = None if self._flow is None else self._flow[1]
        self._outbox.put(report)
        return report

    # -- the line of a flow --

    def call(self, called: Called) -> None:
        """Send calls, behind the reports that came before them; many at once do not wait for others."""
        self._outbox.put(called)
        if any(call.over for call in called.calls):
            self._outbox.flush()

    def take(self, timeout_s: float) -> Taken | None:
        """What arrives for the flow; an order is made here first."""
        while True:
            try:
                item = self._next(timeout_s)
            except Empty:
                return None
            if isinstance(item, Answers):
                return item
            if item is None:  # told to quit: once the flow has parked
                self._queue.put(None)
                return None
            if not self._harness.makes_flow(item[1]):
                return self._make_beside(*item)
            self._outbox.put(Returned(*_key(item[1])))  # it needs a place of its own

    def _make_beside(self, number: int, order: Order) -> tuple[Order, Report]:
        assert self._flow is not None
        flow_number, _, log_start = self._flow
        with self._harness.aside():
            report = self._make(number, order)
        self._slate.enter(flow_number, log_start)  # behind the report: what was made is never taken for not begun
        return order, report

    def abandon(self, end: Report) -> NoReturn:
        """Report the end of the flow, and end this process, since nothing else ends the body."""
        self._outbox.put(end)
        self._outbox.flush()
        kin.end_own_group()

    def listen(self, ring: Callable[[], None] | None) -> bool:
        """Have this called by the standby whenever something was put into the queue."""
        self._ring = ring
        if ring is not None:
            self._bell.set()
        return True

    def _announce(self, order: Order) -> None:
        """Say that an attempt has begun, and where its output stands; sends what waited before it."""
        self._announced = order
        span = LogSpan(self._capture.file, self._slate.log_start)
        self._outbox.put(Begun(order.run, order.step, order.token, span))
        self._outbox.flush()

    # -- the standby's thread --

    def _stand_by(self) -> NoReturn:
        """Look round every now and then while something is made, and read the pipe where the main thread does not come to it."""
        asked = 0
        while True:
            self._is_resting = True
            if self._now is None:  # asked after it was noted that this rests: whoever sets it next looks at that
                self._bell.wait()
                self._bell.clear()
            self._is_resting = False
            if self._ring is None:
                self._bell.wait(TICK_S)
            self._bell.clear()
            self._tick()
            if self._ear.acquire(blocking=False):
                try:
                    self._read_while(asked)
                finally:
                    self._ear.release()
                    self._queue.put(_Look())  # the main thread may have found the ear taken just before
            asked = self._asked

    def _read_while(self, asked: int) -> None:
        """What came meanwhile, and more as long as the main thread asks for nothing (it was last seen to do so this often)."""
        while self._poller.poll(0):
            self._receive()
        while self._asked == asked or self._ring is not None:
            if self._poller.poll(TICK_S * 1000):
                self._receive()
            else:
                self._tick()

    # -- what arrives, for whoever has the ear --

    def _receive(self) -> None:
        try:
            chunk = self._socket.recv(_CHUNK)
        except OSError:
            chunk = b""
        if not chunk:  # the conductor is gone: nothing that is made here would be recorded
            kin.end_own_group()
        for kind, body in self._splitter.feed(chunk):
            self._obey(kind, body)

    def _tick(self) -> None:
        self._harness.send_due()
        self._capture.pour()
        order = self._now
        is_flow = self._flow is not None and order is self._flow[1]  # announced when it began
        if order is not None and order is not self._announced and not is_flow:
            self._announce(order)
        else:
            self._outbox.flush()

    def _obey(self, kind: int, body: bytes) -> None:
        if kind == Frame.ORDERS:
            for order in decode_orders(body):
                self._arrived += 1
                self._queue.put((self._arrived, order))
        elif kind == Frame.ANSWERS:
            self._queue.put(decode_answers(body))
        elif kind == Frame.RECALL:
            for item in self._drain():
                if isinstance(item, tuple) and item[1].head and (item[1].run, item[1].head) == self._head:
                    self._queue.put(item)  # the call that makes it is under way here
                else:
                    self._give_back(item)
            self._outbox.flush()
        elif kind == Frame.DROP:
            self._drop(decode_key(body))
        elif kind == Frame.QUIT:
            self._queue.put(None)
        if (ring := self._ring) is not None:
            ring()

    def _drain(self) -> list[_Queued]:
        items = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                return items

    def _give_back(self, item: _Queued) -> None:
        if isinstance(item, tuple):
            self._outbox.put(Returned(*_key(item[1])))
        else:
            self._queue.put(item)

    def _drop(self, key: tuple[str, int, int]) -> None:
        """Give one order back; say that it has begun if it is being made. If it has ended, its report is on the way.

        The main thread may have taken it a moment ago: whichever thread looks later at the other's note says so.
        """
        self._unwanted.add(key)
        for item in self._drain():
            if isinstance(item, tuple) and _key(item[1]) == key:
                self._give_back(item)
            else:
                self._queue.put(item)
        order = self._now
        if order is not None and _key(order) == key:
            self._announce(order)
        self._outbox.flush()


def serve(
    kit: Kit, settings: WorkerSettings, number: int, sock: socket.socket, slate: Slate, veil: Veil | None
) -> NoReturn:  # fmt: skip
    """Be the worker of this number until the end of the process."""
    code = 1
    try:
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        os.close(devnull)
        os.chdir(kit.root)
        mask = Mask(kit.code.secrets)
        seal(kit.code.secrets)
        capture = Capture(Path(settings.logs), log_name(settings, number), settings.log_limit_bytes, veil=veil, mask=mask)
        capture.redirect()
        _show_crashes()
        harness = Harness(kit, capture, owns_process=True, inline_limit_bytes=settings.inline_limit_bytes)
        with_room(Duty(sock, slate, harness, capture).run)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def log_name(settings: WorkerSettings, number: int) -> str:
    """The log file of a worker, below the log folder."""
    return f"{settings.session}/{number}.log"


def _show_crashes() -> None:
    """A crash below Python leaves the user's line in the log."""
    import faulthandler

    faulthandler.enable(file=2, all_threads=False)


def _key(order: Order) -> tuple[str, int, int]:
    return order.run, order.step, order.token
