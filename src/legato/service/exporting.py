"""Writes a project's state and data to an archive, while a service may run."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from legato.ports.store import Store
from legato.service.archive import END, FORMAT, HEAD, STORE, Archived, Household, Said, Sum, Summing, clear
from legato.service.keeping import stored_by
from legato.storages.disk import FILE_MODE, sync, tree_of
from legato.storages.location import parts_of
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError, Unreachable, UsageError

_PAGE = 1_000


def export(house: Household, target: Path) -> Archived:
    """Write the store as it is at this moment, and every value that it speaks of, to a new file; whole, or not at all."""
    if target.exists():
        raise UsageError("archive-exists", f"{target} is there already", next="choose another name")
    if not (house.state / STORE).exists():
        raise UsageError("store-none", "nothing has run here yet", where=str(house.state), next="legato run")
    copy, growing = target.with_name(f".{target.name}.db"), target.with_name(f".{target.name}.part")
    try:
        clear(copy, growing)
        house.copy_store(copy)
        store = house.open_store(copy)
        try:
            with open(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
                done = _write(house, store, copy, file)
                file.flush()
                os.fsync(file.fileno())
        finally:
            store.close()
        os.rename(growing, target)
        sync(target.parent)
    except OSError as error:
        raise Unreachable(
            "archive-write", "the archive cannot be written", where=str(target), why=error.strerror or str(error),
            next="make room there, or choose another place",
        ) from error  # fmt: skip
    finally:
        clear(copy, growing)
    return done


def _write(house: Household, store: Store, copy: Path, file: BinaryIO) -> Archived:
    said = Said(
        format=FORMAT, legato=house.legato, project=house.name, at=house.clock.now(), schema=int(store.facts()["schema"])
    )  # fmt: skip
    values = missing = 0
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        adder = _Adder(tar)
        adder.add_bytes(HEAD, msgspec.json.encode(said))
        adder.add_file(STORE, copy)
        for storage, location in _known_values(store):
            found = 0
            for name, path in _files_of(house.roots.get(storage), storage, location):
                found += adder.add_file(name, path)
            values, missing = values + bool(found), missing + (not found)
        total = adder.total
        adder.add_bytes(END, msgspec.json.encode(total))
    return Archived(
        project=house.name, at=said.at, values=values, size_bytes=total.size_bytes, digest=total.digest, missing=missing
    )  # fmt: skip


def _known_values(store: Store) -> Iterator[tuple[str, str]]:
    """Storage and place of every value that the store speaks of, each once."""
    from legato.kernel import events as ev

    known: set[tuple[str, str]] = set()
    for ref in _refs(store, ev.decode):
        place = ref.storage, "/".join(ref.location.split("/")[:3])
        if ref.location and place not in known:
            known.add(place)
            yield place


def _refs(store: Store, decode: Callable[[bytes], Any]) -> Iterator[Ref]:
    for asset in store.assets():
        before = 0
        while page := store.versions(asset, limit=_PAGE, before=before):
            yield from (version.ref for _, version in page)
            before = page[-1][0]
    after = 0
    while changes := store.changes(after, _PAGE):
        after = changes[-1][0]
        for _, _, body in changes:
            with suppress(ValueError):  # what cannot be read speaks of nothing
                yield from stored_by(decode(body))


def _files_of(root: Path | None, storage: str, location: str) -> Iterator[tuple[str, Path]]:
    """The files of one value, with their names in the archive; none if it is gone."""
    if root is None or not parts_of(location):
        return
    path = root / location
    if path.is_dir() and not path.is_symlink():
        yield f"data/{storage}/{location}/", path
        for name, below in tree_of(path):
            if not below.resolve().is_relative_to(path.resolve()):
                raise LegatoError(
                    "archive-value", f"the stored folder {path} holds a link that leads out of it", where=str(below),
                    next="what it leads to is no part of the value: make the value anew",
                )  # fmt: skip
            yield f"data/{storage}/{location}/{name}", below.resolve() if below.is_symlink() else below
    elif path.exists():
        yield f"data/{storage}/{location}", path


class _Adder:
    """Adds members to an archive, one after the other, and adds them up."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self._sum = tar, Summing()

    @property
    def total(self) -> Sum:
        return self._sum.total

    def add_bytes(self, name: str, body: bytes) -> None:
        self._add(name, len(body), io.BytesIO(body))

    def add_file(self, name: str, path: Path) -> bool:
        """Whether the file was there; it is never reached through a link. A name that ends in / is of a folder."""
        if name.endswith("/"):
            self._add(name, 0, io.BytesIO(), tarfile.DIRTYPE)
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        with open(descriptor, "rb") as file:
            self._add(name, os.fstat(descriptor).st_size, file)
        return True

    def _add(self, name: str, size: int, file: Any, kind: bytes = tarfile.REGTYPE) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.type = size, FILE_MODE, kind
        self._sum.begin(name, size)
        self._tar.addfile(member, _Watched(file, self._sum))


class _Watched:
    """A file whose bytes are added up as they are read."""

    def __init__(self, file: BinaryIO, summing: Summing) -> None:
        self._file, self._summing = file, summing

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._summing.take(chunk)
        return chunk
