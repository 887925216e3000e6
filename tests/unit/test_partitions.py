"""Partition sets: regions against Python sets, windows against walks through the clock, keys against their coordinates."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legato.declare import partitions as p
from legato.terms.codec import pack, unpack
from legato.terms.errors import EXIT_NOT_FOUND, LegatoError
from legato.terms.instant import after, from_datetime, to_datetime

NOW = from_datetime(datetime(2013, 3, 15, 12, tzinfo=UTC))
DAYS = p.daily("2013-01-01", "2014-01-01")
AIRPORTS = p.static(["EWR", "JFK", "LGA"])
BOTH = p.product(day=DAYS, airport=AIRPORTS)
CHANGES = [
    ("America/New_York", "2013-03-10"),
    ("America/New_York", "2013-11-03"),
    ("Europe/Berlin", "2013-03-31"),
    ("Europe/Berlin", "2013-10-27"),
    ("Asia/Kathmandu", "2013-06-01"),
    ("Australia/Lord_Howe", "2013-04-07"),
    ("Australia/Lord_Howe", "2013-10-06"),
    ("America/Sao_Paulo", "2013-10-20"),
]


# -- regions ----------------------------------------------------------------------------------------------------------


def boxes(dims: int) -> st.SearchStrategy[list[p.Box]]:
    bounds = st.tuples(st.integers(0, 7), st.integers(0, 7))
    return st.lists(st.tuples(*[bounds] * dims), max_size=6)


def members(many: list[p.Box]) -> set[p.Coord]:
    found: set[p.Coord] = set()
    for box in many:
        cells: list[p.Coord] = [()]
        for low, high in box:
            cells = [(*cell, place) for cell in cells for place in range(low, high)]
        found.update(cells)
    return found


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3).flatmap(lambda dims: st.tuples(boxes(dims), boxes(dims))))
def test_regions_do_what_sets_do(pair: tuple[list[p.Box], list[p.Box]]) -> None:
    left, right = (p.region(each) for each in pair)
    ours, theirs = (members(each) for each in pair)
    for result, expected in [
        (left, ours),
        (p.union(left, right), ours | theirs),
        (p.intersection(left, right), ours & theirs),
        (p.difference(left, right), ours - theirs),
    ]:
        assert list(p.coords(result)) == sorted(expected)
        assert p.size(result) == len(expected)
        assert result == p.of_coords(expected), "equal sets are equal regions"
        assert result == tuple(sorted(result))
    assert all(p.contains(left, coord) == (coord in ours) for coord in ours | theirs)


def test_the_region_of_what_is_not_partitioned_has_one_coordinate() -> None:
    assert p.extent(None, {}, NOW) == p.WHOLE == p.region([()])
    assert list(p.coords(p.WHOLE)) == [()]
    assert p.size(p.WHOLE) == 1
    assert p.difference(p.WHOLE, p.WHOLE) == p.EMPTY
    assert p.union(p.EMPTY, p.WHOLE) == p.intersection(p.WHOLE, p.WHOLE) == p.WHOLE
    assert p.keys(None, p.WHOLE, {}) == [""]
    assert p.coord_of(None, "", {}) == ()


# -- windows against the clock ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tz", "change"), CHANGES)
def test_every_instant_lies_in_the_window_of_its_local_date(tz: str, change: str) -> None:
    zone, day = ZoneInfo(tz), date.fromisoformat(change)
    daily, weekly, monthly = (make("2013-01-01", tz=tz) for make in (p.daily, p.weekly, p.monthly))
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=26)
    for _ in range(4 * 54):
        moment += timedelta(minutes=15)
        local, instant = moment.astimezone(zone).date(), from_datetime(moment)
        monday = local - timedelta(days=local.weekday())
        for windows, expected in ((daily, str(local)), (weekly, str(monday)), (monthly, str(local)[:7])):
            index = windows.index_at(instant)
            assert windows.key(index) == expected
            assert windows.opening(index) <= instant < windows.opening(index + 1)
            start, end = windows.window(index)
            assert start <= moment < end


@pytest.mark.parametrize(("tz", "change"), CHANGES)
def test_hours_are_true_hours_with_keys_that_never_repeat_and_sort_in_time(tz: str, change: str) -> None:
    zone, start = ZoneInfo(tz), date.fromisoformat(change) - timedelta(days=1)
    hours = p.hourly(start, tz=tz)
    moment = datetime(start.year, start.month, start.day, tzinfo=zone).astimezone(UTC)
    seen: list[str] = []
    for index in range(60):
        local = (moment + timedelta(hours=index)).astimezone(zone)
        key = local.strftime("%Y-%m-%dT%H:%M").removesuffix(":00")
        if local.replace(tzinfo=None) in [each.replace(tzinfo=None) for each in (earlier(local, 30), earlier(local, 60))]:
            key += local.strftime("%z")
        seen.append(key)
        assert hours.opening(index) == from_datetime(local)
        assert hours.index_at(from_datetime(local)) == index
        assert hours.index(key) == index
    assert hours.keys_between(0, 60) == seen == sorted(set(seen))


def earlier(local: datetime, minutes: int) -> datetime:
    return (local.astimezone(UTC) - timedelta(minutes=minutes)).astimezone(local.tzinfo)


@pytest.mark.parametrize(("tz", "change"), [("America/St_Johns", "2010-11-07"), ("America/Toronto", "1919-03-30")])
def test_days_follow_one_another_where_the_clock_jumps_over_midnight(tz: str, change: str) -> None:
    days, day = p.daily(date.fromisoformat(change) - timedelta(days=3), tz=tz), date.fromisoformat(change)
    instant = from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
    for _ in range(8 * 54):
        instant = after(instant, 450)
        index = days.index_at(instant)
        assert days.opening(index) <= instant < days.opening(index + 1)


def test_keys_at_a_change_of_the_clock() -> None:
    autumn = p.hourly("2013-11-03", tz="America/New_York").keys_between(0, 4)
    assert autumn == ["2013-11-03T00", "2013-11-03T01", "2013-11-03T01-0500", "2013-11-03T02"]
    assert p.hourly("2013-03-10", tz="America/New_York").keys_between(1, 3) == ["2013-03-10T01", "2013-03-10T03"]
    half = p.hourly("2013-04-07", tz="Australia/Lord_Howe").keys_between(1, 4)
    assert half == ["2013-04-07T01", "2013-04-07T01:30+1030", "2013-04-07T02:30"]
    assert p.hourly("2013-01-01", tz="Asia/Kathmandu").key(7) == "2013-01-01T07"
    with pytest.raises(LegatoError, match="2013-03-10T02"):
        p.hourly("2013-03-10", tz="America/New_York").index("2013-03-10T02")


def test_days_have_23_to_25_hours_and_a_date_that_was_left_out_has_none() -> None:
    days = p.daily("2011-01-01", tz="Pacific/Apia")
    start, end = days.window(days.index("2011-12-30"))
    assert start == end
    york = p.daily("2013-01-01", tz="America/New_York")
    lengths = {(york.opening(place + 1) - york.opening(place)) // 3_600_000_000 for place in range(365)}
    assert lengths == {23, 24, 25}
    assert p.window_of(york, p.coord_of(york, "2013-11-03", {})) == (
        datetime(2013, 11, 3, tzinfo=ZoneInfo("America/New_York")),
        datetime(2013, 11, 4, tzinfo=ZoneInfo("America/New_York")),
    )


@pytest.mark.parametrize(("make", "last"), [(p.daily, "2013-03-14"), (p.weekly, "2013-03-04"), (p.monthly, "2013-02")])
def test_without_end_there_are_the_windows_that_are_over(make: object, last: str) -> None:
    windows = make("2013-01-01")  # type: ignore[operator]
    assert p.keys(windows, p.extent(windows, {}, NOW), {})[-1] == last
    count = windows.count(NOW)
    assert windows.opening(count) <= NOW < windows.opening(count + 1)
    assert make("2014-01-01").count(NOW) == 0  # type: ignore[operator]


def test_an_end_bounds_the_windows_whatever_the_time_is() -> None:
    assert p.keys(DAYS, p.extent(DAYS, {}, NOW), {})[-1] == "2013-12-31"
    assert p.size(p.extent(p.hourly("2013-01-01", "2014-01-01", tz="Europe/Berlin"), {}, NOW)) == 365 * 24


def test_equal_definitions_are_equal_records() -> None:
    assert p.weekly("2013-01-02", "2013-01-30") == p.weekly(date(2012, 12, 31), "2013-02-04")
    assert p.monthly("2013", "2013-06-15") == p.monthly("2013-01-20", "2013-07")
    assert p.daily(datetime(2013, 1, 1, 3, tzinfo=UTC), tz="America/New_York") == p.daily("2012-12-31", tz="America/New_York")
    assert p.hourly("2013-01-01T07:30") == p.hourly("2013-01-01T07:00")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_keys_round_trip(data: st.DataObject) -> None:
    make = data.draw(st.sampled_from([p.hourly, p.daily, p.weekly, p.monthly]))
    zone = data.draw(st.sampled_from(["UTC", "Africa/Monrovia", "Pacific/Apia", *(tz for tz, _ in CHANGES)]))
    start = data.draw(st.datetimes(datetime(1960, 1, 1), datetime(2030, 1, 1)))
    windows = make(start, tz=zone)
    place = data.draw(st.integers(0, 20_000))
    key = p.key_of(windows, (place,), {})
    assert p.coord_of(windows, key, {}) == (place,)
    assert not p.key_fault(key)
    assert make(windows.start, tz=zone) == windows
    first = windows.window(0)
    moment = to_datetime(from_datetime(start.replace(tzinfo=ZoneInfo(zone))))
    assert first[0] <= moment < first[1] or windows.cut != "hourly"


# -- keys -------------------------------------------------------------------------------------------------------------


def test_products_join_keys_in_order_of_their_dimensions() -> None:
    keys = p.keys(BOTH, p.extent(BOTH, {}, NOW), {})
    assert keys[:4] == ["2013-01-01|EWR", "2013-01-01|JFK", "2013-01-01|LGA", "2013-01-02|EWR"]
    assert [p.coord_of(BOTH, key, {}) for key in keys[:4]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert p.key_of(BOTH, (364, 2), {}) == "2013-12-31|LGA"
    partly = p.region([((0, 2), (0, 1)), ((1, 3), (1, 2))])
    assert p.keys(BOTH, partly, {}) == [p.key_of(BOTH, coord, {}) for coord in p.coords(partly)]


@pytest.mark.parametrize("parts", [DAYS, AIRPORTS, BOTH, p.monthly("2013", "2014"), p.hourly("2013-11-03", "2013-11-04")])
def test_a_definition_that_does_not_depend_on_the_time_lists_its_keys(parts: p.Windows | p.Static | p.Product) -> None:
    assert parts.keys() == p.keys(parts, p.extent(parts, {}, NOW), {})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (p.daily("2013-01-05"), "daily windows from 2013-01-05 on have no last key"),
        (p.dynamic("carriers"), "legato keys carriers"),
        (p.product(day=DAYS, carrier=p.dynamic("carriers")), "legato keys carriers"),
    ],
)
def test_a_definition_that_depends_on_more_says_so(parts: p.Windows | p.Dynamic | p.Product, words: str) -> None:
    with pytest.raises(LegatoError) as caught:
        parts.keys()
    assert caught.value.code == "partition-keys"
    assert words in str(caught.value)


def test_dynamic_keys_come_in_order_of_arrival() -> None:
    carriers, known = p.dynamic("carriers"), {"carriers": ["UA", "AA"]}
    assert p.keys(carriers, p.extent(carriers, known, NOW), known) == ["UA", "AA"]
    assert p.coord_of(carriers, "AA", known) == (1,)
    assert p.extent(carriers, {}, NOW) == p.EMPTY
    with pytest.raises(LegatoError, match="no keys yet"):
        p.coord_of(carriers, "AA", {})


@pytest.mark.parametrize(
    ("parts", "key", "words"),
    [
        (DAYS, "2014-01-01", "from 2013-01-01 to 2013-12-31"),
        (DAYS, "2012-12-31", "from 2013-01-01 to 2013-12-31"),
        (DAYS, "2013-01", "the window that holds it is 2013-01-01"),
        (DAYS, "2013-02-30", "looks like 2013-01-05"),
        (DAYS, "", "looks like 2013-01-05"),
        (p.weekly("2013-01-01"), "2013-01-08", "the window that holds it is 2013-01-07"),
        (AIRPORTS, "ewr", "close to it: EWR"),
        (AIRPORTS, "LGW", "close to it: LGA"),
        (BOTH, "2013-01-01", "2 parts here: day|airport"),
        (BOTH, "2013-01-01|BOS", "from EWR to LGA"),
        (None, "2013-01-01", "not partitioned"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_what_is_valid(parts: p.Partitions | None, key: str, words: str) -> None:
    with pytest.raises(LegatoError) as caught:
        p.coord_of(parts, key, {})
    assert caught.value.code == "partition-key"
    assert caught.value.exit_code == EXIT_NOT_FOUND
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("2013-01-05|EWR", "2013-01-05|EWR", "2013-01-05|EWR", 1),
        ("2013-02|EWR", "2013-02-01|EWR", "2013-02-28|EWR", 28),
        ("2013|*", "2013-01-01|EWR", "2013-12-31|LGA", 365 * 3),
        ("*|EWR..JFK", "2013-01-01|EWR", "2013-12-31|JFK", 365 * 2),
        ("2013-01-30..2013-02|LGA", "2013-01-30|LGA", "2013-02-28|LGA", 30),
        ("2013-12-30..|LGA", "2013-12-30|LGA", "2013-12-31|LGA", 2),
        ("2013-01-01|EWR,2013-01-01..2013-01-02|*", "2013-01-01|EWR", "2013-01-02|LGA", 6),
    ],
)
def test_a_region_is_read_from_what_a_person_writes(text: str, first: str, last: str, count: int) -> None:
    keys = p.keys(BOTH, p.parse_region(BOTH, text, {}, NOW), {})
    assert (keys[0], keys[-1], len(keys)) == (first, last, count)


def test_coarser_texts_name_the_windows_that_start_in_them() -> None:
    weeks, hours = p.weekly("2013-01-01"), p.hourly("2013-01-01", "2014-01-01", tz="America/New_York")
    assert p.keys(weeks, p.parse_region(weeks, "2013-01", {}, NOW), {}) == [f"2013-01-{day:02}" for day in (7, 14, 21, 28)]
    assert p.size(p.parse_region(hours, "2013-11-03", {}, NOW)) == 25
    assert p.size(p.parse_region(hours, "2013-03", {}, NOW)) == 31 * 24 - 1
    months = p.monthly("2012-11")
    assert p.keys(months, p.parse_region(months, "2013", {}, NOW), {}) == ["2013-01", "2013-02"]
    assert p.parse_region(None, "", {}, NOW) == p.WHOLE


@pytest.mark.parametrize(
    "text", ["", "2012", "2014-01-01", "2013-13", "2013-02..2013-01", "2012..2013", "2013-01-01..x", "2013-01-01,", "1..2..3"]
)
def test_a_region_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(LegatoError) as caught:
        p.parse_region(DAYS, text, {}, NOW)
    assert caught.value.code == "partition-key"


def test_a_window_that_is_not_over_is_refused_with_the_last_that_is() -> None:
    with pytest.raises(LegatoError, match="the last one now is 2013-03-14"):
        p.parse_region(p.daily("2013-01-01"), "2013-03-15", {}, NOW)


# -- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: p.daily("2013-01-05", "2013-01-05"), "end before they start"),
        (lambda: p.hourly("2013-01-05", "2012-01-05"), "end before they start"),
        (lambda: p.daily("2013-01-05", tz="Mars/Olympus"), "not a time zone"),
        (lambda: p.daily("2013-01-05", tz="../../etc"), "not a time zone"),
        (lambda: p.daily("yesterday"), "not a date"),
        (lambda: p.daily("0001-01-01"), "not a date"),
        (lambda: p.static([]), "no keys"),
        (lambda: p.static(["a", "b", "a"]), "'a' is given twice"),
        (lambda: p.static([1]), "int"),  # type: ignore[list-item]
        (lambda: p.dynamic("a b"), "cannot name"),
        (lambda: p.product(), "no dimensions"),
        (lambda: p.product(a=AIRPORTS, b=BOTH), "do not nest"),  # type: ignore[arg-type]
        (lambda: p.look_back(0), "names no window"),
        (lambda: p.subset(), "names no keys"),
        *((lambda key=key: p.static([key]), "cannot be a partition key")
          for key in ["", "a|b", "a@b", "a..b", "a,b", "a/b", "a\0", "a\n", "\x85", "x" * 201, "\ud800", "*"]),
    ],
)  # fmt: skip
def test_nonsense_is_refused_where_it_is_declared(declare: object, words: str) -> None:
    with pytest.raises(LegatoError) as caught:
        declare()  # type: ignore[operator]
    assert caught.value.code in {"partitions", "mapping"}
    assert words in str(caught.value)
    assert caught.value.next


@pytest.mark.parametrize("parts", [DAYS, AIRPORTS, p.dynamic("carriers"), BOTH, p.monthly("2013", tz="Europe/Berlin")])
def test_partition_sets_travel_as_bytes(parts: p.Partitions) -> None:
    assert p.describe(parts)
    assert unpack(pack(parts), p.Partitions) == parts  # type: ignore[arg-type]
    assert hash(unpack(pack(parts), p.Partitions)) == hash(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "mapping",
    [p.same(), p.overlap(), p.look_back(3, skip=1), p.all_partitions(), p.subset(airport=["EWR"]), p.explicit({"a": ["b"]}),
     p.by_dimension(day=p.look_back(2))],
)  # fmt: skip
def test_mappings_travel_as_bytes(mapping: p.Mapping) -> None:
    assert unpack(pack(mapping), p.Mapping) == mapping  # type: ignore[arg-type]


# -- what a function receives -----------------------------------------------------------------------------------------


def test_a_partition_knows_its_window_and_its_keys() -> None:
    day = DAYS.partition("2013-01-05")
    assert (str(day), day.key, day.date) == ("2013-01-05", "2013-01-05", date(2013, 1, 5))
    assert (day.start, day.end) == (datetime(2013, 1, 5, tzinfo=UTC), datetime(2013, 1, 6, tzinfo=UTC))
    both = p.partition_of(BOTH, "2013-01-05|EWR")
    assert both.keys == {"day": "2013-01-05", "airport": "EWR"}
    assert both.start == day.start
    assert p.partition_of(p.dynamic("carriers"), "UA") == p.Partition("UA") == pickle.loads(pickle.dumps(p.Partition("UA")))
    assert p.partition_of(None, "").key == ""
    with pytest.raises(LegatoError, match="no partition 'x'"):
        AIRPORTS.partition("x")


def test_a_partition_without_one_window_says_so() -> None:
    with pytest.raises(LegatoError, match="no time window") as caught:
        _ = p.Partition("2013-01-05").start
    assert "days.partition('2013-01-05')" in caught.value.next
    twice = p.product(day=DAYS, month=p.monthly("2013")).partition("2013-01-05|2013-01")
    with pytest.raises(LegatoError, match="several time windows: day, month"):
        _ = twice.end
    with pytest.raises(LegatoError, match="no time window"):
        p.window_of(AIRPORTS, (0,))


# -- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.timing
@pytest.mark.parametrize(
    "parts",
    [p.daily("1990-01-01", "2990-01-01"), p.hourly("2000-01-01", "2090-01-01", tz="America/New_York"),
     p.static(f"k{place}" for place in range(100_000)), p.product(day=DAYS, key=p.static(f"k{place}" for place in range(300)))],
)  # fmt: skip
def test_a_hundred_thousand_keys_are_written_in_a_moment(parts: p.Partitions) -> None:
    whole = p.extent(parts, {}, NOW)
    box = whole[0] if len(whole[0]) > 1 else ((0, 100_000),)
    started = perf_counter()
    keys = p.keys(parts, (box,), {})
    assert perf_counter() - started < 1.0, "budget: 0.3 s on an idle machine"
    assert len(set(keys)) == len(keys) == p.size((box,))
