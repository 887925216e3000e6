"""What `on=` may hold: every fault is told with the rest, and what is sound has one spelling."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import legato as lg
from legato.declare import moment
from legato.declare.draft import Site
from legato.declare.moment import AllOf, AnyOf, AtLeast, Cron, Updated, Without, moments
from legato.declare.node import Node, Project
from legato.declare.project import collect, freeze
from legato.terms.codec import pack, unpack
from legato.terms.errors import Fault, InvalidProject

days = lg.daily("2013-01-01")
cron = lg.cron("0 6 * * *")
hook, mail = lg.webhook("orders"), lg.message("mail")


@lg.asset(partitions=days)
def flights() -> int:
    return 1


@lg.assets("planes", "airports")
def fleet() -> tuple[int, int]:
    return 1, 2


@lg.source
def feed() -> str:
    return "v1"


@lg.task
def notify() -> None: ...


OTHERS = {"flights": flights, "fleet": fleet, "feed": feed, "notify": notify}


def frozen(*declared: Any) -> Project:
    modules = [{**OTHERS, **{f"own{number}": each for number, each in enumerate(declared)}}]
    return freeze(collect(modules), Site(name="test"), code_of=lambda fn: fn.__code__.co_code.hex())[0]


def faults(*declared: Any) -> list[Fault]:
    with pytest.raises(InvalidProject) as caught:
        frozen(*declared)
    return caught.value.faults


def asset(on: Any, fn: Any = lambda flights: 1, **keywords: Any) -> Any:
    return lg.asset(name="own", on=on, **keywords)(fn)


def settled(on: Any, fn: Any = lambda flights: 1) -> Any:
    return frozen(asset(on, fn)).nodes["own"].trigger


def flow(on: Any, fn: Any = lambda: 1) -> Any:
    return frozen(lg.flow(name="own", on=on)(fn)).nodes["own"].trigger


# -- combining --


def test_operators_make_flat_trees() -> None:
    assert cron & hook & mail == AllOf((cron, hook, mail))
    assert (cron | hook) | mail == AnyOf((cron, hook, mail))
    assert (cron & hook) | mail == AnyOf((AllOf((cron, hook)), mail))


def test_not_goes_down_to_the_moments() -> None:
    assert ~cron == Without(cron)
    assert ~~cron == cron
    assert ~(cron & ~hook) == AnyOf((Without(cron), hook))
    assert ~(cron | hook) == AllOf((Without(cron), Without(hook)))
    assert ~lg.trigger.at_least(2, cron, hook, mail) == AtLeast(2, (Without(cron), Without(hook), Without(mail)))
    assert ~lg.trigger.at_least(1, cron, hook, mail) == AtLeast(3, (Without(cron), Without(hook), Without(mail)))


def test_moments_are_listed_with_or_without_those_that_are_negated() -> None:
    tree = lg.trigger.at_least(1, cron & ~hook, mail)
    assert list(moments(tree)) == [cron, hook, mail]
    assert list(moments(tree, negated=False)) == [cron, mail]
    assert list(moments(tree, negated=True)) == [hook]


@pytest.mark.parametrize("wrong", [lambda: cron and hook, lambda: not cron, lambda: bool(cron & hook)])
def test_words_in_place_of_operators_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="combine triggers with"):
        wrong()


def test_a_trigger_is_combined_with_triggers_only() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        cron & "hook"  # type: ignore[operator]


def test_parameters_go_to_every_moment_that_can_come() -> None:
    given = (cron & ~hook | mail).given(limit=5).given(limit=7, region="EU")
    assert [each.params for each in moments(given)] == [{"limit": 7, "region": "EU"}, {}, {"limit": 7, "region": "EU"}]
    assert cron.given(a=1).given(b=2) == cron.given(a=1, b=2)


# -- one spelling --


def test_a_decorator_keeps_its_trigger_on_the_node() -> None:
    nightly = lg.cron(" 0  6 * * * ", tz="America/New_York", start="2026-01-01", end=dt.datetime(2026, 7, 1, 12))
    found = settled(nightly)
    assert found == Cron(
        expression="0 6 * * *", tz="America/New_York", start="2026-01-01T00:00:00-05:00", end="2026-07-01T12:00:00-04:00"
    )
    several = lg.assets("a", "b", name="own", on=cron)(lambda: (1, 2))
    assert frozen(several).nodes["own"].trigger == cron


def test_durations_become_seconds() -> None:
    assert settled(lg.every("1h30m")).seconds == settled(lg.every(dt.timedelta(minutes=90))).seconds == 5400.0
    assert settled(lg.trigger.stale(60)).seconds == 60.0


def test_a_secret_leaves_only_its_reference() -> None:
    assert settled(lg.webhook("orders", secret=lg.secret("ORDERS"))).secret == "ORDERS"


def test_assets_are_named_by_themselves_or_by_name() -> None:
    assert settled(lg.updated(flights)) == settled(lg.updated("flights")) == Updated(asset="flights")
    assert settled(lg.updated(flights, "planes")) == AllOf((Updated(asset="flights"), Updated(asset="planes")))
    assert settled(lg.updated(flights, "planes", any=True)) == AnyOf((Updated(asset="flights"), Updated(asset="planes")))
    both = AllOf((Updated(asset="planes"), Updated(asset="airports")))
    assert settled(lg.updated(fleet)) == settled(lg.updated("fleet")) == both
    assert settled(~lg.updated("fleet") & cron) == AllOf((~both, cron))


def test_without_names_the_inputs_are_meant_through_tasks_too() -> None:
    through = lg.task(name="through")(lambda planes: 1)
    node = asset(lg.updated(any=True), lambda flights, through, feed: 1)
    assert frozen(through, node).nodes["own"].trigger == AnyOf((Updated(asset="flights"), Updated(asset="planes")))
    assert settled(lg.updated()) == Updated(asset="flights")


def test_keep_fresh_is_three_triggers() -> None:
    parts = (Updated(asset="flights"), moment.Missing(), moment.Stale(seconds=7200.0))
    assert settled(lg.keep_fresh("2h")) == AnyOf(parts)
    assert settled(lg.keep_fresh("2h"), lambda: 1) == AnyOf(parts[1:])


def test_an_event_fills_the_parameters_of_its_name() -> None:
    found = flow(lg.file("in/*.csv").given(size=5) | lg.webhook("orders"), lambda path="", size=0, payload=None: 1)
    assert [each.gives for each in moments(found)] == [("path",), ("payload",)]
    assert flow(lg.cron("@daily"), lambda tick: 1).gives == ("tick",)
    assert flow(lg.trigger.failed(flights), lambda node, partition, run, error: 1).gives == ("node", "partition", "run", "error")


# -- the project --


def test_a_trigger_is_part_of_the_projects_fingerprint_and_not_of_the_codes() -> None:
    def whole(on: Any) -> Project:
        return frozen(asset(on))

    first, same, other, none = whole(lg.cron("0 6 * * *")), whole(lg.cron("0 6 * * *")), whole(lg.cron("0 7 * * *")), whole(None)
    assert first.fingerprint == same.fingerprint
    assert len({first.fingerprint, other.fingerprint, none.fingerprint}) == 3
    assert first.nodes["own"].code == other.nodes["own"].code == none.nodes["own"].code


def test_a_node_with_a_trigger_can_be_sent_and_read_back() -> None:
    tree = lg.trigger.at_least(2, cron & ~lg.updated("planes"), lg.file("in/*"), lg.trigger.metric("rows", flights, below=5))
    node = frozen(asset(tree)).nodes["own"]
    assert unpack(pack(node), Node) == node


def test_sources_and_tasks_take_no_trigger() -> None:
    for decorator in (lg.source, lg.task):
        with pytest.raises(TypeError, match="on"):
            decorator(on=cron)  # type: ignore[call-overload]


# -- faults --


@pytest.mark.parametrize(
    ("on", "code", "told"),
    [
        ("daily", "trigger", "on='daily' is not a trigger"),
        (lg.cron("0 25 * * *"), "cron", "field 2 (hour), character 3: 25 is not in 0 to 23"),
        (lg.cron(None), "cron", "None is not a cron expression"),  # type: ignore[arg-type]
        (lg.cron("0 0 30 2 *"), "cron", "it never fires: no year has such a date"),
        (lg.cron("0 6 29 2 *", start="2025-01-01", end="2028-02-29"), "cron", "it never fires between its start and its end"),
        (lg.cron("0 6 * * *", start="2025-01-01T07", end="2025-01-01T08"), "cron", "it never fires between"),
        (lg.cron("@daily", start="2026-01-02", end="2026-01-02"), "trigger", "ends (2026-01-02) before it starts"),
        (lg.cron("@daily", start="soon"), "trigger", "start='soon' is not a date or time"),
        (lg.cron("@daily", end=5), "trigger", "end=5 is not a date or time"),  # type: ignore[arg-type]
        (lg.cron("@daily", tz="Mars/Olympus"), "time-zone", "'Mars/Olympus' is not a time zone"),
        (lg.cron("@daily", tz="../../etc/passwd"), "time-zone", "is not a time zone"),
        (lg.cron("@daily", calendar="Marsian"), "calendar", "there is no calendar 'Marsian'"),
        (lg.cron("@daily", calendar=5), "calendar", "calendar=5 is not text"),  # type: ignore[arg-type]
        (lg.cron("@daily", business_day=3), "cron", "business_day= needs a calendar"),
        (lg.cron("@daily", calendar="weekdays", business_day=21), "cron", "business_day=21 is no day of a month"),
        (lg.cron("@daily", calendar="weekdays", business_day=True), "cron", "business_day=True is no day"),
        (lg.cron("0 6 * * MON", calendar="weekdays", business_day=3), "cron", "the expression must leave it open"),
        (lg.cron("@daily", catch_up="sometimes"), "trigger", "catch_up='sometimes' is unknown"),  # type: ignore[arg-type]
        (lg.every("soon"), "trigger", "'soon' is not a duration"),
        (lg.every("500ms"), "trigger", "'500ms' is too short"),
        (lg.every(float("inf")), "trigger", "inf is too short"),
        (lg.every(True), "trigger", "True is not a duration"),
        (lg.updated("flihgts"), "trigger-node", "updated(`flihgts`): the project has nothing of this name"),
        (lg.updated(5), "trigger-node", "updated(5) names nothing"),
        (lg.updated(feed), "trigger-node", "`feed` is a source"),
        (lg.updated(notify), "trigger-node", "`notify` is a task"),
        (lg.updated("own"), "trigger-loop", "it would run for ever: each version of `own` would start the next"),
        (lg.trigger.failed("own"), "trigger-loop", "a failure of its own would start it"),
        (lg.trigger.failed("nobody"), "trigger-node", "failed(`nobody`)"),
        (lg.file("../inbox/*.csv"), "file-pattern", "escapes its folder"),
        (lg.webhook("two words"), "trigger", "cannot name a webhook"),
        (lg.webhook("orders", secret=5), "trigger", "secret=5 is no secret"),
        (lg.webhook("orders", signed="md5"), "trigger", "signed='md5' is unknown"),  # type: ignore[arg-type]
        (lg.webhook("orders", key="a..b"), "trigger", "leads nowhere in a payload"),
        (lg.message("two words"), "trigger", "cannot be a topic"),
        (lg.trigger.stale("never"), "trigger", "'never' is not a duration"),
        (lg.trigger.changed("weather"), "trigger", "changed('weather') is unknown"),  # type: ignore[arg-type]
        (lg.trigger.metric("rows", flights), "trigger", "metric 'rows' has no bound"),
        (lg.trigger.metric("rows", flights, above=float("nan")), "trigger", "has no bound"),
        (lg.trigger.metric("", flights, above=1), "trigger", "cannot name a metric"),
        (lg.trigger.metric("rows", "nobody", above=1), "trigger-node", "metric(`nobody`)"),
        (lg.trigger.at_least(3, cron, hook), "trigger", "at_least(3) of 2 parts can never be said"),
        (lg.trigger.at_least(0, cron, hook), "trigger", "at_least(0) of 2 parts"),
        (lg.trigger.at_least(1, cron, "x"), "trigger", "'x' is not a trigger"),  # type: ignore[arg-type]
        (~cron, "trigger-moment", "only says what must not have happened"),
        (~cron & ~hook, "trigger-moment", "only says what must not have happened"),
        (cron.given(limit=5), "trigger-params", "only flows take parameters"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_a_fault_at_its_line(on: Any, code: str, told: str) -> None:
    node = asset(on)
    [fault] = faults(node)
    assert fault.code == code
    assert told in fault.what
    assert fault.what.startswith("own: ")
    assert fault.hint
    assert fault.place == node.place


@pytest.mark.parametrize(
    ("on", "fn", "code", "told"),
    [
        (lg.updated(), lambda: 1, "trigger", "means its inputs, and it has none"),
        (lg.trigger.missing(), lambda: 1, "trigger-node", "lg.trigger.missing() is about assets"),
        (lg.trigger.stale("2h"), lambda: 1, "trigger-node", "lg.trigger.stale() is about assets"),
        (lg.trigger.changed("contract"), lambda: 1, "trigger-node", "is about assets"),
        (cron.given(limti=5), lambda limit=1: 1, "trigger-params", "given(limti=...): the flow has no such parameter"),
        (cron.given(limit=object()), lambda limit=1: 1, "trigger-params", "is no plain data"),
        (cron, lambda limit: 1, "trigger-params", "the flow needs `limit`"),
        (cron.given(limit=5) | hook, lambda limit: 1, "trigger-params", "does not give in every case"),
        (lg.file("in/*") | hook, lambda path: 1, "trigger-params", "the flow needs `path`"),
    ],
)
def test_faults_of_a_flows_trigger(on: Any, fn: Any, code: str, told: str) -> None:
    [fault] = faults(lg.flow(name="own", on=on)(fn))
    assert fault.code == code
    assert told in fault.what
    assert fault.hint


def test_what_only_a_flow_can_make_has_no_trigger_of_its_own() -> None:
    [fault] = faults(asset(cron, lambda found: 1), lg.flow(name="maker")(lambda: 1))
    assert fault.code == "trigger-params"
    assert "only a flow can make it, since its `found`" in fault.what


def test_what_is_given_in_every_case_is_enough() -> None:
    assert flow(cron.given(limit=5) & hook, lambda limit: 1) is not None
    assert flow(cron.given(limit=5) | hook.given(limit=6), lambda limit: 1) is not None


def test_all_faults_of_a_trigger_are_told_at_once() -> None:
    on = lg.cron("x * * * *", tz="Mars", calendar="Marsian") & lg.updated("flihgts") | lg.file("..")
    assert [each.code for each in faults(asset(on))] == ["cron", "calendar", "time-zone", "trigger-node", "file-pattern"]


def test_a_misspelt_asset_is_guessed() -> None:
    assert faults(asset(lg.updated("flihgts")))[0].hint == "did you mean `flights`?"


def test_triggers_that_start_each_other_for_ever_are_a_fault() -> None:
    a = lg.asset(name="a", on=lg.updated("b"))(lambda: 1)
    b = lg.asset(name="b", on=cron | lg.updated("c"))(lambda: 1)
    c = lg.asset(name="c", on=lg.updated("a"))(lambda: 1)
    [fault] = faults(a, b, c)
    assert fault.code == "trigger-loop"
    assert "for ever" in fault.what
    quiet = lg.asset(name="c", on=cron & ~lg.updated("a"))(lambda: 1)
    assert frozen(a, b, quiet).nodes["c"].trigger is not None


@pytest.mark.parametrize(
    "other", [lg.webhook("orders"), lg.webhook("orders", secret="B"), ~lg.webhook("orders", secret="A", signed="github") & cron]
)
def test_a_webhook_is_declared_one_way(other: Any) -> None:
    mine = lg.flow(name="mine", on=lg.webhook("orders", secret="A") | lg.webhook("others", secret="C"))(lambda: 1)
    [fault] = faults(mine, lg.flow(name="other", on=other)(lambda: 1))
    assert fault.code == "trigger-webhook"
    assert fault.what.startswith("other: another declares the webhook `orders`")
    assert frozen(mine, lg.asset(name="also", on=lg.webhook("orders", secret="A", key="x"))(lambda: 1))
