"""Reads an archive, and does not trust it, into a project that has neither state nor data."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from legato.service.archive import END, FORMAT, HEAD, STORE, Archived, Household, Said, Sum, Summing, clear
from legato.storages.disk import FILE_MODE, make_folder, sync, sync_tree
from legato.terms.errors import LegatoError, Unreachable, UsageError

_DATA = re.compile(r"data/(?P<storage>[A-Za-z_][A-Za-z0-9_.-]*)/(?P<location>.+)\Z", re.S)
_CHUNK = 1 << 20
_MOST_SAID = 1 << 16


def restore(house: Household, source: Path) -> Archived:
    """Make the state and data of a project that has none from an archive; all of it, or nothing."""
    _require_empty(house)
    fresh = {name: root.with_name(f"{root.name}.restored") for name, root in _outside(house).items()}
    state = house.state.with_name(f"{house.state.name}.restored")
    try:
        clear(state, *fresh.values())
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
        clear(state, *fresh.values())
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
                clear(leftover)
            else:
                leftover.rename(fresh / leftover.name)
        place.rmdir()
    os.rename(fresh, place)
    sync(place.parent)


def _read(house: Household, source: Path, state: Path, fresh: Mapping[str, Path]) -> Archived:
    summing, values = Summing(), set[str]()
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


def _copy(file: Any, name: str, target: Path, summing: Summing) -> None:
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


def _foreign(name: str) -> LegatoError:
    return LegatoError(
        "archive-damaged", "this is no archive of Legato's",
        why=f"there is something in it that Legato does not write: {name!r:.200}", next="export it anew",
    )  # fmt: skip


def _damaged(source: Path, why: str) -> LegatoError:
    return LegatoError("archive-damaged", "the archive is not whole", where=str(source), why=why, next="export it anew")
