"""Typed time without a clock: an instant is whole microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NewType

from legato.terms.errors import LegatoError

Instant = NewType("Instant", int)

_DURATION = re.compile(r"(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|min|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def from_datetime(moment: datetime) -> Instant:
    """The instant of a time-zone-aware datetime."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone names no instant")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Instant((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def to_datetime(instant: Instant) -> datetime:
    """The UTC datetime of an instant."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def iso(instant: Instant) -> str:
    """The instant as text: `2026-11-21T06:00:00Z`."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def after(instant: Instant, seconds: float) -> Instant:
    """The instant so many seconds later."""
    return Instant(instant + round(seconds * 1_000_000))


def parse_duration(text: str | float | timedelta) -> float:
    """Seconds of a duration: a number of seconds, a timedelta, or text such as `30s`, `1h30m`, `250ms`, `2d`."""
    if isinstance(text, timedelta):
        return text.total_seconds()
    if isinstance(text, int | float):
        return float(text)
    compact = text.strip().lower()
    matches = list(_DURATION.finditer(compact))
    if not matches or "".join(m.group(0) for m in matches) != compact.replace(",", ""):
        raise LegatoError(
            "duration",
            f"{text!r} is not a duration",
            why="a duration is a number with a unit: ms, s, m, h, d or w",
            next="write for example 30s, 1h30m or 2d",
        )
    return sum(float(m.group("value")) * _SECONDS[m.group("unit")] for m in matches)


def format_seconds(seconds: float) -> str:
    """A duration for people: `3 ms`, `4.2 s`, `2 m 05 s`, `1 h 03 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m"
