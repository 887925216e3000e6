"""The storages that come with Legato keep the promises of the port, and files keep a few of their own."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from legato.ports.storage import Slot, Storage
from legato.storages import files
from legato.storages.disk import digest_of
from legato.storages.files import FileStorage, leftovers
from legato.storages.memory import MemoryStorage, Values
from legato.storages.tables import BIG_BYTES
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError, Unreachable
from legato.testing.storage import StorageConformance, columns_in


def flip(path: Path) -> None:
    """Change the first byte of a file, or of the first file in a folder."""
    target = next(below for below in sorted(path.rglob("*")) if below.is_file()) if path.is_dir() else path
    body = target.read_bytes()
    target.write_bytes(bytes([body[0] ^ 1]) + body[1:])


class TestFiles(StorageConformance):
    def make(self, folder: Path, *, unpickle: bool) -> Storage:
        return FileStorage(folder, durable=False, unpickle=unpickle)

    def damage(self, storage: Storage, ref: Ref) -> None:
        assert isinstance(storage, FileStorage)
        flip(storage.root / ref.location)


class TestMemory(StorageConformance):
    @pytest.fixture(autouse=True)
    def _values(self) -> None:
        self.values: Values = {}

    def make(self, folder: Path, *, unpickle: bool) -> Storage:
        return MemoryStorage(unpickle=unpickle, values=self.values)

    def damage(self, storage: Storage, ref: Ref) -> None:
        place = (ref.asset, ref.partition, ref.version)
        location, content = self.values[place]
        if isinstance(content, bytes):
            self.values[place] = (location, bytes([content[0] ^ 1]) + content[1:])
        else:
            self.values[place] = (location, {name: body[::-1] for name, body in content.items()})


SLOT = Slot("delays", "2013-01-05", "run.1")


def all_files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_layout_is_readable_and_private(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data")
    ref = storage.stage(Slot("raw/flights", "", "run.1"), "text").ref
    assert ref.location == "raw%2Fflights/_/run.1.txt"
    assert all_files(storage.root) == [ref.location]
    for path in (storage.root, *storage.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert ref.digest == digest_of(storage.root / ref.location)


def test_a_durable_value_is_synced_with_every_name_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def witness_sync(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def witness_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", witness_sync)
    monkeypatch.setattr(os, "replace", witness_replace)
    root = tmp_path / "data"
    FileStorage(root).stage(SLOT, "text")
    assert steps == [".run.1.tmp", "rename", "2013-01-05", "delays", "data", tmp_path.name]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a").write_text("x")
    steps.clear()
    FileStorage(root).stage(SLOT, mine)
    assert sorted(steps[:3]) == [".run.1.tmp", "a", "mine"]
    assert steps[3:5] == ["rename", "2013-01-05"]


@pytest.mark.parametrize("value", ["text", pl.DataFrame({"a": [1]}), pl.LazyFrame({"a": [1]})], ids=["text", "table", "lazy"])
def test_a_crash_before_the_rename_leaves_nothing_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    expected = FileStorage(tmp_path / "elsewhere", durable=False).stage(SLOT, value).ref
    storage = FileStorage(tmp_path / "data", durable=False)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        patch.setattr(files, "remove_quietly", lambda _: None)  # a dead process cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            storage.stage(SLOT, value)
    remains = all_files(storage.root)
    assert remains == ["delays/2013-01-05/.run.1.tmp"]
    with pytest.raises(LegatoError) as caught:
        storage.load((expected,), Any)
    assert caught.value.code == "storage-missing"
    assert list(leftovers(storage.root, {expected.location})) == [storage.root / remains[0]]
    assert storage.stage(SLOT, value).ref == expected
    assert all_files(storage.root) == [expected.location]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_a_disk_that_takes_nothing_is_told_and_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    storage = FileStorage(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(Unreachable) as caught:
            storage.stage(SLOT, "text")
    assert caught.value.code == "storage-write"
    assert os.strerror(number) in str(caught.value)
    assert "legato resume" in caught.value.next
    assert all_files(tmp_path) == []


def test_a_full_disk_is_told_by_every_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that is always full stands where the storage would write."""
    storage = FileStorage(tmp_path, durable=False)
    monkeypatch.setattr(files, "open_private", lambda _, flags: os.open("/dev/full", os.O_WRONLY))
    monkeypatch.setattr(files, "remove", lambda path: None)
    frame = pl.DataFrame({"a": range(100_000)})
    for number, value in enumerate(("x" * 100, {"a": 1}, frame, frame.lazy())):
        folder = tmp_path / "full" / str(number)
        folder.mkdir(parents=True)
        (folder / ".v.tmp").symlink_to("/dev/full")
        with pytest.raises(Unreachable, match="No space left"):
            storage.stage(Slot("full", str(number), "v"), value)
        assert not list(folder.iterdir())


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(Unreachable, match="storage-write"):
        FileStorage(tmp_path / "data").stage(SLOT, "text")


def test_a_refused_value_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    storage = FileStorage(tmp_path / "data", durable=False)
    for value in (tmp_path, (each for each in [1]), pl.DataFrame({"a": [object()]}), pl.LazyFrame({"a": [1]}).select("none")):
        with pytest.raises((LegatoError, pl.exceptions.ColumnNotFoundError)):
            storage.stage(SLOT, value)
    assert all_files(tmp_path) == []


@pytest.mark.parametrize("edit", ["append", "delete"])
def test_edits_by_hand_are_found(tmp_path: Path, edit: str) -> None:
    storage = FileStorage(tmp_path, durable=False)
    refs = tuple(storage.stage(Slot("delays", day, "run.1"), pl.DataFrame({"a": [1]})).ref for day in ("1", "2"))
    path = tmp_path / refs[1].location
    path.unlink() if edit == "delete" else path.write_bytes(path.read_bytes() + b"x")
    for kind in (pl.DataFrame, pl.LazyFrame, dict[str, pl.DataFrame], list[Path]):
        with pytest.raises(LegatoError) as caught:
            storage.load(refs, kind, many=True)
        assert caught.value.code == ("storage-missing" if edit == "delete" else "storage-changed")
        assert "delays@2" in caught.value.what
        assert caught.value.where == str(path)
        assert "by hand" in caught.value.why
        assert "legato run --force delays@2" in caught.value.next
    assert storage.load(refs[:1], pl.DataFrame).height == 1


def test_big_tables_are_written_past_memory_and_read_the_same(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, durable=False)
    frame = pl.select(a=pl.int_range(BIG_BYTES // 8 + 1))
    for value in (frame, frame.to_arrow()):
        staged = storage.stage(SLOT, value)
        assert staged.ref.rows == frame.height
        assert staged.ref.digest == digest_of(tmp_path / staged.ref.location)
        assert storage.load((staged.ref,), pl.LazyFrame).select(pl.col("a").sum()).collect().item() == frame["a"].sum()


def test_leftovers_are_what_no_version_names(tmp_path: Path) -> None:
    assert list(leftovers(tmp_path / "none", set())) == []
    storage = FileStorage(tmp_path / "data", durable=False)
    (tmp_path / "file").write_text("x")
    kept = [storage.stage(Slot("a", "1", "run.1"), value).ref for value in ("text",)]
    kept += [storage.stage(Slot("a", "1", "run.2"), tmp_path / "file").ref]
    lost = [storage.stage(Slot("b", "", "run.3"), "lost").ref, storage.stage(Slot("b", "", "run.4"), tmp_path / "file").ref]
    (storage.root / "a" / "stranger").write_text("x")
    found = sorted(leftovers(storage.root, {ref.location for ref in kept}))
    below = [path.relative_to(storage.root).as_posix() for path in found]
    assert below == ["a/stranger", "b/_/run.3.txt", "b/_/run.4.path"]
    assert lost[1].location == "b/_/run.4.path/file"


def test_a_query_of_duckdb_is_run_once(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select random() as r, null as n from range(3)")
    staged = FileStorage(tmp_path, durable=False).stage(SLOT, relation)
    assert staged.ref.rows == 3
    assert [(each.name, each.nulls) for each in staged.columns] == [("r", False), ("n", True)]


def test_a_root_with_odd_characters_is_only_a_root(tmp_path: Path) -> None:
    import duckdb

    storage = FileStorage(tmp_path / "day=1 [x]*{y}" / "%41", durable=False)
    FileStorage(tmp_path / "day=1 [x]z{y}" / "%41", durable=False).stage(Slot("a", "1", "run.1"), pl.DataFrame({"a": [2]}))
    refs = tuple(storage.stage(Slot("a", day, "run.1"), pl.DataFrame({"a": [1]})).ref for day in "12")
    for kind in (pl.DataFrame, pl.LazyFrame, duckdb.DuckDBPyRelation):
        loaded = storage.load(refs, kind, many=True)
        assert columns_in(loaded) == {"a": [1, 1]}
