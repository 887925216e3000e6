"""A project's state and data in one file: what it says of itself, what it adds up to, and where a project keeps what is in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from legato.ports.clock import Clock
from legato.ports.storage import Storage
from legato.ports.store import Holder, Store
from legato.storages.files import FileStorage
from legato.terms.instant import Instant

FORMAT = 1
HEAD, STORE, END = "legato.json", "state.db", "end.json"
"""The first member, what the archive is; the second, the store; the last, what everything before it adds up to."""


class Said(Struct, frozen=True, kw_only=True):
    """What an archive says of itself."""

    format: int
    legato: str
    project: str
    at: Instant
    schema: int


class Sum(Struct, frozen=True, kw_only=True):
    """What an archive adds up to: members, their bytes, and a digest over all names, sizes and bytes in their order."""

    members: int
    size_bytes: int
    digest: str


class Archived(Struct, frozen=True, kw_only=True):
    """An archive that was written or read: how many values it holds, and how many the store speaks of whose bytes are gone."""

    project: str
    at: Instant
    values: int
    size_bytes: int
    digest: str
    missing: int = 0


@dataclass(frozen=True)
class Household:
    """All that a project keeps, and how to copy its store; nothing of its code is loaded."""

    name: str
    state: Path
    legato: str
    clock: Clock
    storages: Mapping[str, Storage]
    copy_store: Callable[[Path], None]
    open_store: Callable[[Path], Store]
    adopt_store: Callable[[Path], Store]
    """Opens a store for writing, and brings it up to date."""
    find_holder: Callable[[], Holder | None]

    @property
    def roots(self) -> dict[str, Path]:
        """The folders of the storages, by name."""
        return {name: each.root for name, each in self.storages.items() if isinstance(each, FileStorage)}


class Summing:
    """Adds up names, sizes and bytes."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=32)
        self._members = self._bytes = 0

    def begin(self, name: str, size: int) -> None:
        """A member comes, of this name and size."""
        title = name.encode("utf-8", "surrogateescape")
        self._digest.update(len(title).to_bytes(8, "little") + title + size.to_bytes(8, "little"))
        self._members, self._bytes = self._members + 1, self._bytes + size

    def take(self, chunk: bytes) -> None:
        """Some of its bytes."""
        self._digest.update(chunk)

    @property
    def total(self) -> Sum:
        """What all of it adds up to so far."""
        return Sum(members=self._members, size_bytes=self._bytes, digest=self._digest.hexdigest())


def clear(*paths: Path) -> None:
    """Remove what is there, whatever it is."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
