"""What a store can let go of, a part at a time: the records first, in one transaction; the bytes that they named after that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from legato.terms.attempt import Ref
from legato.terms.instant import Instant

if TYPE_CHECKING:
    from legato.ports.access import Audit
    from legato.ports.decisions import Decided
    from legato.ports.store import Run, Version


class Waste(Struct, frozen=True):
    """A stored value that no record names any more, and since when: its bytes may still be there."""

    ref: Ref
    at: Instant


class Removal(Struct, kw_only=True):
    """What leaves the store, all or nothing.

    A run goes with its plan and its cached results; its `events`, by their numbers, may follow later. `versions` are named by
    asset, partition and version, `decisions` and `audits` by number; of a decision in `known` stays that there was one. `starts`
    go that ceased to count by then. `wasted` are added; those of the numbers in `discarded` are done with. `looked` is up to
    which version somebody has looked.
    """

    runs: list[str] = []
    events: list[int] = []
    versions: list[tuple[str, str, str]] = []
    projects: list[str] = []
    decisions: list[int] = []
    known: list[tuple[str, str]] = []
    audits: list[int] = []
    tokens: list[str] = []
    starts: Instant | None = None
    wasted: list[Waste] = []
    discarded: list[int] = []
    looked: int | None = None

    def __bool__(self) -> bool:
        return self != Removal()


class Keeping(Protocol):
    """The part of a store that makes room. Pages are read from the oldest on, each record with its number.

    Holds for every adapter (and is tested by `legato.testing.store_keeping`):

    * `remove` is atomic and durable, as `commit` is. What it names and is not there is gone already.
    * Whatever it says, there stay: open runs, published versions, decisions that wait for their run; and the newest run, event,
      version, decision and audit, so that no number is ever given twice.
    * A removed run is seen by nobody, nor are events of it that are still to be removed.
    """

    def remove(self, removal: Removal) -> None:
        """Let all of this go."""
        ...

    def oldest_runs(self, after: int = 0, limit: int = 100) -> list[tuple[int, Run]]:
        """Runs in the order of their acceptance."""
        ...

    def oldest_open(self) -> Run | None:
        """The first accepted of the runs that are open."""
        ...

    def oldest_versions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Version]]:
        """Versions of all assets in the order of their making."""
        ...

    def oldest_decisions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Decided]]:
        """Decisions in the order in which they were made."""
        ...

    def oldest_audits(self, after: int = 0, limit: int = 100) -> list[tuple[int, Audit]]:
        """What was done, from the first on."""
        ...

    def removed_events(self, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of runs that were removed, each with its number and run; the newest event of the store is never among them."""
        ...

    def wastes(self, until: Instant, limit: int = 100) -> list[tuple[int, Waste]]:
        """What has been waste since that instant at least."""
        ...

    def looked(self) -> int:
        """Up to which version somebody has looked; 0 before the first time."""
        ...

    def was_decided(self, trigger: str, key: str) -> bool:
        """Whether there was a decision of this tick, also one that is no longer kept."""
        ...
