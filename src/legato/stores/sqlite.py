"""The store in one SQLite file: a write-ahead log that is synced at each commit, one writer, any number of readers."""

from __future__ import annotations

import os
import sqlite3
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec

from legato.declare.manuscript import Manuscript
from legato.ports.access import AccessChange, Audit, Token, User
from legato.ports.decisions import Decided, Ticking
from legato.ports.store import Cached, Commit, Head, ProjectVersion, Run, RunState, Start, Trouble, Version
from legato.stores import faults
from legato.stores.lock import WriterLock
from legato.stores.migrate import create, require_current, upgrade
from legato.stores.rows import Row, access_rows, audit_rows, decided_of, event_rows, rows_of, run_row, ticking_rows
from legato.stores.sqlite_keeping import SqliteKeeping, forget_code
from legato.stores.statements import load
from legato.terms.codec import unpack
from legato.terms.errors import LegatoError

T = TypeVar("T")

SQL = load("store.sql")
_PAGE = 1_000
_NO_LIMIT = (1 << 63) - 1
_BUSY_S = 5.0
_CACHED_RUNS = 10_000


class SqliteStore(SqliteKeeping):
    """A handle on the store in a file. It belongs to the thread that first uses it.

    Only `open_writer` creates or upgrades the file; readers of a store that was never made get `NotFound` (`store-none`).
    Readers open the file read-only: they neither write nor checkpoint, so the writer has the only connection that does.

    A process that forks workers forks them (or the process that forks them) before it calls `open_writer`. A child that
    is forked later gets its copy of this handle closed: it keeps neither the writer's place nor a connection.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = os.path.abspath(path)
        self._read_only = read_only
        self._lock: WriterLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._inode = 0
        self._epoch = 0
        self._stopped = ""
        self._numbers: dict[str, int] = {}
        _HANDLES.add(self)

    # -- writing --

    def open_writer(self, holder: str) -> int:
        """Become the only writer; the new epoch. Creates the store, or brings it up to date, where needed."""
        if self._read_only:
            raise faults.read_only(self.path)
        self.close()
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            self._lock = WriterLock(self.path, holder)
            if not os.path.exists(self.path):
                create(self.path)
            self._inode = os.stat(self.path).st_ino
            self._writer = _connect_writer(self.path)
            with self._transaction(fenced=False) as db:
                db.execute(SQL["raise_epoch"])
                self._epoch = db.execute(SQL["epoch"]).fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise faults.unwritten(self.path, error) from error
        except BaseException:
            self.close()
            raise
        return self._epoch

    def accept(self, run: Run, plan: bytes, events: Sequence[bytes], audit: Sequence[Audit] = ()) -> None:
        """Record a run with its plan and first events; `run-taken` if its id was accepted before."""
        with self._transaction() as db:
            if db.execute(SQL["run_number"], (run.id,)).fetchone():
                raise faults.run_taken(run.id)
            if run.key and (former := self.run_by_key(run.key)) is not None:
                raise faults.key_taken(former.id)
            db.execute(SQL["insert_run"], run_row(run))
            number = db.execute(SQL["run_number"], (run.id,)).fetchone()[0]
            db.execute(SQL["insert_plan"], (number, zlib.compress(plan, 1)))
            db.executemany(SQL["insert_event"], event_rows(number, events))
            db.executemany(SQL["add_audit"], audit_rows(audit))
            if run.key:
                db.execute(SQL["settle_decision"], (run.id, run.key))

    def tick(self, ticking: Ticking) -> None:
        """Record what triggers decided; a decision that is there already stays."""
        with self._transaction() as db:
            for name, rows in ticking_rows(ticking):
                if rows:
                    db.executemany(SQL[name], rows)

    def give_up(self, trigger: str, key: str, note: str) -> None:
        """A decision that fired will not become a run."""
        with self._transaction() as db:
            db.execute(SQL["give_up_decision"], (note, trigger, key))

    def commit(self, commits: Sequence[Commit]) -> None:
        """Record what was decided, for one or more runs, in one transaction. A version named again is replaced in place."""
        with self._transaction() as db:
            for name, rows in rows_of(commits, self._number):
                if rows:
                    db.executemany(SQL[name], rows)

    def add_dynamic_keys(self, name: str, keys: Sequence[str], audit: Sequence[Audit] = ()) -> None:
        """Add keys; those already there stay where they are."""
        with self._transaction() as db:
            db.executemany(SQL["add_dynamic_key"], [(name, key) for key in keys])
            db.executemany(SQL["add_audit"], audit_rows(audit))

    def keep_project(self, version: ProjectVersion, body: bytes, code: Manuscript | None = None) -> None:
        """Record that a version of the project came into force."""
        digest, index = (code.digest, code.index) if code is not None else ("", b"")
        with self._transaction() as db:
            db.execute(SQL["keep_project"], (version.fingerprint, version.at, zlib.compress(body, 1), digest, index))
            if code is not None:
                db.executemany(SQL["add_text"], code.texts.items())
                db.executemany(SQL["add_text_of"], [(version.fingerprint, text) for text in code.texts])

    def change_access(self, change: AccessChange) -> None:
        """Change users and tokens, and record who did it, in one transaction."""
        with self._transaction() as db:
            for name, rows in access_rows(change):
                db.executemany(SQL[name], rows)

    # -- reading --

    def run(self, run_id: str) -> Run | None:
        """The run of exactly this id."""
        return _one(self._rows("run", run_id), Run)

    def run_by_key(self, key: str) -> Run | None:
        """The run that was made of the request with this key."""
        return _one(self._rows("run_by_key", key), Run)

    def runs(self, *, limit: int = 50, before: str | None = None, state: RunState | None = None) -> list[Run]:
        """Runs, last accepted first; `before` is the id of the last one of the page before."""
        below = _NO_LIMIT if before is None else self._number(before)
        rows = self._rows("runs", below, limit) if state is None else self._rows("runs_in_state", state, below, limit)
        return [unpack(body, Run) for (body,) in rows]

    def backfills(self, *, limit: int = 50, before: str | None = None) -> list[Run]:
        """Runs that are backfills, newest first."""
        below = _NO_LIMIT if before is None else self._number(before)
        return [unpack(body, Run) for (body,) in self._rows("backfills", below, limit)]

    def plan(self, run_id: str) -> bytes:
        """The accepted plan of a run."""
        return zlib.decompress(self._rows("plan", self._number(run_id))[0][0])

    def events(self, run_id: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The run's events in order, with their numbers, from after the given one. Read page by page: it pins no snapshot."""
        number = self._number(run_id)
        while page := self._rows("events", number, after, _PAGE):
            yield from page
            after = page[-1][0]

    def changes(self, after: int, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        """Events of all runs, with their numbers and runs, from after the given one."""
        return self._rows("changes", after, limit)

    def newest_change(self) -> int:
        """The number of the last event; 0 before the first."""
        newest: int = self._rows("newest_change")[0][0]
        return newest

    def last_heads(self, asset: str, limit: int) -> list[Head]:
        """Published versions of one asset, of its last partitions by name."""
        return [unpack(body, Head) for (body,) in self._rows("last_heads", asset, limit)]

    def heads(self, assets: Iterable[str]) -> dict[str, dict[str, Head]]:
        """Published versions of these assets, as of one moment: asset -> partition -> head."""
        found: dict[str, dict[str, Head]] = {asset: {} for asset in assets}
        for asset, partition, body in self._rows("heads", _json(found)):
            found[asset][partition] = unpack(body, Head)
        return found

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        return _one(self._rows("head", asset, partition), Head)

    def versions(
        self, asset: str, partition: str | None = None, *, limit: int = 50, before: int = 0
    ) -> list[tuple[int, Version]]:
        """Versions newest first, each with its number (for paging); of one partition, or of all (None)."""
        below = before or _NO_LIMIT
        if partition is None:
            rows = self._rows("versions", asset, below, limit)
        else:
            rows = self._rows("versions_of_partition", asset, partition, below, limit)
        return [(number, unpack(body, Version)) for number, body in rows]

    def version(self, asset: str, partition: str, version: str) -> Version | None:
        """One version by its name."""
        return _one(self._rows("version", version, asset, partition), Version)

    def assets(self) -> list[str]:
        """Every asset that ever had a version, by name."""
        return [asset for (asset,) in self._rows("assets")]

    def troubles(self, assets: Iterable[str] | None = None) -> list[Trouble]:
        """Open troubles of these assets (None: of all), by asset and partition."""
        rows = self._rows("troubles") if assets is None else self._rows("troubles_of", _json(assets))
        return [unpack(body, Trouble) for (body,) in rows]

    def timings(self) -> dict[str, tuple[int, float]]:
        """By node: attempts that succeeded, and their seconds in all."""
        return {node: (attempts, seconds) for node, attempts, seconds in self._rows("timings")}

    def starts(self) -> list[Start]:
        """What rates counted last, in the order in which it ceases to count."""
        return [Start(*row) for row in self._rows("starts")]

    def decision(self, trigger: str, key: str) -> Decided | None:
        """What was decided of this tick."""
        rows = self._rows("decision", trigger, key)
        return decided_of(rows[0]) if rows else None

    def decisions(self, trigger: str | None = None, *, limit: int = 50, before: int = 0) -> list[tuple[int, Decided]]:
        """Decisions newest first, each with its number; of one trigger, or of all."""
        below = before or _NO_LIMIT
        rows = self._rows("decisions", below, limit) if trigger is None else self._rows("decisions_of", trigger, below, limit)
        return [(row[0], decided_of(row[1:])) for row in rows]

    def waiting_decisions(self, limit: int = 1_000) -> list[Decided]:
        """Decisions that fired and have no run yet, oldest first."""
        return [decided_of(row) for row in self._rows("waiting_decisions", limit)]

    def kept_triggers(self) -> dict[str, bytes]:
        """What is kept of each trigger, by name."""
        return dict(self._rows("kept_triggers"))

    def heard(self) -> int:
        """Up to which event of the runs the triggers have heard."""
        number: int = self._rows("heard")[0][0]
        return number

    def projects(self, *, limit: int = 50, before: str | None = None) -> list[ProjectVersion]:
        """The versions of the project, in the order in which they came into force last, newest first."""
        found = [(_NO_LIMIT,)] if before is None else self._rows("project_number", before)
        if not found:
            raise faults.no_project(str(before))
        return [ProjectVersion(*row) for row in self._rows("projects", found[0][0], limit)]

    def project(self, fingerprint: str) -> bytes | None:
        """The snapshot of exactly this version."""
        rows = self._rows("project", fingerprint)
        return zlib.decompress(rows[0][0]) if rows else None

    def manuscript(self, fingerprint: str) -> Manuscript | None:
        """The code of exactly this version."""
        rows = self._rows("manuscript", fingerprint)
        return Manuscript(rows[0][0], dict(self._rows("texts_of", fingerprint))) if rows else None

    def cached(self, key: str) -> Cached | None:
        """The newest result under this key, however old."""
        return _one(self._rows("cached", key), Cached)

    def dynamic_keys(self, name: str, start: int = 0, limit: int | None = None) -> list[str]:
        """Keys of a dynamic partition set, oldest first: all, or so many at most from a place on."""
        return [key for (key,) in self._rows("dynamic_keys", name, _NO_LIMIT if limit is None else limit, start)]

    def count_keys(self, name: str) -> int:
        """How many keys a dynamic partition set has."""
        number: int = self._rows("count_keys", name)[0][0]
        return number

    def new_keys(self, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Keys of all dynamic sets from after the given number on, each with its number and its set. Read page by page."""
        while page := self._rows("new_keys", after, _PAGE):
            yield from page
            after = page[-1][0]

    def user(self, name: str) -> User | None:
        """The user of this name."""
        return _one(self._rows("user", name), User)

    def users(self) -> list[User]:
        """All users, by name."""
        return [unpack(body, User) for (body,) in self._rows("users")]

    def token(self, digest: str) -> Token | None:
        """The token whose secret has this digest."""
        return _one(self._rows("token", digest), Token)

    def tokens(self) -> list[Token]:
        """All tokens, by digest."""
        return [unpack(body, Token) for (body,) in self._rows("tokens")]

    def audits(self, *, limit: int = 50, before: int = 0) -> list[tuple[int, Audit]]:
        """What was done, newest first, each with its number (for paging)."""
        return [(number, unpack(body, Audit)) for number, body in self._rows("audits", before or _NO_LIMIT, limit)]

    def copy_to(self, path: str | os.PathLike[str]) -> None:
        """Write the store as it is at this moment to a new file, while others go on writing to this one; but no code."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy = sqlite3.connect(path, isolation_level=None)
            try:
                self._connection().backup(copy)
                copy.execute("pragma secure_delete = on")
                forget_code(copy)
            except sqlite3.Error as error:
                raise faults.unreadable(self.path, error) from error
            finally:
                copy.close()
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def facts(self) -> dict[str, Any]:
        """About the store itself, for `doctor`."""
        from legato.stores.survey import survey

        try:
            return {**survey(self._connection(), self.path), "epoch": self._rows("epoch")[0][0]}
        except sqlite3.Error as error:
            raise faults.unreadable(self.path, error) from error

    def damage(self) -> list[str]:
        """What is wrong with the file, a line each; reads every page of it."""
        from legato.stores.survey import damage

        try:
            return damage(self._connection())
        except sqlite3.Error as error:
            raise faults.unreadable(self.path, error) from error

    # -- opening and closing --

    def close(self) -> None:
        """Give up the writer's place, if held, and all connections. Idempotent."""
        for db in (self._writer, self._reader):
            if db is not None:
                with suppress(sqlite3.Error):  # the log stays beside the file, and the next opening reads it
                    db.close()
        if self._lock is not None:
            self._lock.release()
        self._reset()

    def _reset(self) -> None:
        self._writer = self._reader = self._lock = None
        self._epoch, self._stopped = 0, ""
        self._numbers.clear()

    def _leave_to_parent(self) -> None:
        """In a forked child: let go of the lock and of the connections, which are the parent's alone."""
        _ORPHANS.extend(db for db in (self._writer, self._reader) if db is not None)
        if self._lock is not None:
            self._lock.forget()
        self._reset()

    def _connection(self) -> sqlite3.Connection:
        """Where to read: the writer's own connection if this is the writer, else one that cannot write."""
        if self._writer is not None:
            return self._writer
        if self._reader is None:
            self._reader = _connect_reader(self.path)
            self._inode = os.stat(self.path).st_ino
        try:
            self._require_in_place()
        except OSError as error:
            raise faults.gone(self.path, error.strerror or str(error)) from error
        return self._reader

    def _rows(self, name: str, *values: str | int | bytes) -> list[Row]:
        try:
            return self._connection().execute(SQL[name], values).fetchall()
        except sqlite3.Error as error:
            raise faults.unreadable(self.path, error) from error

    def _number(self, run_id: str) -> int:
        number = self._numbers.get(run_id)
        if number is None:
            rows = self._rows("run_number", run_id)
            if not rows:
                raise faults.no_run(run_id)
            if len(self._numbers) >= _CACHED_RUNS:
                self._numbers.clear()
            number = self._numbers[run_id] = rows[0][0]
        return number

    @contextmanager
    def _transaction(self, *, fenced: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing. A refusal (LegatoError) changes nothing; after any other failure the handle writes no more."""
        db = self._writer
        if db is None:
            raise faults.not_open(self.path)
        if self._stopped:
            raise faults.unwritable(self.path, f"an earlier write failed: {self._stopped}")
        try:
            db.execute("begin immediate")
            if fenced and db.execute(SQL["epoch"]).fetchone()[0] != self._epoch:
                raise faults.fenced(self.path)
            yield db
            db.execute("commit")
            self._require_in_place()
        except BaseException as error:
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("rollback")
            if isinstance(error, LegatoError):
                raise
            self._stopped = str(error) or type(error).__name__
            if isinstance(error, OSError | sqlite3.Error):
                raise faults.unwritten(self.path, error) from error
            raise

    def _require_in_place(self) -> None:
        """A file that was removed or replaced still takes commits, which nobody would ever find, and can be read, and stays."""
        if os.stat(self.path).st_ino != self._inode:
            raise OSError("the file was replaced by another")


def _connect_writer(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        db.execute("pragma synchronous = full")
        db.execute("pragma cache_size = -16000")  # KiB
        db.execute("pragma wal_autocheckpoint = 500")  # 2 MB: what is written over costs a third less than a log that grows
        db.execute("pragma journal_size_limit = 67108864")  # after a reader held the log back for long
        upgrade(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _connect_reader(path: str) -> sqlite3.Connection:
    if not os.path.exists(path):
        raise faults.none_yet(path)
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    frozen = "&immutable=1" if _is_frozen(path) else ""
    db = sqlite3.connect(f"file:{quoted}?mode=ro{frozen}", uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        db.execute("pragma query_only = on")
        require_current(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _is_frozen(path: str) -> bool:
    """Whether the file holds everything and nobody is going to change it: it stands where SQLite could not even make a log.

    That is a disk mounted read-only, or a folder that its owner, who we are, may not write to.
    """
    log = f"{path}-wal"
    if os.path.exists(log) and os.path.getsize(log):
        return False
    ours = os.stat(path).st_uid == os.geteuid()
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) or (ours and not os.access(os.path.dirname(path), os.W_OK))


def _json(names: Iterable[str]) -> str:
    return msgspec.json.encode(list(names)).decode()


def _one(rows: list[Row], kind: type[T]) -> T | None:
    return unpack(rows[0][0], kind) if rows else None


_HANDLES: weakref.WeakSet[SqliteStore] = weakref.WeakSet()
_ORPHANS: list[sqlite3.Connection] = []
"""Connections that a fork carried over: kept, since to close them would touch files that are the parent's."""


def _leave_handles_to_parent() -> None:
    for store in list(_HANDLES):
        store._leave_to_parent()


os.register_at_fork(after_in_child=_leave_handles_to_parent)
