"""Between instants and what the clock of a time zone shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from legato.terms.instant import Instant, to_datetime

Mark = Literal["", "gap", "first", "second"]
"""What is odd about an instant that a wall clock names: it stands for a time that was skipped, or it is one of two passes."""

_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)


def shown(zone: tzinfo, at: Instant) -> datetime:
    """What the zone's clock shows, without a zone."""
    return to_datetime(at).astimezone(zone).replace(tzinfo=None)


def offset(zone: tzinfo, at: Instant) -> timedelta:
    """How far the zone's clock is ahead of UTC."""
    return to_datetime(at).astimezone(zone).utcoffset() or timedelta()


def once(zone: tzinfo, wall: datetime) -> tuple[Instant, Mark]:
    """The one instant that a time of the wall clock stands for: its first pass, or the end of the gap that it lies in."""
    if zone is UTC:
        return _instant(wall), ""
    before, after = _offsets(zone, wall)
    if before == after:
        return _instant(wall - before), ""
    if before > after:
        return _instant(wall - before), "first"
    return _gap_end(zone, wall, before, after), "gap"


def passes(zone: tzinfo, wall: datetime) -> tuple[Instant, ...]:
    """Every instant at which the clock shows this time: none in a gap, two where it comes twice."""
    if zone is UTC:
        return (_instant(wall),)
    before, after = _offsets(zone, wall)
    if before == after:
        return (_instant(wall - before),)
    return (_instant(wall - before), _instant(wall - after)) if before > after else ()


def _offsets(zone: tzinfo, wall: datetime) -> tuple[timedelta, timedelta]:
    """The offsets before and after the change that the time is part of; equal where it is part of none (PEP 495)."""
    aware = wall.replace(tzinfo=zone)
    return aware.utcoffset() or timedelta(), aware.replace(fold=1).utcoffset() or timedelta()


def _gap_end(zone: tzinfo, wall: datetime, before: timedelta, after: timedelta) -> Instant:
    """The instant at which the clock was moved: by halving, since no zone tells its changes."""
    low, high = wall - after, wall - before  # in UTC: the clock has not been moved yet; it has
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        if offset(zone, _instant(middle)) == before:
            low = middle
        else:
            high = middle
    return Instant(_instant(high) // 1_000_000 * 1_000_000)


def _instant(wall: datetime) -> Instant:
    since = wall - _EPOCH
    return Instant((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
