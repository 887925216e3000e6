"""Where a project stands: the machine, its disk, its clock, its libraries. What `doctor` looks at before the store."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct

from legato.declare.node import Project
from legato.ports.storage import Storage
from legato.ports.store import Holder, Store
from legato.service.inbox import find_unread
from legato.service.shell import command
from legato.terms.errors import InvalidProject, LegatoError
from legato.terms.instant import Instant, format_seconds, to_datetime

Level = Literal["ok", "warning", "fault"]

_SCARCE_BYTES, _TOO_FEW_BYTES = 1_000_000_000, 50_000_000
_TOO_FEW_FILES, _TOO_FEW_HANDLES = 10_000, 512
_MAKE_ROOM = "let go of what is old: legato clean --plan"
_OLDEST, _TOO_NEW = (3, 11), (3, 14)
_EXTRAS = ("polars", "pyarrow", "duckdb", "pandas")


class Finding(Struct, frozen=True):
    """One thing that was looked at: `ok`, a `warning` (works, but may not stay so) or a `fault`, and what mends it."""

    subject: str
    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True)
class Premises:
    """What can be examined of a project, also where it cannot be loaded: `project` is then None and `fault` says why."""

    root: Path
    state: Path
    storages: Mapping[str, Storage]
    project: Project | None
    fault: LegatoError | None
    open_reader: Callable[[], Store]
    open_writer: Callable[[str], Store]
    find_holder: Callable[[], Holder | None]


def examine_premises(premises: Premises) -> Iterator[Finding]:
    """The findings on everything but the store and the data."""
    yield _python()
    yield _libraries()
    yield _sqlite()
    yield _project(premises)
    yield from _zones(premises)
    yield from _disk(premises.state if premises.state.is_dir() else premises.root)
    yield from _handles()
    yield from _permissions(premises)
    yield from _inbox(premises.state / "inbox")


def _python() -> Finding:
    text = f"Python {sys.version.split()[0]}"
    if _OLDEST <= sys.version_info[:2] < _TOO_NEW:
        return Finding("python", "ok", text)
    return Finding("python", "warning", f"{text}: Legato is tested with 3.11 to 3.13", "make the environment with one of these")


def _libraries() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in _EXTRAS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    if found:
        return Finding("libraries", "ok", ", ".join(found))
    return Finding("libraries", "ok", "no table libraries; assets that are tables need: pip install 'legato[tables]'")


def _sqlite() -> Finding:
    from legato.stores.survey import has_wal_reset_bug

    text = f"SQLite {sqlite3.sqlite_version}"
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        text += "; older than 3.51.3, so no other tool should write to the store (Legato has one writer and is not exposed)"
    return Finding("sqlite", "ok", text)


def _project(premises: Premises) -> Finding:
    if premises.project is not None:
        nodes = premises.project.nodes.values()
        kinds = {kind: sum(node.kind == kind for node in nodes) for kind in ("asset", "source", "task", "flow")}
        told = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in kinds.items() if number)
        return Finding("project", "ok", f"{premises.project.name}: {told or 'nothing is declared'}")
    fault = premises.fault
    faults = fault.faults if isinstance(fault, InvalidProject) else []
    first = f", the first: {faults[0]}" if faults else ""
    return Finding("project", "fault", f"{fault.what if fault else 'the project cannot be loaded'}{first}", "legato check")


def _zones(premises: Premises) -> Iterator[Finding]:
    """Whether Python knows the time zones that the project's partitions are cut in, and its triggers are due in."""
    from zoneinfo import ZoneInfo

    from legato.declare.moment import Timed, moments
    from legato.declare.partitions import Windows, dimensions

    nodes = premises.project.nodes.values() if premises.project is not None else ()
    parts = [part for node in nodes for _, part in dimensions(node.partitions)]
    due = [leaf for node in nodes if node.trigger is not None for leaf in moments(node.trigger)]
    zones = (each.tz for each in (*parts, *due) if isinstance(each, Windows | Timed))
    names = sorted({"UTC", *zones})
    unknown = []
    for name in names:
        try:
            ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            unknown.append(name)
    if unknown:
        yield Finding("time zones", "fault", f"Python finds no data for {', '.join(unknown)}", "pip install tzdata")
    else:
        yield Finding("time zones", "ok", ", ".join(names))


def _disk(folder: Path) -> Iterator[Finding]:
    from legato.stores.survey import NETWORK_FILE_SYSTEMS, file_system_of

    kind = file_system_of(str(folder.resolve()))
    if kind in NETWORK_FILE_SYSTEMS:
        what = f"{folder} is on a network file system ({kind}), where SQLite's locks cannot be relied upon"
        yield Finding("file system", "warning", what, "keep the project's state on a local disk")
    elif kind:
        yield Finding("file system", "ok", kind)
    free = shutil.disk_usage(folder).free
    if free >= _SCARCE_BYTES:
        yield Finding("disk", "ok", f"{in_bytes(free)} free")
    else:
        level: Level = "warning" if free >= _TOO_FEW_BYTES else "fault"
        yield Finding("disk", level, f"only {in_bytes(free)} free where {folder} is", f"{_MAKE_ROOM}, or other things: df -h")
    files = os.statvfs(folder)
    if files.f_files and files.f_favail < _TOO_FEW_FILES:
        what = f"room for only {files.f_favail:,} more files where {folder} is"
        yield Finding("disk", "warning", what, f"{_MAKE_ROOM}, or other things: df -i")


def _handles() -> Iterator[Finding]:
    """Whether this user's processes may open as many files as a service needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _TOO_FEW_HANDLES:
        fix = f"ulimit -n {min(hard, 4096) if hard >= 0 else 4096}; in a systemd unit: LimitNOFILE=4096"
        yield Finding("handles", "warning", f"a process may open only {soft} files at once", fix)
    else:
        yield Finding("handles", "ok", f"a process may open {soft:,} files at once" if soft >= 0 else "no limit on open files")


def _permissions(premises: Premises) -> Iterator[Finding]:
    """Whether the state can be written, and by this user alone."""
    state = premises.state
    if not state.is_dir():
        if not os.access(premises.root, os.W_OK | os.X_OK):
            yield Finding("permissions", "fault", f"{premises.root} cannot be written", "make it writable for this user")
        return
    closed = [path for path in _places(state) if not os.access(path, os.W_OK)]
    if closed:
        what = f"{closed[0]} cannot be written" + (f", nor {len(closed) - 1} more" if len(closed) > 1 else "")
        yield Finding("permissions", "fault", what, "make it writable for this user; on a read-only disk nothing can run")
        return
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & 0o077:
        what = f"others on this machine may look into {state} ({mode:03o})"
        yield Finding("permissions", "warning", what, command("chmod", "700", str(state)))
    else:
        yield Finding("permissions", "ok", f"{state} is open to this user alone")


def _places(state: Path) -> Iterator[Path]:
    yield state
    yield from (path for name in ("state.db", "data", "logs") if (path := state / name).exists())


def _inbox(folder: Path) -> Iterator[Finding]:
    """What somebody asked for, and no conductor could read."""
    if unread := find_unread(folder):
        what = f"{len(unread)} request{'' if len(unread) == 1 else 's'} could not be read, the first: {unread[0]}"
        yield Finding("inbox", "warning", what, "see what is in it, ask again, and remove it")


def in_bytes(size_bytes: int) -> str:
    """A number of bytes for people: `812 B`, `3.4 MB`."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


_LEGATO_BEGAN = Instant(1_760_000_000_000_000)


def judge_clock(last: Instant | None, now: Instant | None = None) -> Finding:
    """Whether the system's time is after the last that was recorded."""
    present = Instant(time.time_ns() // 1000) if now is None else now
    if present < _LEGATO_BEGAN:
        what = f"the system's clock says {to_datetime(present):%Y-%m-%d}, before Legato was there"
        return Finding("clock", "fault", what, "set the clock: timedatectl set-ntp true; names of runs would not rise")
    if last is None or present >= last - 1_000_000:
        return Finding("clock", "ok", f"{to_datetime(present):%Y-%m-%d %H:%M:%S} UTC")
    back = format_seconds((last - present) / 1e6)
    what = f"the system's clock is {back} behind the last recorded instant, {to_datetime(last):%Y-%m-%d %H:%M:%S} UTC"
    return Finding("clock", "warning", what, "set the clock: timedatectl; runs work meanwhile, but their times do not rise")
