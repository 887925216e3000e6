"""Tables of any library, seen alike: their columns, their rows, and whether a new schema breaks an old one."""

from __future__ import annotations

from typing import Any

from legato.declare.contract import Compatibility
from legato.declare.types import type_name
from legato.terms.errors import LegatoError
from legato.terms.fact import Column

TABLES = {
    ("polars", "DataFrame"),
    ("polars", "LazyFrame"),
    ("pandas", "DataFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
    ("duckdb", "DuckDBPyRelation"),
}
INSTALL = "pip install 'legato[tables]'"
_PROMOTED = {("int", "float")}
"""(written, expected): types that a reader of the second reads without loss of meaning."""


def library_of(value: object) -> tuple[str, str] | None:
    """Which library and class make this value a table, found without importing any of them; None if it is none."""
    for cls in type(value).__mro__:
        key = (cls.__module__.partition(".")[0].lstrip("_"), cls.__name__)
        if key in TABLES:
            return key
    return None


def is_table(value: object) -> bool:
    """Whether the value is a table of polars, pandas, Arrow or DuckDB."""
    return library_of(value) is not None


def describe(value: object) -> str:
    """What a value is, for messages: `a pandas DataFrame`, `an int`, `nothing (None)`."""
    if value is None:
        return "nothing (None)"
    known = library_of(value)
    name = f"{known[0]} {known[1]}" if known else type(value).__qualname__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def rows_of(value: Any) -> int:
    """How many rows a table has; -1 for any other value. Runs the query of a LazyFrame or a relation."""
    known = library_of(value)
    if known is None:
        return -1
    if known[1] == "LazyFrame":
        import polars as pl

        return int(value.select(pl.len()).collect().item())
    return int(value.shape[0])


def as_polars(value: Any) -> Any:
    """The table as a polars DataFrame: itself where it is one, without copying where the library allows.

    Raises `value-type` if it is no table, polars is missing, or a column's values share no type.
    """
    known = library_of(value)
    if known == ("polars", "DataFrame"):
        return value
    if known is None:
        raise _not_a_table(value)
    try:
        return _to_polars(value, known)
    except ImportError as error:
        raise LegatoError("value-type", f"{describe(value)} cannot be judged here", why=str(error), next=INSTALL) from error
    except (ValueError, TypeError, NotImplementedError) as error:
        raise _no_columns(value, error) from error


def columns_of(value: Any) -> tuple[Column, ...]:
    """The columns of a table in order, each with its Legato type and whether it holds nulls; () for any other value."""
    known = library_of(value)
    if known is None:
        return ()
    if known[0] == "polars":
        frame = as_polars(value)
        return tuple(Column(series.name, type_name(series.dtype), series.null_count() > 0) for series in frame.iter_columns())
    table = _as_arrow(value, known)
    return tuple(
        Column(field.name, _arrow_type(field.type), column.null_count > 0)
        for field, column in zip(table.schema, table.columns, strict=True)
    )


def first_rows(value: Any, count: int) -> list[dict[str, Any]]:
    """The first rows of a table as Python values."""
    known = library_of(value)
    if known is None:
        raise _not_a_table(value)
    if known[0] == "polars":
        table = as_polars(value.head(count))
        return list(table.iter_rows(named=True))
    head = {"pandas": "head", "duckdb": "limit"}.get(known[0])
    part = getattr(value, head)(count) if head else value.slice(0, count)
    return list(_as_arrow(part, known).to_pylist())


def breaks(old: tuple[Column, ...], new: tuple[Column, ...], mode: Compatibility) -> list[str]:
    """What a change of schema breaks, in words; empty where the mode allows the change.

    - `backward`: who reads the old schema can read new versions. No column is removed, none changes to a type that its
      readers do not expect, none that held no nulls may hold them. New columns are allowed, and int where float was.
    - `forward`: who reads the new schema can read old versions: the same, seen from the new schema. Columns may be
      removed, and added if they may be null (an old version has nulls there).
    - `full`: both. `none`: anything goes.

    Order of columns does not matter. A column of type `null` (nothing but nulls) fits every type.
    """
    found: list[str] = []
    before, after = {column.name: column for column in old}, {column.name: column for column in new}
    if mode in ("backward", "full"):
        found += [f"column {name} was removed" for name in before if name not in after]
    if mode in ("forward", "full"):
        found += [
            f"column {name} was added and may not be null"
            for name, column in after.items()
            if name not in before and not column.nulls
        ]
    for name in before.keys() & after.keys() if mode != "none" else ():
        found += _changed(before[name], after[name], mode)
    return sorted(found)


def _changed(old: Column, new: Column, mode: Compatibility) -> list[str]:
    """How one column's change breaks readers of the old (backward) or of the new (forward) schema."""
    found = []
    backward, forward = mode in ("backward", "full"), mode in ("forward", "full")
    if (backward and not _readable(new.type, old.type)) or (forward and not _readable(old.type, new.type)):
        found.append(f"column {old.name} changed from {old.type} to {new.type}")
    if backward and new.nulls and not old.nulls:
        found.append(f"column {old.name} may now be null")
    if forward and old.nulls and not new.nulls:
        found.append(f"column {old.name} may no longer be null")
    return found


def _readable(written: str, expected: str) -> bool:
    return written == expected or "null" in (written, expected) or (written, expected) in _PROMOTED


def _to_polars(value: Any, known: tuple[str, str]) -> Any:
    import polars as pl

    if known[0] == "polars":
        return value.collect()
    if known[0] == "pandas":  # by way of Arrow, which names the column that cannot be converted
        value = _as_arrow(value, known)
    try:
        return value.pl() if known[0] == "duckdb" else pl.from_arrow(value)
    except pl.exceptions.PolarsError as error:
        raise _no_columns(value, error) from error


def _as_arrow(value: Any, known: tuple[str, str]) -> Any:
    try:
        import pyarrow as pa

        match known:
            case ("pandas", _):
                return pa.Table.from_pandas(value, preserve_index=False)
            case ("duckdb", _):
                return value.to_arrow_table()
            case (_, "RecordBatch"):
                return pa.Table.from_batches([value])
    except ImportError as error:
        raise LegatoError("value-type", f"{describe(value)} cannot be read here", why=str(error), next=INSTALL) from error
    except (ValueError, TypeError, NotImplementedError) as error:
        raise _no_columns(value, error) from error
    return value


def _arrow_type(kind: Any) -> str:
    """The Legato name of an Arrow type; its own text where it has none."""
    import pyarrow as pa
    from pyarrow import types as t

    if t.is_dictionary(kind):
        return _arrow_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _arrow_type(kind.storage_type)
    tests = {
        "int": (t.is_integer,),
        "float": (t.is_floating,),
        "str": (t.is_string, t.is_large_string, t.is_string_view),
        "bool": (t.is_boolean,),
        "date": (t.is_date,),
        "datetime": (t.is_timestamp,),
        "duration": (t.is_duration,),
        "time": (t.is_time,),
        "decimal": (t.is_decimal,),
        "bytes": (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view),
        "list": (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view),
        "struct": (t.is_struct,),
        "null": (t.is_null,),
    }
    return next((name for name, kinds in tests.items() if any(test(kind) for test in kinds)), str(kind))


def _not_a_table(value: object) -> LegatoError:
    return LegatoError(
        "value-type",
        f"the value is {describe(value)}, not a table",
        next="return a polars, pandas, Arrow or DuckDB table",
    )


def _no_columns(value: object, error: Exception) -> LegatoError:
    return LegatoError(
        "value-type",
        f"{describe(value)} cannot be read as named columns of one type each",
        why=" ".join(str(part) for part in error.args) or repr(error),
        next="give each column a name of its own and values of one type",
    )
