"""Cron expressions: five fields, read into the dates and times of day that they name. Clocks and zones come later (`triggers`).

As in Debian's cron: where both the day of the month and the day of the week are restricted, either is enough; a field that
begins with `*` does not restrict. Beyond it, the day of the month may be `L` (the last) or `LW` (the last Monday to Friday), and
the day of the week `MON#2` (the second Monday) or `FRIL` (the last Friday).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from legato.terms.errors import LegatoError

SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

LAST, LAST_WEEKDAY = -1, -2
"""Days of the month that are no numbers; `LAST` also stands for the last of its kind among days of the week."""

_DAY = timedelta(days=1)
_CYCLE_YEARS = 400
"""After so many years the calendar repeats itself, days of the week included."""


class Field(NamedTuple):
    """One field of an expression: what it is called, and which numbers and names it may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """What may stand there, for people."""
        return f"{self.low} to {self.high}" + (f", {self.names[0]} to {self.names[-1]}" if self.names else "")


MINUTE, HOUR, DAY = Field("minute", 0, 59), Field("hour", 0, 23), Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
WEEKDAY = Field("day of the week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class Table(NamedTuple):
    """What an expression names. Days of the week count from Sunday, 0; `nth` are such days with their number in the month."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    both: bool
    """Whether a date must be right as a day of the month and as a day of the week; else one of the two is enough."""

    @property
    def hourly(self) -> bool:
        """Whether it names every hour of a day: then it follows real time, and not the times of a day."""
        return len(self.hours) == 24

    def matches(self, day: date) -> bool:
        """Whether it names this date."""
        if day.month not in self.months:
            return False
        if self.both:
            return self._is_day(day) and self._is_weekday(day)
        return self._is_day(day) or self._is_weekday(day)

    def dates(self, start: date) -> Iterator[date]:
        """The dates that it names, from this one on, for as long as the calendar takes to repeat itself."""
        day, last = start, min(start.year + _CYCLE_YEARS, 9998)
        while day.year <= last:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self.matches(day):
                yield day
            day += _DAY

    def _is_day(self, day: date) -> bool:
        if day.day in self.days:
            return True
        if day.day < 26 or min(self.days) > 0:
            return False
        last = monthrange(day.year, day.month)[1]
        if LAST in self.days and day.day == last:
            return True
        weekend = max(0, date(day.year, day.month, last).weekday() - 4)
        return LAST_WEEKDAY in self.days and day.day == last - weekend

    def _is_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if weekday in self.weekdays:
            return True
        if not self.nth:
            return False
        is_last = day.day + 7 > monthrange(day.year, day.month)[1]
        return (weekday, (day.day + 6) // 7) in self.nth or (is_last and (weekday, LAST) in self.nth)


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Table:
    """What the expression names; LegatoError (`cron`) with the field and the place of what is wrong with it."""
    text = SHORTHANDS.get(expression.strip().lower(), expression)
    words = list(re.finditer(r"\S+", text))
    if text.strip().startswith("@"):
        raise _refusal(expression, f"there is no {text.strip()}", f"write {', '.join(SHORTHANDS)}, or five fields")
    if len(words) != 5:
        count = f"it has {len(words)} field{'' if len(words) == 1 else 's'}, not 5"
        advice = "a cron has no seconds: write lg.every(...) for those" if len(words) > 5 else "write for example 0 6 * * *"
        raise _refusal(expression, count, advice)
    minutes, hours, days, months, weekdays = (
        _Reader(expression, number, field, word.start()).items(word.group().upper())
        for number, (field, word) in enumerate(zip(FIELDS, words, strict=True), 1)
    )
    table = Table(
        minutes=tuple(sorted(_plain(minutes))),
        hours=tuple(sorted(_plain(hours))),
        days=frozenset(_plain(days)),
        months=frozenset(_plain(months)),
        weekdays=frozenset(each % 7 for each in _plain(weekdays)),
        nth=frozenset((each[0] % 7, each[1]) for each in weekdays if isinstance(each, tuple)),
        both=words[2].group().startswith("*") or words[4].group().startswith("*"),
    )
    if next(table.dates(date(2000, 1, 1)), None) is None:
        raise _refusal(expression, "it never fires: no year has such a date", "mend the day of the month or the month")
    return table


Item = int | tuple[int, int]


def _plain(items: set[Item]) -> set[int]:
    return {each for each in items if isinstance(each, int)}


class _Reader:
    """Reads one field; `at` is where it begins in the expression."""

    def __init__(self, expression: str, number: int, field: Field, at: int) -> None:
        self.expression, self.number, self.field, self.at = expression, number, field, at

    def items(self, text: str) -> set[Item]:
        """All that the field names."""
        found: set[Item] = set()
        at = 0
        for term in text.split(","):
            found |= self._term(term, at)
            at += len(term) + 1
        return found

    def _term(self, term: str, at: int) -> set[Item]:
        if not term:
            raise self._bad(at, "a number is missing")
        span, slash, step = term.partition("/")
        if slash:
            by = self._number(step, at + len(span) + 1, "a step")
            if by < 1:
                raise self._bad(at + len(span) + 1, "a step of 0 leads nowhere")
            low, high = self._span(span, at)
            return set(range(low, (self.field.high if low == high and span != "*" else high) + 1, by))
        special = self._special(term, at)
        if special is not None:
            return {special}
        low, high = self._span(term, at)
        return set(range(low, high + 1))

    def _special(self, term: str, at: int) -> Item | None:
        if self.field is DAY and term in ("L", "LW"):
            return LAST if term == "L" else LAST_WEEKDAY
        if self.field is WEEKDAY and "#" in term:
            day, _, nth = term.partition("#")
            number = self._number(nth, at + len(day) + 1, "which one of the month")
            if not 1 <= number <= 5:
                raise self._bad(at + len(day) + 1, f"a month has no {number}th of them: 1 to 5, or {day}L for the last")
            return self._value(day, at), number
        if self.field is WEEKDAY and term.endswith("L"):
            return self._value(term[:-1], at), LAST
        return None

    def _span(self, span: str, at: int) -> tuple[int, int]:
        if span == "*":
            return self.field.low, self.field.high
        begin, dash, end = span.partition("-")
        low = self._value(begin, at)
        if not dash:
            return low, low
        high = self._value(end, at + len(begin) + 1)
        if high < low:
            raise self._bad(at, f"{span} ends before it begins")
        return low, high

    def _value(self, text: str, at: int) -> int:
        if text in self.field.names:
            return self.field.names.index(text) + self.field.low
        value = self._number(text, at, self.field.range)
        if not self.field.low <= value <= self.field.high:
            raise self._bad(at, f"{value} is not in {self.field.range}")
        return value

    def _number(self, text: str, at: int, wanted: str) -> int:
        if not text:
            raise self._bad(at, f"a number is missing ({wanted})")
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise self._bad(at, f"{text!r} is not a number ({wanted})")
        return int(text)

    def _bad(self, at: int, what: str) -> LegatoError:
        place = f"field {self.number} ({self.field.name}), character {self.at + at + 1}"
        return _refusal(self.expression, f"{place}: {what}", "minute, hour, day of the month, month, day of the week")


def _refusal(expression: str, what: str, advice: str) -> LegatoError:
    return LegatoError("cron", f"{expression!r}: {what}", next=advice)
