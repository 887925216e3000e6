"""Every store keeps the port's promises; the SQLite store also survives kills, foreign files and full disks."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("legato.testing.store", "legato.testing.store_history")

from legato.ports.store import Commit, Store  # noqa: E402
from legato.stores.memory import MemoryDisk, MemoryStore  # noqa: E402
from legato.stores.migrate import known_schema  # noqa: E402
from legato.stores.sqlite import SqliteStore  # noqa: E402
from legato.terms.errors import Forbidden, NotFound, Unreachable  # noqa: E402
from legato.testing.store import StoreContract  # noqa: E402
from legato.testing.store_history import StoreHistory  # noqa: E402
from legato.testing.store_records import make_head, make_run, publish  # noqa: E402


class MemorySite:
    """A memory disk."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()

    def open(self) -> MemoryStore:
        return MemoryStore(self.disk)

    def vacate(self) -> None:
        """Nothing holds the place of a memory store."""


class SqliteSite:
    """A SQLite file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "state.db"
        self.handles: list[SqliteStore] = []

    def open(self) -> SqliteStore:
        self.handles.append(SqliteStore(self.path))
        return self.handles[-1]

    def vacate(self) -> None:
        Path(f"{self.path}.lock").unlink()

    def close(self) -> None:
        for handle in self.handles:
            handle.close()


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def site(self) -> MemorySite:
        return MemorySite()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[SqliteSite]:
        site = SqliteSite(tmp_path)
        yield site
        site.close()


class _TemporarySite(SqliteSite):
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().__init__(Path(self.folder.name))

    def close(self) -> None:
        super().close()
        self.folder.cleanup()


class SqliteHistory(StoreHistory):
    open_site = _TemporarySite
    open_model = MemoryStore


TestAnyHistory = SqliteHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SqliteSite]:
    site = SqliteSite(tmp_path)
    yield site
    site.close()


@pytest.fixture
def store(site: SqliteSite) -> SqliteStore:
    """A writer that has accepted `r1`."""
    store = site.open()
    store.open_writer("legato run +report")
    store.accept(make_run("r1"), b"plan", [])
    return store


def refusal(code: str, call: Any, *arguments: Any) -> Unreachable:
    """The error of this code that the call ends in; it always says what to do next."""
    with pytest.raises(Unreachable) as raised:
        call(*arguments)
    assert raised.value.code == code
    assert raised.value.exit_code == 5
    assert raised.value.next
    return raised.value


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


def test_a_second_writer_is_told_who_holds_the_store(site: SqliteSite, store: SqliteStore) -> None:
    began = time.monotonic()
    error = refusal("store-locked", site.open().open_writer, "legato run")
    assert time.monotonic() - began < 1
    assert re.search(rf"process {os.getpid()} \(`legato run \+report`\) since 20\d\d-.* UTC", error.what)
    assert error.next == f"wait, or stop it with: kill -INT {os.getpid()}"
    assert error.where == str(site.path)
    store.commit([publish("v1", "p")])
    store.close()
    assert site.open().open_writer("legato run") == 2


def test_a_holder_that_is_dying_is_waited_for(site: SqliteSite, store: SqliteStore) -> None:
    """The name in the lock file is of a process that is gone: its successor has not yet written its own."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    Path(f"{site.path}.lock").write_text(json.dumps({"pid": gone.pid, "command": "old", "since": "then"}))
    began = time.monotonic()
    error = refusal("store-locked", site.open().open_writer, "legato run")
    assert time.monotonic() - began >= 0.1
    assert str(gone.pid) in error.what


# A program that others run in a process of its own: argv is the store's path and what to do.
CHILD = """
import os, sys, time
from legato.ports.store import Commit
from legato.stores.sqlite import SqliteStore
from legato.testing.store_records import make_run, publish

path, act = sys.argv[1:]
store = SqliteStore(path)
store.open_writer(act)
if act == "fork":
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        assert store._writer is None and store._lock is None and store.runs() == []
        store.close()
        os.write(writer, b"!")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    print(child, flush=True)
    store.accept(make_run("r1"), b"", [])
    print("accepted", flush=True)
    time.sleep(60)
if store.run("r1") is None:
    store.accept(make_run("r1"), b"", [])
number = len(list(store.events("r1")))
while True:
    name = f"v{number}"
    store.commit([publish(name, "p", "q"), Commit(run_id="r1", timings={"a": (1, 1.0)})])
    os.write(1, f"{number}\\n".encode())
    number += 1
"""


def begin(site: SqliteSite, act: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(site.path), act], stdout=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> bytes:
    """Kill the process; what it had still printed."""
    process.kill()
    rest = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL
    return rest


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


def end_without_reading(process: subprocess.Popen[bytes]) -> None:
    """Kill the process; a child of its own may hold its output open."""
    process.kill()
    process.wait()


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
    assert store.facts()["intact"]


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
        stream.seek(20 * 4096)
        stream.write(b"\xff" * 4096 * 60)
    reader = SqliteStore(site.path, read_only=True)
    refusal("store-damaged", lambda: list(reader.events("r1")))
    facts = reader.facts()
    assert facts["intact"] is False
    assert "damaged" in facts["warnings"][0]
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
    """A real file system of 256 KiB, where the system lets us mount one."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(point)], capture_output=True)
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


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not hinder root")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    error = refusal("store-write", SqliteSite(tmp_path).open().open_writer, "legato run")
    tmp_path.chmod(0o700)
    assert "Permission" in error.why


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    refusal("store-write", SqliteSite(tmp_path).open().open_writer, "legato run")


# -- cost ------------------------------------------------------------------------------------------------------------


def _floor(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table event (seq integer primary key, run integer not null, body blob not null)")
    return db


def _timed(call: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


@pytest.mark.long
def test_a_lone_commit_costs_about_a_bare_insert(site: SqliteSite, store: SqliteStore, tmp_path: Path) -> None:
    floor, body = _floor(tmp_path), b"x" * 100
    group = [Commit(run_id="r1", events=[body])]
    ratios = []
    for _ in range(9):
        bare = _timed(lambda: floor.execute("insert into event (run, body) values (1, ?)", (body,)), 300)
        ratios.append(_timed(lambda: store.commit(group), 300) / bare)
    floor.close()
    print(f"\nlone commit: {sorted(ratios)[4]:.2f} x a bare insert and commit (budget 1.5; {bare / 300 * 1e6:.0f} us)")
    assert sorted(ratios)[4] < 3


@pytest.mark.long
def test_large_groups_are_written_fast_and_history_costs_nothing(site: SqliteSite, store: SqliteStore) -> None:
    group = [Commit(run_id="r1", events=[b"x" * 100] * 20) for _ in range(128)]
    small = [publish("v", "p")]

    def measure() -> tuple[float, float]:
        return _timed(lambda: store.commit(small), 500), _timed(lambda: store.heads(["a"]), 2_000)

    measure()
    empty = measure()
    began, rows = time.perf_counter(), 0
    while rows < 1_000_000:
        store.commit(group)
        rows += 128 * 20
    rate = rows / (time.perf_counter() - began)
    full = measure()
    began = time.perf_counter()
    assert sum(1 for _ in store.events("r1")) > rows
    read = rows / (time.perf_counter() - began)
    print(f"\n{rate:,.0f} event rows/s written in groups of 2,560 (target 300,000), {read:,.0f}/s read")
    print(f"with {rows:,} events: commit {full[0] / empty[0]:.2f} x, heads {full[1] / empty[1]:.2f} x of an empty store")
    assert rate > 100_000
    assert full[0] / empty[0] < 2


@pytest.mark.long
def test_opening_and_the_first_read_are_quick(store: SqliteStore, site: SqliteSite) -> None:
    program = (
        "import time, msgspec, legato.ports.store\n"
        "began = time.perf_counter()\n"
        "from legato.stores.sqlite import SqliteStore\n"
        f"SqliteStore({str(site.path)!r}, read_only=True).runs()\n"
        "print(time.perf_counter() - began)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(7)]
    print(f"\nimport sqlite3, open and first read: {sorted(times)[3] * 1e3:.1f} ms (target 15)")
    assert sorted(times)[3] < 0.045
