"""Backfills: which windows two moments mean, what of a selection is left between them, in which order its steps start."""

from __future__ import annotations

import pytest

from legato.declare.node import Dep, Node, Project
from legato.declare.partitions import daily, hourly, keys, monthly, product, static, weekly
from legato.plan.backfill import in_order, within
from legato.plan.build import make_plan
from legato.plan.graph import Graph
from legato.plan.spread import Extents
from legato.plan.stale import Facts
from legato.terms.errors import NotFound, UsageError
from legato.terms.instant import Instant

NOW = Instant(1_388_534_400_000_000)  # 2014-01-01
DAYS = daily("2013-01-01", end="2014-01-01")


def node(name, *deps, parts=None, kind="asset"):
    outputs = (name,) if kind == "asset" else ()
    return Node(name=name, kind=kind, outputs=outputs, deps=tuple(Dep(dep, dep) for dep in deps), partitions=parts, code=name)


def project(*nodes):
    return Project(
        name="p", nodes={each.name: each for each in nodes}, makers={each.name: each.name for each in nodes if each.outputs}
    )


def between(parts, begin, end):
    low, high = parts.between(begin, end, parts.count(NOW))
    return parts.keys_between(low, high)


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        ("2013-01-05", "2013-01-07", "2013-01-05", "2013-01-07"),
        ("2013-02", "2013-03", "2013-02-01", "2013-03-31"),
        ("2013", "", "2013-01-01", "2013-12-31"),
        ("", "2013-01-02", "2013-01-01", "2013-01-02"),
        ("1999", "2031", "2013-01-01", "2013-12-31"),
        ("2013-01-05T23", "2013-01-06T00", "2013-01-05", "2013-01-06"),
    ],
)
def test_days_between_two_moments(begin, end, first, last):
    """Both ends are included, whatever they are written as; what lies beyond the asset's own is not there."""
    found = between(DAYS, begin, end)
    assert (found[0], found[-1]) == (first, last)


def test_a_window_counts_if_any_of_it_lies_there():
    """Of months and weeks those that hold one of the days; of hours all of them."""
    assert between(monthly("2013-01", end="2014-01"), "2013-01-31", "2013-02-01") == ["2013-01", "2013-02"]
    assert between(weekly("2013-01-07", end="2014-01-01"), "2013-01-13", "2013-01-14") == ["2013-01-07", "2013-01-14"]
    hours = between(hourly("2013-01-01", end="2014-01-01"), "2013-01-05", "2013-01-05")
    assert (len(hours), hours[0], hours[-1]) == (24, "2013-01-05T00", "2013-01-05T23")
    assert between(hourly("2013-01-01", end="2014-01-01"), "2013-01-05T07", "2013-01-05T08") == ["2013-01-05T07", "2013-01-05T08"]


def test_windows_that_lie_there_whole():
    """Of the months that a span touches, those of which nothing lies outside."""
    months = monthly("2013-01", end="2014-01")
    assert months.between("2013-01-02", "2013-03-31", 12, whole=True) == (1, 3)
    assert months.between("2013-01-01", "2013-03-30", 12, whole=True) == (0, 2)
    assert months.between("2013-01-02", "2013-01-30", 12, whole=True) == (0, 0)
    assert months.between("", "", 12, whole=True) == (0, 12)


def test_days_where_clocks_change():
    """A day of its zone is all of that day, also where it has 23 hours."""
    zone = hourly("2013-01-01", end="2014-01-01", tz="Europe/Berlin")
    assert len(between(zone, "2013-03-31", "2013-03-31")) == 23


def test_ends_that_are_swapped_are_told():
    """An end before the start is no empty range, but a mistake."""
    with pytest.raises(NotFound, match="ends before it starts"):
        DAYS.between("2013-02", "2013-01", 365)
    with pytest.raises(Exception, match="is not a date"):
        DAYS.between("soon", "", 365)


def selected(*nodes, begin="", end=""):
    whole, extents = project(*nodes), Extents({}, NOW)
    selection = {each.name: extents.of(each.partitions) for each in nodes}
    found = within(whole, extents, selection, (begin, end))
    return {name: keys(whole.nodes[name].partitions, found[name], {}) for name in found}


def test_what_is_not_cut_by_time_stays():
    """Keys and what has no partitions are made as they are selected; of a product only the time is narrowed."""
    airports = static(["JFK", "LGA"])
    found = selected(
        node("flights", parts=product(day=DAYS, airport=airports)), node("names", parts=airports), node("report"),
        begin="2013-01-05", end="2013-01-05",
    )  # fmt: skip
    assert found == {"flights": ["2013-01-05|JFK", "2013-01-05|LGA"], "names": ["JFK", "LGA"], "report": [""]}


def test_what_lies_outside_is_left_out_and_nothing_at_all_is_told():
    """An asset that begins later has no part in it; where that is all there is, the error says what there is."""
    late = daily("2013-06-01", end="2014-01-01")
    assert set(selected(node("old", parts=DAYS), node("new", parts=late), end="2013-03")) == {"old"}
    with pytest.raises(NotFound, match="no partition lies between") as error:
        selected(node("new", parts=late), end="2013-03")
    assert error.value.why == "new is daily from 2013-06-01 to 2013-12-31"


def test_times_that_mean_nothing_are_refused():
    """Neither a flow nor what is cut by keys alone has days."""
    with pytest.raises(UsageError, match="nothing of the selection is cut by time"):
        selected(node("report"), begin="2013")
    with pytest.raises(UsageError, match="nightly is a flow"):
        selected(node("nightly", kind="flow"))


def ordered(order, *nodes):
    whole, extents = project(*nodes), Extents({}, NOW)
    graph = Graph(whole)
    selection = {name: extents.of(whole.nodes[name].partitions) for name in graph.order}
    plan = make_plan(graph, extents, Facts(heads={each.name: {} for each in nodes}), selection)
    turns = in_order(plan, whole, extents, order) or range(len(plan.steps))
    return [f"{plan.steps[index].node} {plan.steps[index].partition}".strip() for index in turns]


def test_steps_go_day_by_day():
    """All of a day before anything of the next, so that the first is whole early; or the newest first."""
    days = daily("2013-01-30", end="2013-02-02")
    nodes = node("a", parts=days), node("b", "a", parts=days), node("m", "a", parts=monthly("2013-01", end="2013-03")), node("t")
    assert ordered("oldest", *nodes) == [
        "t", "m 2013-01", "a 2013-01-30", "b 2013-01-30", "a 2013-01-31", "b 2013-01-31", "a 2013-02-01", "b 2013-02-01",
        "m 2013-02",
    ]  # fmt: skip
    assert ordered("newest", *nodes)[:4] == ["t", "a 2013-02-01", "b 2013-02-01", "m 2013-02"]


def test_windows_of_one_node_stand_in_order():
    """Where nothing else is cut by time the plan's own order is right; not where another dimension comes first."""
    days, airports = daily("2013-01-01", end="2013-01-03"), static(["JFK", "LGA"])
    assert ordered("oldest", node("t"), node("a", parts=days)) == ["t", "a 2013-01-01", "a 2013-01-02"]
    assert ordered("oldest", node("a", parts=product(airport=airports, day=days))) == [
        "a JFK|2013-01-01", "a LGA|2013-01-01", "a JFK|2013-01-02", "a LGA|2013-01-02",
    ]  # fmt: skip
    assert ordered("newest", node("a", parts=days)) == ["a 2013-01-02", "a 2013-01-01"]


def test_days_before_1970_have_their_place():
    """Instants below zero sort like all others."""
    days = daily("1969-12-30", end="1970-01-02")
    assert ordered("newest", node("a", parts=days)) == ["a 1970-01-01", "a 1969-12-31", "a 1969-12-30"]
