"""The first rows of any table as plain cells: what `lg.table` keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from legato.quality.schema import describe, library_of, rows_of
from legato.terms.errors import UsageError
from legato.worker.scalar import python_scalar

Cell = str | int | float | bool | None

_LONGEST_CELL = 1_000
_LARGEST_INT = 2**63


class Excerpt:
    """The columns of a table, the first of its rows, and how many rows it has in all."""

    def __init__(self, columns: Iterable[Any], rows: Iterable[Iterable[Any]], total: int) -> None:
        self.columns = tuple(writable(str(column)) for column in columns)
        self.rows: list[list[Cell]] = [[_cell(value) for value in row] for row in rows]
        self.total = total


def excerpt(name: str, table: Any, most: int) -> Excerpt:
    """At most so many rows of a table of polars, pandas, Arrow or DuckDB, or of a list of dicts."""
    known = library_of(table)
    if known is not None:
        return _READERS[known[0]](table, most)
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        return _of_mappings(table, most)
    raise UsageError(
        "fact-value", f"the table {name!r} is {_what(table)}",
        why="it takes a table of polars, pandas, Arrow or DuckDB, or dicts", next="hand over a list with a dict for each row",
    )  # fmt: skip


def _what(table: Any) -> str:
    if isinstance(table, Sequence) and not isinstance(table, str | bytes):
        odd = next(row for row in table if not isinstance(row, Mapping))
        return f"{describe(table)} with {describe(odd)} in it"
    return describe(table)


def _of_mappings(rows: Sequence[Mapping[Any, Any]], most: int) -> Excerpt:
    first = list(islice(rows, most))
    columns = list(dict.fromkeys(key for row in first for key in row))
    return Excerpt(columns, ([row.get(column) for column in columns] for row in first), len(rows))


def _of_polars(table: Any, most: int) -> Excerpt:
    first = table.head(most)
    first = first.collect() if hasattr(first, "collect") else first
    return Excerpt(first.columns, first.rows(), rows_of(table))


def _of_pandas(table: Any, most: int) -> Excerpt:
    """With the index in front, where it says more than the number of the row."""
    first = table.head(most)
    plain = first.astype(object).where(first.notna(), None)
    rows, columns = plain.to_numpy().tolist(), list(table.columns)
    if type(table.index).__name__ != "RangeIndex":
        columns = [table.index.name or "", *columns]
        rows = [[mark, *row] for mark, row in zip(first.index.tolist(), rows, strict=True)]
    return Excerpt(columns, rows, rows_of(table))


def _of_arrow(table: Any, most: int) -> Excerpt:
    first = [column.slice(0, most).to_pylist() for column in table.columns]
    return Excerpt(table.schema.names, zip(*first, strict=True), rows_of(table))


def _of_duckdb(table: Any, most: int) -> Excerpt:
    return Excerpt(table.columns, table.limit(most).fetchall(), rows_of(table))


_READERS = {"polars": _of_polars, "pandas": _of_pandas, "pyarrow": _of_arrow, "duckdb": _of_duckdb}


def _cell(value: Any) -> Cell:
    """A value as itself if it is text, a number or nothing; else as it is printed."""
    value = python_scalar(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if -_LARGEST_INT <= value < _LARGEST_INT else str(value)
    return writable(value if type(value) is str else str(value))


def writable(text: str) -> str:
    """The text with `?` for halves of surrogate pairs, which no encoding takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def clip(text: str) -> str:
    """As much of a cell's text as is kept. What is to be hidden in it is hidden before."""
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
