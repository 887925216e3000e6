"""How each built-in check finds the rows that offend it: as a polars expression, and as SQL for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from legato.declare.types import type_name
from legato.quality.literal import Unfit, fit, quote, sql_literal

_MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Which rows offend and which are judged (polars expressions), what is wrong with them, and SQL that finds them.

    `columns` are those that the check looks at. `where` stands after WHERE, at the end of a query: that of `unique`
    goes on with QUALIFY, since no condition on one row finds its equals: it `groups` rows.
    """

    columns: tuple[str, ...]
    offends: Any
    judged: Any
    what: str
    where: str
    verb: str = "have"
    groups: bool = False


class Unjudgeable(Exception):
    """A check that cannot be evaluated on this table; the text says why."""


def find(frame: Any, kind: str, args: dict[str, Any]) -> Finding:
    """The finding of a built-in check on a polars DataFrame; raises Unjudgeable with the reason where there is none."""
    return FINDERS[kind](frame, **args)


def _require(frame: Any, *columns: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise Unjudgeable(f"the table has no {noun} {', '.join(missing)}; it has {listed(frame.columns, 10)}")


def listed(values: Any, most: int = _MOST_LISTED) -> str:
    """The first few of some values, and how many more there are."""
    shown = [str(value) for value in values[:most]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none"


def _fitted(frame: Any, column: str, *values: Any) -> list[Any]:
    """The values as the column compares them."""
    dtype = frame.schema[column]
    kind = type_name(dtype)
    try:
        return [fit(value, kind, dtype) if value is not None else None for value in values]
    except Unfit as error:
        raise Unjudgeable(f"column {column} is {kind}: it cannot be compared with {error}") from None


def _not_null(frame: Any, columns: list[str]) -> Finding:
    import polars as pl

    _require(frame, *columns)
    where = " OR ".join(f"{quote(column)} IS NULL" for column in columns)
    what = f"a null {columns[0]}" if len(columns) == 1 else f"a null in {' or '.join(columns)}"
    return Finding(tuple(columns), pl.any_horizontal(pl.col(columns).is_null()), pl.lit(True), what, where)


def _unique(frame: Any, columns: list[str]) -> Finding:
    import polars as pl

    _require(frame, *columns)
    judged = pl.all_horizontal(pl.col(columns).is_not_null())
    names = ", ".join(quote(column) for column in columns)
    nulls = " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)
    where = f"{nulls} QUALIFY count(*) OVER (PARTITION BY {names}) > 1"
    offends = judged & (pl.len().over(columns) > 1)
    what = f"their {' and '.join(columns)} with another row"
    return Finding(tuple(columns), offends, judged, what, where, "share", groups=True)


def _in_range(frame: Any, column: str, low: Any = None, high: Any = None) -> Finding:
    import polars as pl

    _require(frame, column)
    dtype = frame.schema[column]
    kind = type_name(dtype)
    if kind == "null":
        return _nothing(column)
    what = f"{column} {_outside(low, high)}"
    low, high = _fitted(frame, column, low, high)
    values, name = pl.col(column), quote(column)
    faults: list[tuple[Any, str]] = []
    if low is not None:
        faults.append((values < _literal(low, kind, dtype), f"{name} < {sql_literal(low, dtype)}"))
    if high is not None:
        faults.append((values > _literal(high, kind, dtype), f"{name} > {sql_literal(high, dtype)}"))
    if kind == "float":
        faults.append((values.is_nan(), f"isnan({name})"))
    offends = reduce(or_, (fault for fault, _ in faults))
    where = " OR ".join(text for _, text in faults)
    return Finding((column,), offends, values.is_not_null(), what, where)


def _outside(low: Any, high: Any) -> str:
    if low is None:
        return f"above {high}"
    return f"below {low}" if high is None else f"outside {low} to {high}"


def _in_set(frame: Any, column: str, values: list[Any]) -> Finding:
    import polars as pl

    _require(frame, column)
    dtype = frame.schema[column]
    kind = type_name(dtype)
    if kind == "null":
        return _nothing(column)
    fitted = _fitted(frame, column, *values)
    if kind == "int":  # a fraction is never among whole numbers
        fitted = [int(value) for value in fitted if isinstance(value, int) or value.is_integer()]
    wide = {"int": pl.Int128(), "str": pl.String()}.get(kind, dtype)
    among = pl.col(column).cast(wide).is_in(pl.Series(fitted, dtype=wide).implode())
    members = ", ".join(sql_literal(value, dtype) for value in fitted)
    where = f"{quote(column)} NOT IN ({members})" if members else f"{quote(column)} IS NOT NULL"
    what = f"{column} not among {listed(values)}"
    return Finding((column,), ~among, pl.col(column).is_not_null(), what, where)


def _matches(frame: Any, column: str, pattern: str) -> Finding:
    import polars as pl

    _require(frame, column)
    kind = type_name(frame.schema[column])
    if kind == "null":
        return _nothing(column)
    if kind != "str":
        raise Unjudgeable(f"column {column} is {kind}: only str can match a pattern")
    found = pl.col(column).cast(pl.String).str.contains(pattern)
    where = f"NOT regexp_matches({quote(column)}, {sql_literal(pattern)})"
    return Finding((column,), ~found, pl.col(column).is_not_null(), f"{column} not matching {pattern}", where)


def _expression(frame: Any, sql: str) -> Finding:
    import polars as pl

    condition = pl.sql_expr(sql)
    columns = list(dict.fromkeys(condition.meta.root_names()))
    _require(frame, *columns)
    few = frame.head(2)
    probe = few.select(condition)
    if probe.dtypes != [pl.Boolean]:
        raise Unjudgeable(f"{sql} gives {type_name(probe.dtypes[0])}, not true or false")
    if not columns or probe.height != few.height:
        raise Unjudgeable(f"{sql} speaks of the table as a whole, not of each row")
    return Finding(tuple(columns), ~condition, condition.is_not_null(), f"not satisfy {sql}", f"NOT ({sql})", "do")


def _nothing(column: str) -> Finding:
    """The finding where a column holds nothing but nulls: no row is judged."""
    import polars as pl

    return Finding((column,), pl.lit(False), pl.lit(False), "", "FALSE")


def _literal(value: Any, kind: str, dtype: Any) -> Any:
    """The bound as polars compares it: times in the column's own type, which knows its zone and unit."""
    import polars as pl

    return pl.lit(value, dtype=dtype) if kind in ("date", "datetime", "time", "duration") else pl.lit(value)


FINDERS: dict[str, Callable[..., Finding]] = {
    "not_null": _not_null,
    "unique": _unique,
    "in_range": _in_range,
    "in_set": _in_set,
    "matches": _matches,
    "expression": _expression,
}
