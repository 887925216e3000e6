"""Mappings against brute force: what a region needs is what each of its keys needs, judged one pair of keys at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product as combine
from time import perf_counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from legato.declare import partitions as p
from legato.plan.spread import Extents, default_mapping, downstream, fault, upstream
from legato.terms.errors import LegatoError
from legato.terms.instant import from_datetime

NOW = from_datetime(datetime(2013, 11, 20, 12, tzinfo=UTC))
DYNAMIC = {"carriers": ["UA", "AA", "B6"], "none": []}
EXTENTS = Extents(DYNAMIC, NOW)

DAYS, MONTHS = p.daily("2013-01-01", "2014-01-01"), p.monthly("2013-01-01", "2014-01-01")
YORK = p.daily("2013-01-01", "2014-01-01", tz="America/New_York")
AIRPORTS, CARRIERS = p.static(["EWR", "JFK", "LGA"]), p.dynamic("carriers")


def box_of(parts: p.Partitions | None, key: str) -> p.Box:
    return tuple((place, place + 1) for place in p.coord_of(parts, key, DYNAMIC))


def up_keys(mapping: p.Mapping | None, down: p.Partitions | None, up: p.Partitions | None, key: str) -> list[str]:
    return p.keys(up, upstream(mapping, down, up, box_of(down, key), EXTENTS), DYNAMIC)


def down_keys(mapping: p.Mapping | None, down: p.Partitions | None, up: p.Partitions | None, key: str) -> list[str]:
    return p.keys(down, downstream(mapping, down, up, box_of(up, key), EXTENTS), DYNAMIC)


# -- against brute force ----------------------------------------------------------------------------------------------

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]


@st.composite
def windows(draw: st.DrawFn) -> p.Windows:
    """At most some forty windows around a change of the clock."""
    cut, days = draw(st.sampled_from([("hourly", 1), ("daily", 30), ("weekly", 120), ("monthly", 300)]))
    begin = datetime(2013, 11, 3) if cut == "hourly" else datetime(2013, 9, draw(st.integers(1, 30)))
    zone = draw(st.sampled_from(ZONES))
    end = None if cut != "hourly" and draw(st.booleans()) else begin.toordinal() + draw(st.integers(1, days))
    make = {"hourly": p.hourly, "daily": p.daily, "weekly": p.weekly, "monthly": p.monthly}[cut]
    return make(begin, end and datetime.fromordinal(end), tz=zone)


def static() -> st.SearchStrategy[p.Static]:
    return st.lists(st.sampled_from("ABCD"), min_size=1, unique=True).map(p.static)


def dimension() -> st.SearchStrategy[p.Dimension]:
    return st.one_of(windows(), static(), st.sampled_from(["carriers", "none"]).map(p.dynamic))


@st.composite
def pair(draw: st.DrawFn) -> tuple[p.Dimension, p.Dimension]:
    """Two dimensions that often have something in common."""
    down = draw(dimension())
    near = [st.just(down), windows(), dimension()]
    if isinstance(down, p.Windows):
        start = down.window(draw(st.integers(0, 9)))[0]
        near += [st.just(p.Windows(down.cut, start.isoformat(), None, down.tz)), windows()]
    return down, draw(st.one_of(near))


@st.composite
def one_mapping(draw: st.DrawFn, down: p.Dimension, up: p.Dimension) -> p.Mapping:
    simple = [p.same(), p.overlap(), p.all_partitions(), p.look_back(draw(st.integers(1, 4)), draw(st.integers(0, 2)))]
    ours, theirs = (p.keys(each, EXTENTS.of(each), DYNAMIC) for each in (down, up))
    if theirs:
        chosen = st.lists(st.sampled_from(theirs), min_size=1, max_size=3)
        simple.append(p.subset(keys=draw(chosen)))
        if ours:
            simple.append(p.explicit(draw(st.dictionaries(st.sampled_from(ours), chosen, max_size=4))))
    return draw(st.sampled_from([each for each in simple if not fault(each, down, up)]))


def holds(mapping: p.Mapping, down: p.Dimension | None, up: p.Dimension, key: str, other: str) -> bool:
    """Whether one key needs another: the meaning of each mapping, in the plainest words."""
    match mapping:
        case p.All():
            return True
        case p.Subset(((_, keys),)):
            return other in keys
        case p.Explicit(table):
            return any(row == key and other in needed for row, needed in table)
        case p.Same():
            return key == other
        case _:
            pass
    assert isinstance(down, p.Windows)
    assert isinstance(up, p.Windows)
    (begin, end), (first, last) = down.partition(key).windows[""], up.partition(other).windows[""]
    if isinstance(mapping, p.Overlap):
        return max(begin.astimezone(UTC), first.astimezone(UTC)) < min(end.astimezone(UTC), last.astimezone(UTC))
    assert isinstance(mapping, p.LookBack)
    back = count_of(down.cut, begin) - count_of(up.cut, first)
    return mapping.skip <= back < mapping.skip + mapping.count


def count_of(cut: str, start: datetime) -> float:
    """Windows since some beginning."""
    if cut == "hourly":
        return start.timestamp() / 3600
    if cut == "monthly":
        return start.year * 12 + start.month
    return start.toordinal() / (7 if cut == "weekly" else 1)


def some_box(draw: st.DrawFn, parts: p.Partitions | None) -> p.Box:
    box = []
    for low, high in EXTENTS.of(parts)[0]:
        begin = draw(st.integers(low, high - 1))
        box.append((begin, draw(st.integers(begin + 1, min(high, begin + 12)))))
    return tuple(box)


def agrees(
    draw: st.DrawFn, mapping: p.Mapping | None, down: p.Partitions, up: p.Partitions, related: set[tuple[p.Coord, p.Coord]]
) -> None:
    """Both directions of a mapping give, for a random box, what the related pairs of coordinates say."""
    if EXTENTS.of(down):
        box = some_box(draw, down)
        expected = p.of_coords(there for here, there in related if p.contains((box,), here))
        assert upstream(mapping, down, up, box, EXTENTS) == expected
    if EXTENTS.of(up):
        box = some_box(draw, up)
        expected = p.of_coords(here for here, there in related if p.contains((box,), there))
        assert downstream(mapping, down, up, box, EXTENTS) == expected


def relate(mapping: p.Mapping, down: p.Dimension, up: p.Dimension) -> set[tuple[int, int]]:
    ours, theirs = (p.keys(each, EXTENTS.of(each), DYNAMIC) for each in (down, up))
    return {
        (here, there)
        for (here, key), (there, other) in combine(enumerate(ours), enumerate(theirs))
        if holds(mapping, down, up, key, other)
    }


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_one_dimension_agrees_with_brute_force(data: st.DataObject) -> None:
    down, up = data.draw(pair())
    mapping = data.draw(one_mapping(down, up))
    event(type(mapping).__name__)
    related = {((here,), (there,)) for here, there in relate(mapping, down, up)}
    agrees(data.draw, mapping, down, up, related)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_times_agree_with_brute_force(data: st.DataObject) -> None:
    down = data.draw(windows())
    start = down.window(data.draw(st.integers(0, 9)))[0]
    look_back = p.look_back(data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2)))
    near, far = p.Windows(down.cut, start.isoformat(), None, down.tz), data.draw(windows())
    mapping, up = data.draw(st.sampled_from([(look_back, down), (look_back, near), (p.overlap(), near), (p.overlap(), far)]))
    event(type(mapping).__name__)
    agrees(data.draw, mapping, down, up, {((here,), (there,)) for here, there in relate(mapping, down, up)})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_products_agree_with_brute_force(data: st.DataObject) -> None:
    """Dimensions of one name are mapped; of the input's own one it is all or some; the asset's own one plays no part."""
    shared = [data.draw(st.tuples(small(), small())) for _ in range(data.draw(st.integers(1, 2)))]
    said = {f"d{place}": data.draw(one_mapping(*each)) for place, each in enumerate(shared)}
    down = {f"d{place}": each[0] for place, each in enumerate(shared)} | {"ours": p.static(list("AB"))}
    up = {f"d{place}": each[1] for place, each in enumerate(shared)} | {"theirs": p.static(list("XYZ"))}
    said["theirs"] = data.draw(st.sampled_from([p.all_partitions(), p.subset(keys=["X", "Z"])]))
    order = data.draw(st.permutations(sorted(up)))
    mapping = p.by_dimension(**said)
    first, second = p.product(**down), p.product(**{name: up[name] for name in order})
    pairs = {name: relate(said[name], down[name], up[name]) for name in down if name != "ours"}
    free = [place for place, key in enumerate("XYZ") if holds(said["theirs"], None, up["theirs"], "", key)]
    related = {
        (here, there)
        for here, there in combine(p.coords(EXTENTS.of(first)), p.coords(EXTENTS.of(second)))
        if there[order.index("theirs")] in free
        and all(
            (place, there[order.index(name)]) in pairs[name] for name, place in zip(down, here, strict=True) if name != "ours"
        )
    }
    agrees(data.draw, mapping, first, second, related)


def small() -> st.SearchStrategy[p.Dimension]:
    week = st.sampled_from(["UTC", "Australia/Lord_Howe"]).map(lambda tz: p.daily("2013-10-03", "2013-10-08", tz=tz))
    return st.one_of(week, st.just(p.weekly("2013-09-20", "2013-10-14")), st.just(p.static(list("ABC"))), st.just(CARRIERS))


# -- defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "up", "expected"),
    [
        (DAYS, DAYS, p.same()),
        (DAYS, p.daily("2010-01-01"), p.same()),
        (DAYS, YORK, p.overlap()),
        (MONTHS, DAYS, p.overlap()),
        (p.hourly("2013-01-01"), p.hourly("2013-02-01"), p.same()),
        (CARRIERS, p.dynamic("carriers"), p.same()),
        (None, DAYS, p.all_partitions()),
        (DAYS, None, p.all_partitions()),
        (None, None, p.all_partitions()),
        (p.product(day=DAYS, airport=AIRPORTS), p.product(day=DAYS, airport=AIRPORTS), p.same()),
        (p.product(day=DAYS, airport=AIRPORTS), DAYS, p.same()),
        (p.product(month=MONTHS, airport=AIRPORTS), DAYS, p.overlap()),
        (p.product(airport=AIRPORTS, carrier=CARRIERS), DAYS, p.all_partitions()),
        (MONTHS, p.product(day=DAYS, airport=AIRPORTS), p.by_dimension(day=p.overlap(), airport=p.all_partitions())),
        (p.product(origin=AIRPORTS, day=DAYS), p.product(day=DAYS, airport=AIRPORTS),
         p.by_dimension(day=p.same(), airport=p.same())),
    ],
)  # fmt: skip
def test_defaults(down: p.Partitions | None, up: p.Partitions | None, expected: p.Mapping) -> None:
    assert default_mapping(down, up) == expected
    assert not fault(None, down, up)
    assert not fault(expected, down, up)


@pytest.mark.parametrize(
    ("mapping", "down", "up", "words"),
    [
        (None, DAYS, AIRPORTS, "same() needs the same keys or windows"),
        (None, AIRPORTS, p.static(["EWR"]), "the asset is 3 static keys, its input 1 static key"),
        (None, p.product(day=DAYS, airport=AIRPORTS), p.product(day=AIRPORTS), "dimension day: same()"),
        (p.same(), DAYS, MONTHS, "monthly from 2013-01 to 2013-12"),
        (p.same(), DAYS, YORK, "(America/New_York)"),
        (p.same(), None, DAYS, "which of daily"),
        (p.same(), DAYS, p.product(day=DAYS, airport=AIRPORTS), "dimension airport: nothing"),
        (p.same(), DAYS, None, "the input is not partitioned"),
        (p.overlap(), AIRPORTS, AIRPORTS, "overlap() needs time windows"),
        (p.overlap(), AIRPORTS, p.product(day=DAYS, airport=AIRPORTS), "no time dimension"),
        (p.look_back(2), MONTHS, DAYS, "same cut and zone"),
        (p.look_back(2), AIRPORTS, AIRPORTS, "look_back() needs windows"),
        (p.subset(airport=["EWR"]), DAYS, AIRPORTS, "no dimension airport; it has keys"),
        (p.subset(keys=["BOS"]), DAYS, AIRPORTS, "'BOS' is no partition (3 static keys) of the input"),
        (p.by_dimension(week=p.same()), DAYS, p.product(day=DAYS, airport=AIRPORTS), "no dimension week; it has day, airport"),
        (p.by_dimension(day=p.by_dimension(day=p.same())), DAYS, p.product(day=DAYS), "does not nest"),
        (p.by_dimension(day=p.explicit({"x": ["2013-01-01"]})), DAYS, p.product(day=DAYS), "'x' is no partition"),
        (p.explicit({"2013-01-01": ["BOS"]}), DAYS, AIRPORTS, "'BOS' is no partition"),
        (p.explicit({"2013": ["EWR"]}), DAYS, AIRPORTS, "'2013' is no partition"),
        (p.explicit({"2013-01-01": ["EWR"]}), DAYS, p.product(day=DAYS, airport=AIRPORTS), "'EWR' is no partition"),
        (p.explicit({"a|b": ["EWR"]}), CARRIERS, AIRPORTS, "'a|b' is no partition"),
        (p.explicit({"a": ["EWR"]}), None, AIRPORTS, "the asset is not partitioned"),
    ],
)  # fmt: skip
def test_an_impossible_mapping_says_why(
    mapping: p.Mapping | None, down: p.Partitions | None, up: p.Partitions | None, words: str
) -> None:
    assert words in fault(mapping, down, up)
    with pytest.raises(LegatoError) as caught:
        upstream(mapping, down, up, ((0, 1),), EXTENTS)
    assert caught.value.code == "mapping"


# -- by example -------------------------------------------------------------------------------------------------------


def test_a_month_needs_its_days_and_a_day_its_month() -> None:
    assert up_keys(None, MONTHS, DAYS, "2013-02") == [f"2013-02-{day:02}" for day in range(1, 29)]
    assert down_keys(None, MONTHS, DAYS, "2013-02-17") == ["2013-02"]
    assert up_keys(None, DAYS, MONTHS, "2013-02-17") == ["2013-02"]
    assert up_keys(None, YORK, DAYS, "2013-02-17") == ["2013-02-17", "2013-02-18"]


def test_what_is_not_partitioned_needs_all_and_is_needed_by_all() -> None:
    assert upstream(None, None, DAYS, (), EXTENTS) == EXTENTS.of(DAYS)
    assert downstream(None, None, DAYS, ((3, 4),), EXTENTS) == p.WHOLE
    assert upstream(None, DAYS, None, ((3, 4),), EXTENTS) == p.WHOLE
    assert downstream(None, DAYS, None, (), EXTENTS) == EXTENTS.of(DAYS)
    assert upstream(None, None, None, (), EXTENTS) == downstream(None, None, None, (), EXTENTS) == p.WHOLE
    assert downstream(p.subset(keys=["EWR"]), None, AIRPORTS, ((1, 3),), EXTENTS) == p.EMPTY
    assert downstream(None, p.dynamic("none"), None, (), EXTENTS) == p.EMPTY


def test_dimensions_of_equal_definition_meet_one_each() -> None:
    legs = p.product(origin=AIRPORTS, dest=AIRPORTS)
    assert up_keys(None, legs, p.product(start=AIRPORTS, stop=AIRPORTS), "EWR|JFK") == ["EWR|JFK"]
    assert up_keys(None, legs, p.product(stop=AIRPORTS, origin=AIRPORTS), "EWR|JFK") == ["JFK|EWR"]


def test_look_back_is_clipped_at_the_start() -> None:
    assert up_keys(p.look_back(3), DAYS, DAYS, "2013-01-02") == ["2013-01-01", "2013-01-02"]
    assert up_keys(p.look_back(2, skip=1), DAYS, DAYS, "2013-01-05") == ["2013-01-03", "2013-01-04"]
    assert up_keys(p.look_back(1, skip=1), DAYS, DAYS, "2013-01-01") == []
    assert down_keys(p.look_back(2, skip=1), DAYS, DAYS, "2013-12-30") == ["2013-12-31"]


def test_a_mapping_of_time_leaves_the_other_dimensions_as_they_are() -> None:
    both = p.product(day=DAYS, airport=AIRPORTS)
    assert up_keys(p.look_back(2), both, both, "2013-01-05|JFK") == ["2013-01-04|JFK", "2013-01-05|JFK"]
    assert up_keys(p.subset(airport=["EWR"]), DAYS, both, "2013-01-05") == ["2013-01-05|EWR"]
    assert down_keys(p.subset(airport=["EWR"]), DAYS, both, "2013-01-05|JFK") == []
    assert down_keys(None, both, DAYS, "2013-01-05") == ["2013-01-05|EWR", "2013-01-05|JFK", "2013-01-05|LGA"]


def test_an_explicit_table_maps_whole_keys_and_ignores_those_that_are_not_there_yet() -> None:
    both = p.product(day=DAYS, carrier=CARRIERS)
    table = p.explicit({"EWR": ["2013-01-05|UA", "2013-01-04|AA", "2013-01-04|ZZ"], "JFK": ["2013-01-04|AA"]})
    assert up_keys(table, AIRPORTS, both, "EWR") == ["2013-01-04|AA", "2013-01-05|UA"]
    assert down_keys(table, AIRPORTS, both, "2013-01-04|AA") == ["EWR", "JFK"]
    assert up_keys(table, AIRPORTS, both, "LGA") == []


def test_windows_without_end_are_needed_as_far_as_they_are_over() -> None:
    open_days, open_months = p.daily("2013-01-01"), p.monthly("2013-01-01")
    assert EXTENTS.of(open_months) == (((0, 10),),)
    november = upstream(None, MONTHS, open_days, box_of(MONTHS, "2013-11"), EXTENTS)
    assert p.keys(open_days, november, {})[-1] == "2013-11-19"
    assert upstream(None, open_days, open_months, box_of(open_days, "2013-11-05"), EXTENTS) == p.EMPTY


# -- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_the_cost_follows_the_ranges_not_the_keys() -> None:
    """Ten years of days and a hundred thousand keys spread in a thousandth of a second."""
    many = p.static(f"k{place}" for place in range(100_000))
    days, months = p.daily("2003-01-01", "2013-01-01"), p.monthly("2003-01-01", "2013-01-01")
    both = p.product(day=days, key=many)
    extents = Extents({}, NOW)
    cases = [(months, days), (days, months), (days, days), (many, many), (both, both), (months, both), (None, both)]
    for down, up in cases:
        upstream(None, down, up, extents.of(down)[0], extents)
    started = perf_counter()
    for _ in range(20):
        for down, up in cases:
            assert upstream(None, down, up, extents.of(down)[0], extents) == extents.of(up)
            assert downstream(None, down, up, extents.of(up)[0], extents) == extents.of(down)
    assert perf_counter() - started < 20 * len(cases) * 2 * 0.001, "far less than a pass over the keys"
