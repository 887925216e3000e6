"""Plain data as JSON that reads back equal: what JSON has no word for is an object with one `$` key.

    {"day": {"$date": "2013-01-05"}, "seen": {"$set": ["EWR", "JFK"]}}

Tuples, sets, bytes, dates, times, durations, decimals, UUIDs, NaN and dicts with any keys come back as they were. A msgspec
Struct is stored as its fields: it reads back as the class where a parameter asks for it, else as a dict.
"""

from __future__ import annotations

import json
import math
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

MAX_DEPTH = 100
"""Deeper data is not plain: a reader deep in its own calls could not parse it."""

BUILTIN_TYPES = (bytes, datetime, date, time, timedelta, Decimal, UUID)
_ATOMS = {str, int, bool, type(None)}


class NotPlain(Exception):
    """The value holds something that JSON cannot give back."""


def dump(value: Any) -> bytes | None:
    """The value as JSON; None where it is not plain data."""
    try:
        tree = _tagged(value, MAX_DEPTH)
        text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    except (NotPlain, ValueError):  # json refuses integers of thousands of digits
        return None
    return text.encode("utf-8", "surrogatepass")


def parse(body: bytes) -> Any:
    """The value that `dump` wrote."""
    return json.loads(body.decode("utf-8", "surrogatepass"), object_hook=_untagged)


def convert(value: Any, kind: Any) -> Any:
    """The value as an annotation asks for it; `msgspec.ValidationError` or `TypeError` where it is something else."""
    if kind is Any or kind is object or type(value) is kind:
        return value
    return msgspec.convert(value, kind, builtin_types=BUILTIN_TYPES)


def _tagged(value: Any, depth: int) -> Any:
    if not depth:
        raise NotPlain
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return value if set(map(type, value)) <= _ATOMS else [_tagged(item, depth - 1) for item in value]
    if kind is dict:
        return _tagged_dict(value, depth - 1)
    if kind in _TAGS:
        tag, write, _ = _TAGS[kind]
        return {tag: write(value, depth - 1)}
    if isinstance(value, msgspec.Struct):
        return _tagged(_fields(value), depth)
    return _tagged(_scalar(value), depth)


def _tagged_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if all(type(key) is str and key[:1] != "$" for key in value):
        return {key: _tagged(item, depth) for key, item in value.items()}
    return {"$dict": [[_tagged(key, depth), _tagged(item, depth)] for key, item in value.items()]}


def _untagged(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        ((tag, content),) = found.items()
        if tag[:1] == "$":
            return _READERS[tag](content)
    return found


def _fields(value: msgspec.Struct) -> Any:
    try:
        return msgspec.to_builtins(value, builtin_types=BUILTIN_TYPES)
    except (TypeError, RecursionError) as error:
        raise NotPlain from error


def _scalar(value: Any) -> Any:
    """The Python number that a numpy number equals."""
    numpy = sys.modules.get("numpy")
    plain = (bool, int, float)
    if numpy is not None and isinstance(value, (numpy.bool_, numpy.integer, numpy.floating)):
        number = value.item()
        if type(number) in plain:  # not so for the widest floats
            return number
    raise NotPlain


def _sorted(values: Any, depth: int) -> list[Any]:
    """Members of a set in an order that does not change from process to process, so that equal sets give equal bytes."""
    return sorted((_tagged(item, depth) for item in values), key=lambda item: json.dumps(item, sort_keys=True))


def _moment(value: datetime, _: int) -> Any:
    if value.tzinfo is None or type(value.tzinfo) is timezone:
        return value.isoformat()
    if type(value.tzinfo) is ZoneInfo and value.tzinfo.key:
        return [value.replace(tzinfo=None).isoformat(), value.tzinfo.key, value.fold]
    raise NotPlain


def _read_moment(content: Any) -> datetime:
    if isinstance(content, str):
        return datetime.fromisoformat(content)
    local, zone, fold = content
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold)


def _clock_time(value: time, _: int) -> str:
    if value.tzinfo is None or type(value.tzinfo) is timezone:
        return value.isoformat()
    raise NotPlain


_Write = Callable[[Any, int], Any]
_TAGS: dict[type, tuple[str, _Write, Callable[[Any], Any]]] = {
    tuple: ("$tuple", lambda value, depth: [_tagged(item, depth) for item in value], tuple),
    set: ("$set", _sorted, set),
    frozenset: ("$frozenset", _sorted, frozenset),
    bytes: ("$bytes", lambda value, _: b64encode(value).decode(), b64decode),
    datetime: ("$datetime", _moment, _read_moment),
    date: ("$date", lambda value, _: value.isoformat(), date.fromisoformat),
    time: ("$time", _clock_time, time.fromisoformat),
    timedelta: (
        "$duration",
        lambda value, _: [value.days, value.seconds, value.microseconds],
        lambda content: timedelta(*content),
    ),
    Decimal: ("$decimal", lambda value, _: str(value), Decimal),
    UUID: ("$uuid", lambda value, _: str(value), UUID),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$dict": dict,
    **{tag: read for tag, _, read in _TAGS.values()},
}
