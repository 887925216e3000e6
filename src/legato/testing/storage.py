"""Whether a storage keeps the promises of its port. Subclass the suite, say how to make the storage, run it with pytest.

    class TestMyStorage(StorageConformance):
        def make(self, folder, *, unpickle): return MyStorage(folder, unpickle=unpickle)
        def damage(self, storage, ref): ...    # change one byte of what is stored, behind its back

What is made in one folder twice must see the same values, as two processes would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legato.ports.storage import Slot, Storage
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError

NEW_YORK = ZoneInfo("America/New_York")
PLAIN_VALUES: tuple[Any, ...] = (
    None, True, 0, -(2**70), 1.5, math.inf, "", "héllo\r\n\0", b"\x00\xff", [], {}, [1, [2, {"a": None}]],
    {"$date": "no date", "a": 1}, {1: "a", (2, 3): b"b", None: "c"}, (1, (2,), [3]), {1, (2,)}, frozenset({(1, 2)}),
    date(2013, 1, 5), time(6, 30, tzinfo=UTC), timedelta(days=-1, microseconds=3), Decimal("1.10"), UUID(int=7),
    datetime(2013, 1, 5, 6, 0, 0, 123), datetime(2013, 1, 5, tzinfo=UTC),
    datetime(2013, 11, 3, 1, 30, fold=1, tzinfo=NEW_YORK), datetime(2013, 3, 10, 2, 30, tzinfo=NEW_YORK),
)  # fmt: skip
HOSTILE_NAMES = (
    "../x", "..", ".", "", "_", "/etc/passwd", "a/b", "a/../b", "a\0b", "a" * 5000, "b" * 5000, "ü", "u\u0308", "\ud800",
    "a b", "a%2Fb", "CON", "A", "~", "~/x", "-rf", "*", "a\nb", ".hidden", ".v.tmp", "2013-01-05T06:00:00+01:00|EWR",
)  # fmt: skip
TABLE_KINDS = ("polars.DataFrame", "polars.LazyFrame", "pandas.DataFrame", "pyarrow.Table", "duckdb.DuckDBPyRelation")
_atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones()) | st.timedeltas() | st.decimals(allow_nan=False) | st.uuids()
)  # fmt: skip
_keys = st.text() | st.integers() | st.tuples(st.text(), st.booleans())
plain_data = st.recursive(
    _atoms,
    lambda below: st.lists(below) | st.dictionaries(_keys, below) | st.tuples(below, below) | st.frozensets(_atoms),
    max_leaves=12,
)
_numbers = count()


class Flight(msgspec.Struct):
    """A record as users write them."""

    carrier: str
    day: date
    delays: tuple[float, ...] = ()


class Route:
    """An object of a class of the user's: no data, but pickle takes it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def __repr__(self) -> str:
        return f"Route({self.origin!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Route) and other.origin == self.origin

    __hash__ = None  # type: ignore[assignment]


def slot(asset: str = "delays", partition: str = "2013-01-05") -> Slot:
    """A slot that no test has used."""
    return Slot(asset, partition, f"run-{next(_numbers)}.1")


def kind_named(name: str) -> Any:
    """The class of a `library.Class`, or a skip where the library is not installed."""
    library, _, cls = name.partition(".")
    return getattr(pytest.importorskip(library), cls)


def table_as(name: str, columns: dict[str, list[Any]]) -> Any:
    """A table of a `library.Class`."""
    kind = kind_named(name)
    if kind.__name__ == "DuckDBPyRelation":
        import duckdb

        return duckdb.from_arrow(table_as("pyarrow.Table", columns))
    return kind.from_pydict(columns) if name.startswith("pyarrow") else kind(columns)


def columns_in(table: Any) -> dict[str, list[Any]]:
    """The values of a table of any library, by column."""
    for step in ("collect", "to_arrow_table"):
        table = getattr(table, step)() if hasattr(table, step) else table
    if hasattr(table, "to_pydict"):
        return dict(table.to_pydict())
    return dict(table.to_dict(**({"as_series": False} if hasattr(table, "estimated_size") else {"orient": "list"})))


class StorageConformance:
    """Every sentence of the storage port, as tests."""

    def make(self, folder: Path, *, unpickle: bool) -> Storage:
        """The storage to judge, with all that it keeps below the folder."""
        raise NotImplementedError

    def damage(self, storage: Storage, ref: Ref) -> None:
        """Change one stored byte, and no size, behind the storage's back."""
        raise NotImplementedError

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """The folder that the storage may write to; what stands beside it must not change."""
        (tmp_path / "outside.txt").write_text("untouched")
        return tmp_path / "root"

    @pytest.fixture
    def storage(self, root: Path, tmp_path: Path) -> Iterator[Storage]:
        """The storage as workers hold it."""
        yield self.make(root, unpickle=True)
        assert {path.name for path in tmp_path.iterdir()} <= {"root", "outside.txt", "mine"}
        assert (tmp_path / "outside.txt").read_text() == "untouched"

    # -- values come back as they were --

    @pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
    def test_plain_values_come_back_equal_and_of_their_type(self, storage: Storage, value: Any) -> None:
        loaded = storage.load((storage.stage(slot(), value).ref,), Any)
        assert loaded == value
        assert type(loaded) is type(value)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(value=plain_data)
    def test_plain_data_comes_back_equal(self, storage: Storage, value: Any) -> None:
        loaded = storage.load((storage.stage(slot(), value).ref,), Any)
        assert loaded == value
        assert type(loaded) is type(value)

    def test_nan_stays_nan(self, storage: Storage) -> None:
        assert math.isnan(storage.load((storage.stage(slot(), {"mean": math.nan}).ref,), dict)["mean"])

    def test_a_second_storage_reads_what_the_first_staged(self, storage: Storage, root: Path) -> None:
        ref = storage.stage(slot(), {"a": 1}).ref
        assert self.make(root, unpickle=False).load((ref,), dict) == {"a": 1}

    def test_a_change_to_a_loaded_value_never_reaches_the_stored_one(self, storage: Storage) -> None:
        value = {"rows": [1, 2]}
        ref = storage.stage(slot(), value).ref
        value["rows"].append(3)
        storage.load((ref,), dict)["rows"].append(4)
        assert storage.load((ref,), dict) == {"rows": [1, 2]}
        assert storage.check(ref) == ""

    @pytest.mark.parametrize("asked", TABLE_KINDS)
    @pytest.mark.parametrize("stored", [*TABLE_KINDS, "pyarrow.RecordBatch"])
    def test_each_table_is_read_as_each_kind(self, storage: Storage, stored: str, asked: str) -> None:
        content: dict[str, list[Any]] = {"carrier": ["UA", "AA", "ü"], "delay": [1.5, None, -3.0], "day": [date(2013, 1, 5)] * 3}
        staged = storage.stage(slot(asset="raw/flights"), table_as(stored, content))
        loaded = storage.load((staged.ref,), kind_named(asked))
        assert isinstance(loaded, kind_named(asked))
        found = columns_in(loaded)
        assert (found["carrier"], found["day"]) == (content["carrier"], content["day"])
        assert found["delay"][0::2] == [1.5, -3.0]
        assert found["delay"][1] is None or math.isnan(found["delay"][1])
        assert staged.ref.rows == 3
        assert [(each.name, each.nulls) for each in staged.columns][:2] == [("carrier", False), ("delay", True)]

    def test_tables_without_rows_or_columns_come_back(self, storage: Storage) -> None:
        pytest.importorskip("polars")
        import polars as pl

        for frame in (pl.DataFrame(), pl.DataFrame(schema={"a": pl.Int64})):
            staged = storage.stage(slot(), frame)
            assert storage.load((staged.ref,), Any).equals(frame)
            assert staged.ref.rows == 0

    def test_pandas_keeps_its_index(self, storage: Storage) -> None:
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
        pd.testing.assert_frame_equal(storage.load((storage.stage(slot(), frame).ref,), pd.DataFrame), frame)

    def test_objects_are_pickled_for_workers_alone(self, storage: Storage, root: Path) -> None:
        ref = storage.stage(slot(), Route("EWR")).ref
        assert storage.load((ref,), Route) == storage.load((ref,), Any) == Route("EWR")
        with pytest.raises(LegatoError) as caught:
            self.make(root, unpickle=False).load((ref,), Any)
        assert caught.value.code == "storage-pickle"
        with pytest.raises(LegatoError) as caught:
            storage.load((ref,), Flight)
        assert caught.value.code == "storage-type"

    def test_a_value_that_cannot_be_stored_is_refused(self, storage: Storage) -> None:
        with pytest.raises(LegatoError, match="generator") as caught:
            storage.stage(slot(), (each for each in [1]))
        assert caught.value.code == "value-type"

    # -- files and folders --

    def test_a_file_is_copied_in_and_read_as_a_path(self, storage: Storage, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        mine.mkdir()
        (mine / "report ü.md").write_text("# late")
        ref = storage.stage(slot(), mine / "report ü.md").ref
        (mine / "report ü.md").write_text("changed afterwards")
        for kind in (Any, Path):
            loaded = storage.load((ref,), kind)
            assert (loaded.name, loaded.read_text()) == ("report ü.md", "# late")
        assert ref.size_bytes == 6
        self.refused(storage, ref, dict)

    def test_a_folder_is_copied_whole(self, storage: Storage, tmp_path: Path) -> None:
        mine = tmp_path / "mine" / "model"
        (mine / "empty").mkdir(parents=True)
        (mine / "sub").mkdir()
        (mine / "sub" / "weights").write_bytes(b"\x00\x01")
        (mine / "link").symlink_to(mine / "sub" / "weights")
        ref = storage.stage(slot(), mine).ref
        loaded = storage.load((ref,), Path)
        assert {str(path.relative_to(loaded)) for path in loaded.rglob("*")} == {"empty", "sub", "sub/weights", "link"}
        assert (loaded / "link").read_bytes() == b"\x00\x01"
        assert not (loaded / "link").is_symlink()
        assert storage.check(ref) == ""

    @pytest.mark.parametrize("fault", ["missing", "dangling", "loop", "pipe"])
    def test_paths_to_what_is_no_file_or_folder_are_refused(self, storage: Storage, tmp_path: Path, fault: str) -> None:
        import os

        mine = tmp_path / "mine"
        mine.mkdir()
        match fault:
            case "dangling":
                (mine / "link").symlink_to("nowhere")
            case "loop":
                (mine / "link").symlink_to(mine)
            case "pipe":
                os.mkfifo(mine / "pipe")
        with pytest.raises(LegatoError) as caught:
            storage.stage(slot(), mine / "none" if fault == "missing" else mine)
        assert caught.value.code == "value-type"

    @pytest.mark.parametrize("value", ["text", b"bytes", {"a": 1}, Route("EWR")], ids=repr)
    def test_any_value_can_be_had_as_its_ref_or_its_file(self, storage: Storage, value: Any) -> None:
        ref = storage.stage(slot(), value).ref
        assert storage.load((ref,), Ref) == ref
        assert storage.load((ref, ref), list[Ref], many=True) == [ref, ref]
        assert storage.load((ref,), Path).stat().st_size == ref.size_bytes

    # -- kinds --

    def test_records_and_plain_types_are_converted_to_what_is_asked(self, storage: Storage) -> None:
        flight = Flight("UA", date(2013, 1, 5), (1.5, 2.0))
        ref = storage.stage(slot(), [flight]).ref
        assert storage.load((ref,), list[Flight]) == [flight]
        assert storage.load((ref,), Any)[0]["day"] == date(2013, 1, 5)
        number = storage.stage(slot(), 3).ref
        for kind in (float, int | None, Annotated[int, "minutes"], Annotated[float | None, "x"]):
            assert storage.load((number,), kind) == 3
        assert storage.load((storage.stage(slot(), {"a": (1, 2)}).ref,), dict[str, tuple[int, int]]) == {"a": (1, 2)}

    def test_an_optional_kind_takes_the_value_and_nothing(self, storage: Storage) -> None:
        pytest.importorskip("polars")
        import polars as pl

        frame = pl.DataFrame({"a": [1]})
        assert storage.load((storage.stage(slot(), frame).ref,), pl.DataFrame | None).equals(frame)
        assert storage.load((storage.stage(slot(), None).ref,), pl.DataFrame | None) is None

    @pytest.mark.parametrize(
        ("value", "kind"),
        [("text", bytes), ("text", int), (b"bytes", str), ({"a": 1}, list), ({"a": 1}, dict[str, str]), (1, str), (1, Route)],
        ids=repr,
    )
    def test_another_kind_than_was_stored_is_refused(self, storage: Storage, value: Any, kind: Any) -> None:
        self.refused(storage, storage.stage(slot(), value).ref, kind)

    def test_a_table_is_no_dict_and_text_no_table(self, storage: Storage) -> None:
        pytest.importorskip("polars")
        import polars as pl

        self.refused(storage, storage.stage(slot(), pl.DataFrame({"a": [1]})).ref, dict)
        self.refused(storage, storage.stage(slot(), "text").ref, pl.DataFrame)

    def refused(self, storage: Storage, ref: Ref, kind: Any) -> None:
        """Loading as this kind is an error that names what is stored and what may be asked for."""
        with pytest.raises(LegatoError) as caught:
            storage.load((ref,), kind)
        assert caught.value.code == "storage-type"
        assert "stored as" in caught.value.what
        assert caught.value.next

    # -- many --

    @pytest.mark.parametrize("asked", TABLE_KINDS)
    def test_many_tables_become_one_in_order_and_by_column_name(self, storage: Storage, asked: str) -> None:
        pytest.importorskip("polars")
        import polars as pl

        frames = [
            pl.DataFrame({"n": [3, 1], "who": ["c", "a"]}),
            pl.DataFrame({"who": ["b"], "n": [2]}),
            pl.DataFrame({"n": [0.5], "new": [True]}),
        ]
        refs = tuple(storage.stage(slot(partition=str(number)), frame).ref for number, frame in enumerate(frames))
        for chosen, numbers in ((refs[:2], [3, 1, 2]), (refs, [3, 1, 2, 0.5]), (refs[2:], [0.5])):
            found = columns_in(storage.load(chosen, kind_named(asked), many=True))
            assert found["n"] == numbers
            assert list(found.get("who", []))[:3] == ["c", "a", "b"][: len(found.get("who", []))]

    def test_many_tables_are_natural_as_one_and_can_be_had_one_by_one(self, storage: Storage) -> None:
        pytest.importorskip("polars")
        import polars as pl

        refs = tuple(storage.stage(slot(partition=day), pl.DataFrame({"day": [day]})).ref for day in ("b", "a"))
        assert storage.load(refs, Any, many=True)["day"].to_list() == ["b", "a"]
        assert [frame["day"][0] for frame in storage.load(refs, list[pl.DataFrame], many=True)] == ["b", "a"]
        assert {key: frame["day"][0] for key, frame in storage.load(refs, dict[str, pl.DataFrame]).items()} == {
            "a": "a",
            "b": "b",
        }
        assert list(storage.load(refs[:1], dict[str, pl.DataFrame], many=True)) == ["b"]
        assert storage.load((), pl.DataFrame, many=True).is_empty()

    def test_many_other_values_become_a_dict_or_a_list(self, storage: Storage) -> None:
        refs = tuple(storage.stage(slot(partition=day), number).ref for number, day in enumerate(("b", "a")))
        assert storage.load(refs, Any, many=True) == storage.load(refs, dict, many=True) == {"b": 0, "a": 1}
        assert storage.load(refs, list[float], many=True) == [0.0, 1.0]
        assert storage.load((), dict[str, int], many=True) == {}
        assert storage.load(refs[:1], int) == 0
        with pytest.raises(LegatoError, match=r"dict\[str, T\]") as caught:
            storage.load(refs, int, many=True)
        assert caught.value.code == "storage-type"

    def test_two_values_of_one_partition_are_never_one(self, storage: Storage) -> None:
        refs = tuple(storage.stage(slot(), number).ref for number in (1, 2))
        with pytest.raises(LegatoError):
            storage.load(refs, dict[str, int], many=True)
        assert storage.load(refs, list[int], many=True) == [1, 2]

    # -- places --

    def test_hostile_names_neither_escape_nor_meet(self, storage: Storage) -> None:
        slots = [Slot(asset, "p", "v") for asset in HOSTILE_NAMES] + [Slot("a", name, "v") for name in HOSTILE_NAMES]
        slots += [Slot("a", "p", name) for name in HOSTILE_NAMES]
        refs = [storage.stage(each, number).ref for number, each in enumerate(slots)]
        seen = {each: number for number, each in enumerate(slots)}
        assert [storage.load((ref,), int) for ref in refs] == [seen[each] for each in slots]
        assert len({ref.location for ref in refs}) == len(seen)

    @pytest.mark.parametrize(
        "location", ["../outside.txt", "a/../../outside.txt", "/etc/passwd", "a/b/../../../outside.txt", "", "a\0/b/c"]
    )
    def test_a_forged_location_leads_nowhere(self, storage: Storage, location: str) -> None:
        ref = msgspec.structs.replace(storage.stage(slot(), "text").ref, location=location, size_bytes=9)
        for kind in (Any, Path):
            with pytest.raises(LegatoError) as caught:
                storage.load((ref,), kind)
            assert caught.value.code == "storage-missing"
        storage.discard(ref)
        assert storage.check(ref)

    def test_staging_again_replaces_the_remains(self, storage: Storage) -> None:
        again = slot()
        old = [storage.stage(again, value).ref for value in ("text", Route("EWR"), {"a": 1})]
        new = storage.stage(again, {"a": 22}).ref
        assert storage.load((new,), dict) == {"a": 22}
        for ref in old:
            with pytest.raises(LegatoError):
                storage.load((ref,), Any)

    def test_discard_is_idempotent_and_touches_nothing_else(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        for value in ("text", tmp_path / "mine"):
            kept, gone = storage.stage(slot(), value).ref, storage.stage(slot(), value).ref
            storage.discard(gone)
            storage.discard(gone)
            with pytest.raises(LegatoError) as caught:
                storage.load((gone,), Any)
            assert caught.value.code == "storage-missing"
            assert "legato run --force delays@2013-01-05" in caught.value.next
            assert storage.check(gone)
            assert storage.check(kept) == ""

    # -- what was staged is what is there --

    def test_equal_values_have_equal_digests(self, storage: Storage) -> None:
        pytest.importorskip("polars")
        import polars as pl

        for one, same, other in (
            ({"a": {"x", "y", "z"}}, {"a": {"z", "y", "x"}}, {"a": {"x"}}),
            ("text", "text", "txet"),
            (pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [2, 1]})),
        ):
            first, second, third = (storage.stage(slot(), value).ref.digest for value in (one, same, other))
            assert first == second != third
            assert len(first) == 32

    def test_a_changed_byte_is_found_by_check(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "file").write_text("content")
        for value in ("text", tmp_path / "mine"):
            ref = storage.stage(slot(), value).ref
            assert storage.check(ref) == ""
            self.damage(storage, ref)
            assert "changed" in storage.check(ref)

    def test_a_changed_size_is_found_by_every_load(self, storage: Storage) -> None:
        ref = storage.stage(slot(), "text").ref
        for kind in (str, Path):
            with pytest.raises(LegatoError) as caught:
                storage.load((msgspec.structs.replace(ref, size_bytes=5),), kind)
            assert caught.value.code == "storage-changed"

    def test_damage_that_cannot_be_read_is_damage(self, storage: Storage) -> None:
        ref = storage.stage(slot(), {"a": 1}).ref
        self.damage(storage, ref)
        with pytest.raises(LegatoError) as caught:
            storage.load((ref,), Any)
        assert caught.value.code == "storage-changed"
