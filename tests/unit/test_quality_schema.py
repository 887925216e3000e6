"""Tables of every library give the same columns; schema changes break what they should and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.types import TYPES, type_name
from legato.quality.schema import as_polars, breaks, columns_of, describe, first_rows, is_table, rows_of
from legato.terms.errors import LegatoError
from legato.terms.fact import Column

FRAME = pl.DataFrame({"flight": [1, 2, 3], "carrier": ["UA", None, "B6"], "delay": [1.5, -2.0, None]})
SQL = "select * from (values (1, 'UA', 1.5::double), (2, null, -2), (3, 'B6', null)) t(flight, carrier, delay)"
ALIKE: dict[str, Callable[[], Any]] = {
    "polars": lambda: FRAME,
    "lazy": FRAME.lazy,
    "pandas": lambda: pd.DataFrame(FRAME.to_dict(as_series=False)),
    "arrow": FRAME.to_arrow,
    "batch": lambda: FRAME.to_arrow().to_batches()[0],
    "duckdb": lambda: duckdb.sql(SQL),
}
COLUMNS = (Column("flight", "int", False), Column("carrier", "str", True), Column("delay", "float", True))


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_every_library_gives_the_same_columns_rows_and_frame(make: Callable[[], Any]) -> None:
    table = make()
    assert is_table(table)
    assert columns_of(table) == COLUMNS
    assert rows_of(table) == 3
    assert as_polars(table).rows() == FRAME.rows()
    first, _ = first_rows(table, 2)
    assert first == {"flight": 1, "carrier": "UA", "delay": 1.5}


@pytest.mark.parametrize("value", [None, 1, "x", [1, 2], {"a": [1]}, pl.Series([1])], ids=repr)
def test_other_values_are_no_tables(value: object) -> None:
    assert (is_table(value), columns_of(value), rows_of(value)) == (False, (), -1)
    with pytest.raises(LegatoError, match="not a table") as raised:
        as_polars(value)
    assert raised.value.code == "value-type"


def test_a_polars_frame_is_not_copied() -> None:
    assert as_polars(FRAME) is FRAME


def test_a_subclass_of_a_table_is_a_table() -> None:
    class Frame(pd.DataFrame):
        pass

    assert columns_of(Frame({"a": [1]})) == (Column("a", "int"),)


def test_types_of_polars_and_arrow_have_one_name() -> None:
    frame = pl.DataFrame(
        {
            "int": pl.Series([1], dtype=pl.UInt8),
            "float": pl.Series([1.0], dtype=pl.Float32),
            "str": pl.Series(["a"], dtype=pl.Categorical),
            "bool": [True],
            "date": [date(2013, 1, 1)],
            "datetime": pl.Series([datetime(2013, 1, 1)]).dt.replace_time_zone("America/New_York"),
            "duration": [timedelta(seconds=1)],
            "time": [time(1)],
            "decimal": [Decimal("1.5")],
            "bytes": [b"a"],
            "list": [[1]],
            "struct": [{"a": 1}],
            "null": [None],
        }
    )
    assert [column.type for column in columns_of(frame)] == list(TYPES)
    assert [column.type for column in columns_of(frame.to_arrow())] == list(TYPES)


def test_a_type_without_a_name_keeps_its_own() -> None:
    assert columns_of(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)})) == (Column("a", "object"),)
    interval = pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    assert columns_of(interval) == (Column("a", "month_day_nano_interval"),)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (None, ""), (int, "int"), (list[int], "list"), (dict, "struct"), (datetime, "datetime"), ("decimal", "decimal"),
        (pl.Int8, "int"), (pl.Datetime("us"), "datetime"), (pl.List(pl.Int8), "list"), (pl.Float16, "float"), (set, "set"),
    ],
)  # fmt: skip
def test_a_type_is_named_as_users_give_it(kind: object, name: str) -> None:
    assert type_name(kind) == name


@pytest.mark.parametrize(
    ("table", "what", "why"),
    [
        (pd.DataFrame({"gate": [1, "A"]}), "a pandas DataFrame", "gate"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "a pandas DataFrame", "Duplicate column names"),
        (pa.table([[1], [2]], names=["a", "a"]), "a pyarrow Table", "more than once"),
    ],
)
def test_a_table_that_has_no_plain_columns_is_refused_with_the_reason(table: Any, what: str, why: str) -> None:
    with pytest.raises(LegatoError, match=f"{what} cannot be read as named columns of one type each") as raised:
        as_polars(table)
    assert raised.value.code == "value-type"
    assert why in raised.value.why


def test_a_missing_library_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(LegatoError) as raised:
        as_polars(ALIKE["pandas"]())
    assert (raised.value.code, raised.value.next) == ("value-type", "pip install 'legato[tables]'")
    assert columns_of(ALIKE["pandas"]()) == COLUMNS


@pytest.mark.parametrize(
    ("value", "text"), [(None, "nothing (None)"), (1, "an int"), ({}, "a dict"), (FRAME, "a polars DataFrame")]
)
def test_values_are_described_for_people(value: object, text: str) -> None:
    assert describe(value) == text


def columns(**types: str) -> tuple[Column, ...]:
    """Columns written as name=type, with a question mark where nulls may be."""
    return tuple(Column(name, kind.rstrip("?"), kind.endswith("?")) for name, kind in types.items())


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        (columns(a="int"), columns(a="int"), [], []),
        (columns(a="int", b="str"), columns(a="int"), ["column b was removed"], []),
        (columns(a="int"), columns(a="int", b="str"), [], ["column b was added and may not be null"]),
        (columns(a="int"), columns(a="int", b="str?"), [], []),
        (columns(a="int"), columns(a="str"), ["column a changed from int to str"], ["column a changed from int to str"]),
        (columns(a="int"), columns(a="float"), ["column a changed from int to float"], []),
        (columns(a="float"), columns(a="int"), [], ["column a changed from float to int"]),
        (columns(a="int"), columns(a="int?"), ["column a may now be null"], []),
        (columns(a="int?"), columns(a="int"), [], ["column a may no longer be null"]),
        (columns(a="null?"), columns(a="str?"), [], []),
        (columns(a="int", b="str"), columns(b="str", a="int"), [], []),
    ],
)  # fmt: skip
def test_changes_break_readers(old: tuple[Column, ...], new: tuple[Column, ...], backward: list[str], forward: list[str]) -> None:
    assert breaks(old, new, "backward") == backward
    assert breaks(old, new, "forward") == forward
    assert breaks(old, new, "full") == sorted({*backward, *forward})
    assert breaks(old, new, "none") == []


schemas = st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from(["int", "float", "str", "null"]), st.booleans())).map(
    lambda types: tuple(Column(name, kind, nulls) for name, (kind, nulls) in types.items())
)


@given(schemas, schemas)
def test_a_schema_fits_itself_and_full_is_both_ways(old: tuple[Column, ...], new: tuple[Column, ...]) -> None:
    assert breaks(old, old, "full") == []
    both = bool(breaks(old, new, "backward")) or bool(breaks(old, new, "forward"))
    assert bool(breaks(old, new, "full")) == both
