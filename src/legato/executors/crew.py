"""What an executor knows of one worker process: its pipe, its slate, the orders it holds."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from legato.terms.attempt import Begun, Called, LogSpan, Lost, Noted, Order, Report, Returned
from legato.worker import kin
from legato.worker.capture import remove_empty, trim
from legato.worker.duty import log_name
from legato.worker.pipe import Splitter, decode_reports, drop_frame, join_reports, orders_frame
from legato.worker.preload import WorkerSettings
from legato.worker.slate import Slate

Key = tuple[str, int, int]
_CHUNK = 1 << 18


class Worker:
    """One incarnation of a worker, from the moment it is asked for until its end was reported. Never waits.

    `held` are the orders without an end, in the order they were sent: key -> (number, expected seconds). `flow` is the one
    among them that the others are made beside. `far` is the worker's end of the pipe, to be sent to it and then closed.
    """

    def __init__(self, number: int, settings: WorkerSettings) -> None:
        self.number = number
        self.socket, self.far = socket.socketpair()
        self.socket.setblocking(False)
        self.slate = Slate.create()
        self.held: dict[Key, tuple[int, float]] = {}
        self.flow: Key | None = None
        self.idle_since = 0.0
        self.since = time.monotonic()
        self.load_s = 0.0
        self.pid = 0
        self.is_open = True
        self.has_worked = False
        self.is_garbled = False
        self.stopping = False
        self._settings = settings
        self._sent = 0
        self._out = bytearray()
        self._splitter = Splitter()
        self._unwanted: set[Key] = set()
        self._heads: dict[Key, int] = {}
        """Of orders that one call makes: the number of the one that makes it."""

    def has_done_its_shift(self, shift_s: float, shift_bytes: int) -> bool:
        """Whether it has lived or printed enough to be replaced."""
        if time.monotonic() - self.since >= shift_s:
            return True
        try:
            return self.log.stat().st_size >= shift_bytes
        except OSError:  # somebody deleted it
            return True

    # -- to the worker --

    def hand(self, orders: Sequence[Order], expected_s: float) -> None:
        """Send orders; what the pipe does not take now goes out with `push`."""
        each = expected_s / max(1, len(orders))
        numbers = {order.token: number for number, order in enumerate(orders, self._sent + 1) if order.token == order.head}
        for number, order in enumerate(orders, self._sent + 1):
            self.held[order.run, order.step, order.token] = number, each
            if order.head:
                self._heads[order.run, order.step, order.token] = numbers.get(order.head, -1)
        self._sent += len(orders)
        self.load_s += expected_s
        self.send(orders_frame(orders))

    def send(self, frame: bytes) -> None:
        """Send a frame, now or as soon as the pipe takes it."""
        self._out += frame
        self.push()

    def push(self) -> None:
        """Write what is still to be sent, as far as the pipe takes it."""
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:  # it is dead; its nursery will say so
            self._out.clear()

    @property
    def has_more_to_send(self) -> bool:
        """Whether `push` has to be called again when the pipe takes more."""
        return bool(self._out)

    def drop(self, key: Key) -> bool:
        """Stop one order: ask for it back if it has not begun; True if it has, so that only the worker's death stops it."""
        self._unwanted.add(key)
        number = self.held[key][0]
        if number == self.slate.entered or self._is_in_call(key) or (key == self.flow and number < self.slate.entered):
            return True
        if number > self.slate.entered:
            self.send(drop_frame(key))
        return False  # what was entered before another has ended: its report is on the way

    def _is_in_call(self, key: Key) -> bool:
        """Whether a call is under way that makes this order's partition, too."""
        return self._heads.get(key) == self.slate.entered

    # -- from the worker --

    def receive(self) -> list[Report]:
        """Reports that have arrived; afterwards `is_open` says whether more can come. From who sends what is no report, no
        more is taken: its code has written to the pipe, so nothing that it says can be believed."""
        chunks = []
        with contextlib.suppress(BlockingIOError):
            while self.is_open:
                try:
                    chunk = self.socket.recv(_CHUNK)
                except ConnectionError:
                    chunk = b""
                self.is_open = bool(chunk)
                chunks.append(chunk)
                if len(chunk) < _CHUNK:
                    break
        reports: list[Report] = []
        try:
            for _, body in self._splitter.feed(b"".join(chunks)):
                reports += self._settle(decode_reports(body))
        except ValueError:
            self.is_open, self.is_garbled = False, True
        return reports

    def _settle(self, reports: list[Report]) -> Iterator[Report]:
        """The reports that are news: each order ends once."""
        for report in reports:
            key = report.run, report.step, report.token
            if isinstance(report, Begun | Called | Noted):
                if key in self.held:
                    yield report
                continue
            held = self.held.pop(key, None)
            if held is None:
                continue
            if self._heads:
                self._heads.pop(key, None)
            self.load_s = self.load_s - held[1] if self.held else 0.0
            if key == self.flow:
                self.flow = None
            self.has_worked = True
            yield report

    def is_unwanted(self, report: Begun) -> bool:
        """Whether this attempt, which has begun, was to be stopped."""
        return (report.run, report.step, report.token) in self._unwanted

    # -- its end --

    def bury(self, status: int | None) -> list[Report]:
        """The ends of all it held, once it and all it started are gone: what it sent and noted counts, then begun is Lost."""
        reports = self.receive()
        entered = self.slate.entered
        try:
            reports += self._settle(join_reports(*self.slate.pending()))
            self.is_garbled |= not 0 <= entered <= self._sent
        except (ValueError, struct.error):  # its code has written over it: nothing in it can be believed
            self.is_garbled = True
        self.has_worked |= entered > 0
        cause = self._cause(status)
        for key, (number, _) in self.held.items():
            if self.is_garbled:
                reports.append(Lost(*key, f"the worker {cause}"))
            elif number < entered and key != self.flow:
                reports.append(Lost(*key, f"the worker {cause} before this attempt's end was reported"))
            elif number <= entered:
                reports.append(Lost(*key, f"the worker {cause}", self._last_output() if number == entered else None))
            elif not self.is_garbled and self._heads.get(key) == entered:
                reports.append(Lost(*key, f"the worker {cause} in the call that was to make it"))
            else:
                reports.append(Returned(*key))
        self.held.clear()
        self.flow = None
        self.close()
        return reports

    def _cause(self, status: int | None) -> str:
        if self.is_garbled:
            return "sent what is no report"
        if self.stopping:
            return "was stopped"
        return kin.say_status(status) if status is not None else "was killed with its nursery"

    @property
    def log(self) -> Path:
        """Its log file."""
        return Path(self._settings.logs) / log_name(self._settings, self.number)

    def tail(self) -> str:
        """The end of its log, for people."""
        try:
            return self.log.read_bytes()[-4000:].decode(errors="replace")
        except OSError:
            return ""

    def _last_output(self) -> LogSpan | None:
        """What the attempt that it died in had written, cut like that of any other."""
        start = self.slate.log_start
        try:
            end = trim(self.log, start, self._settings.log_limit_bytes)
        except OSError:
            return None
        return LogSpan(log_name(self._settings, self.number), start, end) if end > start else None

    def close(self) -> None:
        """Let go of the pipe and the slate, and remove the log if it stayed empty."""
        self.socket.close()
        self.far.close()
        self.slate.close()
        remove_empty(self.log)
