"""What the web process stands on: the project as data, the store for reading, and the desk for everything that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from litestar import Request

from legato.ports.clock import Clock
from legato.ports.store import Run, Store
from legato.service.access import Action, Actor, Thing, can, require
from legato.service.asks import Ask
from legato.service.guest import ask
from legato.service.hooks import Hook
from legato.service.metering import Meter
from legato.service.readings import Readings
from legato.service.workspace import Workspace
from legato.surfaces.http.tries import Tries
from legato.terms.errors import NotFound

if TYPE_CHECKING:
    from legato.declare.node import Node

T = TypeVar("T")

ACTOR = "legato.actor"
"""Where the gate leaves the actor in a request's scope."""


@dataclass
class Site:
    """One project, served at one address. `workspace` gives the project as it is now; nothing of its code is here."""

    state: Path
    workspace: Callable[[], Workspace]
    open_reader: Callable[[], Store]
    clock: Clock
    hosts: frozenset[str]
    """The values of `Host` that are answered, with their ports."""
    scheme: str = "http"
    streams: dict[str, int] = field(default_factory=dict)
    """How many streams each actor has open."""
    hooks: tuple[Workspace, dict[str, Hook]] | None = None
    """The webhooks of the project that was looked at last."""
    meter: Meter = field(default_factory=Meter)
    """What was counted of the runs' events."""
    readings: Readings = field(default_factory=Readings)
    """What was read of runs."""
    tries: Tries = field(default_factory=Tries)
    """What strangers tried at the door."""

    def ask(self, question: Ask, kind: type[T], timeout_s: float = 30.0) -> T:
        """Ask the conductor."""
        return ask(self.state, question, kind, timeout_s)

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """The store while the block runs, opened by the thread that asks: a reader belongs to its thread."""
        store = self.open_reader()
        try:
            yield store
        finally:
            store.close()


class Inside:
    """A request that was let in: who asks, the project and the store. All that it sees goes through `require` or `may_read`."""

    def __init__(self, site: Site, actor: Actor, workspace: Workspace, store: Store) -> None:
        self.site, self.actor, self.workspace, self.store = site, actor, workspace, store

    @property
    def readings(self) -> Readings:
        """What was read of runs."""
        return self.site.readings

    def ask(self, question: Ask, kind: type[T]) -> T:
        """Ask the conductor."""
        return self.site.ask(question, kind)

    def require(self, action: Action, kind: str, name: str = "", domains: tuple[str, ...] = ()) -> None:
        """Refuse what the actor may not do."""
        require(self.actor, action, Thing(kind=kind, name=name, domains=domains))

    def may_read(self, *domains: str) -> bool:
        """Whether the actor may look at what touches these domains."""
        return can(self.actor, "read", Thing(kind="", domains=domains))

    def may_read_node(self, name: str) -> bool:
        """Whether the actor may look at what this node makes; what no project declares any more belongs to no domain."""
        node = self.workspace.project.makers.get(name)
        return self.may_read("" if node is None else self.workspace.project.nodes[node].domain)

    def require_node(self, name: str) -> None:
        """Refuse who may not look at what this node makes; what no project declares any more belongs to no domain."""
        node = self.workspace.project.makers.get(name)
        self.require("read", "node", name, ("" if node is None else self.workspace.project.nodes[node].domain,))

    def node(self, name: str, action: Action = "read") -> Node:
        """The node that makes this asset, if the actor may do this with it."""
        node = self.workspace.node(name.partition("@")[0])
        self.require(action, node.kind, node.name, (node.domain,))
        return node

    def run(self, run_id: str, action: Action = "read") -> Run:
        """The run, if the actor may do this with it."""
        run = self.store.run(run_id)
        if run is None:
            raise NotFound("run", f"there is no run {run_id!r}", next="legato runs")
        self.require(action, "run", run.id, run.domains)
        return run


def site_of(request: Request[Any, Any, Any]) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """Who the gate found out to be asking."""
    actor: Actor = request.scope[ACTOR]  # type: ignore[literal-required]
    return actor


@contextmanager
def entered(request: Request[Any, Any, Any]) -> Iterator[Inside]:
    """The request, let in, while the block runs."""
    site = site_of(request)
    with site.reading() as store:
        yield Inside(site, actor_of(request), _without_code(site.workspace(), store), store)


def _without_code(workspace: Workspace, store: Store) -> Workspace:
    """The workspace, with sources as they were last seen: to ask them anew takes user code, which is not here."""

    def seen(name: str, key: str) -> str | None:
        head = store.head(name, key)
        return None if head is None else head.digest

    return replace(workspace, observe=seen, open_reader=lambda: store)
