"""Who may come in, at hand without the project's code: read from the store, changed through the service or without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from legato.ports.clock import Clock
from legato.ports.store import Holder, Store
from legato.service.access import change_access, local_actor, new_token, new_user
from legato.service.asks import ChangeAccess, Done
from legato.service.guest import ask
from legato.terms.errors import LegatoError, NotFound


class Keyring:
    """The users and tokens of one project."""

    def __init__(
        self, state: Path, clock: Clock, open_reader: Callable[[], Store], open_writer: Callable[[str], Store],
        find_service: Callable[[], Holder | None],
    ) -> None:  # fmt: skip
        self.state, self.clock, self._find_service = state, clock, find_service
        self._open_reader, self._open_writer = open_reader, open_writer

    @property
    def url(self) -> str:
        """Where the API of the service is that is up; empty if none is, or it has none."""
        service = self._find_service()
        return service.url if service is not None else ""

    @contextmanager
    def reading(self) -> Iterator[Store | None]:
        """The store while the block runs; None where there is none yet, and so nobody who may come in."""
        try:
            store = self._open_reader()
        except NotFound as error:
            if error.code != "store-none":
                raise
            yield None
            return
        try:
            yield store
        finally:
            store.close()

    def change(self, wanted: ChangeAccess) -> None:
        """Have the service record it; where none runs, take the writer's place for a moment."""
        try:
            ask(self.state, wanted, Done)
        except LegatoError as error:
            if error.code != "service-none":
                raise
            writer = self._open_writer("legato users")
            try:
                change_access(writer, wanted, self.clock.now())
            finally:
                writer.close()

    def make_link(self, user: str = "") -> str:
        """The secret of a link that logs a user in once: whoever runs this process, with every role, if none is named."""
        me, now = local_actor(), self.clock.now()
        mine = () if user else (new_user(me.name, me.roles, now),)
        secret, link = new_token("link", user or me.name, now)
        self.change(ChangeAccess(actor=me.name, users=mine, tokens=(link,)))
        return secret
