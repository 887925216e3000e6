"""The SQLite store on files that are not as they should be, and on disks that do not take what is written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_site import SqliteSite, begin, end, refusal

from legato.ports.store import Commit
from legato.stores.migrate import known_schema
from legato.stores.sqlite import SqliteStore
from legato.terms.errors import Unreachable
from legato.testing.store_records import make_head, make_run, publish


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SqliteSite]:
    with SqliteSite(tmp_path) as site:
        yield site


@pytest.fixture
def store(site: SqliteSite) -> SqliteStore:
    return site.open_with_run()


# -- files that are not as they should be ----------------------------------------------------------------------------


def both(site: SqliteSite, code: str) -> Unreachable:
    """Readers and writers are refused alike; the readers' refusal."""
    refusal(code, site.open().open_writer, "legato run")
    return refusal(code, SqliteStore(site.path, read_only=True).runs)


def test_a_store_that_is_newer_than_the_code(site: SqliteSite, store: SqliteStore) -> None:
    store.close()
    db = sqlite3.connect(site.path)
    db.execute("pragma user_version = 99")
    db.close()
    error = both(site, "store-newer")
    assert "99" in error.what
    assert str(known_schema()) in error.what
    assert "upgrade Legato" in error.next


def test_an_older_store_is_read_only_after_a_writer_upgraded_it(
    site: SqliteSite, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legato.stores import migrate

    now, later = known_schema(), known_schema() + 1
    steps = [*migrate.migrations(), (later, "create table extra (x integer); insert into extra values (1);")]
    monkeypatch.setattr(migrate, "known_schema", lambda: later)
    monkeypatch.setattr(migrate, "migrations", lambda: steps)
    store.close()
    error = refusal("store-older", SqliteStore(site.path, read_only=True).runs)
    assert f"{now}" in error.what
    heir = site.open()
    heir.open_writer("legato run")
    assert [run.id for run in heir.runs()] == ["r1"]
    assert heir._connection().execute("select x from extra").fetchall() == [(1,)]


def test_a_migration_that_fails_changes_nothing(site: SqliteSite, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from legato.stores import migrate

    now, later = known_schema(), known_schema() + 1
    steps = [*migrate.migrations(), (later, "create table extra (x integer); insert into nowhere values (1);")]
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "known_schema", lambda: later)
        patch.setattr(migrate, "migrations", lambda: steps)
        refusal("store-write", site.open().open_writer, "legato run")
    heir = site.open()
    heir.open_writer("legato run")
    assert heir.facts()["schema"] == now
    assert heir._connection().execute("select count(*) from sqlite_master where name = 'extra'").fetchone() == (0,)


@pytest.mark.parametrize("kept", [0, 50, 5_000, -4_096])
def test_a_truncated_store_is_named_as_damaged(site: SqliteSite, store: SqliteStore, kept: int) -> None:
    store.commit([Commit(run_id="r1", events=[b"x" * 1_000] * 50)])
    store.close()
    os.truncate(site.path, kept if kept >= 0 else site.path.stat().st_size + kept)
    error = both(site, "store-damaged")
    assert ".recover" in error.next
    assert error.where == str(site.path)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_who_reads_a_store_that_is_taken_away_is_told(site: SqliteSite, store: SqliteStore, is_replaced: bool) -> None:
    reader = SqliteStore(site.path, read_only=True)
    assert [run.id for run in reader.runs()] == ["r1"]
    copy = site.path.with_name("copy")
    store.copy_to(copy)
    site.path.unlink()
    if is_replaced:
        copy.rename(site.path)
    refusal("store-gone", reader.runs)
    refusal("store-gone", reader.newest_change)


@pytest.mark.parametrize("content", [b"this is not a database\n" * 500, None])
def test_a_foreign_file_is_not_touched(site: SqliteSite, content: bytes | None) -> None:
    site.path.parent.mkdir()
    if content is None:
        db = sqlite3.connect(site.path)
        db.execute("create table somebody_elses (x)")
        db.close()
        content = site.path.read_bytes()
    site.path.write_bytes(content)
    both(site, "store-damaged")
    assert site.path.read_bytes() == content


def test_a_page_of_garbage_is_noticed_by_readers_and_by_doctor(site: SqliteSite, store: SqliteStore) -> None:
    store.commit([Commit(run_id="r1", events=[b"x" * 1_000] * 500)])
    store.close()
    with site.path.open("r+b") as stream:
        stream.seek(60 * 4096)  # behind the pages that say which tables there are
        stream.write(b"\xff" * 4096 * 60)
    reader = SqliteStore(site.path, read_only=True)
    refusal("store-damaged", lambda: list(reader.events("r1")))
    assert reader.facts()["journal_mode"] == "wal"
    assert reader.damage()
    reader.close()


def test_a_log_without_its_store_is_not_read_into_a_new_one(site: SqliteSite) -> None:
    process = begin(site, "loop")
    assert process.stdout is not None
    process.stdout.readline()
    end(process)
    site.path.unlink()
    refusal("store-damaged", site.open().open_writer, "legato run")
    Path(f"{site.path}-wal").unlink()
    fresh = site.open()
    fresh.open_writer("legato run")
    assert fresh.runs() == []


def test_remains_of_a_creation_that_was_killed_are_cleared(site: SqliteSite) -> None:
    site.path.parent.mkdir()
    Path(f"{site.path}.new").write_bytes(b"half a store")
    store = site.open()
    assert store.open_writer("legato run") == 1
    assert not Path(f"{site.path}.new").exists()


# -- disks that do not take what is written --------------------------------------------------------------------------


def refuses_from_now_on(site: SqliteSite, store: SqliteStore) -> None:
    """The writer acknowledges nothing more; readers still read what was acknowledged."""
    refusal("store-write", store.commit, [publish("later", "p")])
    refusal("store-write", store.accept, make_run("r9"), b"", [])
    refusal("store-write", store.add_dynamic_keys, "set", ["k"])
    reader = SqliteStore(site.path, read_only=True)
    assert [body for _, body in reader.events("r1")] == [b"v1"]
    assert reader.head("a", "p") == make_head("a", "p", "v1")
    reader.close()


def test_a_full_store_stops_acknowledging_until_it_is_reopened(site: SqliteSite, store: SqliteStore) -> None:
    store.commit([publish("v1", "p")])
    db = store._connection()
    pages = db.execute("pragma page_count").fetchone()[0]
    db.execute(f"pragma max_page_count = {pages + 2}")
    error = refusal("store-write", store.commit, [publish("v2", "p"), Commit(run_id="r1", events=[b"x" * 50_000])])
    assert "full" in error.why
    assert "legato resume" in error.next
    refuses_from_now_on(site, store)
    assert store.open_writer("legato resume") == 2
    store.commit([publish("v2", "p")])
    assert store.head("a", "p") == make_head("a", "p", "v2")


class FailingCommit:
    """A connection whose COMMIT ends as it does when the disk fails under it."""

    def __init__(self, db: sqlite3.Connection, error: BaseException) -> None:
        self.db, self.error = db, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "commit":
            raise self.error
        return self.db.execute(sql, *values)


def test_an_io_error_in_commit_stops_the_writer(site: SqliteSite, store: SqliteStore) -> None:
    store.commit([publish("v1", "p")])
    whole = store._writer
    store._writer = FailingCommit(whole, sqlite3.OperationalError("disk I/O error"))  # type: ignore[assignment, arg-type]
    error = refusal("store-write", store.commit, [publish("v2", "p")])
    assert error.why == "disk I/O error"
    store._writer = whole
    refuses_from_now_on(site, store)


def test_an_interrupt_in_commit_stops_the_writer_too(site: SqliteSite, store: SqliteStore) -> None:
    store.commit([publish("v1", "p")])
    whole = store._writer
    store._writer = FailingCommit(whole, KeyboardInterrupt())  # type: ignore[assignment, arg-type]
    with pytest.raises(KeyboardInterrupt):
        store.commit([publish("v2", "p")])
    store._writer = whole
    refuses_from_now_on(site, store)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_was_removed_under_the_writer_is_not_acknowledged(
    site: SqliteSite, store: SqliteStore, replaced: bool
) -> None:
    site.path.rename(site.path.with_name("elsewhere"))
    if replaced:
        site.path.write_bytes(b"")
    refusal("store-write", store.commit, [publish("v1", "p")])
    refusal("store-write", store.commit, [publish("v1", "p")])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 512 KiB, where the system lets us mount one."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(point)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    site = SqliteSite(small_disk)
    store = site.open()
    store.open_writer("legato run")
    store.accept(make_run("r1"), b"plan", [])
    acknowledged = []

    def fill() -> None:
        for number in range(1_000):
            store.commit([Commit(run_id="r1", events=[b"%d" % number, os.urandom(2_000)])])
            acknowledged.append(b"%d" % number)

    refusal("store-write", fill)
    assert acknowledged
    refusal("store-write", store.commit, [publish("v1", "p")])
    reader = SqliteStore(site.path, read_only=True)
    assert [body for _, body in reader.events("r1")][::2] == acknowledged
    reader.close()
    site.close()


def test_a_disk_that_is_really_read_only(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    error = refusal("store-write", SqliteSite(small_disk).open().open_writer, "legato run")
    assert "Read-only" in error.why


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """The rights of a user whom permission bits hinder: root gives up its own for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_without_the_right_to_write(unprivileged: None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o500)
        error = refusal("store-write", SqliteSite(folder).open().open_writer, "legato run")
        folder.chmod(0o700)
    assert "Permission" in error.why


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    refusal("store-write", SqliteSite(tmp_path).open().open_writer, "legato run")
