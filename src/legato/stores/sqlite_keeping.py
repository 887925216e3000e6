"""The part of the SQLite store that makes room."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager

from legato.ports.access import Audit
from legato.ports.decisions import Decided
from legato.ports.keeping import Removal, Waste
from legato.ports.store import Head, Run, Version
from legato.stores.rows import Row, decided_of, removal_rows, tick_mark
from legato.stores.statements import load
from legato.terms.attempt import Ref
from legato.terms.codec import unpack
from legato.terms.instant import Instant

SQL = load("store.sql")


class SqliteKeeping:
    """Lets old records go, a part at a time. The file keeps its size; what is free in it is used again."""

    _numbers: dict[str, int]

    def _transaction(self, *, fenced: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def _rows(self, name: str, *values: str | int | bytes) -> list[Row]:
        raise NotImplementedError

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        raise NotImplementedError

    def remove(self, removal: Removal) -> None:
        """Let all of this go, in one transaction."""
        with self._transaction() as db:
            for name, rows in removal_rows(removal):
                if name == "drop_version":
                    rows = [row for row in rows if (head := self.head(*row[:2])) is None or head.version != row[2]]
                if rows:
                    db.executemany(SQL[name], rows)
        for run in removal.runs:
            self._numbers.pop(run, None)

    def forget_code(self) -> None:
        """Let go of the code of all versions of the project; a writer's call."""
        with self._transaction() as db:
            forget_code(db)

    def oldest_runs(self, after: int = 0, limit: int = 100) -> list[tuple[int, Run]]:
        """Runs in the order of their acceptance."""
        return [(number, unpack(body, Run)) for number, body in self._rows("oldest_runs", after, limit)]

    def oldest_open(self) -> Run | None:
        """The first accepted of the runs that are open."""
        rows = self._rows("oldest_open")
        return unpack(rows[0][0], Run) if rows else None

    def oldest_versions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Version]]:
        """Versions of all assets in the order of their making."""
        return [(number, unpack(body, Version)) for number, body in self._rows("oldest_versions", after, limit)]

    def oldest_decisions(self, after: int = 0, limit: int = 100) -> list[tuple[int, Decided]]:
        """Decisions in the order in which they were made."""
        return [(row[0], decided_of(row[1:])) for row in self._rows("oldest_decisions", after, limit)]

    def oldest_audits(self, after: int = 0, limit: int = 100) -> list[tuple[int, Audit]]:
        """What was done, from the first on."""
        return [(number, unpack(body, Audit)) for number, body in self._rows("oldest_audits", after, limit)]

    def removed_events(self, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of runs that were removed, each with its number and run."""
        return self._rows("removed_events", limit)

    def wastes(self, until: Instant, limit: int = 100) -> list[tuple[int, Waste]]:
        """What has been waste since that instant at least."""
        return [(number, Waste(unpack(body, Ref), at)) for number, at, body in self._rows("wastes", until, limit)]

    def looked(self) -> int:
        """Up to which version somebody has looked."""
        number: int = self._rows("looked")[0][0]
        return number

    def was_decided(self, trigger: str, key: str) -> bool:
        """Whether there was a decision of this tick."""
        return bool(self._rows("decision", trigger, key) or self._rows("knows_tick", tick_mark(trigger, key)))


def forget_code(db: sqlite3.Connection) -> None:
    """Remove the code of all versions of the project."""
    for statement in (SQL["forget_code"], SQL["forget_every_text"], SQL["forget_every_text_of"]):
        db.execute(statement)
