"""When the clock ticks: the instants that cron expressions and periods name.

A schedule answers for an instant and depends on nothing else, so it can be asked about any time, forward or back, by anybody.
Equal moments share one schedule, and with it what was worked out last: a hundred thousand triggers have few schedules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush
from typing import NamedTuple

from legato.declare.business import day_off, is_nth
from legato.declare.cron import parse_cron
from legato.declare.moment import Cron, Every, Timed
from legato.declare.windows import load_zone
from legato.terms.instant import Instant, from_datetime
from legato.triggers.wall import Mark, offset, once, passes, shown

_MINUTE, _DAY = 60_000_000, 86_400_000_000
_LONGEST_BACK = 100 * 366 * _DAY


class Tick(NamedTuple):
    """One instant of a schedule; `mark` says what the clock did there."""

    at: Instant
    mark: Mark = ""


class Span(NamedTuple):
    """How many ticks there are in a stretch of time: the first, the last, and the one before the last (of one: itself)."""

    ticks: int
    first: Instant
    last: Instant
    before_last: Instant


class Schedule(ABC):
    """The ticks of one moment of the clock."""

    def __init__(self, moment: Timed) -> None:
        self.moment = moment
        self.zone = load_zone(moment.tz)
        self.start = _bound(moment.start)
        self.end = _bound(moment.end)
        self._next: tuple[Instant, Instant | None] | None = None
        self._span: tuple[Instant, Instant, Span | None] | None = None
        self._before: tuple[Instant, Instant | None] | None = None

    @abstractmethod
    def _after(self, at: Instant) -> Iterator[Tick]:
        """The ticks later than this instant, without bounds."""

    def after(self, at: Instant) -> Iterator[Tick]:
        """The ticks later than this instant, in order, between start and end."""
        begin = at if self.start is None else Instant(max(at, self.start - 1))
        for tick in self._after(begin):
            if self.end is not None and tick.at >= self.end:
                return
            yield tick

    def next(self, at: Instant) -> Instant | None:
        """The first tick later than this instant."""
        if self._next is None or self._next[0] != at:
            tick = next(self.after(at), None)
            self._next = (at, tick.at if tick else None)
        return self._next[1]

    def span(self, after: Instant, until: Instant) -> Span | None:
        """The ticks later than one instant and not later than another, counted; None if there are none."""
        if self._span is None or self._span[:2] != (after, until):
            self._span = (after, until, self._count(after, until))
        return self._span[2]

    def between(self, after: Instant, until: Instant) -> list[Instant]:
        """The ticks later than one instant and not later than another."""
        found = []
        for tick in self.after(after):
            if tick.at > until:
                break
            found.append(tick.at)
        return found

    def before(self, at: Instant) -> Instant | None:
        """The last tick before this instant that the calendar does not skip."""
        if self._before is None or self._before[0] != at:
            self._before = (at, self._look_back(at))
        return self._before[1]

    def _look_back(self, at: Instant) -> Instant | None:
        """Look for the last tick before an instant ever further back."""
        back = _MINUTE
        while back < _LONGEST_BACK:
            for tick in reversed(self.between(Instant(at - back - 1), Instant(at - 1))):
                if not self.day_off(tick):
                    return tick
            if self.start is not None and at - back < self.start:
                break
            back *= 4
        return None

    def day_off(self, at: Instant) -> str:
        """Why the calendar skips a tick; empty if it does not."""
        return day_off(self.moment.calendar, shown(self.zone, at).date()) if self.moment.calendar else ""

    def _count(self, after: Instant, until: Instant) -> Span | None:
        ticks, first, last, before = 0, after, after, after
        for tick in self.after(after):
            if tick.at > until:
                break
            ticks += 1
            first = tick.at if ticks == 1 else first
            before, last = (last if ticks > 1 else tick.at), tick.at
        return Span(ticks, first, last, before) if ticks else None


class EverySchedule(Schedule):
    """A tick each period of real time, counted from the start, or from 1970."""

    def __init__(self, moment: Every) -> None:
        super().__init__(moment)
        self.period = round(moment.seconds * 1_000_000)
        self.anchor = self.start or Instant(0)

    def _after(self, at: Instant) -> Iterator[Tick]:
        tick = self.anchor + ((at - self.anchor) // self.period + 1) * self.period
        while True:
            yield Tick(Instant(tick))
            tick += self.period

    def _count(self, after: Instant, until: Instant) -> Span | None:
        first = next(self.after(after), None)
        end = until if self.end is None else min(until, self.end - 1)
        if first is None or first.at > end:
            return None
        ticks = (end - first.at) // self.period + 1
        last = first.at + (ticks - 1) * self.period
        return Span(ticks, first.at, Instant(last), Instant(max(first.at, last - self.period)))


class CronSchedule(Schedule):
    """The ticks of a cron expression on the clock of a zone (`decisions/cron-of-our-own.md` has the rules)."""

    def __init__(self, moment: Cron) -> None:
        super().__init__(moment)
        self.table = parse_cron(moment.expression)
        self.nth = moment.business_day
        self.times = [(hour, minute) for hour in self.table.hours for minute in self.table.minutes]

    def day_off(self, at: Instant) -> str:
        """Why the calendar skips a tick; empty if it does not. Ticks on the nth business day are on none else."""
        return "" if self.nth else super().day_off(at)

    def _after(self, at: Instant) -> Iterator[Tick]:
        return self._real_times(at) if self.table.hourly else self._times_of_day(at)

    def _times_of_day(self, at: Instant) -> Iterator[Tick]:
        """Each time that is named once; several that one gap swallowed are one tick at its end."""
        last = at
        for wall in self._walls(shown(self.zone, at)):
            tick, mark = once(self.zone, wall)
            if tick > last:
                last = tick
                yield Tick(tick, mark)

    def _real_times(self, at: Instant) -> Iterator[Tick]:
        """Every instant at which the clock shows a time that is named, in order.

        The second pass of a time comes after the first pass of a later one. So instants wait until no earlier one can come:
        until a time is reached whose own instant is later.
        """
        # Where the clock is about to be set back, times that it showed already will come again.
        back = max(timedelta(), offset(self.zone, at) - offset(self.zone, Instant(at + _DAY)))
        waiting: list[Tick] = []
        for wall in self._walls(shown(self.zone, at) - back):
            bound, _ = once(self.zone, wall)
            while waiting and waiting[0].at < bound:
                yield heappop(waiting)
            found = passes(self.zone, wall)
            marks: tuple[Mark, ...] = ("first", "second") if len(found) == 2 else ("",)
            for tick, mark in zip(found, marks, strict=False):
                if tick > at:
                    heappush(waiting, Tick(tick, mark))
        while waiting:
            yield heappop(waiting)

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """The times of the wall clock that are named, later than this one."""
        skip = bisect_right(self.times, (after.hour, after.minute))
        for day in self._dates(after.date()):
            for hour, minute in self.times[skip:] if day == after.date() else self.times:
                yield datetime(day.year, day.month, day.day, hour, minute)

    def _dates(self, start: date) -> Iterator[date]:
        found = self.table.dates(start)
        return (day for day in found if is_nth(self.moment.calendar, day, self.nth)) if self.nth else found


def schedule_of(moment: Cron | Every) -> Schedule:
    """The schedule of a moment; moments that tick alike share one."""
    if isinstance(moment, Every):
        return _every(moment.seconds, moment.tz, moment.calendar, moment.start, moment.end)
    return _cron(moment.expression, moment.tz, moment.calendar, moment.business_day, moment.start, moment.end)


@lru_cache(maxsize=65_536)
def _every(seconds: float, tz: str, calendar: str, start: str | None, end: str | None) -> Schedule:
    return EverySchedule(Every(seconds=seconds, tz=tz, calendar=calendar, start=start, end=end))


@lru_cache(maxsize=65_536)
def _cron(expression: str, tz: str, calendar: str, business_day: int, start: str | None, end: str | None) -> Schedule:
    moment = Cron(expression=expression, tz=tz, calendar=calendar, business_day=business_day, start=start, end=end)
    return CronSchedule(moment)


def _bound(text: str | None) -> Instant | None:
    return None if text is None else from_datetime(datetime.fromisoformat(text))
