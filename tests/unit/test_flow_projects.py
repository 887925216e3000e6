"""Flows in a project: what their parameters and their tasks' arguments are, and what is a fault."""

from __future__ import annotations

from typing import Any

import pytest
from test_project import Warehouse, bound, codes, faults, frozen

import legato as lg
from legato.declare.node import Dep

run_all = lg.flow(name="run_all")(lambda: None)


@lg.resource
def warehouse() -> Warehouse:
    return Warehouse()


def task(name: str, fn: Any, **keywords: Any) -> Any:
    return lg.task(name=name, **keywords)(fn)


def test_parameters_of_a_flow_are_given_with_the_run_whatever_their_names() -> None:
    def fn(prices, region, house: Warehouse, partition: str = "", token=lg.secret("T"), context: lg.Context = None): ...  # type: ignore[no-untyped-def, assignment]  # noqa: B008

    prices = lg.asset(name="prices")(lambda: 1)
    project, code = frozen(lg.flow(name="f")(fn), prices, warehouse)
    assert project.nodes["f"].deps == ()
    assert project.nodes["f"].arguments == ("prices", "region")
    assert bound(code, "f") == {
        "prices": "input", "region": "input", "house": "resource", "partition": "input", "token": "default", "context": "context",
    }  # fmt: skip


def test_a_flow_has_no_partitions() -> None:
    def fn(day: lg.Partition) -> None: ...

    assert codes(lg.flow(name="f")(fn)) == ["flow-partition"]


def test_what_names_nothing_is_an_argument_of_a_task() -> None:
    prices = lg.asset(name="prices")(lambda: 1)
    enrich = task("enrich", lambda lead, prices, depth=1: lead)
    project, code = frozen(enrich, prices, run_all)
    node = project.nodes["enrich"]
    assert (node.deps, node.arguments, node.called) == ((Dep("prices", "prices"),), ("lead",), True)
    assert bound(code, "enrich") == {"lead": "input", "prices": "input", "depth": "input"}


def test_a_task_with_all_its_inputs_can_be_planned() -> None:
    project, code = frozen(task("show", lambda prices, depth=1: 0), lg.asset(name="prices")(lambda: 1), run_all)
    assert (project.nodes["show"].arguments, project.nodes["show"].called) == ((), False)
    assert bound(code, "show") == {"prices": "input", "depth": "input"}


def test_what_is_named_like_a_called_task_or_a_flow_is_an_argument_too() -> None:
    fetch, parse = task("fetch", lambda url: url), task("parse", lambda fetch: fetch)
    save, note = task("save", lambda parse, rows=0: parse), task("note", lambda run_all: run_all)
    project, _ = frozen(save, parse, fetch, note, run_all)
    assert {name: node.arguments for name, node in project.nodes.items() if node.kind == "task"} == {
        "save": ("parse",), "parse": ("fetch",), "fetch": ("url",), "note": ("run_all",),
    }  # fmt: skip
    assert all(node.deps == () for node in project.nodes.values())


def test_without_a_flow_an_argument_is_a_fault_as_ever() -> None:
    assert codes(task("enrich", lambda lead: lead)) == ["parameter"]


def test_what_names_nothing_is_an_argument_of_an_asset_too() -> None:
    rates, extra = lg.asset(name="rates")(lambda: 1), task("extra", lambda: 2)

    def fn(found, rates, extra, house: Warehouse, top=9): ...  # type: ignore[no-untyped-def]

    project, code = frozen(lg.asset(name="prices")(fn), rates, extra, run_all, warehouse)
    node = project.nodes["prices"]
    assert (node.deps, node.arguments, node.called, node.is_input) == ((Dep("rates", "rates"),), ("found", "extra"), True, True)
    assert bound(code, "prices") == {
        "found": "input", "rates": "input", "extra": "input", "house": "resource", "top": "input",
    }  # fmt: skip


def test_others_depend_on_what_flows_make() -> None:
    prices, report = lg.asset(name="prices")(lambda found: found), lg.asset(name="report")(lambda prices: prices)
    announce, enrich = task("announce", lambda prices: 0), task("enrich", lambda lead, prices: lead)
    project, _ = frozen(enrich, announce, report, prices, run_all)
    assert {name: project.nodes[name].deps for name in ("report", "announce", "enrich")} == dict.fromkeys(
        ("report", "announce", "enrich"), (Dep("prices", "prices"),)
    )
    assert [name for name, node in project.nodes.items() if node.called] == ["prices", "run_all", "enrich"]


def test_an_asset_named_like_what_is_called_takes_it_as_an_argument() -> None:
    scrape = task("scrape", lambda url: url)
    project, _ = frozen(lg.asset(name="prices")(lambda scrape: scrape), scrape, run_all)
    assert (project.nodes["prices"].arguments, project.nodes["prices"].deps) == (("scrape",), ())


def test_an_asset_with_all_its_inputs_is_made_by_plans() -> None:
    prices = lg.asset(name="prices")(lambda rates, top=9: rates)
    project, _ = frozen(prices, lg.asset(name="rates")(lambda: 1), run_all)
    assert (project.nodes["prices"].arguments, project.nodes["prices"].called) == ((), False)


def test_without_a_flow_an_argument_of_an_asset_is_a_fault_as_ever() -> None:
    (fault,) = faults(lg.asset(name="report")(lambda price: price), lg.asset(name="prices")(lambda: 1))
    assert (fault.code, fault.hint) == ("parameter", "did you mean `prices`?")


@pytest.mark.parametrize("keywords", [{"deps": ["fetch"]}, {"check": lambda made, fetch: True}])
def test_no_plan_runs_a_task_for_what_flows_make(keywords: dict[str, Any]) -> None:
    check = keywords.pop("check", None)
    made = lg.asset(name="made", **keywords)(lambda found: found)
    checks = [lg.check("made", name="c")(check)] if check else []
    assert codes(made, *checks, task("fetch", lambda: 1), run_all) == ["called-input"]


# -- the version before --


def test_an_asset_takes_its_version_before() -> None:
    prices = lg.asset(name="prices", deps={"before": lg.previous})(lambda found, before: found)
    seen = lg.asset(name="seen", deps={"seen": lg.previous}, when=lambda seen: not seen)(lambda prices, seen: prices)
    project, code = frozen(prices, seen, run_all)
    assert {name: (node.previous, node.arguments, node.deps) for name, node in project.nodes.items() if node.previous} == {
        "prices": ({"before": "prices"}, ("found",), ()),
        "seen": ({"seen": "seen"}, (), (Dep("prices", "prices"),)),
    }
    assert bound(code, "prices") == {"found": "input", "before": "input"}
    assert bound(code, "seen#when") == {"seen": "input"}


def test_of_several_assets_the_parameter_names_one() -> None:
    pair = lg.assets("a", "b", deps={"a": lg.previous, "b": lg.previous}, name="pair")(lambda a, b: (a, b))
    project, _ = frozen(pair)
    assert project.nodes["pair"].previous == {"a": "a", "b": "b"}
    assert codes(lg.assets("a", "b", deps={"before": lg.previous}, name="pair")(lambda before: 1)) == ["previous"]


@pytest.mark.parametrize(
    "declared",
    [
        lg.task(name="t", deps={"before": lg.previous})(lambda before: 1),
        lg.asset(name="a", deps=[lg.previous])(lambda: 1),
        lg.asset(name="a", deps={"before": lg.Input(lg.previous, lg.look_back(2))})(lambda before: 1),
    ],
)
def test_faults_of_the_version_before(declared: Any) -> None:
    assert codes(declared) == ["previous"]


@pytest.mark.parametrize(
    "declared",
    [
        lg.asset(name="a", deps=["run_all"])(lambda: 1),
        lg.task(name="a", deps=["enrich"])(lambda: 1),
    ],
)
def test_nothing_in_a_plan_depends_on_what_is_called(declared: Any) -> None:
    assert codes(declared, task("enrich", lambda lead: lead), run_all) == ["called-input"]


def test_a_check_cannot_read_what_is_called() -> None:
    prices = lg.asset(name="prices")(lambda: 1)
    check = lg.check("prices", name="c")(lambda prices, enrich: True)
    assert codes(check, prices, task("enrich", lambda lead: lead), run_all) == ["called-input"]


def test_undo_takes_what_a_call_gives() -> None:
    charge = task("charge", lambda amount, currency="EUR": 1, undo=lambda amount, currency, result: None)
    pay = lg.flow(name="pay", undo=lambda amount, result: None)(lambda amount, limit=9: 1)
    _, code = frozen(charge, pay)
    assert bound(code, "charge#undo") == {"amount": "input", "currency": "input", "result": "input"}
    assert bound(code, "pay#undo") == {"amount": "input", "result": "input"}
    assert codes(lg.flow(name="pay", undo=lambda limit: None)(lambda amount, limit=9: 1)) == ["parameter"]


def test_a_fallback_takes_what_it_replaces_takes() -> None:
    cheap = task("cheap", lambda lead: lead)
    project, _ = frozen(task("enrich", lambda lead, depth=1: lead, fallback=cheap), cheap, run_all)
    assert project.nodes["enrich"].fallback == "cheap"
    assert codes(task("enrich", lambda other: 1, fallback=cheap), cheap, run_all) == ["fallback-inputs"]


def test_flows_are_part_of_the_project() -> None:
    one, again, other = (frozen(lg.flow(name="f")(fn))[0] for fn in (lambda: 1, lambda: 1, lambda: [1]))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.nodes["f"].code == again.nodes["f"].code != other.nodes["f"].code
    assert codes(lg.flow(name="f")(lambda: 1), lg.task(name="f")(lambda: 2)) == ["duplicate-name"]
