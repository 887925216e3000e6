"""The stream of changes: server-sent events, resumed from a number without gap or duplicate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import anyio
import anyio.to_thread
from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from legato.service.access import Actor, Thing, can
from legato.service.changing import Change, read_changes, require_number
from legato.surfaces.http.looking import Asking
from legato.surfaces.http.site import Site, actor_of, site_of
from legato.surfaces.shape import encode
from legato.terms.errors import Unreachable, UsageError

MOST_STREAMS = 8
LOOK_EVERY_S, SIGN_EVERY_S, ENDS_AFTER_S = 0.2, 15.0, 600.0
"""A stream ends after a while, and whoever follows comes again with the last number: so a token that was revoked ends with it."""

After = Annotated[int, QueryParameter(ge=-1, le=1 << 62)]


@get("/changes", sync_to_thread=True, opt={"action": "read"})
def changes(request: Asking, after: After = -1) -> Stream:
    """Every change from a number on (`after`, or the header Last-Event-ID; else from now on), as it is recorded."""
    site, actor = site_of(request), actor_of(request)
    with site.reading() as store:
        start = _start_of(request, after)
        require_number(store, start)
        start = store.newest_change() if start < 0 else start
    if site.streams.get(actor.name, 0) >= MOST_STREAMS:
        raise Unreachable("too-many", f"{actor.name} has {MOST_STREAMS} streams open already", next="close one")
    return Stream(_follow(site, actor, start), media_type="text/event-stream")


def _start_of(request: Asking, after: int) -> int:
    last = request.headers.get("last-event-id", "")
    if not last:
        return after
    if not last.isdecimal() or len(last) > 18:
        raise UsageError("request", "Last-Event-ID is the number of a change", next="legato api")
    return int(last)


async def _follow(site: Site, actor: Actor, after: int) -> AsyncIterator[bytes]:
    feed = _Feed(site, actor, after)
    with _counted(site, actor):
        yield b"retry: 1000\nid: %d\nevent: ready\ndata: {}\n\n" % after
        ends, sign = time.monotonic() + ENDS_AFTER_S, time.monotonic() + SIGN_EVERY_S
        while time.monotonic() < ends:
            page = await anyio.to_thread.run_sync(feed.read)
            if page:
                yield page
            elif time.monotonic() >= sign:
                sign = time.monotonic() + SIGN_EVERY_S
                yield b":\n\n"  # a client that has gone is noticed by what cannot be sent
            if not feed.more:
                await anyio.sleep(LOOK_EVERY_S)


class _Feed:
    """Changes as one actor may see them, page by page."""

    def __init__(self, site: Site, actor: Actor, after: int) -> None:
        self._site, self._actor, self._after = site, actor, after
        self._seen: dict[str, bool] = {}
        self.more = False

    def read(self) -> bytes:
        """What was recorded since the last call, as events; the last one has the number to resume from."""
        with self._site.reading() as store:
            page = read_changes(store, self._after)
            for run in {each.run for each in page} - self._seen.keys():
                found = store.run(run)
                domains = found.domains if found is not None else ()
                self._seen[run] = can(self._actor, "read", Thing(kind="run", name=run, domains=domains))
        self.more = bool(page)
        self._after = page[-1].number if page else self._after
        return b"".join(map(_event, (each for each in page if self._seen[each.run])))


def _event(change: Change) -> bytes:
    return b"id: %d\nevent: change\ndata: %s\n\n" % (change.number, encode(change))


@contextmanager
def _counted(site: Site, actor: Actor) -> Iterator[None]:
    site.streams[actor.name] = site.streams.get(actor.name, 0) + 1
    try:
        yield
    finally:
        site.streams[actor.name] -= 1


ROUTES: list[Any] = [changes]
