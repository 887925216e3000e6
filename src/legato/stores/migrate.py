"""Brings a store's schema into being and up to date, each time in one transaction."""

from __future__ import annotations

import os
import sqlite3
from functools import cache

from legato.stores import faults
from legato.stores.statements import migrations


@cache
def known_schema() -> int:
    """The schema version that this code reads and writes."""
    return migrations()[-1][0]


def schema_of(db: sqlite3.Connection) -> int:
    """The schema version of an open store."""
    version: int = db.execute("pragma user_version").fetchone()[0]
    return version


def create(path: str) -> None:
    """Put a new, empty store at the path: it appears whole, so that an empty file there is always damage."""
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
        raise faults.damaged(path, "its file is gone, but its log is there: the log would be read into the new store")
    fresh = f"{path}.new"
    for leftover in (fresh, f"{fresh}-wal", f"{fresh}-shm", f"{fresh}-journal", f"{path}-wal", f"{path}-shm"):
        if os.path.exists(leftover):
            os.unlink(leftover)
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        db = sqlite3.connect(fresh, isolation_level=None)
        try:
            db.execute("pragma synchronous = off")  # nobody sees the file before the fsync below
            db.execute("pragma journal_mode = wal")
            _migrate(db)
        finally:
            db.close()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(fresh, path)
    _sync_folder(os.path.dirname(path))


def upgrade(db: sqlite3.Connection, path: str) -> None:
    """Apply the migrations that the store lacks, all of them or none."""
    if _require_known(db, path) < known_schema():
        _migrate(db)


def require_current(db: sqlite3.Connection, path: str) -> None:
    """Refuse a store of another schema than this code's: a reader changes nothing."""
    found = _require_known(db, path)
    if found < known_schema():
        raise faults.older(path, found, known_schema())


def _require_known(db: sqlite3.Connection, path: str) -> int:
    found = schema_of(db)
    if found > known_schema():
        raise faults.newer(path, found, known_schema())
    if found == 0:
        raise faults.damaged(path, "it is an empty file, or a database of something else")
    return found


def _migrate(db: sqlite3.Connection) -> None:
    found, known = schema_of(db), known_schema()
    scripts = [script for number, script in migrations() if number > found]
    try:
        db.executescript("\n".join(["begin immediate;", *scripts, f"pragma user_version = {known};", "commit;"]))
    finally:
        if db.in_transaction:
            db.execute("rollback")


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
