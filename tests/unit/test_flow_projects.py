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


def test_an_asset_has_no_arguments() -> None:
    prices = lg.asset(name="prices")(lambda: 1)
    (fault,) = faults(lg.asset(name="report")(lambda price: price), prices, run_all)
    assert (fault.code, fault.hint) == ("parameter", "did you mean `prices`?")


@pytest.mark.parametrize(
    "declared",
    [
        lg.asset(name="a")(lambda enrich: enrich),
        lg.asset(name="a")(lambda run_all: run_all),
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
