"""Reports on their way out of a worker: gathered for a moment, sent together, never lost in between."""

from __future__ import annotations

import socket
import threading
from time import perf_counter

from legato.terms.attempt import Report
from legato.worker import kin
from legato.worker.pipe import encode_report, reports_frame
from legato.worker.slate import Slate

FLUSH_S = 0.005
"""How long a report may wait for others while quick attempts follow one another."""


class Outbox:
    """Gathers reports in the slate and sends them in one frame. Safe to use from two threads."""

    __slots__ = ("_lock", "_sent_at", "_slate", "_socket")

    def __init__(self, sock: socket.socket, slate: Slate) -> None:
        self._socket = sock
        self._slate = slate
        self._lock = threading.Lock()
        self._sent_at = 0.0

    def put(self, report: Report) -> None:
        """Add a report; all are sent if the last sending was long enough ago."""
        body = encode_report(report)
        with self._lock:
            if not self._slate.append(body):
                self._send()
                if not self._slate.append(body):
                    self._write(reports_frame(1, body))
            if perf_counter() - self._sent_at >= FLUSH_S:
                self._send()

    def flush(self) -> None:
        """Send what is there."""
        with self._lock:
            if self._slate.has_pending:
                self._send()

    def _send(self) -> None:
        if self._slate.has_pending:
            self._write(reports_frame(*self._slate.pending()))
            self._slate.clear()
        self._sent_at = perf_counter()

    def _write(self, frame: bytes) -> None:
        try:
            self._socket.sendall(frame)
        except OSError:  # nobody listens any more
            kin.end_own_group()
