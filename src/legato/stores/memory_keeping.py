"""The part of the memory store that makes room. A place in a list stays when what stood there is removed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING

from legato.declare.manuscript import Manuscript
from legato.ports.access import Audit
from legato.ports.decisions import Decided
from legato.ports.keeping import Removal, Waste
from legato.ports.store import Head, Run, Version
from legato.stores.rows import removal_rows, tick_mark
from legato.terms.attempt import Ref
from legato.terms.codec import unpack
from legato.terms.instant import Instant

if TYPE_CHECKING:
    from legato.stores.memory import MemoryDisk


class MemoryRoom:
    """What a memory disk lets go: one method a statement of `sql/store.sql`, as in the rest of it."""

    names: list[tuple[str, str | None]]
    runs: list[tuple[str, bytes] | None]
    plans: list[bytes]
    events: list[tuple[list[int], list[bytes]]]
    log: list[tuple[int, bytes] | None]
    numbers: dict[str, int]
    keys: dict[str, int]
    cached: dict[str, tuple[str, bytes]]
    versions: dict[tuple[str, str, str], tuple[int, bytes]]
    version_pages: dict[tuple[str, ...], list[tuple[int, tuple[str, str, str]]]]
    version_number: int
    projects: dict[str, tuple[Instant, bytes, Manuscript | None]]
    decisions: dict[tuple[str, str], tuple[int, Decided]]
    decided: dict[int, tuple[str, str]]
    waiting: dict[tuple[str, str], None]
    decision_number: int
    audits: list[bytes | None]
    removed_runs: dict[int, str]
    wastes: dict[int, tuple[Instant, bytes]]
    waste_number: int
    known_ticks: set[bytes]
    looked: int

    def run(self, number: int) -> Run:
        """The run of this number."""
        row = self.runs[number]
        assert row is not None
        return unpack(row[1], Run)

    def note_removed_run(self, run: str) -> None:
        number = self.numbers.get(run)
        if number is not None and number < len(self.runs) - 1 and (row := self.runs[number]) is not None and row[0] != "open":
            self.removed_runs[number] = run

    def drop_plan(self, run: str) -> None:
        if (number := self._removed(run)) is not None:
            self.plans[number] = b""

    def drop_cached(self, run: str) -> None:
        if self._removed(run) is not None:
            self.cached = {key: row for key, row in self.cached.items() if row[0] != run}

    def drop_run(self, run: str) -> None:
        if (number := self._removed(run)) is not None:
            self.runs[number] = None
            del self.numbers[run]
            if (key := self.names[number][1]) is not None:
                del self.keys[key]

    def drop_event(self, number: int) -> None:
        row = self.log[number - 1] if 0 < number < len(self.log) else None
        if row is not None and row[0] in self.removed_runs:
            self.log[number - 1] = None
            numbers, bodies = self.events[row[0]]
            at = numbers.index(number)
            del numbers[at], bodies[at]

    def forget_removed_runs(self) -> None:
        self.removed_runs = {number: run for number, run in self.removed_runs.items() if self.events[number][0]}

    def drop_version(self, *name: str) -> None:
        asset, partition, version = name
        found = self.versions.get((asset, partition, version))
        if found is None or found[0] == self.version_number:
            return
        del self.versions[asset, partition, version]
        for key in ((asset,), (asset, partition)):
            self.version_pages[key] = [each for each in self.version_pages[key] if each[0] != found[0]]

    def drop_project(self, fingerprint: str) -> None:
        if list(self.projects)[-1:] != [fingerprint]:
            self.projects.pop(fingerprint, None)

    def drop_texts(self) -> None:
        """They go with their version."""

    def forget_texts(self) -> None:
        """They go with their version."""

    def remember_tick(self, mark: bytes) -> None:
        self.known_ticks.add(mark)

    def drop_decision(self, number: int) -> None:
        name = self.decided.get(number)
        if name is not None and name not in self.waiting and number < self.decision_number:
            del self.decisions[name], self.decided[number]

    def drop_audit(self, number: int) -> None:
        if 0 < number < len(self.audits):
            self.audits[number - 1] = None

    def add_waste(self, at: Instant, body: bytes) -> None:
        self.waste_number += 1
        self.wastes[self.waste_number] = at, body

    def drop_waste(self, number: int) -> None:
        self.wastes.pop(number, None)

    def look(self, number: int) -> None:
        self.looked = number

    def _removed(self, run: str) -> int | None:
        return next((number for number, each in self.removed_runs.items() if each == run), None)


class MemoryKeeping:
    """Lets old records go, a part at a time."""

    disk: MemoryDisk

    def _transaction(self) -> AbstractContextManager[MemoryDisk]:
        raise NotImplementedError

    def remove(self, removal: Removal) -> None:
        """Let all of this go, at once."""
        with self._transaction() as disk:
            published = {
                (asset, key, unpack(body, Head).version) for asset, rows in disk.heads.items() for key, body in rows.items()
            }
            for name, rows in removal_rows(removal):
                write = getattr(disk, name)
                for row in rows:
                    if name != "drop_version" or row not in published:
                        write(*row)

    def oldest_runs(self, after: int = 0, limit: int = 100) -> list[tuple[int, Run]]:
        """Runs in the order of their acceptance."""
        with self.disk.lock:
            runs = self.disk.runs
            rows = ((at + 1, row[1]) for at in range(after, len(runs)) if (row := runs[at]) is not None)
            page = list(islice(rows, limit))
        return [(number, unpack(body, Run)) for number, body in page]

    def oldest_open(self) -> Run | None:
        """The first accepted of the runs that are open."""
        with self.disk.lock:
            body = next((row[1] for row in self.disk.runs if row is not None and row[0] == "open"), None)
        return None if body is None else unpack(body, Run)

    def oldest_versions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Version]]:
        """Versions of all assets in the order of their making."""
        with self.disk.lock:
            rows = sorted(row for row in self.disk.versions.values() if row[0] > after)[:limit]
        return [(number, unpack(body, Version)) for number, body in rows]

    def oldest_decisions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Decided]]:
        """Decisions in the order in which they were made."""
        with self.disk.lock:
            return list(islice((row for row in self.disk.decisions.values() if row[0] > after), limit))

    def oldest_audits(self, after: int = 0, limit: int = 100) -> list[tuple[int, Audit]]:
        """What was done, from the first on."""
        with self.disk.lock:
            kept = ((at, body) for at, body in enumerate(self.disk.audits, 1) if body is not None and at > after)
            page = list(islice(kept, limit))
        return [(number, unpack(body, Audit)) for number, body in page]

    def removed_events(self, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of runs that were removed, each with its number and run."""
        with self.disk.lock:
            rows = (
                (seq, run, body)
                for number, run in sorted(self.disk.removed_runs.items())
                for seq, body in zip(*self.disk.events[number], strict=True)
                if seq < self.disk.seq
            )
            return list(islice(rows, limit))

    def wastes(self, until: Instant, limit: int = 100) -> list[tuple[int, Waste]]:
        """What has been waste since that instant at least."""
        with self.disk.lock:
            rows = sorted((at, number, body) for number, (at, body) in self.disk.wastes.items() if at <= until)[:limit]
        return [(number, Waste(unpack(body, Ref), at)) for at, number, body in rows]

    def looked(self) -> int:
        """Up to which version somebody has looked."""
        return self.disk.looked

    def was_decided(self, trigger: str, key: str) -> bool:
        """Whether there was a decision of this tick."""
        with self.disk.lock:
            return (trigger, key) in self.disk.decisions or tick_mark(trigger, key) in self.disk.known_ticks
