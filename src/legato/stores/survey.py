"""What `doctor` is told of a SQLite store: where it stands, and whether it is whole."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from legato.stores.migrate import known_schema, schema_of

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "fuse.glusterfs", "lustre", "beegfs"}
)
Number = tuple[int, int, int]


def survey(db: sqlite3.Connection, path: str) -> dict[str, Any]:
    """The facts of an open store; however long it is, they take the same time."""
    return {
        "kind": "sqlite",
        "path": path,
        "schema": schema_of(db),
        "known_schema": known_schema(),
        "size_bytes": sum(os.path.getsize(file) for file in (path, f"{path}-wal") if os.path.exists(file)),
        "journal_mode": db.execute("pragma journal_mode").fetchone()[0],
        "sqlite": sqlite3.sqlite_version,
        "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
        "file_system": file_system_of(path),
    }


def damage(db: sqlite3.Connection) -> list[str]:
    """What is wrong with the pages of an open store, the first five things of it. Reads them all, and compares the indexes."""
    told = [row[0] for row in db.execute("pragma integrity_check(5)")]
    return [] if told == ["ok"] else told


def has_wal_reset_bug(version: Number) -> bool:
    """Whether this SQLite can corrupt a WAL that several connections write or checkpoint at once.

    Fixed in 3.51.3, and in the maintenance releases 3.50.7 and 3.44.6. Legato is not exposed: it has one writing
    connection, and its readers cannot checkpoint. Other tools that write to the file would be.
    """
    fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return not fixed


def file_system_of(path: str, mounts: str | None = None) -> str:
    """The type of the file system that holds the path, such as `ext4`; empty where the system does not tell."""
    if mounts is None:
        try:
            with open("/proc/mounts", encoding="utf-8", errors="replace") as stream:
                mounts = stream.read()
        except OSError:
            return ""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
