"""Output on its way to a log: in memory that has no name, until the secrets in it are hidden."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from legato.declare.resource import Secret
from legato.worker.mask import Forms, Mask

_HEADER = struct.Struct("<Q")
_CHUNK = 1 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2


class Veil:
    """A file in memory that output goes to, however it is written: by Python, by libraries, by child processes.

    Whoever pours takes it from there to the log, and notes how far. So what a worker that was killed has left can be poured by
    another process that holds the file. Memory is given back as it is poured.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls) -> Veil:
        """A new, empty one; its descriptor can be handed to another process."""
        veil = cls(os.memfd_create("legato-output", os.MFD_CLOEXEC))
        os.pwrite(veil.fd, _HEADER.pack(_HEADER.size), 0)
        return veil

    def open_end(self) -> int:
        """A descriptor whose writes go behind all that was written."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def pour(self, log: int, forms: Forms, *, all: bool) -> None:
        """Write what came to the log, with secrets hidden; but for what may be the beginning of one, unless it is to be `all`.

        Who is killed in between leaves some that is written twice, and nothing that is not hidden.
        """
        poured = _HEADER.unpack(os.pread(self.fd, _HEADER.size, 0))[0]
        left = b""
        while chunk := os.pread(self.fd, _CHUNK, poured + len(left)):
            shown, taken = forms.pass_on(left + chunk)
            left = (left + chunk)[taken:]
            poured = self._write(log, shown, poured + taken)
        if all and left:
            self._write(log, forms.hide(left), poured + len(left))

    @property
    def is_left(self) -> bool:
        """Whether there is something that was not poured."""
        return bool(os.pread(self.fd, 1, _HEADER.unpack(os.pread(self.fd, _HEADER.size, 0))[0]))

    def close(self) -> None:
        """Let go of the file; it is gone when nobody has it any more."""
        os.close(self.fd)

    def _write(self, log: int, body: bytes, poured: int) -> int:
        view = memoryview(body)
        while view:
            view = view[os.write(log, view) :]
        os.pwrite(self.fd, _HEADER.pack(poured), 0)
        page = os.sysconf("SC_PAGE_SIZE")
        if poured >= 2 * page:
            _free(self.fd, page, poured // page * page - page)
        return poured


def _free(fd: int, start: int, size_bytes: int) -> None:
    """Give the memory of a range back; where the system cannot, it stays until the file is closed."""
    if size_bytes > 0:
        _libc().fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_long(start), ctypes.c_long(size_bytes))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Veils:
    """The veils of a nursery's workers: it lifts those of the dead, who can pour no more."""

    def __init__(self, secrets: Sequence[Secret], log_of: Callable[[int], Path]) -> None:
        self._mask, self._log_of = Mask(secrets), log_of
        self._is_needed = bool(secrets)
        self._knows_all = not any(secret.is_asked_elsewhere for secret in secrets)
        self._veils: dict[int, Veil] = {}

    def hang(self, number: int) -> Veil | None:
        """The veil of a new worker; None where the project has no secrets."""
        if self._is_needed:
            self._veils[number] = Veil.create()
        return self._veils.get(number)

    def descriptors(self) -> list[int]:
        """Those of all veils that hang."""
        return [veil.fd for veil in self._veils.values()]

    def lift(self, number: int) -> None:
        """Pour what a worker has left that is dead, with all it started."""
        veil = self._veils.pop(number, None)
        if veil is None:
            return
        with suppress(OSError):  # the disk is full, or somebody removed the folder: so be it, the worker's end is the news
            log = os.open(self._log_of(number), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                if self._knows_all:
                    veil.pour(log, self._mask.forms(), all=True)
                elif veil.is_left:
                    os.write(log, b"legato: what it printed last is left out: it may hold secrets that only the worker knew\n")
            finally:
                os.close(log)
        veil.close()

    def lift_all(self) -> None:
        """Pour what all have left."""
        for number in list(self._veils):
            self.lift(number)
