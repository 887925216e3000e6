"""What goes between a desk and its guests: the socket, frames, and errors on their way.

A question is a frame: its length in four bytes, then a record of `asks` in MessagePack. So is the answer.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from legato.terms.errors import Fault, Forbidden, InvalidProject, LegatoError, NotFound, Unreachable, UsageError

MOST_GUESTS = 128
HEAD = struct.Struct(">I")
"""The length of what follows."""

_CHUNK = 1 << 16
_KINDS: dict[str, type[LegatoError]] = {each.__name__: each for each in (NotFound, UsageError, Forbidden, Unreachable)}


class Refusal(Struct, frozen=True, kw_only=True):
    """An error on its way: `kind` is its class, `faults` those of a project."""

    kind: str
    code: str
    what: str
    where: str = ""
    why: str = ""
    next: str = ""
    faults: tuple[Fault, ...] = ()

    @staticmethod
    def of(error: LegatoError) -> Refusal:
        """The error, as it travels."""
        faults = tuple(error.faults) if isinstance(error, InvalidProject) else ()
        kind = next((name for name, each in _KINDS.items() if isinstance(error, each)), "")
        return Refusal(
            kind=kind,
            code=error.code,
            what=error.what,
            where=str(error.where or ""),
            why=error.why,
            next=error.next,
            faults=faults,
        )

    def error(self) -> LegatoError:
        """The error again."""
        if self.faults:
            return InvalidProject(list(self.faults))
        return _KINDS.get(self.kind, LegatoError)(self.code, self.what, where=self.where, why=self.why, next=self.next)


class Reply(Struct, frozen=True, kw_only=True):
    """What was answered, or why nothing was."""

    refusal: Refusal | None = None
    answer: msgspec.Raw = msgspec.Raw(b"\xc0")


def frame(body: bytes) -> bytes:
    """The bytes that are sent for it."""
    return HEAD.pack(len(body)) + body


def receive(sock: socket.socket) -> bytes:
    """What the next frame holds."""
    (length,) = HEAD.unpack(_receive(sock, HEAD.size))
    return _receive(sock, length)


def _receive(sock: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        chunk = sock.recv(min(_CHUNK, size - len(body)))
        if not chunk:
            raise ConnectionResetError("the connection ended")
        body += chunk
    return bytes(body)


def folder_of(state: Path) -> Path:
    """The folder of the socket, below a project's state."""
    return state / "desk"


def connect(state: Path, timeout_s: float) -> socket.socket:
    """A connection to the desk of the project whose state is there; `Unreachable` (`service-none`) where none is open."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        with _short(folder_of(state)) as path:
            sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        sock.close()
        raise Unreachable("service-none", "no service runs for this project", where=str(state), next="legato up") from error
    except BaseException:
        sock.close()
        raise
    return sock


def is_open(state: Path) -> bool:
    """Whether a live service takes questions here."""
    try:
        connect(state, 1.0).close()
    except (LegatoError, OSError):
        return False
    return True


def listen(folder: Path) -> socket.socket:
    """The socket of a desk, in place of a dead one's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "socket").unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(folder) as path:
        sock.bind(path)
    (folder / "socket").chmod(0o600)
    sock.listen(MOST_GUESTS)
    return sock


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: the path of a socket has 107 bytes at most, that of a project any number."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/socket"
    finally:
        os.close(descriptor)
