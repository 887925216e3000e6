"""What `doctor` is told of a SQLite store: where it stands, whether it is whole, what threatens it."""

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
    """The facts of an open store. Reads the whole file (`quick_check`): for `doctor`, not for every start."""
    file_system = file_system_of(path)
    quick = [row[0] for row in db.execute("pragma quick_check(5)")]
    return {
        "kind": "sqlite",
        "path": path,
        "schema": schema_of(db),
        "known_schema": known_schema(),
        "size_bytes": sum(os.path.getsize(file) for file in (path, f"{path}-wal") if os.path.exists(file)),
        "journal_mode": db.execute("pragma journal_mode").fetchone()[0],
        "sqlite": sqlite3.sqlite_version,
        "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
        "file_system": file_system,
        "intact": quick == ["ok"],
        "warnings": _warnings(path, file_system, quick),
    }


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


def _warnings(path: str, file_system: str, quick: list[str]) -> list[str]:
    warnings = []
    if quick != ["ok"]:
        warnings.append(f"the store is damaged: {'; '.join(quick)}")
    if file_system in NETWORK_FILE_SYSTEMS:
        warnings.append(
            f"{path} is on a network file system ({file_system}), where SQLite's locks cannot be relied upon: "
            "keep the project's state on a local disk"
        )
    return warnings
