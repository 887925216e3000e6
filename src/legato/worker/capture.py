"""Output of attempts, caught where it leaves the process: file descriptors 1 and 2 lead to one log file per worker."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from threading import Lock
from typing import TextIO

from legato.terms.attempt import LogSpan
from legato.worker.mask import Mask
from legato.worker.veil import Veil

_CHUNK = 1 << 20


class Capture:
    """One append-only log file, and the part of it that each attempt wrote.

    With a `veil` output goes there first, and from there to the log with secrets hidden by the `mask`: at each `pour`, from any
    thread, and when an attempt ends. `redirect` sends the process's output there, `restore` sends it back to where it went
    before. Costs nothing for output that never comes: a silent attempt is two comparisons and three system calls.
    """

    def __init__(
        self, logs: Path, file: str, limit_bytes: int = 16 * 2**20, *, veil: Veil | None = None, mask: Mask | None = None
    ) -> None:  # fmt: skip
        self.file = file
        self._veil, self._mask = veil, mask
        self._pouring = Lock()
        self.path = logs / file
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._limit = limit_bytes
        self._log = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._sink = self._log if veil is None else veil.open_end()
        self._size = self._end()
        self._streams = _stream(1), _stream(2)
        self._before: tuple[int, int] | None = None
        self._streams_before = sys.stdout, sys.stderr

    @property
    def position(self) -> int:
        """Where the next attempt's output starts: bytes from the file's beginning."""
        return self._size

    def redirect(self) -> None:
        """Catch all output from here on, also that of child processes and C libraries."""
        if self._before is None:
            _flush(sys.stdout, sys.stderr)
            self._before = _duplicate(1), _duplicate(2)
            self._streams_before = sys.stdout, sys.stderr
        self._size = self._end()
        self._aim()

    def restore(self) -> None:
        """Let output go where it went before `redirect`."""
        if self._before is None:
            return
        self._aim()
        sys.stdout, sys.stderr = self._streams_before
        for fd, before in zip((1, 2), self._before, strict=True):
            os.dup2(before, fd)
            os.close(before)
        self._before = None

    def pour(self, *, all: bool = False) -> None:
        """Bring what came so far to the log."""
        if self._veil is not None and self._mask is not None:
            with self._pouring:
                self._veil.pour(self._log, self._mask.forms(), all=all)

    def end(self) -> LogSpan | None:
        """What was written since the last call, cut to the limit in its middle; None for nothing. Mends closed streams."""
        self._aim()
        self.pour(all=True)
        start, self._size = self._size, self._end()
        if self._size == start:
            return None
        if self._size - start > self._limit:
            self._size = trim(self.path, start, self._limit)
        return LogSpan(self.file, start, self._size)

    def since(self, start: int) -> LogSpan | None:
        """All that was written and told by `end` from that position on; None for nothing."""
        return LogSpan(self.file, start, self._size) if self._size > start else None

    def close(self) -> None:
        """Stop catching; the file stays, unless nothing was ever written to it."""
        self.restore()
        self.pour(all=True)
        if self._veil is not None:
            os.close(self._sink)
            self._veil.close()
        os.close(self._log)
        remove_empty(self.path)
        remove_session(self.path.parent)

    def _end(self) -> int:
        return os.lseek(self._log, 0, os.SEEK_END)  # what is written is appended wherever this leads

    def _aim(self) -> None:
        # User code may have closed or replaced a descriptor or a stream; what is still buffered belongs to the log.
        os.dup2(self._sink, 1)
        os.dup2(self._sink, 2)
        out, err = self._streams
        if out.closed or err.closed:
            out, err = self._streams = _stream(1), _stream(2)
        _flush(out, err)
        sys.stdout, sys.stderr = out, err


def trim(path: Path, start: int, limit_bytes: int) -> int:
    """Drop the middle of what stands from `start` to the file's end if it is longer than the limit; the new end.

    The first and last halves of the limit stay, with a line between them that says how much is gone. Works in chunks:
    memory does not grow with the file.
    """
    with open(path, "r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        half = limit_bytes // 2
        gone = end - start - 2 * half
        if gone <= 0:
            return end
        note = f"\n... {gone:,} bytes of output left out here ...\n".encode()
        source, target = end - half, start + half
        if gone < len(note):
            return end
        target += os.pwrite(file.fileno(), note, target)
        while chunk := os.pread(file.fileno(), _CHUNK, source):
            target += os.pwrite(file.fileno(), chunk, target)
            source += len(chunk)
        file.truncate(target)
        return target


def remove_empty(path: Path) -> None:
    """Remove a log file that nothing was written to."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == 0:
            path.unlink()


def remove_session(folder: Path) -> None:
    """Remove a session's folder when nothing will log there any more, unless a log stands in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _stream(fd: int) -> TextIO:
    # Line by line, so that the last line before a crash is not lost and logs can be followed.
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _duplicate(fd: int) -> int:
    try:
        return os.dup(fd)
    except OSError:  # closed already, as in some daemons
        return os.open(os.devnull, os.O_WRONLY)


def _flush(*streams: TextIO) -> None:
    for stream in streams:
        try:  # costs nothing where nothing is wrong, unlike `suppress`: this happens at every attempt
            stream.flush()
        except (OSError, ValueError):
            continue
