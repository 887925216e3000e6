"""Tables as Parquet: written by the library they come from, read into the library asked for.

Several files become one table by column name: a column that a file lacks is null for its rows, and types that differ widen
to one that holds both, in every library alike. Types with nothing in common are an error in Arrow and text in polars and DuckDB.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from legato.quality.schema import INSTALL, columns_of, describe, library_of, rows_of
from legato.terms.errors import LegatoError
from legato.terms.fact import Column

Source = Path | bytes
Body = bytes | Callable[[Path], None]
"""What is to be stored: bytes, or a function that writes them to a path where they need not fit in memory."""

COMPRESSION = "snappy"
"""As fast as any for small tables (write and read 900 rows of 19 columns: 1.5 ms), and known to every reader."""

BIG_BYTES = 64 << 20
_LAZY = {("polars", "LazyFrame"), ("duckdb", "DuckDBPyRelation")}


def write_table(value: Any) -> Body | None:
    """The table as Parquet; None for what is no table, `value-type` for a table that Parquet cannot hold."""
    key = library_of(value)
    if key is None:
        return None
    if key == ("polars", "LazyFrame"):
        return lambda path: value.sink_parquet(path, compression=COMPRESSION)
    if key == ("duckdb", "DuckDBPyRelation"):
        return lambda path: value.write_parquet(str(path), compression=COMPRESSION, use_tmp_file=False)
    try:
        return _write_polars(value) if key[0] == "polars" else _write_arrow(value, key)
    except Exception as error:  # each library has errors of its own for a column that has no Parquet type
        raise LegatoError(
            "value-type",
            f"{describe(value)} cannot be stored as Parquet",
            why=" ".join(str(error).split()) or repr(error),
            next="give each column one type that Parquet has, or return something else than a table",
        ) from error


def outline(value: Any, source: Source) -> tuple[tuple[Column, ...], int]:
    """The columns and the number of rows of a table just written; a query is not run again for them."""
    if library_of(value) not in _LAZY:
        return columns_of(value), rows_of(value)
    try:
        scan = _lazy_polars([source])
    except ImportError:
        relation = _duckdb([source])
        return columns_of(relation), rows_of(relation)
    import polars as pl

    counts = scan.select(pl.len().alias("rows"), nulls=pl.struct(pl.all().null_count())).collect().row(0, named=True)
    found = columns_of(scan.head(0).collect())
    nulls = counts["nulls"]
    return tuple(Column(each.name, each.type, nulls[each.name] > 0) for each in found), counts["rows"]


def key_of(kind: Any) -> tuple[str, str] | None:
    """The library and class that an annotation asks for, if it is one that tables can be read into."""
    if not isinstance(kind, type):
        return None
    key = (kind.__module__.partition(".")[0].lstrip("_"), kind.__name__)
    return key if key in READERS else None


def read_tables(sources: Sequence[Source], kind: Any) -> Any:
    """One table of all sources, in their order, as `kind`; as the first library that is installed where `kind` is open."""
    key = key_of(kind)
    if key is not None:
        return READERS[key](sources)
    for natural in NATURAL:
        try:
            return READERS[natural](sources)
        except ImportError:
            continue
    raise ImportError(f"no library for tables is installed: {INSTALL}")


def _write_polars(value: Any) -> Body:
    if value.estimated_size() > BIG_BYTES:
        return lambda path: value.write_parquet(path, compression=COMPRESSION)
    buffer = BytesIO()  # faster than a path for polars, and the digest needs no second read
    value.write_parquet(buffer, compression=COMPRESSION)
    return buffer.getvalue()


def _write_arrow(value: Any, key: tuple[str, str]) -> Body:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if key[0] == "pandas":
        value = pa.Table.from_pandas(value)
    elif key[1] == "RecordBatch":
        value = pa.Table.from_batches([value])
    if value.nbytes > BIG_BYTES:
        return lambda path: pq.write_table(value, path, compression=COMPRESSION)
    buffer = BytesIO()
    pq.write_table(value, buffer, compression=COMPRESSION)
    return buffer.getvalue()


def _opened(source: Source) -> Any:
    return BytesIO(source) if isinstance(source, bytes) else str(source)


def _scan(source: Any) -> Any:
    import polars as pl

    return pl.scan_parquet(source, glob=False, hive_partitioning=False)


def _polars(sources: Sequence[Source]) -> Any:
    import polars as pl

    if not sources:
        return pl.DataFrame()
    try:
        return pl.read_parquet([_opened(each) for each in sources], glob=False, hive_partitioning=False)
    except (pl.exceptions.SchemaError, pl.exceptions.ColumnNotFoundError):
        return _united(sources).collect()


def _lazy_polars(sources: Sequence[Source]) -> Any:
    import polars as pl

    if not sources:
        return pl.LazyFrame()
    schemas = [_scan(_opened(each)).collect_schema() for each in sources] if len(sources) > 1 else []
    alike = all(schema == schemas[0] for schema in schemas)
    return _scan([_opened(each) for each in sources]) if alike else _united(sources)


def _united(sources: Sequence[Source]) -> Any:
    import polars as pl

    return pl.concat([_scan(_opened(each)) for each in sources], how="diagonal_relaxed")


def _arrow(sources: Sequence[Source]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for each in sources:
        with pq.ParquetFile(_opened(each)) as file:
            tables.append(file.read())
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})


def _pandas(sources: Sequence[Source]) -> Any:
    import pandas as pd

    return _arrow(sources).to_pandas() if sources else pd.DataFrame()


def _duckdb(sources: Sequence[Source]) -> Any:
    import duckdb

    if not sources:
        raise ValueError("there is nothing to read, and a relation cannot be without columns")
    if any(isinstance(each, bytes) for each in sources):
        return duckdb.from_arrow(_arrow(sources))
    paths = [glob.escape(str(each)) for each in sources]  # DuckDB takes every path for a pattern
    return duckdb.read_parquet(paths, union_by_name=True, hive_partitioning=False)


READERS: dict[tuple[str, str], Callable[[Sequence[Source]], Any]] = {
    ("polars", "DataFrame"): _polars,
    ("polars", "LazyFrame"): _lazy_polars,
    ("pandas", "DataFrame"): _pandas,
    ("pyarrow", "Table"): _arrow,
    ("duckdb", "DuckDBPyRelation"): _duckdb,
}
NATURAL = (("polars", "DataFrame"), ("pandas", "DataFrame"), ("pyarrow", "Table"), ("duckdb", "DuckDBPyRelation"))
