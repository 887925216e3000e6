"""Values in this process's memory, in the same bytes as on disk: for tests and for work that need not be kept."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from legato.ports.storage import Slot, Staged
from legato.storages import faults, kinds
from legato.storages.disk import digest, digest_of, remove_quietly, size_of, tree_of
from legato.storages.formats import TABLE, Encoded, encode
from legato.storages.location import folder_of, part
from legato.storages.tables import Source, outline
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError
from legato.terms.fact import Column

Content = bytes | dict[str, bytes]
"""The bytes of a file; of a folder, all files by their names below it, and folders by names that end in /."""

Values = dict[tuple[str, str, str], tuple[str, Content]]
"""Location and content by asset, partition and version."""


class MemoryStorage:
    """Keeps each value as the bytes that a file would hold, so that nothing done to a loaded value reaches the stored one.

    Storages made with one dict of `values` share them. A path is given out as a fresh copy in a temporary folder.
    """

    def __init__(self, name: str = "memory", *, unpickle: bool = False, values: Values | None = None) -> None:
        self.name, self.unpickle = name, unpickle
        self.values: Values = {} if values is None else values
        self._copies: Path | None = None

    def stage(self, slot: Slot, value: Any) -> Staged:
        """Keep the value under the slot; `value-type` if it cannot be stored."""
        encoded = encode(value)
        content, mark, size_bytes = _content(encoded)
        columns: tuple[Column, ...] = ()
        rows = -1
        if encoded.format is TABLE and isinstance(content, bytes):
            columns, rows = outline(value, content)
        names = [folder_of(slot), f"{part(slot.version)}{encoded.format.suffix}", encoded.inner]
        location = "/".join(name for name in names if name)
        self.values[slot.asset, slot.partition, slot.version] = (location, content)
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
        """Forget the value. A value that is not there is already forgotten."""
        if self._found(ref) is not None:
            self.values.pop((ref.asset, ref.partition, ref.version), None)

    def source(self, ref: Ref) -> Source:
        """The stored bytes; a copy on disk where they are a folder."""
        if fault := self.fault(ref):
            raise fault
        content = self._found(ref)
        return content if isinstance(content, bytes) else self.path(ref)

    def path(self, ref: Ref) -> Path:
        """A copy of the stored file or folder, for the life of this storage."""
        if fault := self.fault(ref):
            raise fault
        content = self._found(ref)
        assert content is not None
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="legato-"))
            weakref.finalize(self, remove_quietly, self._copies)
        target = Path(tempfile.mkdtemp(dir=self._copies)) / ref.location.rpartition("/")[2]
        _write(content, target)
        return target

    def fault(self, ref: Ref, *, deep: bool = False) -> LegatoError | None:
        """What is wrong with the stored bytes, judged by their size; by every byte if `deep`."""
        content, where = self._found(ref), f"memory: {ref.location}"
        if content is None:
            return faults.missing(ref, where)
        size_bytes = len(content) if isinstance(content, bytes) else sum(map(len, content.values()))
        if size_bytes != ref.size_bytes:
            return faults.changed(ref, where, f"it has {size_bytes} bytes instead of {ref.size_bytes}")
        if deep and _digest(content) != ref.digest:
            return faults.changed(ref, where, "its size is right, but its content is not")
        return None

    def _found(self, ref: Ref) -> Content | None:
        location, content = self.values.get((ref.asset, ref.partition, ref.version), ("", None))
        return content if location == ref.location else None


def _content(encoded: Encoded) -> tuple[Content, str, int]:
    """What is to be kept, its digest and its size, both as they are for files."""
    body = encoded.body
    if isinstance(body, bytes):
        return body, digest(body), len(body)
    with TemporaryDirectory() as folder:
        target = Path(folder, encoded.inner or "content")
        body(target)
        content: Content = _read(target) if target.is_dir() else target.read_bytes()
        return content, digest_of(target), size_of(target)


def _digest(content: Content) -> str:
    if isinstance(content, bytes):
        return digest(content)
    with TemporaryDirectory() as folder:
        _write(content, copy := Path(folder, "copy"))
        return digest_of(copy)


def _read(folder: Path) -> dict[str, bytes]:
    return {name: b"" if name.endswith("/") else path.read_bytes() for name, path in tree_of(folder)}


def _write(content: Content, target: Path) -> None:
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    target.mkdir()
    for name, body in content.items():
        if name.endswith("/"):
            (target / name).mkdir()
        else:
            (target / name).write_bytes(body)
