"""A guest of the desk: another process of the same user, which asks the conductor and waits for the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from legato.service.asks import Ask
from legato.service.frames import Reply, connect, frame, receive
from legato.terms.codec import pack
from legato.terms.errors import Unreachable

T = TypeVar("T")


def ask(state: Path, question: Ask, kind: type[T], timeout_s: float = 30.0) -> T:
    """The conductor's answer. `Unreachable` is `service-none` where none runs, and `service-silent` where none came in time:
    then what was asked may have been done or not."""
    try:
        with connect(state, timeout_s) as sock:
            sock.sendall(frame(pack(question)))
            reply = msgspec.msgpack.decode(receive(sock), type=Reply)
    except TimeoutError:
        why = f"no answer came within {timeout_s:g} s; what was asked may have been done or not"
        raise Unreachable("service-silent", "the service does not answer", why=why, next="legato status") from None
    except (ConnectionError, BrokenPipeError) as error:
        why = "it ended while it was asked; what was asked may have been done or not"
        raise Unreachable("service-silent", "the service does not answer", why=why, next="legato status") from error
    if reply.refusal is not None:
        raise reply.refusal.error()
    return msgspec.msgpack.decode(reply.answer, type=kind)
