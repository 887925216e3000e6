"""Cron expressions name the dates and times that cronsim finds, and say where they are wrong."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.cron import FIELDS, SHORTHANDS, Field, parse_cron
from legato.terms.errors import LegatoError


def times(expression: str, start: datetime, count: int) -> list[datetime]:
    """The first times that a clock without time zone would tick at, from the start on."""
    table = parse_cron(expression)

    def all_times() -> object:
        for day in table.dates(start.date()):
            for hour in table.hours:
                for minute in table.minutes:
                    time = datetime(day.year, day.month, day.day, hour, minute)
                    if time > start:
                        yield time

    return list(islice(all_times(), count))  # type: ignore[call-overload]


def terms(field: Field) -> st.SearchStrategy[str]:
    """What may stand in a field."""
    number = st.integers(field.low, field.high)
    value = number.map(str)
    if field.names:
        value |= st.sampled_from(field.names) | st.sampled_from(field.names).map(str.lower)
    pair = st.tuples(number, number).map(lambda both: f"{min(both)}-{max(both)}")
    step = st.integers(1, field.high)
    kinds = [value, pair, st.tuples(pair | st.just("*") | value, step).map(lambda both: f"{both[0]}/{both[1]}")]
    if field.name == "day of the month":
        kinds += [st.just("L"), st.just("LW")]
    if field.name == "day of the week":
        kinds += [
            st.tuples(number, st.integers(1, 5)).map(lambda both: f"{both[0]}#{both[1]}"),
            number.map(lambda day: f"{day}L"),
        ]
    return st.just("*") | st.lists(st.one_of(kinds), min_size=1, max_size=3).map(",".join)


def refusal(expression: str) -> LegatoError:
    with pytest.raises(LegatoError) as caught:
        parse_cron(expression)
    return caught.value


EXPRESSIONS = st.tuples(*map(terms, FIELDS)).map(" ".join)


@given(EXPRESSIONS, st.datetimes(datetime(1999, 1, 1), datetime(2038, 1, 1)))
def test_the_times_are_those_that_cronsim_finds(expression: str, start: datetime) -> None:
    try:
        parse_cron(expression)
    except LegatoError:
        found = refusal(expression)  # all terms are sound, so there can be but one reason
        assert "never fires" in found.what
        return
    assert times(expression, start, 20) == list(islice(CronSim(expression, start), 20))


@pytest.mark.parametrize(("shorthand", "expression"), SHORTHANDS.items())
def test_shorthands(shorthand: str, expression: str) -> None:
    assert parse_cron(shorthand.upper()) == parse_cron(expression)


def test_only_a_cron_of_every_hour_follows_real_time() -> None:
    hourly = ["*/15 * * * *", "@hourly", "5 */1 * * 1", "0 0-23 1 * *"]
    assert [parse_cron(each).hourly for each in hourly] == [True] * 4
    assert [parse_cron(each).hourly for each in ("*/15 2 * * *", "0 */2 * * *", "@daily")] == [False] * 3


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("0 25 * * *", "field 2 (hour), character 3: 25 is not in 0 to 23"),
        ("60 * * * *", "field 1 (minute), character 1: 60 is not in 0 to 59"),
        ("0 0 0 * *", "field 3 (day of the month), character 5: 0 is not in 1 to 31"),
        ("0 0 * FEB,MAI *", "field 4 (month), character 11: 'MAI' is not a number (1 to 12, JAN to DEC)"),
        ("0 0 * * 1-8", "field 5 (day of the week), character 11: 8 is not in 0 to 7, SUN to SAT"),
        ("0  9-5 * * *", "field 2 (hour), character 4: 9-5 ends before it begins"),
        ("*/0 * * * *", "field 1 (minute), character 3: a step of 0 leads nowhere"),
        ("*/x * * * *", "field 1 (minute), character 3: 'X' is not a number (a step)"),
        ("1,,2 * * * *", "field 1 (minute), character 3: a number is missing"),
        ("1- * * * *", "field 1 (minute), character 3: a number is missing (0 to 59)"),
        ("/5 * * * *", "field 1 (minute), character 1: a number is missing (0 to 59)"),
        ("0 0 * * MON#6", "field 5 (day of the week), character 13: a month has no 6th of them: 1 to 5, or MONL for the last"),
        ("0 0 * * L", "field 5 (day of the week), character 9: a number is missing (0 to 7, SUN to SAT)"),
        ("0 0 LX * *", "field 3 (day of the month), character 5: 'LX' is not a number (1 to 31)"),
        ("٣ * * * *", "field 1 (minute), character 1: '٣' is not a number (0 to 59)"),
        ("0 0 30 2 *", "it never fires: no year has such a date"),
        ("0 0 31 4,6,9,11 *", "it never fires: no year has such a date"),
        ("* * * *", "it has 4 fields, not 5"),
        ("0 * * * * *", "it has 6 fields, not 5"),
        ("", "it has 0 fields, not 5"),
        ("@reboot", "there is no @reboot"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(expression: str, told: str) -> None:
    found = refusal(expression)
    assert found.code == "cron"
    assert found.what == f"{expression!r}: {told}"
    assert found.next


def test_a_cron_that_fires_once_in_forty_years_is_sound() -> None:
    leap_mondays = list(islice(parse_cron("0 0 * 2 MON#5").dates(date(2020, 1, 1)), 3))
    assert leap_mondays == [date(2044, 2, 29), date(2072, 2, 29), date(2112, 2, 29)]


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_the_last_weekday_of_a_month(day: date) -> None:
    is_last = day.weekday() < 5 and all((day + timedelta(days=n)).weekday() > 4 or (day + timedelta(days=n)).month != day.month
                                        for n in range(1, 4))  # fmt: skip
    assert parse_cron("0 0 LW * *").matches(day) == is_last
