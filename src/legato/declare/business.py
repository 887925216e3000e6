"""Business days: which days a calendar counts, and what the others are called."""

from __future__ import annotations

from calendar import day_name
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from legato.declare.resolve import did_you_mean
from legato.terms.errors import LegatoError

WEEKDAYS = "weekdays"
"""The calendar that knows no holidays: Monday to Friday."""

_LANGUAGE = "en_US"
"""A holiday has one name on every machine, whatever its locale."""


def day_off(calendar: str, day: date) -> str:
    """Why a date is no business day (`Saturday`, `Labor Day`); empty if it is one."""
    if calendar == WEEKDAYS:
        return "" if day.weekday() < 5 else day_name[day.weekday()]
    known = load_calendar(calendar)
    if known.is_working_day(day):
        return ""
    return known.get(day) or day_name[day.weekday()]


def is_nth(calendar: str, day: date, nth: int) -> bool:
    """Whether a date is the nth business day of its month, or with a negative number the nth from its end."""
    if day_off(calendar, day):
        return False
    step, count = timedelta(days=1 if nth < 0 else -1), 1
    other = day + step
    while other.month == day.month and count <= abs(nth):
        count += not day_off(calendar, other)
        other += step
    return count == abs(nth)


@lru_cache(maxsize=256)
def load_calendar(name: str) -> Any:
    """The holidays of a country (`US`), a part of one (`DE-BY`) or a market (`NYSE`); LegatoError (`calendar`) if unknown."""
    try:
        import holidays
    except ImportError:
        raise LegatoError(
            "calendar", f"the calendar {name!r} needs the package `holidays`, which is not installed",
            why="only `weekdays` needs nothing", next='pip install "legato[calendars]"',
        ) from None  # fmt: skip
    countries, markets = holidays.list_supported_countries(), holidays.list_supported_financial()
    country, _, part = name.partition("-")
    if country in countries and (not part or part in countries[country]):
        return holidays.country_holidays(country, subdiv=part or None, language=_LANGUAGE)
    if name in markets:
        return holidays.financial_holidays(name, language=_LANGUAGE)
    if country in countries:
        advice = did_you_mean(name, [f"{country}-{each}" for each in countries[country]]) or f"write {country}"
    else:
        advice = did_you_mean(name, [WEEKDAYS, *countries, *markets])
    raise LegatoError(
        "calendar",
        f"there is no calendar {name!r}",
        next=advice or 'write a country, "US" or "DE-BY", a market, "NYSE", or "weekdays"',
    )  # fmt: skip
