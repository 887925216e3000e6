"""The few steps on disk that storages are made of: private, durable, and the same however often they are tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_CHUNK = 1 << 20


def tree_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """All that stands below a folder, in an order that does not change: relative names (folders end in /) and paths."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}/", path
            yield from ((f"{entry.name}/{name}", below) for name, below in tree_of(path))
        else:
            yield entry.name, path


def size_of(path: Path) -> int:
    """The size in bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(below.stat().st_size for name, below in tree_of(path) if not name.endswith("/"))
    return path.stat().st_size


def digest(body: bytes) -> str:
    """32 hexadecimal digits over bytes: what `digest_of` says of a file that holds them."""
    return blake2b(body, digest_size=16).hexdigest()


def digest_of(path: Path) -> str:
    """32 hexadecimal digits over the bytes of a file, or over the names and bytes of all that a folder holds."""
    total = blake2b(digest_size=16)
    if not path.is_dir():
        for chunk in _chunks(path):
            total.update(chunk)
        return total.hexdigest()
    for name, below in tree_of(path):
        title = os.fsencode(name)
        total.update(len(title).to_bytes(8, "little") + title)
        if not name.endswith("/"):
            total.update(bytes.fromhex(digest_of(below)))
    return total.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, open to this user alone."""
    try:
        os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_folder(folder.parent)
        make_folder(folder)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (IsADirectoryError, PermissionError):  # the system's two words for a folder
        if not path.is_dir():
            raise
        shutil.rmtree(path)


def remove_quietly(path: Path) -> None:
    """Remove what a failed write left; the failure itself is the news, and the next write removes what stays."""
    with suppress(OSError):
        remove(path)


def open_private(path: str, flags: int) -> int:
    """Open a file that this user alone may read: an `opener` for `open`."""
    return os.open(path, flags, FILE_MODE)


def sync_tree(path: Path) -> None:
    """Make a file, or all that a folder holds, durable."""
    if path.is_dir():
        for _, below in tree_of(path):
            sync(below)
    sync(path)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
