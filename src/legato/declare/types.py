"""Legato's names for column types: few enough to remember, the same for every table library."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, get_origin

TYPES = (
    "int", "float", "str", "bool", "date", "datetime", "duration", "time", "decimal", "bytes", "list", "struct", "null",
)  # fmt: skip

_PYTHON: dict[Any, str] = {
    int: "int",
    float: "float",
    str: "str",
    bool: "bool",
    date: "date",
    datetime: "datetime",
    timedelta: "duration",
    time: "time",
    Decimal: "decimal",
    bytes: "bytes",
    list: "list",
    dict: "struct",
}
_POLARS = {
    "String": "str",
    "Utf8": "str",
    "Categorical": "str",
    "Enum": "str",
    "Boolean": "bool",
    "Date": "date",
    "Datetime": "datetime",
    "Duration": "duration",
    "Time": "time",
    "Decimal": "decimal",
    "Binary": "bytes",
    "List": "list",
    "Array": "list",
    "Struct": "struct",
    "Null": "null",
}
_NUMERIC = re.compile(r"U?(Int|Float)\d+\Z")


def type_name(kind: Any) -> str:
    """The Legato name of a type: a Python type, a polars type (class or instance) or the name itself; "" for None.

    A type without a Legato name gives its own text, which is not in `TYPES`.
    """
    if kind is None:
        return ""
    if isinstance(kind, str):
        return kind
    cls = kind if isinstance(kind, type) else type(kind)
    if cls.__module__.partition(".")[0] == "polars":
        numeric = _NUMERIC.match(cls.__name__)
        return numeric.group(1).lower() if numeric else _POLARS.get(cls.__name__, cls.__name__.lower())
    return _PYTHON.get(get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))
