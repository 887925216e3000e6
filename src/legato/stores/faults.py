"""What can be wrong with a store, in words for people: one function a fault."""

from __future__ import annotations

import sqlite3

from legato.terms.errors import Forbidden, LegatoError, NotFound, Unreachable

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def none_yet(path: str) -> NotFound:
    """There is no store where one is to be read."""
    return NotFound("store-none", "nothing has run here yet", where=path, next="legato run")


def gone(path: str, cause: str) -> Unreachable:
    """The file that is being read was removed or replaced."""
    return Unreachable(
        "store-gone", "the store that was being read is there no more", where=path, why=cause,
        next="restore a copy, or begin anew: legato run",
    )  # fmt: skip


def no_run(run_id: str) -> NotFound:
    """No run has this id."""
    return NotFound("run", f"there is no run {run_id!r}", next="legato runs")


def no_project(fingerprint: str) -> NotFound:
    """No version of the project has this fingerprint."""
    return NotFound("project-version", f"no version of the project is named {fingerprint!r}", next="legato diff --list")


def run_taken(run_id: str) -> LegatoError:
    """A run of this id was accepted before."""
    return LegatoError("run-taken", f"run {run_id} was accepted before", next="submit it again under a new id")


def key_taken(run_id: str) -> LegatoError:
    """The request was made before, and has a run."""
    return LegatoError("request-taken", f"this request was accepted before, as run {run_id}", next=f"legato status {run_id}")


def locked(path: str, pid: int, command: str, since: str) -> Unreachable:
    """A live process has the writer's place."""
    return Unreachable(
        "store-locked",
        f"the store is held by process {pid} (`{command}`) since {since}",
        where=path,
        why="one process at a time runs steps in a project; commands that only read work meanwhile",
        next=f"wait, or stop it with: kill -INT {pid}",
    )


def locked_namelessly(path: str) -> Unreachable:
    """A process has the writer's place and has not said its name."""
    return Unreachable(
        "store-locked", "the store is held by another process", where=path, next=f"find it with: fuser -v {path}.lock"
    )


def fenced(path: str) -> Unreachable:
    """A younger writer took over; what this one decides counts no more."""
    return Unreachable(
        "store-fenced",
        "another process has become the writer of the store; this one is refused",
        where=path,
        why="its writer's place was given away, for example because its lock file was removed",
        next="legato status",
    )


def not_open(path: str) -> Unreachable:
    """A write by a handle that has no writer's place."""
    return Unreachable("store-closed", "the store is not open for writing", where=path, next="call open_writer first")


def read_only(path: str) -> Forbidden:
    """A handle for reading was asked to write."""
    return Forbidden("store-read-only", "this handle only reads the store", where=path, next="open one that writes")


def unwritable(path: str, cause: str) -> Unreachable:
    """A write failed; whether it is durable is unknown, so nothing more is acknowledged."""
    return Unreachable(
        "store-write",
        "the store cannot be written, so nothing more is acknowledged",
        where=path,
        why=cause,
        next="make the disk writable or free space on it (`df -h`), then: legato resume",
    )


def newer(path: str, found: int, known: int) -> Unreachable:
    """The store was written by a later Legato."""
    return Unreachable(
        "store-newer",
        f"the store has schema {found}, this Legato knows schemas up to {known}",
        where=path,
        why="a newer Legato has written it",
        next="upgrade Legato: pip install --upgrade legato",
    )


def older(path: str, found: int, known: int) -> Unreachable:
    """The store is of an earlier Legato, and readers change nothing."""
    return Unreachable(
        "store-older",
        f"the store has schema {found}, this Legato reads schema {known}",
        where=path,
        why="the first command that writes brings it up to date",
        next="legato run",
    )


def damaged(path: str, cause: str) -> Unreachable:
    """The file is not, or no longer, a whole store."""
    return Unreachable(
        "store-damaged",
        "the store is damaged",
        where=path,
        why=cause,
        next=f"restore a copy, or save what can be read with: sqlite3 {path} .recover > saved.sql\n"
        f"         or set it aside and begin anew: mkdir damaged && mv {path}* damaged/",
    )


def unreadable(path: str, error: sqlite3.Error) -> Unreachable:
    """The fault behind SQLite's error while reading."""
    if is_damage(error):
        return damaged(path, str(error))
    return Unreachable(
        "store-read", "the store cannot be read", where=path, why=str(error),
        next="check that its folder is there and that you may write to it: legato doctor",
    )  # fmt: skip


def unwritten(path: str, error: BaseException) -> Unreachable:
    """The fault behind an error while writing."""
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return damaged(path, str(error))
    return unwritable(path, str(error))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is broken."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE
