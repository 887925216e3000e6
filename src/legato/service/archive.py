"""A project's state and data in one file: written while a service runs; read, and not trusted, into a project that has none."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from legato.ports.clock import Clock
from legato.ports.storage import Storage
from legato.ports.store import Holder, Store
from legato.service.keeping import stored_by
from legato.storages.disk import FILE_MODE, make_folder, sync, sync_tree, tree_of
from legato.storages.files import FileStorage
from legato.storages.location import parts_of
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError, Unreachable, UsageError
from legato.terms.instant import Instant

FORMAT = 1
HEAD, STORE, END = "legato.json", "state.db", "end.json"
"""The first member, what the archive is; the second, the store; the last, what everything before it adds up to."""
_DATA = re.compile(r"data/(?P<storage>[A-Za-z_][A-Za-z0-9_.-]*)/(?P<location>.+)\Z", re.S)
_CHUNK = 1 << 20
_MOST_SAID = 1 << 16
_PAGE = 1_000


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


# -- writing --


def export(house: Household, target: Path) -> Archived:
    """Write the store as it is at this moment, and every value that it speaks of, to a new file; whole, or not at all."""
    if target.exists():
        raise UsageError("archive-exists", f"{target} is there already", next="choose another name")
    if not (house.state / STORE).exists():
        raise UsageError("store-none", "nothing has run here yet", where=str(house.state), next="legato run")
    copy, growing = target.with_name(f".{target.name}.db"), target.with_name(f".{target.name}.part")
    try:
        _clear(copy, growing)
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
        _clear(copy, growing)
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
        self._tar, self._sum = tar, _Summing()

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


class _Summing:
    """Adds up names, sizes and bytes."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=32)
        self._members = self._bytes = 0

    def begin(self, name: str, size: int) -> None:
        title = name.encode("utf-8", "surrogateescape")
        self._digest.update(len(title).to_bytes(8, "little") + title + size.to_bytes(8, "little"))
        self._members, self._bytes = self._members + 1, self._bytes + size

    def take(self, chunk: bytes) -> None:
        self._digest.update(chunk)

    @property
    def total(self) -> Sum:
        return Sum(members=self._members, size_bytes=self._bytes, digest=self._digest.hexdigest())


class _Watched:
    """A file whose bytes are added up as they are read."""

    def __init__(self, file: BinaryIO, summing: _Summing) -> None:
        self._file, self._summing = file, summing

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._summing.take(chunk)
        return chunk


# -- reading --


def restore(house: Household, source: Path) -> Archived:
    """Make the state and data of a project that has none from an archive; all of it, or nothing."""
    _require_empty(house)
    fresh = {name: root.with_name(f"{root.name}.restored") for name, root in _outside(house).items()}
    state = house.state.with_name(f"{house.state.name}.restored")
    try:
        _clear(state, *fresh.values())
        make_folder(state)
        done = _read(house, source, state, fresh)
        _require_sound(house, state)
        for each in (*fresh.values(), state):
            if each.exists():
                sync_tree(each)
        for name, root in _outside(house).items():
            if fresh[name].exists():
                _take_place(fresh[name], root)
        _take_place(state, house.state)  # last: what is there without its store is nothing yet
    except OSError as error:
        raise Unreachable(
            "archive-write", "what is in the archive cannot be written", where=str(error.filename or house.state),
            why=error.strerror or str(error), next="make room there (df -h), then restore again",
        ) from error  # fmt: skip
    finally:
        _clear(state, *fresh.values())
    return done


def _outside(house: Household) -> dict[str, Path]:
    """The folders of storages that do not lie below the project's state."""
    return {name: root for name, root in house.roots.items() if not root.is_relative_to(house.state)}


def _require_empty(house: Household) -> None:
    if (holder := house.find_holder()) is not None:
        raise UsageError(
            "archive-occupied", f"process {holder.pid} (`{holder.command}`) works here", next=f"kill -INT {holder.pid}"
        )
    for place in (house.state / STORE, house.state / "data", *_outside(house).values()):
        if place.exists() and (place.is_file() or any(place.iterdir())):
            raise UsageError(
                "archive-occupied", "this project has state or data of its own", where=str(place),
                why="an archive is restored into a project that has none",
                next=f"move {house.state} elsewhere, or restore elsewhere",
            )  # fmt: skip


def _take_place(fresh: Path, place: Path) -> None:
    """Put a folder where one is empty, or none is."""
    if place.exists():
        for leftover in place.iterdir():  # locks and logs: without a store they belong to nothing
            if leftover.name == STORE:
                raise UsageError(
                    "archive-occupied", "something has begun to run here meanwhile", where=str(place), next="stop it"
                )
            if (fresh / leftover.name).exists():
                _clear(leftover)
            else:
                leftover.rename(fresh / leftover.name)
        place.rmdir()
    os.rename(fresh, place)
    sync(place.parent)


def _read(house: Household, source: Path, state: Path, fresh: Mapping[str, Path]) -> Archived:
    summing, values = _Summing(), set[str]()
    said: Said | None = None
    end: Sum | None = None
    with _opened(source) as members:
        for member, file in members:
            name = f"{member.name}/" if member.isdir() else member.name
            if end is not None or not (member.isreg() or member.isdir()) or (said is None) != (name == HEAD):
                raise _foreign(name)
            if name == END:
                end = _decoded(file, member, Sum)
                continue
            total = summing.total  # before this one: what the first says is judged at once
            summing.begin(name, member.size)
            if name == HEAD:
                body = _said(file, member)
                summing.take(body)
                said = _judged(body, house, source)
            else:
                target = _target(name, total, house, state, fresh)
                _copy(file, name, target, summing)
                values.update([name] if name != STORE else ())
    if said is None or end is None or summing.total != end:
        raise _damaged(source, "it ends before it is whole" if end is None else "its bytes are not those that were written")
    places = {"/".join(name.split("/")[:5]) for name in values}
    return Archived(project=said.project, at=said.at, values=len(places), size_bytes=end.size_bytes, digest=end.digest)


@contextmanager
def _opened(source: Path) -> Iterator[Iterable[tuple[tarfile.TarInfo, Any]]]:
    try:
        with open(source, "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            yield ((member, tar.extractfile(member) if member.isreg() else None) for member in tar)
    except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
        raise _damaged(source, str(error)) from error
    except FileNotFoundError as error:
        if error.filename != os.fspath(source):
            raise
        raise UsageError("archive-none", f"there is no {source}") from error


def _said(file: Any, member: tarfile.TarInfo) -> bytes:
    if member.size > _MOST_SAID:
        raise _foreign(member.name)
    body: bytes = file.read()
    return body


def _decoded(file: Any, member: tarfile.TarInfo, kind: type[Any]) -> Any:
    return msgspec.json.decode(_said(file, member), type=kind)


def _judged(body: bytes, house: Household, source: Path) -> Said:
    """What the archive says of itself, if this Legato reads such."""
    said = msgspec.json.decode(body, type=Said)
    if said.format != FORMAT:
        raise UsageError(
            "archive-format", f"{source} has format {said.format}, this Legato reads format {FORMAT}",
            why=f"Legato {said.legato} wrote it", next="restore it with that version",
        )  # fmt: skip
    return said


def _target(name: str, before: Sum, house: Household, state: Path, fresh: Mapping[str, Path]) -> Path:
    """Where a member belongs: one of few places, whatever it calls itself."""
    if name == STORE and before.members == 1:
        return state / STORE
    match = _DATA.match(name)
    parts = match["location"].removesuffix("/").split("/") if match else []
    sound = len(parts) >= 3 and all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    if match is None or not sound or before.members < 2:
        raise _foreign(name)
    storage = match["storage"]
    if storage not in house.roots:
        raise UsageError(
            "archive-storage", f"the archive has values of the storage {storage!r}, which this project does not have",
            next=f"add [storages.{storage}] to legato.toml",
        )  # fmt: skip
    root = fresh.get(storage) or state / house.roots[storage].relative_to(house.state)
    return root.joinpath(*parts)


def _copy(file: Any, name: str, target: Path, summing: _Summing) -> None:
    """Write a member where it belongs; nothing is there yet, or it is none of Legato's."""
    try:
        make_folder(target.parent)
        if name.endswith("/"):
            make_folder(target)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, FILE_MODE)
    except (FileExistsError, NotADirectoryError):
        raise _foreign(name) from None
    with open(descriptor, "wb") as out:
        while chunk := file.read(_CHUNK):
            summing.take(chunk)
            out.write(chunk)


def _require_sound(house: Household, state: Path) -> None:
    """Refuse a store that is none, or of a later Legato; bring an earlier one up to date."""
    if not (state / STORE).exists():
        raise _damaged(state, "it holds no store")
    store = house.adopt_store(state / STORE)
    try:
        if store.damage():
            raise _damaged(state, "the store in it is damaged")
    finally:
        store.close()
    (state / f"{STORE}.lock").unlink(missing_ok=True)


def _clear(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _foreign(name: str) -> LegatoError:
    return LegatoError(
        "archive-damaged", "this is no archive of Legato's",
        why=f"there is something in it that Legato does not write: {name!r:.200}", next="export it anew",
    )  # fmt: skip


def _damaged(source: Path, why: str) -> LegatoError:
    return LegatoError("archive-damaged", "the archive is not whole", where=str(source), why=why, next="export it anew")
