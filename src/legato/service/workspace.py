"""One project, opened: its declarations, and how to reach its store, its storages and its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from legato.declare.keep import DEFAULT_KEEP, Keep
from legato.declare.node import Node, Project
from legato.declare.partitions import Dynamic, Partitions, coord_of, dimensions
from legato.declare.resolve import did_you_mean
from legato.plan.graph import Graph
from legato.plan.spread import Extents
from legato.ports.clock import Clock
from legato.ports.executor import Executor
from legato.ports.storage import Storage
from legato.ports.store import Holder, Store
from legato.terms.attempt import Ref
from legato.terms.errors import Fault, LegatoError, NotFound, UsageError
from legato.terms.key import split

if TYPE_CHECKING:
    from legato.declare.manuscript import Manuscript
    from legato.declare.snapshot import Snapshot
    from legato.runtime.edition import Observe


@dataclass(frozen=True)
class Workspace:
    """What the service works on. The openers are called when something is needed, and not before.

    `open_executor` gets the name of a log session; it must be called before the store is opened for writing, since workers are
    forked. `state` is the folder of everything that Legato keeps.
    """

    root: Path
    state: Path
    project: Project
    take_snapshot: Callable[[], Snapshot]
    graph: Graph
    clock: Clock
    storages: Mapping[str, Storage]
    open_reader: Callable[[], Store]
    open_writer: Callable[[str], Store]
    open_executor: Callable[[str], Executor]
    observe: Observe | None
    """Asks a source at once; None where its code is elsewhere: then workers are asked (`service/sources.py`)."""
    workers: int = 1
    """How many steps can be under way at once."""
    find_holder: Callable[[], Holder | None] = lambda: None
    """Who has the store open for writing, if anybody."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the project's files as they are now, where this is the version before."""
    keep: Keep = DEFAULT_KEEP
    """How long what is old is kept."""
    take_manuscript: Callable[[], Manuscript | None] = lambda: None
    """The code, as it is kept; None where it is elsewhere."""
    is_former: bool = False
    """Whether this is a version of before, of the code that is kept of it."""

    @cached_property
    def snapshot(self) -> Snapshot:
        """The project as data, with what its flows and tasks can be given."""
        return self.take_snapshot()

    @cached_property
    def dynamic(self) -> list[str]:
        """The names of the dynamic sets of partition keys."""
        return dynamic_names(self.project)

    @property
    def is_served(self) -> bool:
        """Whether a live service takes requests for the project."""
        if not may_be_served(self.state):
            return False
        from legato.service.frames import is_open

        return is_open(self.state)

    @property
    def logs(self) -> Path:
        """The folder below which attempts' output stands."""
        return self.state / "logs"

    @property
    def inbox(self) -> Path:
        """The folder through which other processes ask the conductor for something."""
        return self.state / "inbox"

    def extents(self, store: Store | None) -> Extents:
        """Which partitions there are now."""
        return Extents({name: store.dynamic_keys(name) if store else [] for name in self.dynamic}, self.clock.now())

    def node(self, name: str) -> Node:
        """The node that makes this asset, or is this task or flow."""
        if name not in self.project.makers:
            why = did_you_mean(name, self.project.makers)
            raise NotFound("asset", f"no asset or task is named {name!r}", why=why, next="legato list")
        return self.project.maker(name)

    def file_of(self, ref: Ref) -> str:
        """The file of a stored value; empty where its storage has none, or no longer the one that was stored."""
        storage = self.storages.get(ref.storage)
        if storage is None:
            return ""
        try:
            return str(storage.load((ref,), Path))
        except LegatoError:
            return ""

    def key(self, text: str, store: Store | None) -> tuple[str, str]:
        """The asset and partition of `delays@2013-01-05`; both must exist."""
        name, partition = split(text)
        node = self.node(name)
        if node.partitions is None:
            if partition:
                raise UsageError("partition-key", f"{name} has no partitions", next=f"write just {name}")
        elif partition:
            coord_of(node.partitions, partition, self.extents(store).dynamic)
        return name, partition


def may_be_served(state: Path) -> bool:
    """Whether a service has, or had, its desk here: where none does, the usual case, this costs no import."""
    return (state / "desk" / "socket").exists()


def dynamic_names(project: Project) -> list[str]:
    """The names of all dynamic partition sets of a project."""
    return sorted({name for node in project.nodes.values() for name in dynamic_sets(node.partitions)})


def dynamic_sets(parts: Partitions | None) -> list[str]:
    """The names of the dynamic sets that cut these partitions."""
    return [part.name for _, part in dimensions(parts) if isinstance(part, Dynamic)]
