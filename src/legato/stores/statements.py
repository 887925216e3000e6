"""Reads SQL that is kept as text: named blocks, and migrations in the order of their numbers."""

from __future__ import annotations

import os

SQL_FOLDER = os.path.join(os.path.dirname(__file__), "sql")
_MARK = "-- name: "


def parse(text: str) -> dict[str, str]:
    """The statements of a text by the name in the `-- name:` line above each; what stands before the first is prose."""
    blocks: dict[str, str] = {}
    for chunk in ("\n" + text).split("\n" + _MARK)[1:]:
        name, _, body = chunk.partition("\n")
        lines = [line for line in body.splitlines() if line.strip() and not line.startswith("--")]
        if name in blocks or not lines:
            raise ValueError(f"the SQL block {name!r} is {'there twice' if name in blocks else 'empty'}")
        blocks[name] = "\n".join(lines)
    return blocks


def load(file: str) -> dict[str, str]:
    """The named statements of a file of the SQL folder."""
    return parse(_read(file))


def migrations() -> list[tuple[int, str]]:
    """Every migration: the schema version that it leads to, and its script; rising from 1 without a gap."""
    files = sorted(os.listdir(os.path.join(SQL_FOLDER, "migrations")))
    numbered = [(int(file.partition("_")[0]), file) for file in files if file.endswith(".sql")]
    if [number for number, _ in numbered] != list(range(1, len(numbered) + 1)):
        raise ValueError(f"the migrations {files} are not numbered from 1 without a gap")
    return [(number, _read(os.path.join("migrations", file))) for number, file in numbered]


def _read(file: str) -> str:
    with open(os.path.join(SQL_FOLDER, file), encoding="utf-8") as stream:
        return stream.read()
