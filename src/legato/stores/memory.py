"""The store in this process's memory: what SQLite keeps in a file, kept in dicts, for tests and simulated worlds."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from msgspec.structs import replace

from legato.declare.manuscript import Manuscript
from legato.ports.access import AccessChange, Audit, Token, User
from legato.ports.decisions import Decided, Ticking
from legato.ports.store import Cached, Commit, Head, ProjectVersion, Run, RunState, Start, Trouble, Version
from legato.stores import faults
from legato.stores.memory_keeping import MemoryKeeping, MemoryRoom
from legato.stores.rows import access_rows, audit_rows, event_rows, rows_of, run_row, ticking_rows
from legato.terms.codec import unpack
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant

T = TypeVar("T")

_PATH = ":memory:"
_PAGE = 1_000


class MemoryDisk(MemoryRoom):
    """What outlives a simulated process: the tables. Records lie here as bytes, so nobody can change what was written."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.epoch = 0
        self.seq = 0
        self.numbers: dict[str, int] = {}
        self.names: list[tuple[str, str | None]] = []  # of each run, with its key
        self.runs: list[tuple[str, bytes] | None] = []  # None: removed
        self.plans: list[bytes] = []
        self.events: list[tuple[list[int], list[bytes]]] = []
        self.version_number = 0
        self.versions: dict[tuple[str, str, str], tuple[int, bytes]] = {}
        self.version_pages: dict[tuple[str, ...], list[tuple[int, tuple[str, str, str]]]] = {}
        self.heads: dict[str, dict[str, bytes]] = {}
        self.troubles: dict[tuple[str, str], bytes] = {}
        self.timings: dict[str, tuple[int, float]] = {}
        self.starts: list[tuple[str, str, Instant, Instant]] = []
        self.cached: dict[str, tuple[str, bytes]] = {}
        self.dynamic_keys: dict[str, dict[str, None]] = {}
        self.keys_in_turn: list[tuple[str, str]] = []
        self.keys: dict[str, int] = {}
        self.backfills: list[int] = []
        self.log: list[tuple[int, bytes] | None] = []
        self.users: dict[str, bytes] = {}
        self.tokens: dict[str, bytes] = {}
        self.audits: list[bytes | None] = []
        self.decisions: dict[tuple[str, str], tuple[int, Decided]] = {}  # in the order of their numbers, as what follows
        self.decided: dict[int, tuple[str, str]] = {}
        self.waiting: dict[tuple[str, str], None] = {}
        self.decision_number = 0
        self.kept: dict[str, bytes] = {}
        self.heard = 0
        self.projects: dict[str, tuple[Instant, bytes, Manuscript | None]] = {}
        self.removed_runs: dict[int, str] = {}
        self.wastes: dict[int, tuple[Instant, bytes]] = {}
        self.waste_number = 0
        self.known_ticks: set[bytes] = set()
        self.looked = 0

    def number(self, run_id: str) -> int:
        """The run's place in the order of acceptance."""
        if run_id not in self.numbers:
            raise faults.no_run(run_id)
        return self.numbers[run_id]

    # One method a statement of `sql/store.sql`; none of them can fail once its rows are there.

    def insert_run(self, run_id: str, state: str, body: bytes, key: str | None, backfill: int) -> None:
        self.numbers[run_id] = len(self.runs)
        self.backfills += [len(self.runs)] if backfill else []
        if key is not None:
            self.keys[key] = len(self.runs)
        self.names.append((run_id, key))
        self.runs.append((state, body))
        self.events.append(([], []))

    def update_run(self, state: str, body: bytes, number: int) -> None:
        self.runs[number] = (state, body)

    def insert_event(self, number: int, body: bytes) -> None:
        self.seq += 1
        numbers, bodies = self.events[number]
        numbers.append(self.seq)
        bodies.append(body)
        self.log.append((number, body))

    def put_version(self, asset: str, partition: str, version: str, body: bytes) -> None:
        name = (asset, partition, version)
        if name in self.versions:
            self.versions[name] = (self.versions[name][0], body)
            return
        self.version_number += 1
        self.versions[name] = (self.version_number, body)
        for key in ((asset,), (asset, partition)):
            self.version_pages.setdefault(key, []).append((self.version_number, name))

    def put_head(self, asset: str, partition: str, body: bytes) -> None:
        self.heads.setdefault(asset, {})[partition] = body

    def delete_head(self, asset: str, partition: str) -> None:
        self.heads.get(asset, {}).pop(partition, None)

    def put_trouble(self, asset: str, partition: str, body: bytes) -> None:
        self.troubles[asset, partition] = body

    def delete_trouble(self, asset: str, partition: str) -> None:
        self.troubles.pop((asset, partition), None)

    def add_timing(self, node: str, attempts: int, seconds: float) -> None:
        before = self.timings.get(node, (0, 0.0))
        self.timings[node] = (before[0] + attempts, before[1] + seconds)

    def forget_starts(self, now: Instant) -> None:
        self.starts = [row for row in self.starts if row[3] > now]

    def add_start(self, pool: str, key: str, at: Instant, until: Instant) -> None:
        self.starts.append((pool, key, at, until))

    def put_user(self, name: str, body: bytes) -> None:
        self.users[name] = body

    def put_token(self, digest: str, body: bytes) -> None:
        self.tokens[digest] = body

    def delete_token(self, digest: str) -> None:
        self.tokens.pop(digest, None)

    def add_decision(self, trigger: str, key: str, waits: int, run: str, note: str, body: bytes) -> None:
        made = Decided(trigger=trigger, key=key, body=bytes(body), waits=bool(waits), run=run, note=note)
        if (trigger, key) not in self.decisions:
            self.decision_number += 1
            self.decisions[trigger, key] = self.decision_number, made
            self.decided[self.decision_number] = trigger, key
            if made.waits:
                self.waiting[trigger, key] = None

    def keep_trigger(self, trigger: str, body: bytes) -> None:
        self.kept[trigger] = body

    def hear(self, number: int) -> None:
        self.heard = number

    def settle_decision(self, run: str, request: str) -> None:
        for at in [at for at, sign in enumerate(request) if sign == "/"]:
            self.change_waiting(request[:at], request[at + 1 :], run=run)

    def change_waiting(self, trigger: str, key: str, **change: str) -> None:
        number, made = self.decisions.get((trigger, key), (0, None))
        if made is not None and made.waits:
            self.decisions[trigger, key] = number, replace(made, waits=False, **change)
            del self.waiting[trigger, key]

    def add_audit(self, body: bytes) -> None:
        self.audits.append(body)

    def put_cached(self, key: str, run: str, body: bytes) -> None:
        self.cached[key] = run, body

    def delete_cached(self, run: str) -> None:
        self.cached = {key: row for key, row in self.cached.items() if row[0] != run}


class MemoryStore(MemoryKeeping):
    """A handle on a `MemoryDisk`, as one simulated process has it.

    Whoever calls `open_writer` last is the writer, and fences the one before: only the simulated world knows which of its
    processes live, so none is ever refused as `store-locked`.
    """

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self._epoch = 0
        self._stopped = ""

    # -- writing --

    def open_writer(self, holder: str) -> int:
        """Become the only writer; the new epoch."""
        with self.disk.lock:
            self.disk.epoch += 1
            self._epoch, self._stopped = self.disk.epoch, ""
        return self._epoch

    def accept(self, run: Run, plan: bytes, events: Sequence[bytes], audit: Sequence[Audit] = ()) -> None:
        """Record a run with its plan and first events; `run-taken` if its id was accepted before."""
        with self._transaction() as disk:
            if run.id in disk.numbers:
                raise faults.run_taken(run.id)
            if run.key in disk.keys:
                raise faults.key_taken(disk.names[disk.keys[run.key]][0])
            run_values, event_values, plan = run_row(run), event_rows(len(disk.runs), events), bytes(plan)
            disk.insert_run(*run_values)
            disk.plans.append(plan)
            for row in event_values:
                disk.insert_event(*row)
            for row in audit_rows(audit):
                disk.add_audit(*row)
            if run.key:
                disk.settle_decision(run.id, run.key)

    def tick(self, ticking: Ticking) -> None:
        """Record what triggers decided; a decision that is there already stays."""
        with self._transaction() as disk:
            for name, rows in ticking_rows(ticking):
                for row in rows:
                    getattr(disk, name)(*row)

    def give_up(self, trigger: str, key: str, note: str) -> None:
        """A decision that fired will not become a run."""
        with self._transaction() as disk:
            disk.change_waiting(trigger, key, note=note)

    def commit(self, commits: Sequence[Commit]) -> None:
        """Record what was decided, for one or more runs, at once. A version named again is replaced in place."""
        with self._transaction() as disk:
            for name, rows in rows_of(commits, disk.number):
                write = getattr(disk, name)
                for row in rows:
                    write(*row)

    def add_dynamic_keys(self, name: str, keys: Sequence[str], audit: Sequence[Audit] = ()) -> None:
        """Add keys; those already there stay where they are."""
        with self._transaction() as disk:
            known = disk.dynamic_keys.setdefault(name, {})
            new = [key for key in dict.fromkeys(keys) if key not in known]
            known.update(dict.fromkeys(new))
            disk.keys_in_turn += [(name, key) for key in new]
            disk.audits += (body for (body,) in audit_rows(audit))

    def keep_project(self, version: ProjectVersion, body: bytes, code: Manuscript | None = None) -> None:
        """Record that a version of the project came into force."""
        with self._transaction() as disk:
            disk.projects.pop(version.fingerprint, None)
            disk.projects[version.fingerprint] = version.at, body, code

    def change_access(self, change: AccessChange) -> None:
        """Change users and tokens, and record who did it, at once."""
        with self._transaction() as disk:
            for name, rows in access_rows(change):
                write = getattr(disk, name)
                for row in rows:
                    write(*row)

    # -- reading --

    def run(self, run_id: str) -> Run | None:
        """The run of exactly this id."""
        number = self.disk.numbers.get(run_id)
        return None if number is None else self.disk.run(number)

    def run_by_key(self, key: str) -> Run | None:
        """The run that was made of the request with this key."""
        number = self.disk.keys.get(key)
        return None if number is None else self.disk.run(number)

    def runs(self, *, limit: int = 50, before: str | None = None, state: RunState | None = None) -> list[Run]:
        """Runs, last accepted first; `before` is the id of the last one of the page before. A state is looked for run by run."""
        with self.disk.lock:
            below = len(self.disk.runs) if before is None else self.disk.number(before)
            rows = (row for row in reversed(self.disk.runs[:below]) if row is not None and state in (None, row[0]))
            found = [body for _, body in islice(rows, limit)]
        return [unpack(body, Run) for body in found]

    def backfills(self, *, limit: int = 50, before: str | None = None) -> list[Run]:
        """Runs that are backfills, newest first."""
        with self.disk.lock:
            below = len(self.disk.runs) if before is None else self.disk.number(before)
            rows = (self.disk.runs[number] for number in reversed(self.disk.backfills) if number < below)
            found = [row[1] for row in islice(filter(None, rows), limit)]
        return [unpack(body, Run) for body in found]

    def plan(self, run_id: str) -> bytes:
        """The accepted plan of a run."""
        return self.disk.plans[self.disk.number(run_id)]

    def events(self, run_id: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The run's events in order, with their numbers, from after the given one."""
        while page := self._event_page(run_id, after):
            yield from page
            after = page[-1][0]

    def changes(self, after: int, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of all runs, with their numbers and runs, from after the given one."""
        with self.disk.lock:
            log, runs, names = self.disk.log, self.disk.runs, self.disk.names
            rows = ((at + 1, *row) for at in range(after, len(log)) if (row := log[at]) is not None and runs[row[0]] is not None)
            return [(seq, names[number][0], body) for seq, number, body in islice(rows, limit)]

    def newest_change(self) -> int:
        """The number of the last event; 0 before the first."""
        return self.disk.seq

    def last_heads(self, asset: str, limit: int) -> list[Head]:
        """Published versions of one asset, of its last partitions by name."""
        with self.disk.lock:
            found = sorted(self.disk.heads.get(asset, {}).items(), reverse=True)[:limit]
        return [unpack(body, Head) for _, body in found]

    def heads(self, assets: Iterable[str]) -> dict[str, dict[str, Head]]:
        """Published versions of these assets, as of one moment: asset -> partition -> head."""
        with self.disk.lock:
            found = {asset: sorted(self.disk.heads.get(asset, {}).items()) for asset in assets}
        return {asset: {partition: unpack(body, Head) for partition, body in rows} for asset, rows in found.items()}

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        body = self.disk.heads.get(asset, {}).get(partition)
        return None if body is None else unpack(body, Head)

    def versions(
        self, asset: str, partition: str | None = None, *, limit: int = 50, before: int = 0
    ) -> list[tuple[int, Version]]:
        """Versions newest first, each with its number (for paging); of one partition, or of all (None)."""
        with self.disk.lock:
            known = self.disk.version_pages.get((asset,) if partition is None else (asset, partition), [])
            end = bisect_left(known, (before,)) if before else len(known)
            page = [self.disk.versions[name] for _, name in reversed(known[max(0, end - limit) : end])]
        return [(number, unpack(body, Version)) for number, body in page]

    def version(self, asset: str, partition: str, version: str) -> Version | None:
        """One version by its name."""
        found = self.disk.versions.get((asset, partition, version))
        return None if found is None else unpack(found[1], Version)

    def assets(self) -> list[str]:
        """Every asset that ever had a version, by name."""
        with self.disk.lock:
            return sorted({asset for asset, _, _ in self.disk.versions})

    def troubles(self, assets: Iterable[str] | None = None) -> list[Trouble]:
        """Open troubles of these assets (None: of all), by asset and partition."""
        wanted = None if assets is None else set(assets)
        with self.disk.lock:
            rows = sorted(self.disk.troubles.items())
        return [unpack(body, Trouble) for key, body in rows if wanted is None or key[0] in wanted]

    def timings(self) -> dict[str, tuple[int, float]]:
        """By node: attempts that succeeded, and their seconds in all."""
        with self.disk.lock:
            return dict(sorted(self.disk.timings.items()))

    def starts(self) -> list[Start]:
        """What rates counted last, in the order in which it ceases to count."""
        with self.disk.lock:
            return [Start(*row) for row in sorted(self.disk.starts, key=lambda row: row[3])]

    def decision(self, trigger: str, key: str) -> Decided | None:
        """What was decided of this tick."""
        with self.disk.lock:
            found = self.disk.decisions.get((trigger, key))
        return found[1] if found else None

    def decisions(self, trigger: str | None = None, *, limit: int = 50, before: int = 0) -> list[tuple[int, Decided]]:
        """Decisions newest first, each with its number; of one trigger, or of all."""
        with self.disk.lock:
            known = reversed(self.disk.decisions.values())
            rows = (each for each in known if trigger in (None, each[1].trigger) and each[0] < (before or each[0] + 1))
            return list(islice(rows, limit))

    def waiting_decisions(self, limit: int = 1_000) -> list[Decided]:
        """Decisions that fired and have no run yet, oldest first."""
        with self.disk.lock:
            return [self.disk.decisions[name][1] for name in islice(self.disk.waiting, limit)]

    def kept_triggers(self) -> dict[str, bytes]:
        """What is kept of each trigger, by name."""
        with self.disk.lock:
            return dict(self.disk.kept)

    def heard(self) -> int:
        """Up to which event of the runs the triggers have heard."""
        with self.disk.lock:
            return self.disk.heard

    def projects(self, *, limit: int = 50, before: str | None = None) -> list[ProjectVersion]:
        """The versions of the project, in the order in which they came into force last, newest first."""
        with self.disk.lock:
            rows = reversed(self.disk.projects.items())
            kept = [ProjectVersion(name, at, code.digest if code is not None else "") for name, (at, _, code) in rows]
        if before is None:
            return kept[:limit]
        places = [place for place, each in enumerate(kept) if each.fingerprint == before]
        if not places:
            raise faults.no_project(before)
        return kept[places[0] + 1 :][:limit]

    def project(self, fingerprint: str) -> bytes | None:
        """The snapshot of exactly this version."""
        with self.disk.lock:
            found = self.disk.projects.get(fingerprint)
        return None if found is None else found[1]

    def manuscript(self, fingerprint: str) -> Manuscript | None:
        """The code of exactly this version."""
        with self.disk.lock:
            found = self.disk.projects.get(fingerprint)
        return None if found is None else found[2]

    def cached(self, key: str) -> Cached | None:
        """The newest result under this key, however old."""
        with self.disk.lock:
            row = self.disk.cached.get(key)
        return unpack(row[1], Cached) if row is not None else None

    def dynamic_keys(self, name: str, start: int = 0, limit: int | None = None) -> list[str]:
        """Keys of a dynamic partition set, oldest first: all, or so many at most from a place on."""
        with self.disk.lock:
            return list(self.disk.dynamic_keys.get(name, {}))[start:][:limit]

    def count_keys(self, name: str) -> int:
        """How many keys a dynamic partition set has."""
        with self.disk.lock:
            return len(self.disk.dynamic_keys.get(name, {}))

    def new_keys(self, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Keys of all dynamic sets from after the given number on, each with its number and its set."""
        with self.disk.lock:
            found = self.disk.keys_in_turn[after:]
        yield from ((number, name, key) for number, (name, key) in enumerate(found, after + 1))

    def user(self, name: str) -> User | None:
        """The user of this name."""
        body = self.disk.users.get(name)
        return None if body is None else unpack(body, User)

    def users(self) -> list[User]:
        """All users, by name."""
        with self.disk.lock:
            return [unpack(body, User) for _, body in sorted(self.disk.users.items())]

    def token(self, digest: str) -> Token | None:
        """The token whose secret has this digest."""
        body = self.disk.tokens.get(digest)
        return None if body is None else unpack(body, Token)

    def tokens(self) -> list[Token]:
        """All tokens, by digest."""
        with self.disk.lock:
            return [unpack(body, Token) for _, body in sorted(self.disk.tokens.items())]

    def audits(self, *, limit: int = 50, before: int = 0) -> list[tuple[int, Audit]]:
        """What was done, newest first, each with its number (for paging)."""
        with self.disk.lock:
            end = min(before - 1, len(self.disk.audits)) if before else len(self.disk.audits)
            kept = ((at + 1, body) for at in range(end - 1, -1, -1) if (body := self.disk.audits[at]) is not None)
            page = list(islice(kept, limit))
        return [(number, unpack(body, Audit)) for number, body in page]

    def facts(self) -> dict[str, Any]:
        """About the store itself: that it lasts no longer than the process."""
        return {"kind": "memory", "path": _PATH, "epoch": self.disk.epoch}

    def damage(self) -> list[str]:
        """Nothing: there are no bytes that could be damaged."""
        return []

    def close(self) -> None:
        """Give up the writer's place, if held. Idempotent; the disk stays."""
        self._epoch, self._stopped = 0, ""

    def _event_page(self, run_id: str, after: int) -> list[tuple[int, bytes]]:
        with self.disk.lock:
            numbers, bodies = self.disk.events[self.disk.number(run_id)]
            start = bisect_right(numbers, after)
            return list(zip(numbers[start : start + _PAGE], bodies[start : start + _PAGE], strict=True))

    @contextmanager
    def _transaction(self) -> Iterator[MemoryDisk]:
        """A refusal (LegatoError) changes nothing; after any other failure the handle writes no more, as in SQLite."""
        if not self._epoch:
            raise faults.not_open(_PATH)
        if self._stopped:
            raise faults.unwritable(_PATH, f"an earlier write failed: {self._stopped}")
        with self.disk.lock:
            if self.disk.epoch != self._epoch:
                raise faults.fenced(_PATH)
            try:
                yield self.disk
            except LegatoError:
                raise
            except BaseException as error:
                self._stopped = str(error) or type(error).__name__
                raise
