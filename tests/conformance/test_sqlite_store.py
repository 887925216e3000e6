"""The SQLite store: its files, its one writer, and kills at any moment."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_site import SqliteSite, begin, end, end_without_reading, refusal

from legato.ports.store import Commit, Holder, Store
from legato.stores.lock import find_holder
from legato.stores.migrate import known_schema
from legato.stores.sqlite import SqliteStore
from legato.terms.errors import Forbidden, NotFound
from legato.testing.store_records import make_head, make_run, publish


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SqliteSite]:
    with SqliteSite(tmp_path) as site:
        yield site


@pytest.fixture
def store(site: SqliteSite) -> SqliteStore:
    return site.open_with_run()


# -- files -----------------------------------------------------------------------------------------------------------


def test_nothing_is_there_before_the_first_writer(site: SqliteSite) -> None:
    for store in (SqliteStore(site.path, read_only=True), site.open()):
        with pytest.raises(NotFound) as raised:
            store.runs()
        assert raised.value.code == "store-none"
        assert raised.value.next == "legato run"
    assert not site.path.parent.exists()


def test_the_files_are_their_owners_alone(site: SqliteSite, store: SqliteStore) -> None:
    assert stat.S_IMODE(site.path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in site.path.parent.iterdir()}
    assert modes == dict.fromkeys(["state.db", "state.db-wal", "state.db-shm", "state.db.lock"], 0o600)


def test_a_clean_close_leaves_one_file_and_the_empty_lock(site: SqliteSite, store: SqliteStore) -> None:
    store.close()
    assert {file.name for file in site.path.parent.iterdir()} == {"state.db", "state.db.lock"}
    assert Path(f"{site.path}.lock").read_text() == ""


def test_the_log_stays_bounded(site: SqliteSite, store: SqliteStore) -> None:
    for _ in range(60):
        store.commit([Commit(run_id="r1", events=[os.urandom(1_000)] * 200)])
    assert site.path.stat().st_size > 10_000_000
    assert Path(f"{site.path}-wal").stat().st_size < 6_000_000


def test_readers_read_while_a_writer_lives_and_cannot_write(site: SqliteSite, store: SqliteStore) -> None:
    reader = SqliteStore(site.path, read_only=True)
    store.commit([publish("v1", "p")])
    assert reader.head("a", "p") == make_head("a", "p", "v1")
    with pytest.raises(Forbidden) as raised:
        reader.open_writer("a reader")
    assert raised.value.code == "store-read-only"
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection().execute("delete from head")
    reader.close()


def test_a_reader_leaves_the_files_of_a_killed_writer_as_they_are(site: SqliteSite) -> None:
    """Were readers to checkpoint, they would be second writers; several of those can corrupt a log of older SQLites."""
    process = begin(site, "loop")
    assert process.stdout is not None
    process.stdout.readline()
    end(process)
    before = [site.path.read_bytes(), Path(f"{site.path}-wal").read_bytes()]
    reader = SqliteStore(site.path, read_only=True)
    assert reader.head("a", "p") is not None
    reader.close()
    assert [site.path.read_bytes(), Path(f"{site.path}-wal").read_bytes()] == before


def test_facts_tell_doctor_where_the_store_stands(site: SqliteSite, store: SqliteStore) -> None:
    facts = store.facts()
    assert facts["path"] == str(site.path)
    assert facts["schema"] == facts["known_schema"] == known_schema()
    assert facts["journal_mode"] == "wal"
    assert facts["epoch"] == 1
    assert facts["size_bytes"] > 4096
    assert facts["sqlite"] == sqlite3.sqlite_version
    assert facts["file_system"]
    assert store._connection().execute("pragma synchronous").fetchone() == (2,)


def test_a_path_with_special_characters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "50% done? yes #1" / "state.db"
    writer, reader = SqliteStore(path), SqliteStore(path, read_only=True)
    writer.open_writer("a test")
    writer.accept(make_run("r1"), b"plan", [])
    assert reader.plan("r1") == b"plan"
    reader.close()
    writer.close()


# -- one writer ------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_holds_the_store(
    site: SqliteSite, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("legato.stores.lock.time")  # nobody waits for a holder that lives
    error = refusal("store-locked", site.open().open_writer, "legato run")
    assert re.search(rf"process {os.getpid()} \(`legato run \+report`\) since 20\d\d-.* UTC", error.what)
    assert error.next == f"wait, or stop it with: kill -INT {os.getpid()}"
    assert error.where == str(site.path)
    store.commit([publish("v1", "p")])
    store.close()
    assert site.open().open_writer("legato run") == 2


def test_a_reader_learns_who_holds_the_store_without_taking_it(site: SqliteSite) -> None:
    assert find_holder(site.path) is None
    store = site.open_with_run()
    found = find_holder(site.path)
    assert isinstance(found, Holder)
    assert (found.pid, found.command) == (os.getpid(), "legato run +report")
    store.commit([publish("v1", "p")])
    store.close()
    assert find_holder(site.path) is None


def test_a_holder_that_is_dying_is_waited_for(site: SqliteSite, store: SqliteStore) -> None:
    """The name in the lock file is of a process that is gone: its successor has not yet written its own."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    Path(f"{site.path}.lock").write_text(json.dumps({"pid": gone.pid, "command": "old", "since": "then"}))
    began = time.monotonic()
    error = refusal("store-locked", site.open().open_writer, "legato run")
    assert time.monotonic() - began >= 0.1
    assert str(gone.pid) in error.what


def test_a_forked_child_keeps_neither_the_place_nor_the_connection(site: SqliteSite) -> None:
    parent = begin(site, "fork")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert parent.stdout.readline() == b"accepted\n"
        refusal("store-locked", site.open().open_writer, "too early")
        end_without_reading(parent)
        os.kill(child, 0)
        heir = site.open()
        assert heir.open_writer("an heir") == 2
        assert heir.run("r1") is not None
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_kill_9_at_any_moment_loses_nothing_acknowledged(site: SqliteSite) -> None:
    chance = random.Random(7)
    acknowledged = -1
    for _ in range(20):
        process = begin(site, "loop")
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.03))
        lines = (first + end(process)).split(b"\n")[:-1]
        assert [int(line) for line in lines] == list(range(int(first), int(first) + len(lines)))
        assert int(first) in (acknowledged + 1, acknowledged + 2)  # one commit may lie between the disk and its word
        acknowledged = int(lines[-1])
        verify_whole(SqliteStore(site.path, read_only=True), acknowledged)
    store = site.open()
    assert store.open_writer("after 20 kills") == 21
    assert store.damage() == []


def verify_whole(store: Store, acknowledged: int) -> None:
    """Every acknowledged commit is there, and every commit that is there is there whole."""
    bodies = [body for _, body in store.events("r1")]
    count = len(bodies)
    assert count in (acknowledged + 1, acknowledged + 2)
    assert bodies == [b"v%d" % number for number in range(count)]
    assert {head.version for head in store.heads(["a"])["a"].values()} == {f"v{count - 1}"}
    assert store.timings() == {"a": (count, float(count))}
    for partition in "pq":
        found = [version.ref.version for _, version in store.versions("a", partition, limit=count + 9)]
        assert found == [f"v{number}" for number in range(count - 1, -1, -1)]
    store.close()
