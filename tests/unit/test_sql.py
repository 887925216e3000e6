"""SQL kept as text: every block is used, every use has its block, and none scans what grows with history."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

import legato.stores.sqlite as adapter
from legato.stores.statements import load, migrations, parse
from legato.stores.survey import file_system_of, has_wal_reset_bug

GROWING = ("run", "plan", "event", "version", "head", "dynamic_key", "audit", "decision", "cached", "waste")


@pytest.fixture(scope="module")
def schema() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        db.executescript(script)
    yield db
    db.close()


@pytest.mark.parametrize("name", sorted(load("store.sql")))
def test_no_statement_scans_or_sorts_a_table_that_grows(schema: sqlite3.Connection, name: str) -> None:
    statement = load("store.sql")[name]
    rows = schema.execute(f"explain query plan {statement}", [1] * statement.count("?")).fetchall()
    steps = [row[3] for row in rows]
    assert not [step for step in steps if re.match(rf"SCAN ({'|'.join(GROWING)})\b", step)], steps
    if name != "dynamic_keys":  # a key set is always read whole
        assert not [step for step in steps if "TEMP B-TREE" in step], steps


def test_the_plan_of_a_scan_would_be_noticed(schema: sqlite3.Connection) -> None:
    rows = schema.execute("explain query plan select body from event where body = x'00'").fetchall()
    assert re.match(r"SCAN event\b", rows[0][3])


def test_every_block_is_used_and_every_use_has_its_block() -> None:
    folder = Path(adapter.__file__).parent
    text = (folder / "sqlite.py").read_text() + (folder / "sqlite_keeping.py").read_text()
    used = set(re.findall(r'SQL\["(\w+)"\]|_rows\(\s*"(\w+)"', text))
    used = {name for pair in used for name in pair if name}
    used |= set(re.findall(r'^        \("(\w+)", ', (folder / "rows.py").read_text(), re.MULTILINE))
    assert used == set(load("store.sql"))


def test_blocks_are_read_by_name_and_prose_is_left_out() -> None:
    text = "-- prose\n\n-- name: one\nselect 1;\n\n-- name: two\n-- why\nselect\n  2;\n"
    assert parse(text) == {"one": "select 1;", "two": "select\n  2;"}


@pytest.mark.parametrize("text", ["-- name: a\nselect 1;\n-- name: a\nselect 2;\n", "-- name: a\n-- name: b\nselect 1;\n"])
def test_a_block_that_is_there_twice_or_empty_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SQL block 'a'"):
        parse(text)


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version: tuple[int, int, int], affected: bool) -> None:
    assert has_wal_reset_bug(version) is affected


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = "a / ext4 rw 0 0\nb /home nfs4 rw 0 0\nc /home/ada/with\\040space tmpfs rw 0 0\n"
    assert file_system_of("/var/x.db", mounts) == "ext4"
    assert file_system_of("/home/ada/x.db", mounts) == "nfs4"
    assert file_system_of("/homework/x.db", mounts) == "ext4"
    assert file_system_of("/home/ada/with space/x.db", mounts) == "tmpfs"
