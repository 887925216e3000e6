"""What can be wrong with a storage, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from legato.ports.storage import Slot
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError, Unreachable
from legato.terms.key import show

WRITE_FAULTS = {
    errno.ENOSPC: "free space on that disk, then: legato resume",
    errno.EDQUOT: "free space within your quota, then: legato resume",
    errno.EROFS: "make the folder writable, then: legato resume",
    errno.EACCES: "make the folder writable for this user, then: legato resume",
    errno.EPERM: "make the folder writable for this user, then: legato resume",
    errno.EIO: "check the disk, then: legato resume",
    errno.ENOTDIR: "move the file away that stands where a folder should be, then: legato resume",
}
"""Errors that speak of the place, not of the value."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def of_the_place(error: BaseException) -> int:
    """The number of an error that speaks of the place; 0 for others. Table libraries tell a full disk in their text alone."""
    if isinstance(error, OSError) and error.errno in WRITE_FAULTS:
        return error.errno
    text = str(error)
    return next((number for number in _DISK_FULL if os.strerror(number) in text), 0)


def missing(ref: Ref, where: Path | str) -> LegatoError:
    """The stored value is not where it was put."""
    return _lost("storage-missing", f"the stored value of {show(ref.asset, ref.partition)} is missing", ref, where)


def changed(ref: Ref, where: Path | str, how: str) -> LegatoError:
    """The stored value is not what was put there."""
    return _lost("storage-changed", f"the stored value of {show(ref.asset, ref.partition)} was changed: {how}", ref, where)


def not_written(value: Slot | Ref, where: Path, number: int, act: str = "stored") -> Unreachable:
    """The place takes no change."""
    return Unreachable(
        "storage-write",
        f"the value of {show(value.asset, value.partition)} cannot be {act}",
        where=str(where),
        why=os.strerror(number),
        next=WRITE_FAULTS.get(number, "legato doctor"),
    )


def not_reached(ref: Ref, where: Path, error: OSError) -> Unreachable:
    """The place gives no answer about a value."""
    return Unreachable(
        "storage-read",
        f"the stored value of {show(ref.asset, ref.partition)} cannot be reached",
        where=str(where),
        why=error.strerror or str(error),
        next="legato doctor",
    )


def _lost(code: str, what: str, ref: Ref, where: Path | str) -> LegatoError:
    return LegatoError(
        code,
        what,
        where=str(where),
        why="somebody edited or deleted files below .legato/data by hand",
        next=f"legato run --force {show(ref.asset, ref.partition)}, and legato doctor to find all such files",
    )
