"""The writer's place: one live process has it, and it is free as soon as that process is gone, however it went."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from legato.ports.store import Holder
from legato.stores import faults

_TRIES, _PAUSE_S = 20, 0.005


class WriterLock:
    """An flock on a file beside the store, whose content says for people who holds it.

    The file is never removed: a lock on a removed file would exclude nobody. The kernel keeps an flock for as long as any
    process holds a copy of its descriptor, so a forked child must `forget` it, or the place would outlive its holder.
    """

    def __init__(self, store_path: str, holder: str, url: str = "") -> None:
        """Take the place, or raise `Unreachable` (`store-locked`) with the name of who has it."""
        self._store_path, self._url = store_path, url
        self._descriptor = os.open(f"{store_path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(holder)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Give the place up."""
        with suppress(OSError):  # the name is for people; the lock itself ends with the descriptor
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def forget(self) -> None:
        """Close a forked child's copy of the lock; the parent keeps the place."""
        os.close(self._descriptor)

    def _take(self, holder: str) -> None:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found = self._read()
                if found and _lives(found.pid):
                    break
                time.sleep(_PAUSE_S)  # its holder has just taken it and not yet written its name, or is about to end
            else:
                return self._write(holder)
        found = self._read()
        if found is None:
            raise faults.locked_namelessly(self._store_path)
        raise faults.locked(self._store_path, found.pid, found.command, found.since)

    def _write(self, holder: str) -> None:
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, msgspec.json.encode(Holder(os.getpid(), holder, since, self._url)), 0)

    def _read(self) -> Holder | None:
        return _read(self._descriptor)


def find_holder(store_path: str | os.PathLike[str]) -> Holder | None:
    """The live process that has the writer's place of the store at this path, if one has."""
    try:
        descriptor = os.open(f"{os.fspath(store_path)}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor) or Holder(0, "unknown", "just now")
    else:
        return None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 65_536, 0), type=Holder)
    except msgspec.DecodeError:
        return None  # empty or half-written: its holder is writing it now


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
