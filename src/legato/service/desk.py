"""The desk: a socket where other processes of the same user ask the conductor, and are answered when it is recorded.

One thread takes questions in and hands answers out; only the conductor's own loop looks at them, when it comes round to it.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from operator import or_
from pathlib import Path

import msgspec

from legato.service.asks import Ask
from legato.service.frames import HEAD, MOST_GUESTS, Refusal, Reply, folder_of, frame, listen
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, Unreachable, UsageError

MOST_BYTES = 4 << 20
MOST_WAITING = 1_000
IDLE_S, SENDING_S = 60.0, 10.0
"""How long a guest may take to ask, or to take in its answer."""

_PEER = struct.Struct("3i")
_CHUNK = 1 << 16
_NEVER = float("inf")


class Asked:
    """One question, to be answered or refused once: by the conductor, when what it did is committed."""

    def __init__(self, desk: Desk, guest: _Guest, ask: Ask) -> None:
        self._desk, self._guest, self.ask = desk, guest, ask

    def answer(self, value: object) -> None:
        """Send the answer. A guest that has gone misses it."""
        self._desk._reply(self._guest, Reply(answer=msgspec.Raw(pack(value))))

    def refuse(self, error: LegatoError) -> None:
        """Send the error."""
        self._desk._reply(self._guest, Reply(refusal=Refusal.of(error)))


class _Guest:
    """A connection: what it has sent so far, what it is still to take, and until when."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock, self.until = sock, until
        self.received, self.outgoing = bytearray(), bytearray()
        self.leaving = False


class Desk:
    """The server's side. `wake` rings the conductor's bell; `waiting` gives what was asked since, oldest first.

    Only who holds the writer's place opens it, so a socket that is there already is a dead one's.
    """

    def __init__(self, state: Path, wake: Callable[[], None], kinds: Sequence[type[Ask]]) -> None:
        self._wake = wake
        self._decoder = msgspec.msgpack.Decoder(reduce(or_, kinds))
        self._folder = folder_of(state)
        self._waiting: deque[Asked] = deque()
        self._replies: deque[tuple[_Guest, Reply]] = deque()
        self._guests: set[_Guest] = set()
        self._closing = False
        self._listener = listen(self._folder)
        self._ear, self._bell = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for sock in (self._listener, self._ear):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
        self._bell.setblocking(False)
        _DESKS.add(self)
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)
        self._thread.start()

    def waiting(self) -> Iterator[Asked]:
        """What was asked and not yet taken up."""
        while self._waiting:
            yield self._waiting.popleft()

    def close(self) -> None:
        """Refuse what nobody took up, and end. Idempotent."""
        if self._closing:
            return
        for asked in self.waiting():
            asked.refuse(_stopping())
        self._closing = True
        self._ring()
        self._thread.join(SENDING_S)

    def _reply(self, guest: _Guest, reply: Reply) -> None:
        self._replies.append((guest, reply))
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError, OSError):  # a bell that rings already is enough
            self._bell.send(b"!")

    # -- the thread --

    def _serve(self) -> None:
        try:
            while not (self._closing and not self._replies):
                for key, events in self._selector.select(self._patience()):
                    self._attend(key, events)
                self._hand_out()
                self._show_out()
            self._send_last()
        finally:
            self._leave()

    def _attend(self, key: selectors.SelectorKey, events: int) -> None:
        if key.fileobj is self._listener:
            self._admit()
        elif key.fileobj is self._ear:
            with suppress(BlockingIOError):
                self._ear.recv(_CHUNK)
        elif events & selectors.EVENT_WRITE:
            self._send(key.data)
        else:
            self._read(key.data)

    def _patience(self) -> float | None:
        until = min((guest.until for guest in self._guests), default=_NEVER)
        return None if until == _NEVER else max(0.0, until - time.monotonic())

    def _admit(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again, or this process has no descriptor left: whoever asks hears nothing and tries again
            return
        sock.setblocking(False)
        if len(self._guests) >= MOST_GUESTS or _peer_of(sock) not in (os.geteuid(), 0):
            sock.close()
            return
        guest = _Guest(sock, time.monotonic() + IDLE_S)
        self._guests.add(guest)
        self._selector.register(sock, selectors.EVENT_READ, guest)

    def _read(self, guest: _Guest) -> None:
        try:
            chunk = guest.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._dismiss(guest)
            return
        guest.received += chunk
        self._parse(guest)

    def _parse(self, guest: _Guest) -> None:
        if len(guest.received) < HEAD.size:
            return
        (length,) = HEAD.unpack_from(guest.received)
        if length > MOST_BYTES:
            self._refuse(
                guest, UsageError("request-large", f"a request has {MOST_BYTES:,} bytes at most", next="ask for less at once")
            )
            guest.leaving = True
            return
        end = HEAD.size + length
        if len(guest.received) < end:
            return
        body = bytes(guest.received[HEAD.size : end])
        del guest.received[:end]
        try:
            ask = self._decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            self._refuse(guest, UsageError("request-unknown", "the service does not know this request", why=str(error)))
            return
        self._take_up(guest, ask)

    def _take_up(self, guest: _Guest, ask: Ask) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._refuse(guest, Unreachable("service-busy", "too much waits for the service already", next="ask again later"))
            return
        self._pause(guest)
        self._waiting.append(Asked(self, guest, ask))
        self._wake()

    def _pause(self, guest: _Guest) -> None:
        """Read nothing more of a guest that is being served: what it sends meanwhile waits in its own process."""
        self._selector.unregister(guest.sock)
        guest.until = _NEVER

    def _refuse(self, guest: _Guest, error: LegatoError) -> None:
        self._pause(guest)
        self._replies.append((guest, Reply(refusal=Refusal.of(error))))

    def _hand_out(self) -> None:
        while self._replies:
            guest, reply = self._replies.popleft()
            if guest not in self._guests:
                continue
            guest.outgoing += frame(pack(reply))
            guest.until = time.monotonic() + SENDING_S
            self._selector.register(guest.sock, selectors.EVENT_WRITE, guest)
            self._send(guest)

    def _send(self, guest: _Guest) -> None:
        try:
            sent = guest.sock.send(guest.outgoing)
        except BlockingIOError:
            return
        except OSError:
            self._dismiss(guest)
            return
        del guest.outgoing[:sent]
        if guest.outgoing:
            return
        if guest.leaving:
            self._dismiss(guest)
            return
        guest.until = time.monotonic() + IDLE_S
        self._selector.modify(guest.sock, selectors.EVENT_READ, guest)
        self._parse(guest)

    def _show_out(self) -> None:
        now = time.monotonic()
        for guest in [guest for guest in self._guests if guest.until <= now]:
            self._dismiss(guest)

    def _dismiss(self, guest: _Guest) -> None:
        self._guests.discard(guest)
        with suppress(KeyError, ValueError):
            self._selector.unregister(guest.sock)
        guest.sock.close()

    def _send_last(self) -> None:
        """Let those who were just answered have their answers, as far as they take them in at once."""
        for guest in [guest for guest in self._guests if guest.outgoing]:
            self._send(guest)

    def _leave(self) -> None:
        with suppress(OSError):
            os.unlink(self._folder / "socket")
        self._abandon()

    def _abandon(self) -> None:
        """Close every descriptor; the socket's file stays."""
        self._selector.close()
        for sock in (self._listener, self._ear, self._bell, *(guest.sock for guest in self._guests)):
            sock.close()


def _peer_of(sock: socket.socket) -> int:
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _stopping() -> Unreachable:
    return Unreachable("service-stopping", "the service is stopping, and has not taken this up", next="ask again when it runs")


_DESKS: weakref.WeakSet[Desk] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for desk in list(_DESKS):
        desk._abandon()


os.register_at_fork(after_in_child=_leave_to_parent)
"""A forked child keeps no copy of the socket: else it would answer for a conductor that is gone, with silence."""
