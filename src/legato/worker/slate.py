"""A piece of memory that a worker and its executor share, and that survives the worker's death."""

from __future__ import annotations

import mmap
import os

_ENTERED, _LOG_START, _PENDING = 0, 1, 2
_HEADER_BYTES = 24
SLATE_BYTES = 1 << 18


class Slate:
    """Says which order a worker entered, where its output starts, and holds reports that are not sent yet.

    A worker that dies in one attempt has not yet sent the reports of quick ones before it: they stand here, whole, so they
    still count. Written by the worker alone; the executor reads it when the worker is dead. Pages that are
    never touched cost nothing.
    """

    __slots__ = ("_bytes", "_map", "_words", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, SLATE_BYTES)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("q")

    @classmethod
    def create(cls) -> Slate:
        """A new, empty one; its descriptor can be handed to another process."""
        fd = os.memfd_create("legato-slate", os.MFD_CLOEXEC)
        os.ftruncate(fd, SLATE_BYTES)
        return cls(fd)

    def enter(self, number: int, log_start: int) -> None:
        """Note, before user code is called, that the order of this number begins (numbers rise from 1)."""
        self._words[_LOG_START] = log_start
        self._words[_ENTERED] = number

    @property
    def entered(self) -> int:
        """The highest number that was entered; 0 for none."""
        return self._words[_ENTERED]

    @property
    def log_start(self) -> int:
        """Where the output of the order entered last starts."""
        return self._words[_LOG_START]

    def append(self, body: bytes) -> bool:
        """Add one encoded report to the pending ones; False if there is no room."""
        pending = self._words[_PENDING]
        start = _HEADER_BYTES + (pending & 0xFFFFFFFF)
        end = start + len(body)
        if end > SLATE_BYTES:
            return False
        self._bytes[start:end] = body
        # The length last: a death in between leaves only whole reports.
        self._words[_PENDING] = pending + (1 << 32) + len(body)
        return True

    def pending(self) -> tuple[int, bytes]:
        """How many reports are pending, and their bytes one after the other."""
        word = self._words[_PENDING]
        return word >> 32, bytes(self._bytes[_HEADER_BYTES : _HEADER_BYTES + (word & 0xFFFFFFFF)])

    @property
    def has_pending(self) -> bool:
        """Whether any report is pending."""
        return self._words[_PENDING] != 0

    def clear(self) -> None:
        """Forget the pending reports: they were sent."""
        self._words[_PENDING] = 0

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)
