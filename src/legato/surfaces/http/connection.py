"""A connection to the web process, as uvicorn has them, with an end for whoever does not say what they want."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WHOLE_WITHIN_S = 10.0
"""So long may a request take, from its first byte (the first one of a connection: from the connection on) to its last."""
PLACES = 256
"""From so many connections on, each new one takes the place of one that says nothing."""

_UNSAID = (h11.IDLE, h11.SEND_BODY)


class Connection(H11Protocol):
    """Is cut where a request is not whole in time, and where others need its place before it has said what it wants.

    Who is being answered is never cut, however long the answer takes. A connection that idles between two requests ends as
    uvicorn ends it, or earlier, if its place is needed.
    """

    def __init__(self, *given: Any, whole_within_s: float = WHOLE_WITHIN_S, **more: Any) -> None:
        super().__init__(*given, **more)
        self._whole_within_s = whole_within_s
        self._since = self.loop.time()
        self._end: asyncio.TimerHandle | None = None

    @property
    def owes(self) -> bool:
        """Whether it is the client's turn: its next request is not here, or not whole."""
        return self.conn.their_state in _UNSAID

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take up the next one; the longest of those that say nothing gives way, where all places are taken."""
        super().connection_made(transport)
        self._tend()
        while len(self.connections) > PLACES:
            others = [each for each in self.connections if isinstance(each, Connection) and each.owes and each is not self]
            if not others:
                break
            min(others, key=lambda each: each._since).cut()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came: a part of a request, or all of it."""
        super().data_received(data)
        self._tend()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have begun already."""
        super().on_response_complete()
        self._since = self.loop.time()
        self._tend()

    def cut(self) -> None:
        """End it at once."""
        self._rest()
        self.connections.discard(self)  # its place is free from now on, not only when the loop has got round to it
        self.transport.abort()

    def _tend(self) -> None:
        """Have a request that has begun end in time. What idles is timed by uvicorn, until its next byte."""
        if not self.owes:
            self._rest()
        elif self._end is None and self.timeout_keep_alive_task is None:
            self._since = self.loop.time()
            self._end = self.loop.call_later(self._whole_within_s, self.cut)

    def _rest(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
