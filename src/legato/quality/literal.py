"""Values between worlds: as a column's type compares them, as SQL writes them, as JSON carries them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from legato.terms.errors import LegatoError
from legato.terms.instant import parse_duration

MAX_TEXT = 200
_LARGEST = 2**63
_UNITS_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Unfit(ValueError):
    """A value that a column of some type can never hold or be compared with."""


def fit(value: Any, kind: str, dtype: Any) -> Any:
    """The value as a column of this Legato type compares it: ISO text becomes a date, seconds a duration.

    Raises Unfit where the two cannot be compared.
    """
    try:
        fitted = _fit(value, kind, dtype)
    except (ValueError, TypeError, InvalidOperation, LegatoError) as error:
        raise Unfit(repr(value)) from error
    if fitted is None:
        raise Unfit(repr(value))
    return fitted


def _fit(value: Any, kind: str, dtype: Any) -> Any:
    """The fitted value, or None where none of the column's type corresponds to it."""
    if isinstance(value, bool) or kind == "bool":
        return value if kind == "bool" and isinstance(value, bool) else None
    match kind:
        case "int" | "float":
            return _number(value, kind)
        case "decimal":
            return Decimal(str(value)) if isinstance(value, int | float | str | Decimal) else None
        case "str":
            return value if isinstance(value, str) else None
        case "bytes":
            return value if isinstance(value, bytes) else None
        case "date":
            return _date(value)
        case "datetime":
            return _datetime(value, dtype.time_zone)
        case "time":
            value = time.fromisoformat(value) if isinstance(value, str) else value
            return value if isinstance(value, time) else None
        case "duration":
            numeric = isinstance(value, str | int | float | timedelta)
            return timedelta(seconds=parse_duration(value)) if numeric else None
    return None


def _number(value: Any, kind: str) -> Any:
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if not isinstance(value, int | float):
        return None
    return float(value) if kind == "float" else value


def _date(value: Any) -> date | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.time() != time():
            raise Unfit("a date has no time of day")
        return value.date()
    return value if isinstance(value, date) else None


def _datetime(value: Any, zone: str | None) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    if zone is None:
        return value if value.tzinfo is None else None
    return value.replace(tzinfo=ZoneInfo(zone)) if value.tzinfo is None else value.astimezone(ZoneInfo(zone))


def quote(name: str) -> str:
    """A column's name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_literal(value: Any, dtype: Any = None) -> str:
    """A fitted value as DuckDB writes it; durations as the whole numbers in which Parquet holds them."""
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if not math.isfinite(value):
            return f"'{value}'::DOUBLE"
        case int() | float() | Decimal():
            return str(value)
        case bytes():
            return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
        case timedelta():
            return str(round(value / timedelta(microseconds=1) * _UNITS_PER_SECOND[dtype.time_unit] / 1_000_000))
        case datetime():
            return f"{'TIMESTAMP' if value.tzinfo is None else 'TIMESTAMPTZ'} '{value.isoformat(sep=' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case time():
            return f"'{value.isoformat()}'"  # untyped: Parquet's times are TIME or TIME_NS, as their writer chose
    return "'" + str(value).replace("'", "''") + "'"


def plain(value: Any) -> Any:
    """A value as JSON carries it: dates as ISO text, what JSON lacks as text, long text cut."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value[:10]]
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
