"""The memory of Legato: runs, their events, and which version of which asset partition is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from legato.declare.manuscript import Manuscript
from legato.kernel.standing import Standing
from legato.ports.access import AccessChange, Audit, Token, User
from legato.ports.decisions import Decided, Ticking
from legato.ports.keeping import Keeping
from legato.terms.attempt import Ref
from legato.terms.fact import Column, Verdict
from legato.terms.instant import Instant

VersionState = Literal["published", "quarantined", "discarded"]
RunState = Literal["open", "succeeded", "failed", "cancelled", "rolled_back", "partly_undone"]


class Version(Struct, frozen=True, kw_only=True):
    """One immutable output of an asset partition.

    `code`, `contract` are the fingerprints of what made and judged it; `inputs` maps each input asset to a digest over
    the versions that were read. `digest` is over its own bytes: two versions with equal digests are the same data. `metrics` are
    what the attempt told, each the last of its name.
    """

    ref: Ref
    state: VersionState
    run: str
    step: int
    token: int
    at: Instant
    code: str = ""
    contract: str = ""
    inputs: dict[str, str] = {}
    columns: tuple[Column, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""
    metrics: dict[str, int | float] = {}


class Head(Struct, frozen=True, array_like=True):
    """The published version of one asset partition, with what a plan needs to judge whether it is still fresh."""

    asset: str
    partition: str
    version: str
    digest: str
    code: str
    contract: str
    inputs: dict[str, str]
    at: Instant
    ref: Ref


class Trouble(Struct, frozen=True, kw_only=True):
    """Why the newest try of an asset partition (or a task, by its own name) did not end in a published version."""

    asset: str
    partition: str
    run: str
    step: int
    kind: str
    message: str
    at: Instant
    version: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """One accepted plan. `request` is what was asked, as words. Whole when it ended: `counts` (steps by outcome), and how many
    of those that succeeded are `cached`, taken over from earlier runs.

    `key` names the request, for one that is sent again: there is one run of it at most. `domains` are those of its steps. A
    `paused` run is open. Of a `backfill` it is always known how far it is: the same commit that records what happened says so.
    """

    id: str
    request: str
    actor: str
    project: str
    at: Instant
    state: RunState = "open"
    ended: Instant | None = None
    steps: int = 0
    counts: dict[str, int] = {}
    key: str = ""
    domains: tuple[str, ...] = ()
    cached: int = 0
    paused: bool = False
    backfill: Standing | None = None


class ProjectVersion(Struct, frozen=True):
    """A version of the project, and when it came into force last. `code` is the digest of its code; empty if that is not kept."""

    fingerprint: str
    at: Instant
    code: str = ""


class Start(Struct, frozen=True):
    """When an attempt started that a pool's rate counts (for one value of its key, or for all), and until when it counts."""

    pool: str
    key: str
    at: Instant
    until: Instant


class Cached(Struct, frozen=True, kw_only=True):
    """A result that later runs may take over: what `run` made at its `step`, of this node. A value is inline or kept."""

    key: str
    node: str
    run: str
    step: int
    at: Instant
    value: bytes | None = None
    kept: Ref | None = None


class Holder(Struct, frozen=True, omit_defaults=True):
    """The live process that has the writer's place. `url` is where it has its API, if it is a service that has one."""

    pid: int
    command: str
    since: str
    url: str = ""


class Commit(Struct, kw_only=True):
    """What one decision writes, all or nothing, for one run.

    `events` are encoded and get consecutive numbers. `versions` are added; `heads` become what readers see, `unpublished`
    loses its head. `troubles` replace older ones of the same key; `settled` are the keys whose trouble is over.
    `timings` adds, by node, how many attempts succeeded and their seconds. `starts` are added, and those that count no longer
    when the last of them was made are forgotten. `cached` replace older results of the same key; with `uncached` all
    of this run's leave the cache. `run` replaces the run's row. `audit` says who asked for it.
    """

    run_id: str
    events: list[bytes] = []
    versions: list[Version] = []
    heads: list[Head] = []
    unpublished: list[tuple[str, str]] = []
    troubles: list[Trouble] = []
    settled: list[tuple[str, str]] = []
    timings: dict[str, tuple[int, float]] = {}
    starts: list[Start] = []
    cached: list[Cached] = []
    uncached: bool = False
    run: Run | None = None
    audit: list[Audit] = []


class Store(Keeping, Protocol):
    """A durable store with one writer at a time and any number of readers. How it makes room is a part of its own (`Keeping`).

    Holds for every adapter (and is tested by `legato.testing.store`):

    * `accept` and `commit` are atomic and durable: when they return, a kill -9 or power cut loses nothing of them; when
      they raise, nothing of them is seen by anybody, and the writer must stop acknowledging (DESIGN: guarantee 8).
    * A writer holds an epoch from `open_writer`; a commit of an older epoch raises `Unreachable` (`store-fenced`).
    * `Head`s move only by `commit`; readers see a commit whole or not at all.
    * Cost of `commit` follows its own size, never the history's. Reads by key or by page never scan history.
    """

    # -- writing (the conductor alone) --

    def open_writer(self, holder: str) -> int:
        """Become the only writer; the new epoch. `Unreachable` (`store-locked`) names the live holder."""
        ...

    def accept(self, run: Run, plan: bytes, events: Sequence[bytes], audit: Sequence[Audit] = ()) -> None:
        """Record a run with its plan and first events, and who asked for it; a `LegatoError` (`run-taken`, `request-taken`) if
        its id or its key was accepted before. A decision that waits for a run of this key (its trigger, a slash, its own key)
        has it from then on."""
        ...

    def commit(self, commits: Sequence[Commit]) -> None:
        """Record what was decided, for one or more runs, in one transaction."""
        ...

    def tick(self, ticking: Ticking) -> None:
        """Record what triggers decided, in one transaction. A decision that is there already (by trigger and key) stays."""
        ...

    def give_up(self, trigger: str, key: str, note: str) -> None:
        """A decision that fired will not become a run; `note` says why."""
        ...

    def keep_project(self, version: ProjectVersion, body: bytes, code: Manuscript | None = None) -> None:
        """Record that a version of the project came into force: it is the newest now. `body` is its snapshot and `code` its code,
        which replace older ones of the same version."""
        ...

    def change_access(self, change: AccessChange) -> None:
        """Change users and tokens, and record who did it, in one transaction."""
        ...

    # -- reading (anybody) --

    def run(self, run_id: str) -> Run | None:
        """The run of exactly this id."""
        ...

    def run_by_key(self, key: str) -> Run | None:
        """The run that was made of the request with this key."""
        ...

    def runs(self, *, limit: int = 50, before: str | None = None, state: RunState | None = None) -> list[Run]:
        """Runs, newest first; `before` is the id of the last one of the page before."""
        ...

    def backfills(self, *, limit: int = 50, before: str | None = None) -> list[Run]:
        """Runs that are backfills, newest first; `before` is the id of the last one of the page before."""
        ...

    def plan(self, run_id: str) -> bytes:
        """The accepted plan of a run; `NotFound` (`run`) if there is none."""
        ...

    def events(self, run_id: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The run's events in order, with their numbers (rising, one sequence for the whole store), from after the given one."""
        ...

    def changes(self, after: int, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of all runs in the order of their numbers, each with its number and run, from after the given number. An event
        that becomes visible has a higher number than all that were visible before."""
        ...

    def newest_change(self) -> int:
        """The number of the last event; 0 before the first."""
        ...

    def heads(self, assets: Iterable[str]) -> dict[str, dict[str, Head]]:
        """Published versions of these assets: asset -> partition -> head. An asset with none is there, empty."""
        ...

    def last_heads(self, asset: str, limit: int) -> list[Head]:
        """Published versions of one asset, so many at most: those of its last partitions by name, the last first."""
        ...

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        ...

    def versions(
        self, asset: str, partition: str | None = None, *, limit: int = 50, before: int = 0
    ) -> list[tuple[int, Version]]:
        """Versions newest first, each with its number (for paging); of one partition, or of all (None)."""
        ...

    def version(self, asset: str, partition: str, version: str) -> Version | None:
        """One version by its name."""
        ...

    def assets(self) -> list[str]:
        """Every asset that ever had a version, also one that no project declares any more; by name."""
        ...

    def troubles(self, assets: Iterable[str] | None = None) -> list[Trouble]:
        """Open troubles of these assets (None: of all)."""
        ...

    def timings(self) -> dict[str, tuple[int, float]]:
        """By node: attempts that succeeded, and their seconds in all."""
        ...

    def starts(self) -> list[Start]:
        """What rates counted last, in the order in which it ceases to count; some may count no longer."""
        ...

    def cached(self, key: str) -> Cached | None:
        """The newest result under this key, however old."""
        ...

    def projects(self, *, limit: int = 50, before: str | None = None) -> list[ProjectVersion]:
        """The versions of the project, in the order in which they came into force last, newest first; `before` is the fingerprint
        of the last one of the page before."""
        ...

    def project(self, fingerprint: str) -> bytes | None:
        """The snapshot of exactly this version."""
        ...

    def manuscript(self, fingerprint: str) -> Manuscript | None:
        """The code of exactly this version, as it was given; None if it is not kept."""
        ...

    def decision(self, trigger: str, key: str) -> Decided | None:
        """What was decided of this tick."""
        ...

    def decisions(self, trigger: str | None = None, *, limit: int = 50, before: int = 0) -> list[tuple[int, Decided]]:
        """Decisions of one trigger, or of all, newest first, each with its number (for paging)."""
        ...

    def waiting_decisions(self, limit: int = 1_000) -> list[Decided]:
        """Decisions that fired and have no run yet, oldest first."""
        ...

    def kept_triggers(self) -> dict[str, bytes]:
        """What is kept of each trigger, by name."""
        ...

    def heard(self) -> int:
        """Up to which event of the runs the triggers have heard."""
        ...

    def dynamic_keys(self, name: str, start: int = 0, limit: int | None = None) -> list[str]:
        """Keys of a dynamic partition set, oldest first: all, or so many at most from a place on, counted from 0."""
        ...

    def count_keys(self, name: str) -> int:
        """How many keys a dynamic partition set has."""
        ...

    def new_keys(self, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Keys of all dynamic sets in the order of their coming, each with its number and its set, from after the given number
        on. A key that becomes visible has a higher number than all that were visible before."""
        ...

    def add_dynamic_keys(self, name: str, keys: Sequence[str], audit: Sequence[Audit] = ()) -> None:
        """Add keys (those already there stay where they are), and record who did; a writer's call."""
        ...

    def user(self, name: str) -> User | None:
        """The user of this name."""
        ...

    def users(self) -> list[User]:
        """All users, by name."""
        ...

    def token(self, digest: str) -> Token | None:
        """The token whose secret has this digest, also one that has expired."""
        ...

    def tokens(self) -> list[Token]:
        """All tokens, by digest."""
        ...

    def audits(self, *, limit: int = 50, before: int = 0) -> list[tuple[int, Audit]]:
        """What was done, newest first, each with its number (for paging)."""
        ...

    def facts(self) -> dict[str, Any]:
        """About the store itself, for `doctor`: schema version, path, size in bytes, journal mode, and so on."""
        ...

    def damage(self) -> list[str]:
        """What is wrong with the stored bytes, a line each, the first few; empty if they are whole. Reads every one of them."""
        ...

    def close(self) -> None:
        """Give up the writer's place, if held, and all connections. Idempotent."""
        ...
