"""Values as files below one folder: `<asset>/<partition>/<version>.<suffix>`, any number of readers, no server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from legato.ports.storage import Slot, Staged
from legato.storages import faults, kinds
from legato.storages.disk import (
    FOLDER_MODE,
    digest,
    digest_of,
    make_folder,
    open_private,
    remove,
    remove_quietly,
    size_of,
    sync,
    sync_tree,
)
from legato.storages.formats import FORMATS, TABLE, Encoded, encode
from legato.storages.location import folder_of, part, parts_of
from legato.storages.tables import outline
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError


class FileStorage:
    """Keeps each value in a file of its own, written beside its name, synced, then renamed: there whole, or not at all.

    Every value is synced by itself, as `stage` promises: 0.5 ms for a small file with its folders (ext4), beside the 1 ms that
    writing it as Parquet takes. A sync of the whole file system would wait for everybody's data, and a later one would break
    the promise. `durable=False` leaves the syncs out, for tests and scratch data. Only workers are made with `unpickle=True`.
    """

    def __init__(self, root: Path | str, name: str = "files", *, durable: bool = True, unpickle: bool = False) -> None:
        self.root, self.name, self.unpickle = Path(root).absolute(), name, unpickle
        self._durable = durable
        self._settled: set[str] = set()

    def stage(self, slot: Slot, value: Any) -> Staged:
        """Keep the value under the slot; `value-type` if it cannot be stored, `storage-write` if the disk takes nothing."""
        encoded = encode(value)
        folder, stem = self.root / folder_of(slot), part(slot.version)
        temporary, final = folder / f".{stem}.tmp", folder / f"{stem}{encoded.format.suffix}"
        try:
            make_folder(folder)
            remove(temporary)
            mark, size_bytes = self._write(encoded, temporary)
            columns, rows = outline(value, temporary) if encoded.format is TABLE else ((), -1)
            for form in FORMATS:
                remove(folder / f"{stem}{form.suffix}")
            os.replace(temporary, final)
            if self._durable:
                self._settle(folder)
        except BaseException as error:
            remove_quietly(temporary)
            if number := faults.of_the_place(error):
                raise faults.not_written(slot, folder, number) from error
            raise
        location = "/".join([folder_of(slot), final.name, *([encoded.inner] if encoded.inner else [])])
        ref = Ref(slot.asset, slot.partition, slot.version, self.name, location, encoded.format.name, size_bytes, rows, mark)
        return Staged(ref, columns)

    def load(self, refs: tuple[Ref, ...], kind: Any, *, many: bool = False) -> Any:
        """The value of the refs as `kind`, by the rules of the storage port."""
        return kinds.load(self, refs, kind, many)

    def check(self, ref: Ref) -> str:
        """Empty if the stored bytes have the digest they were staged with; else what is wrong with them."""
        fault = self.fault(ref, deep=True)
        return fault.what if fault else ""

    def discard(self, ref: Ref) -> None:
        """Remove the value. A value that is not there is already forgotten."""
        if parts := parts_of(ref.location):
            try:
                remove(self.root.joinpath(*parts[:3]))
            except OSError as error:
                raise faults.not_written(ref, self.root / ref.location, error.errno or 0, "removed") from error

    def path(self, ref: Ref) -> Path:
        """The stored file or folder, if it is there and of the size it was staged with."""
        if fault := self.fault(ref):
            raise fault
        return self.root / ref.location

    source = path

    def fault(self, ref: Ref, *, deep: bool = False) -> LegatoError | None:
        """What is wrong with the stored bytes, judged by their size; by every byte if `deep`."""
        path = self.root / ref.location
        if not parts_of(ref.location):
            return faults.missing(ref, ref.location)
        try:
            size_bytes = size_of(path)
            if size_bytes != ref.size_bytes:
                return faults.changed(ref, path, f"it has {size_bytes} bytes instead of {ref.size_bytes}")
            if deep and digest_of(path) != ref.digest:
                return faults.changed(ref, path, "its size is right, but its content is not")
        except (FileNotFoundError, NotADirectoryError):
            return faults.missing(ref, path)
        except OSError as error:
            return faults.not_reached(ref, path, error)
        return None

    def _write(self, encoded: Encoded, target: Path) -> tuple[str, int]:
        """Write the body to a file or folder of its own and sync it; its digest and size."""
        body = encoded.body
        if isinstance(body, bytes):
            with open(target, "wb", opener=open_private) as file:
                file.write(body)
                file.flush()
                if self._durable:
                    os.fsync(file.fileno())
            return digest(body), len(body)
        if encoded.inner:
            os.mkdir(target, FOLDER_MODE)
        content = target / encoded.inner if encoded.inner else target
        body(content)
        if self._durable:
            sync_tree(target)
        return digest_of(content), size_of(content)

    def _settle(self, folder: Path) -> None:
        """Make the names on the way to a value durable; those of the root and the asset once per process."""
        sync(folder)
        sync(folder.parent)
        if folder.parent.name not in self._settled:
            sync(self.root)
            sync(self.root.parent)
            self._settled.add(folder.parent.name)


def leftovers(root: Path | str, known: set[str]) -> Iterator[Path]:
    """Files and folders below a storage's root that belong to none of the known locations: remains of crashes, or strangers.
    Found one by one, in no order.

    What a live attempt is writing or has staged is among them: compare with its start, or ask when nothing runs.
    """
    top = Path(root)
    kept = {"/".join(location.split("/")[:3]) for location in known}
    found = _entries(top, 3) if top.is_dir() else iter(())
    return (path for path in found if path.relative_to(top).as_posix() not in kept)


def _entries(folder: Path, levels: int) -> Iterator[Path]:
    """All entries on the last of these levels, that of versions, and strangers that stand where a folder should be."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if levels > 1 and entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path), levels - 1)
            else:
                yield Path(entry.path)
