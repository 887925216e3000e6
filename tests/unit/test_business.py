"""Business days are those of the calendar; a day off has a name."""

from __future__ import annotations

import sys
from datetime import date, timedelta

import pytest

from legato.declare.business import day_off, is_nth, load_calendar
from legato.terms.errors import LegatoError


@pytest.mark.parametrize(
    ("calendar", "day", "name"),
    [
        ("weekdays", date(2026, 7, 3), ""),
        ("weekdays", date(2026, 7, 4), "Saturday"),
        ("US", date(2026, 7, 2), ""),
        ("US", date(2026, 7, 3), "Independence Day (observed)"),
        ("US", date(2026, 7, 5), "Sunday"),
        ("DE-BY", date(2026, 1, 6), "Epiphany"),
        ("DE", date(2026, 1, 6), ""),
        ("IL", date(2026, 7, 3), "Friday"),
        ("NYSE", date(2026, 4, 3), "Good Friday"),
    ],
)
def test_days_off_have_names(calendar: str, day: date, name: str) -> None:
    found = day_off(calendar, day)
    assert bool(found) == bool(name)
    assert name in found


@pytest.mark.parametrize("calendar", ["weekdays", "US", "IL"])
def test_the_nth_business_day_is_found_by_counting(calendar: str) -> None:
    day = date(2026, 1, 1)
    while day.year == 2026:
        month = [day]
        while (month[-1] + timedelta(days=1)).month == day.month:
            month.append(month[-1] + timedelta(days=1))
        work = [each for each in month if not day_off(calendar, each)]
        for nth in (1, 3, 19, -1, -2):
            expected = [work[nth - 1 if nth > 0 else nth]]
            assert [each for each in month if is_nth(calendar, each, nth)] == expected
        assert not any(is_nth(calendar, each, 23) or is_nth(calendar, each, -23) for each in month if len(work) < 23)
        day = month[-1] + timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Mars", "write a country"),
        ("NYSEE", "did you mean `NYSE`?"),
        ("DE-BX", "did you mean `DE-"),
        ("week days", "did you mean `weekdays`?"),
        ("", "write a country"),
    ],
)
def test_an_unknown_calendar_is_told_with_what_was_meant(name: str, hint: str) -> None:
    with pytest.raises(LegatoError) as caught:
        load_calendar(name)
    assert (caught.value.code, caught.value.what) == ("calendar", f"there is no calendar {name!r}")
    assert hint in caught.value.next


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    load_calendar.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(LegatoError) as caught:
        load_calendar("US")
    assert caught.value.next == 'pip install "legato[calendars]"'
    assert day_off("weekdays", date(2026, 7, 4)) == "Saturday"
