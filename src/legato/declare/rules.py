"""Contracts and built-in checks as users write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from legato.declare.contract import Compatibility, Contract, ContractColumn
from legato.declare.node import Check
from legato.declare.types import TYPES, type_name
from legato.terms.errors import LegatoError, Place
from legato.terms.fact import Severity
from legato.terms.key import NAME_HINT, is_name

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")
_ONLY_PYTHON = re.compile(r"\(\?(?:=|!|<=|<!|\(|P=|#)|\\[1-9]")
_NAME_LENGTH = 60


class Rule(Struct, frozen=True):
    """A built-in check that belongs to no asset yet: what it judges, with which arguments, how severely."""

    kind: str
    args: dict[str, Any]
    severity: Severity = "block"
    name: str = ""

    def check(self, asset: str, place: Place | None = None) -> Check:
        """The check that gives this rule's verdict on each version of `asset`."""
        return Check(self.name, asset, self.severity, self.kind, self.args, place=place)


# Contracts -----------------------------------------------------------------------------------------------


def column(  # noqa: PLR0913 - each keyword is one thing a column can promise
    type: Any = None,
    *,
    nulls: bool = True,
    unique: bool = False,
    low: Any = None,
    high: Any = None,
    among: Iterable[Any] = (),
    pattern: str = "",
    description: str = "",
) -> ContractColumn:
    """What a column must be: its type, whether it may hold nulls, its bounds (inclusive), values or pattern.

    The column gets its name, and its faults are found, in the `contract` that holds it.
    """
    return ContractColumn("", type_name(type), nulls, unique, low, high, _listed(among), pattern, description)


def contract(
    columns: Mapping[str, Any],
    *,
    extra: Literal["allow", "forbid"] = "allow",
    compatibility: Compatibility = "none",
) -> Contract:
    """The contract of these columns, each a `column(...)` or just a type: a Python type, a polars type, a Legato name.

    `extra` says whether other columns may stand beside them; `compatibility` how a new version's schema may differ from
    the published one (`quality.schema.breaks`).
    """
    if extra not in ("allow", "forbid"):
        raise LegatoError("contract", f"extra={extra!r} is unknown", next='write extra="allow" or extra="forbid"')
    if compatibility not in get_args(Compatibility):
        known = ", ".join(get_args(Compatibility))
        raise LegatoError("contract", f"compatibility={compatibility!r} is unknown", next=f"write one of {known}")
    return Contract(tuple(_named(name, kind) for name, kind in columns.items()), extra, compatibility)


def _named(name: str, kind: Any) -> ContractColumn:
    """The column under its name, refused where it asks for something that no column can be."""
    rule = kind if isinstance(kind, ContractColumn) else column(kind)
    if rule.type and rule.type not in TYPES:
        raise LegatoError(
            "contract", f"column {name}: {rule.type!r} is not a column type", next=f"write one of {', '.join(TYPES)}"
        )
    try:
        low, high = _bounds(rule.low, rule.high)
        if rule.pattern:
            _pattern(rule.pattern)
        among = tuple(_plain(value) for value in rule.among)
    except LegatoError as error:
        raise LegatoError("contract", f"column {name}: {error.what}", why=error.why, next=error.next) from None
    return replace(rule, name=name, low=low, high=high, among=among)


# Checks --------------------------------------------------------------------------------------------------


def not_null(*columns: str, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that none of these columns holds a null."""
    return _rule("not_null", {"columns": _columns("not_null", columns)}, severity, name, *columns)


def unique(*columns: str, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that no two rows agree in all of these columns. As in SQL, rows with a null there are not judged."""
    return _rule("unique", {"columns": _columns("unique", columns)}, severity, name, *columns)


def row_count(low: int | None = None, high: int | None = None, *, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that the table has at least `low` and at most `high` rows."""
    low, high = _some_bound("row_count", low, high)
    return _rule("row_count", {"low": low, "high": high}, severity, name)


def in_range(column: str, low: Any = None, high: Any = None, *, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that the column's values lie between `low` and `high`, both included. Nulls are not judged; NaN fails."""
    _columns("in_range", (column,))
    low, high = _some_bound("in_range", low, high)
    return _rule("in_range", {"column": column, "low": low, "high": high}, severity, name, column)


def in_set(column: str, values: Iterable[Any], *, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that the column's values are among these. Nulls are not judged."""
    _columns("in_set", (column,))
    listed = [_plain(value) for value in _listed(values)]
    if not listed:
        raise LegatoError("check", "in_set has no values", next=f'write in_set("{column}", ["a", "b"])')
    return _rule("in_set", {"column": column, "values": listed}, severity, name, column)


def matches(column: str, pattern: str, *, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that the pattern is found somewhere in each of the column's values; nulls are not judged.

    Tie it to their ends with `^` and `$`. It is a regular expression without look-around and back-references.
    """
    _columns("matches", (column,))
    return _rule("matches", {"column": column, "pattern": _pattern(pattern)}, severity, name, column)


def expression(sql: str, *, severity: Severity = "block", name: str | None = None) -> Rule:
    """A check that a SQL condition over the columns holds in each row; rows where it is null are not judged."""
    if not isinstance(sql, str) or not sql.strip():
        raise LegatoError("check", "expression has no SQL", next='write expression("arr_delay >= -100")')
    return _rule("expression", {"sql": sql.strip()}, severity, name, sql)


def _rule(kind: str, args: dict[str, Any], severity: Severity, name: str | None, *words: str) -> Rule:
    """The rule, named after its kind and what it judges where it is given no name."""
    if severity not in get_args(Severity):
        raise LegatoError("check", f"severity={severity!r} is unknown", next='write severity="block" or "warn"')
    if name is not None and not is_name(name):
        raise LegatoError("check", f"{name!r} cannot name a check", why=NAME_HINT, next="give another name")
    slug = "_".join([kind, *filter(None, (_NOT_A_WORD.sub("_", word).strip("_") for word in words))])
    return Rule(kind, args, severity, name or slug[:_NAME_LENGTH].rstrip("_"))


def _columns(kind: str, columns: tuple[str, ...]) -> list[str]:
    if not columns or not all(isinstance(column, str) and column for column in columns):
        raise LegatoError(
            "check",
            f"{kind} needs names of columns, not {', '.join(map(repr, columns)) or 'none'}",
            next=f'write {kind}("carrier", ...)',
        )
    return list(columns)


def _some_bound(kind: str, low: Any, high: Any) -> tuple[Any, Any]:
    if low is None and high is None:
        raise LegatoError("check", f"{kind} has no bound", next="give low=, high= or both")
    return _bounds(low, high)


def _bounds(low: Any, high: Any) -> tuple[Any, Any]:
    """Both bounds as plain values; refused where no value could lie between them."""
    for bound in (low, high):
        if bound != bound:
            raise LegatoError("check", "a bound is NaN", why="nothing compares with NaN", next="give a number")
    try:
        crossed = low is not None and high is not None and low > high
    except TypeError:
        raise LegatoError("check", f"{low!r} and {high!r} cannot be compared", next="give both bounds in one type") from None
    if crossed:
        raise LegatoError("check", f"low {low!r} is above high {high!r}", next="swap the bounds")
    return (None if low is None else _plain(low)), (None if high is None else _plain(high))


def _pattern(pattern: str) -> str:
    """The pattern, refused where it is no regular expression or one that only Python understands."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise LegatoError("check", f"{pattern!r} is not a regular expression", why=str(error), next="mend it") from None
    if _ONLY_PYTHON.search(pattern.replace("\\\\", "")):
        raise LegatoError(
            "check",
            f"{pattern!r} uses look-around or a back-reference",
            why="tables are searched by an engine of linear time that has neither",
            next="write the pattern without them, or write the check as a function",
        )
    return pattern


def _listed(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise LegatoError("check", f"{values!r} is not a list of values", next=f"write [{values!r}]")
    if isinstance(values, set | frozenset):  # whose order differs from process to process
        return tuple(sorted(values, key=lambda value: (type(value).__name__, repr(value))))
    return tuple(values)


def _plain(value: Any) -> Any:
    """The value as it can be written to JSON and back: dates as ISO text, durations as seconds, decimals as text."""
    if hasattr(value, "item") and type(value).__module__.partition(".")[0] == "numpy":
        value = value.item()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bool | int | float | str | bytes):
        return value
    raise LegatoError(
        "check",
        f"{value!r} cannot be compared with a column's values",
        next="give numbers, text, true or false, dates, times or durations",
    )
