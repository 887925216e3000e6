"""Partitions by time: windows of the local calendar, counted from the first, so any range of them is two numbers."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from legato.declare.partition import Partition
from legato.declare.region import Range
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant, from_datetime, to_datetime

Cut = Literal["hourly", "daily", "weekly", "monthly"]
Moment = str | date | datetime

EXAMPLE: dict[Cut, str] = {
    "hourly": "2013-01-05T07", "daily": "2013-01-05", "weekly": "2013-01-07", "monthly": "2013-01",
}  # fmt: skip
_PERIOD = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}\Z")
_YEARS = range(1000, 9000)
_HOUR = 3_600_000_000
_DAY = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Windows(Struct, frozen=True, tag="windows", dict=True):
    """Windows of one cut from `start` to `end` (exclusive; None: without end), by the calendar of the zone.

    The first window is the one that holds `start`, the last the one that holds the instant before `end`. Days, weeks
    (from Monday) and months start at local midnight, so a day has 23 to 25 hours; a date that its zone left out is an
    empty window. Hours are true hours on the grid of the first one, and no hour stands for a gap in the clock.

    An hour's key is its local time, `2013-11-03T01`; where clocks are set back, the second pass of a local time carries
    its offset: `2013-11-03T01-0500`. Minutes appear only where the grid leaves the full hour (a zone that moves its
    clocks by half an hour). Keys sort in time order as text, where clocks are never set back by more than an hour.
    """

    cut: Cut
    start: str
    end: str | None = None
    tz: str = "UTC"

    @cached_property
    def zone(self) -> tzinfo:
        """The time zone."""
        return load_zone(self.tz)

    @cached_property
    def first(self) -> int:
        """Where window 0 stands on the scale of its cut: microseconds, days, weeks or months."""
        begin = read_moment(self.start, self.zone)
        if self.cut != "hourly":
            return self._number(begin.date())
        full_hour = from_datetime(begin.replace(minute=0, second=0, microsecond=0))
        instant = from_datetime(begin)
        return instant - (instant - full_hour) % _HOUR

    @cached_property
    def bound(self) -> int | None:
        """How many windows there are, where an end is set."""
        if self.end is None:
            return None
        return self.index_at(Instant(from_datetime(read_moment(self.end, self.zone)) - 1)) + 1

    def count(self, now: Instant) -> int:
        """How many windows there are: all where an end is set, else those that are over at `now`."""
        return self.bound if self.bound is not None else max(0, self.index_at(now))

    def opening(self, index: int) -> Instant:
        """The first instant of a window; the end of the one before it."""
        if self.cut == "hourly":
            return Instant(self.first + index * _HOUR)
        return self._midnight(self._date(index))

    def index_at(self, instant: Instant) -> int:
        """The window that holds the instant, as if there were windows without start and end."""
        if self.cut == "hourly":
            return (instant - self.first) // _HOUR
        index = self._number(to_datetime(instant).astimezone(self.zone).date()) - self.first
        while self.opening(index) > instant:
            index -= 1
        while self.opening(index + 1) <= instant:
            index += 1
        return index

    def key(self, index: int) -> str:
        """The key of a window."""
        return self.keys_between(index, index + 1)[0]

    def keys_between(self, low: int, high: int) -> list[str]:
        """The keys of a range of windows."""
        if self.cut == "hourly":
            return [self._hour_key((self.first + index * _HOUR) // 1_000_000) for index in range(low, high)]
        low, high = low + self.first, high + self.first
        if self.cut == "monthly":
            return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(low, high)]
        if self.cut == "weekly":
            return [date.fromordinal(number * 7 + 1).isoformat() for number in range(low, high)]
        return [date.fromordinal(number).isoformat() for number in range(low, high)]

    def keys(self) -> list[str]:
        """The keys of all windows, in order of time; `LegatoError` (`partition-keys`) where no end is set."""
        if self.bound is None:
            raise LegatoError(
                "partition-keys", f"{self.cut} windows {self.reach()} have no last key",
                why="which there are depends on the time", next="give the definition an end, or ask for keys_between(low, high)",
            )  # fmt: skip
        return self.keys_between(0, self.bound)

    def index(self, key: str) -> int:
        """The window of this key; `NotFound` with what is valid."""
        try:
            index = self._nearest(key)
        except ValueError:
            raise self._not_found(key, f"a key of {self.cut} windows looks like {EXAMPLE[self.cut]}") from None
        if index < 0 or (self.bound is not None and index >= self.bound):
            raise self._not_found(key, f"there are windows {self.reach()}")
        if self.key(index) != key:
            raise self._not_found(key, f"the window that holds it is {self.key(index)}")
        return index

    def ahead_of(self, other: Windows) -> int | None:
        """How many windows of the other there are before this one's first; None where the two are cut differently."""
        if (self.cut, self.tz) != (other.cut, other.tz):
            return None
        ahead, rest = divmod(self.first - other.first, _HOUR if self.cut == "hourly" else 1)
        return None if rest else ahead

    def period(self, text: str) -> Range:
        """The windows that start in this year (`2013`), month (`2013-01`) or date; none for any other text."""
        if not _PERIOD.match(text):
            return 0, 0
        try:
            begin = date.fromisoformat(_pad(text))
        except ValueError:
            return 0, 0
        if begin.year not in _YEARS:
            return 0, 0
        low, high = self._from(begin), self._from(_day_after(text, begin))
        return max(0, low), high if self.bound is None else min(high, self.bound)

    def between(self, begin: str, end: str, count: int, *, whole: bool = False) -> Range:
        """Of the first `count` windows those of which any part lies between two moments, or periods, both included (empty: no
        bound); or that lie there `whole`. Moments are written like keys: `2013`, `2013-01`, `2013-01-05`, `2013-01-05T07`."""
        opening = from_datetime(read_moment(begin, self.zone)) if begin else None
        closing = self._closing(end) if end else None
        if opening is not None and closing is not None and opening >= closing:
            raise NotFound("partition-key", f"{begin} to {end} ends before it starts", next=f"write {end} to {begin}")
        low = 0 if opening is None else max(0, self.index_at(Instant(opening - whole)) + whole)
        high = count if closing is None else min(count, self.index_at(Instant(closing - (not whole))) + (not whole))
        return (low, high) if low < high else (0, 0)

    def _closing(self, text: str) -> Instant:
        """The first instant after a period or hour; of any other text, after the very moment."""
        begin = read_moment(text, self.zone)
        if not _PERIOD.match(text):
            return Instant(from_datetime(begin) + (_HOUR if len(text) == len(EXAMPLE["hourly"]) else 1))
        return self._midnight(_day_after(text, begin.date()))

    def window(self, index: int) -> tuple[datetime, datetime]:
        """Start and end of a window as aware datetimes in the zone."""
        start, end = (to_datetime(self.opening(place)).astimezone(self.zone) for place in (index, index + 1))
        return start, end

    def partition(self, key: str) -> Partition:
        """The whole partition of a key, as a function receives it."""
        return Partition(key, windows={"": self.window(self.index(key))})

    def reach(self) -> str:
        """From where to where, for people."""
        if self.bound is None:
            return f"from {self.key(0)} on"
        return f"from {self.key(0)} to {self.key(self.bound - 1)}"

    def _number(self, day: date) -> int:
        if self.cut == "monthly":
            return day.year * 12 + day.month - 1
        return (day.toordinal() - 1) // 7 if self.cut == "weekly" else day.toordinal()

    def _date(self, index: int) -> date:
        number = index + self.first
        if self.cut == "monthly":
            return date(number // 12, number % 12 + 1, 1)
        return date.fromordinal(number * 7 + 1 if self.cut == "weekly" else number)

    def _midnight(self, day: date) -> Instant:
        if self.zone is UTC:
            return Instant((day.toordinal() - _EPOCH_ORDINAL) * _DAY)
        return from_datetime(datetime(day.year, day.month, day.day, tzinfo=self.zone))

    def _from(self, day: date) -> int:
        """The first window that starts on this date or later."""
        if self.cut == "hourly":
            return self.index_at(Instant(self._midnight(day) - 1)) + 1
        return self._number(day - timedelta(days=1)) + 1 - self.first

    def _nearest(self, key: str) -> int:
        if self.cut == "hourly":
            return self.index_at(from_datetime(_moment(key, self.zone)))
        return self._number(_moment(key, UTC).date()) - self.first

    def _hour_key(self, seconds: int) -> str:
        local = datetime.fromtimestamp(seconds, self.zone)
        shown = 19 if local.second else 16 if local.minute else 13
        text = local.isoformat()[:shown]
        return text + local.strftime("%z") if local.fold else text

    def _not_found(self, key: str, why: str) -> NotFound:
        return NotFound(
            "partition-key", f"there is no partition {key!r}", why=why, next=f"name one {self.reach()}",
        )  # fmt: skip


def hourly(start: Moment, end: Moment | None = None, tz: str = "UTC") -> Windows:
    """A partition an hour."""
    return cut_time("hourly", start, end, tz)


def daily(start: Moment, end: Moment | None = None, tz: str = "UTC") -> Windows:
    """A partition a day of the zone's calendar."""
    return cut_time("daily", start, end, tz)


def weekly(start: Moment, end: Moment | None = None, tz: str = "UTC") -> Windows:
    """A partition a week, Monday to Sunday."""
    return cut_time("weekly", start, end, tz)


def monthly(start: Moment, end: Moment | None = None, tz: str = "UTC") -> Windows:
    """A partition a month."""
    return cut_time("monthly", start, end, tz)


def cut_time(cut: Cut, start: Moment, end: Moment | None, tz: str) -> Windows:
    """Windows in their one spelling: start and end become keys, so that equal definitions are equal records."""
    asked = Windows(cut, _as_text(start), None if end is None else _as_text(end), tz)
    bound = asked.bound
    if bound is None:
        return Windows(cut, asked.key(0), None, tz)
    if bound <= 0:
        raise LegatoError(
            "partitions", f"{cut} partitions end before they start: {asked.start} to {asked.end}",
            why="the end is exclusive and must lie after the start", next="swap them, or leave the end out",
        )  # fmt: skip
    return Windows(cut, asked.key(0), asked.key(bound), tz)


def load_zone(name: str) -> tzinfo:
    """The time zone of this IANA name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise LegatoError(
            "partitions", f"{name!r} is not a time zone", why="zones have IANA names",
            next="write for example America/New_York",
        ) from None  # fmt: skip


def read_moment(text: str, zone: tzinfo) -> datetime:
    """The moment that a text names in the zone; a time in a gap of the clock means the gap's end."""
    try:
        return to_datetime(from_datetime(_moment(text, zone))).astimezone(zone)
    except ValueError:
        raise LegatoError(
            "partitions", f"{text!r} is not a date or time", why="dates have four-digit years from 1000 to 8999",
            next="write for example 2013-01-05 or 2013-01-05T07",
        ) from None  # fmt: skip


def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(_pad(text) if _PERIOD.match(text) else text)
    if moment.year not in _YEARS:
        raise ValueError(text)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _day_after(period: str, first: date) -> date:
    """The day after the last of a year, month or date that begins on the first one."""
    if len(period) == 10:
        return first + timedelta(days=1)
    return date(first.year + 1, 1, 1) if len(period) == 4 else (first + timedelta(days=31)).replace(day=1)


def _pad(period: str) -> str:
    """The first date of a year, month or date."""
    return period + "-01-01"[len(period) - 4 :]


def _as_text(moment: Moment) -> str:
    return moment.isoformat() if isinstance(moment, date) else str(moment)
