"""Ticks of the clock against brute force: every minute around every change of a zone's clock."""

from __future__ import annotations

import zoneinfo
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from importlib.resources import files
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.cron import parse_cron
from legato.declare.moment import Cron, Every
from legato.declare.windows import load_zone
from legato.terms.instant import Instant, from_datetime, to_datetime
from legato.triggers.schedule import Span, schedule_of

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
AROUND = 30 * HOUR
STEP = DAY // MINUTE
"""No zone moves its clock and moves it back within so many minutes."""

TIMES_OF_DAY = [
    "0 6 * * *",
    "30 2 * * *",
    "0 2,3 * * *",
    "*/10 2 * * *",
    "15 0 * * *",
    "0 */2 * * *",
    "59 23 * * *",
    "* 1-22 * * *",
]
REAL_TIMES = ["*/15 * * * *", "0 * * * *", "30 * * * *", "7 0-23 1-31 * *", "20,50 * * * SAT,SUN"]


def instant(text: str) -> Instant:
    return from_datetime(datetime.fromisoformat(text))


def local(zone: tzinfo, at: int) -> datetime:
    """What the clock shows; the only question that the oracle asks of a zone."""
    return datetime.fromtimestamp(at // 1_000_000, zone).replace(tzinfo=None)


def changes(zone: tzinfo, first: int, last: int) -> Iterator[int]:
    """The instants of whole minutes at which the zone's clock is moved, between two years."""

    def offset(minute: int) -> timedelta | None:
        return datetime.fromtimestamp(minute * 60, zone).utcoffset()

    begin, end = (instant(f"{year}-01-01T00:00Z") // MINUTE for year in (first, last + 1))
    known = offset(begin)
    for after in range(begin + STEP, end + 1, STEP):
        if offset(after) != known:
            low, high = after - STEP, after
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == known else (low, middle)
            yield high * MINUTE
            known = offset(after)


class Shown:
    """What a zone's clock shows in each minute around a change."""

    def __init__(self, zone: tzinfo, change: int) -> None:
        self.begin = change - AROUND
        self.walls = [local(zone, self.begin + minute * MINUTE) for minute in range(2 * AROUND // MINUTE)]
        minute = timedelta(minutes=1)
        self.jumps = [n for n in range(1, len(self.walls)) if self.walls[n] - self.walls[n - 1] != minute]

    def ticks(self, expression: str) -> list[int]:
        """The ticks of a cron, by looking at every minute."""
        table = parse_cron(expression)
        named = [wall.hour in table.hours and wall.minute in table.minutes and table.matches(wall.date()) for wall in self.walls]
        if table.hourly:
            return [self.begin + n * MINUTE for n, hit in enumerate(named) if hit]
        found, seen = [], set()
        for n, wall in enumerate(self.walls):
            skipped = n in self.jumps and self._named_in_gap(expression, n)
            if skipped or (named[n] and wall not in seen):
                found.append(self.begin + n * MINUTE)
            seen.add(wall)
        return found

    def _named_in_gap(self, expression: str, n: int) -> bool:
        """Whether the cron names a time that the clock skips as it comes to this minute."""
        table, wall = parse_cron(expression), self.walls[n - 1] + timedelta(minutes=1)
        while wall < self.walls[n]:
            if wall.hour in table.hours and wall.minute in table.minutes and table.matches(wall.date()):
                return True
            wall += timedelta(minutes=1)
        return False


def compare(zone: tzinfo, name: str, change: int, expressions: list[str]) -> None:
    """The schedule's ticks around a change, asked for from several instants, are those of brute force."""
    around = Shown(zone, change)
    # What the clock showed before the stretch begins is beyond the oracle's sight, so it is asked for less than it looks at.
    begin = change - AROUND + 26 * HOUR
    end = change + AROUND - 1
    for expression in expressions:
        schedule, expected = schedule_of(Cron(expression=expression, tz=name)), around.ticks(expression)
        for start in (begin - 1, change - MINUTE, change - 1, change, change + 10 * MINUTE, change + 50 * MINUTE):
            wanted = expected[bisect_left(expected, start + 1) :]
            assert schedule.between(Instant(start), Instant(end)) == wanted, (name, expression, to_datetime(Instant(start)))


SAMPLE = [
    ("America/New_York", 2007), ("Europe/Berlin", 2026), ("Australia/Lord_Howe", 2026), ("Pacific/Apia", 2011),
    ("America/Sao_Paulo", 2018), ("America/Havana", 2026), ("Asia/Pyongyang", 2018), ("America/Caracas", 2016),
    ("Antarctica/Troll", 2026), ("Africa/Casablanca", 2026), ("America/St_Johns", 2010), ("Asia/Tehran", 2021),
    ("Antarctica/Casey", 2010), ("Asia/Gaza", 2011),
]  # fmt: skip


@pytest.mark.parametrize(("name", "year"), SAMPLE)
def test_ticks_around_changes_of_the_clock(name: str, year: int) -> None:
    zone = load_zone(name)
    found = list(changes(zone, year, year))
    assert found
    for change in found:
        compare(zone, name, change, TIMES_OF_DAY + REAL_TIMES)


@cache
def _all_changes() -> dict[tuple[int, timedelta, timedelta], str]:
    """Every change of every zone's clock from 2000 to 2037: the instant, what the clock showed before and after, and a zone."""
    found: dict[tuple[int, timedelta, timedelta], str] = {}
    rules: dict[bytes, str] = {}  # many names are other words for the same zone
    for name in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        folder, _, file = f"tzdata.zoneinfo/{name}".rpartition("/")
        rules.setdefault(files(folder.replace("/", ".")).joinpath(file).read_bytes(), name)
    for name in rules.values():
        zone = load_zone(name)
        for change in changes(zone, 2000, 2037):
            moved = to_datetime(Instant(change)).replace(tzinfo=None)
            found.setdefault((change, local(zone, change - 1) - moved, local(zone, change) - moved), name)
    return found


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_ticks_around_every_change_of_every_zone_from_2000_to_2037(part: int) -> None:
    every = sorted(_all_changes().items())
    assert len(every) > 3000
    for number, ((change, _, _), name) in enumerate(every):
        if number % 8 == part:
            times, real = TIMES_OF_DAY[number % 7 :: 4], REAL_TIMES[number % 5 :: 3]
            compare(load_zone(name), name, change, [*times, *real])


# -- what the marks say --


def told(expression: str, tz: str, after: str, count: int) -> list[str]:
    schedule = schedule_of(Cron(expression=expression, tz=tz))
    ticks = islice(schedule.after(instant(after)), count)
    return [f"{to_datetime(tick.at).astimezone(schedule.zone):%m-%d %H:%M%z} {tick.mark}".rstrip() for tick in ticks]


def test_a_daily_job_runs_once_at_the_gaps_end() -> None:
    expected = ["03-07 02:30-0500", "03-08 03:00-0400 gap", "03-09 02:30-0400"]
    assert told("30 2 * * *", "America/New_York", "2026-03-07T00:00-05:00", 3) == expected


def test_a_daily_job_runs_once_at_the_first_pass() -> None:
    expected = ["10-31 01:30-0400", "11-01 01:30-0400 first", "11-02 01:30-0500"]
    assert told("30 1 * * *", "America/New_York", "2026-10-31T00:00-04:00", 3) == expected


def test_a_quarter_hour_is_a_real_one() -> None:
    expected = ["01:45-0400 first", "01:00-0500 second", "01:15-0500 second"]
    assert told("*/15 * * * *", "America/New_York", "2026-11-01T01:30-04:00", 3) == [f"11-01 {each}" for each in expected]
    assert told("*/15 * * * *", "America/New_York", "2026-03-08T01:30-05:00", 2) == ["03-08 01:45-0500", "03-08 03:00-0400"]


def test_a_date_that_a_zone_left_out_is_made_up_for() -> None:
    expected = ["12-29 06:00-1000", "12-31 00:00+1400 gap", "12-31 06:00+1400"]
    assert told("0 6 * * *", "Pacific/Apia", "2011-12-29T00:00-10:00", 3) == expected


# -- properties --

SCHEDULES = [
    Cron(expression="*/7 3-5 * * *", tz="Europe/Berlin"),
    Cron(expression="*/20 * * * *", tz="Australia/Lord_Howe"),
    Cron(expression="0 9 * * *", tz="America/New_York", calendar="US", business_day=3),
    Cron(expression="0 9 L * *", tz="America/New_York", start="2026-02-01T00:00:00-05:00", end="2027-02-28T09:00:00-05:00"),
    Every(seconds=5400.0),
    Every(seconds=86400.0, start="2026-03-01T02:30:00+01:00", end="2026-04-01T02:30:00+02:00", tz="Europe/Berlin"),
]
INSTANTS = st.integers(instant("2026-01-01T00:00Z"), instant("2027-06-01T00:00Z")).map(Instant)


@pytest.mark.parametrize("moment", SCHEDULES, ids=lambda each: getattr(each, "expression", None) or f"every {each.seconds}")
@given(at=INSTANTS, hours=st.integers(0, 24 * 10))
def test_ticks_do_not_depend_on_where_one_starts_to_look(moment: Cron | Every, at: Instant, hours: int) -> None:
    schedule = type(schedule_of(moment))(moment)  # type: ignore[arg-type]  # one that remembers nothing
    middle, end = Instant(at + hours * HOUR // 2), Instant(at + hours * HOUR)
    whole = schedule.between(at, end)
    assert whole == sorted(set(whole))
    assert whole == schedule.between(at, middle) + schedule.between(middle, end)
    assert schedule.span(at, end) == counted(whole)
    if whole:
        assert schedule.next(at) == whole[0]
        assert schedule.before(Instant(whole[-1] + 1)) == whole[-1]


def counted(ticks: list[Instant]) -> Span | None:
    return Span(len(ticks), ticks[0], ticks[-1], ticks[max(0, len(ticks) - 2)]) if ticks else None


def test_periods_count_from_1970_or_from_the_start() -> None:
    at = instant("2026-11-21T10:07Z")
    assert to_datetime(schedule_of(Every(seconds=900.0)).next(at) or at) == datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
    shifted = schedule_of(Every(seconds=900.0, start="2026-01-01T00:05:00+00:00"))
    assert to_datetime(shifted.next(at) or at) == datetime(2026, 11, 21, 10, 20, tzinfo=UTC)


def test_start_is_the_first_tick_and_end_is_none() -> None:
    bounded = schedule_of(Every(seconds=3600.0, start="2026-01-01T00:00:00+00:00", end="2026-01-01T03:00:00+00:00"))
    assert [to_datetime(tick.at).hour for tick in bounded.after(instant("2020-01-01T00:00Z"))] == [0, 1, 2]
    assert bounded.next(instant("2026-01-01T02:00Z")) is None
    assert bounded.before(instant("2026-01-01T00:00Z")) is None


def test_the_calendar_names_the_day_off() -> None:
    schedule = schedule_of(Cron(expression="0 6 * * *", tz="America/New_York", calendar="US"))
    labor_day = instant("2026-09-07T06:00-04:00")
    assert schedule.day_off(labor_day) == "Labor Day"
    assert schedule.day_off(Instant(labor_day + DAY)) == ""
    assert schedule.before(Instant(labor_day + DAY)) == labor_day - 3 * DAY


def test_the_third_business_day_of_each_month() -> None:
    schedule = schedule_of(Cron(expression="0 6 * * *", tz="America/New_York", calendar="US", business_day=3))
    ticks = islice(schedule.after(instant("2026-01-01T00:00-05:00")), 6)
    days = [to_datetime(tick.at).date().isoformat() for tick in ticks]
    assert days == ["2026-01-06", "2026-02-04", "2026-03-04", "2026-04-03", "2026-05-05", "2026-06-03"]


def test_equal_moments_share_a_schedule() -> None:
    one, other = (Cron(expression="0 6 * * *", params={"region": each}) for each in ("EU", "US"))
    assert schedule_of(one) is schedule_of(other)
    assert schedule_of(one) is not schedule_of(Cron(expression="0 7 * * *"))
