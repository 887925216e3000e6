"""Dynamic partitions from the first key on: nothing to plan, keys are added, each is made once, who reads them all follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_site import legato, make_project, records, steady

import legato as lg
import legato.surfaces.cli.main as cli
from legato.wiring.code import open_workspace

PIPELINE = """\
import legato as lg

customers = lg.dynamic("customers")
days = lg.daily("2013-01-01", end="2013-01-03")


@lg.asset(partitions=customers)
def orders(customer: lg.Partition) -> list:
    return [customer.key]


@lg.asset(partitions=lg.product(day=days, customer=customers))
def visits(slice: lg.Partition) -> str:
    return slice.keys["customer"]


@lg.asset(deps={"orders": lg.all_partitions()})
def customers_served(orders: dict[str, list]) -> list:
    return list(orders)
"""

NO_KEYS = """\
     name  reason
run  customers_served  never made
1 step to run; no history yet to say how long it takes
note: there are no partitions of orders, visits yet: customers has no keys
  next: legato keys customers --add KEY"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path, PIPELINE)


def ask(site: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The result, or the error, of a command with --json."""
    code = cli.call(["-C", str(site), *words, "--json"])
    *_, record = records(capsys.readouterr().out)
    return record["result"] if record["ok"] else record["error"] | {"exit": code}


def steps(site: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """The steps of a plan with their reasons, but for those that are fresh."""
    plan = ask(site, capsys, "plan", *words)
    return {f"{each['node']}@{each['partition']}": each["reason"] for each in plan["steps"] if each["reason"] != "fresh"}


def test_a_set_without_keys_is_told_wherever_it_is_asked_for(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert steady(legato(site, "plan").stdout) == NO_KEYS
    for words in (("plan", "orders"), ("why", "visits"), ("run", "+orders")):
        error = ask(site, capsys, *words)
        assert (error["code"], error["exit"], error["next"]) == ("selection", 3, "legato keys customers --add KEY")
        assert error["why"] == f"there are no partitions of {words[1].lstrip('+')} yet: customers has no keys"
    noted = ask(site, capsys, "plan")["unpopulated"]
    assert noted == [{"nodes": ["orders", "visits"], "why": "customers has no keys", "next": "legato keys customers --add KEY"}]
    error = ask(site, capsys, "plan", "orders@R&B")
    assert (error["code"], error["next"]) == ("partition-key", "legato keys customers --add 'R&B'")
    assert ask(site, capsys, "keys", "customers") == {"name": "customers", "keys": []}
    assert "orders  asset  dynamic keys customers  no partitions yet" in steady(legato(site, "list").stdout)


def test_a_project_of_nothing_but_a_set_without_keys_has_nothing_to_run(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE.partition("@lg.asset(partitions=lg.product")[0])
    told = "nothing to run: there are no partitions yet\n"
    assert legato(site, "run").stdout == told
    note = "note: there are no partitions of orders yet: customers has no keys\n  next: legato keys customers --add KEY\n"
    assert legato(site, "plan").stdout == told + note


def test_each_key_is_made_once_and_who_reads_all_of_them_follows(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added = ask(site, capsys, "keys", "customers", "--add", "acme", "globex", "acme")
    assert added == {
        "name": "customers", "new": ["acme", "globex"], "known": 0, "count": 2, "next": "legato plan orders+ visits+"
    }  # fmt: skip
    assert steps(site, capsys, "orders+") == {
        "orders@acme": "missing",
        "orders@globex": "missing",
        "customers_served@": "missing",
    }
    assert ask(site, capsys, "run")["counts"] == {"succeeded": 7}
    assert steps(site, capsys) == {}

    assert ask(site, capsys, "keys", "customers", "--add", "initech")["new"] == ["initech"]
    assert steps(site, capsys) == {
        "orders@initech": "missing", "customers_served@": "input", "visits@2013-01-01|initech": "missing",
        "visits@2013-01-02|initech": "missing",
    }  # fmt: skip
    [line] = [each for each in legato(site, "plan").stdout.splitlines() if "customers_served" in each]
    assert line.endswith("input changed: orders")
    assert ask(site, capsys, "run")["counts"] == {"succeeded": 4, "fresh": 6}
    assert lg.load("customers_served", project=site) == ["acme", "globex", "initech"]


def test_keys_are_listed_in_the_order_in_which_they_came(site: Path) -> None:
    told = legato(site, "keys", "customers", "--add", "globex", "acme").stdout
    assert told == "2 new keys in customers: 2 in all\n  next: legato plan orders+ visits+\n"
    told = legato(site, "keys", "customers", "--add", "acme", "--add", "initech").stdout
    assert told.splitlines()[0] == "1 new key in customers, 1 known before: 3 in all"
    assert legato(site, "keys", "customers", "--add", "acme").stdout == "0 new keys in customers, 1 known before: 3 in all\n"
    assert legato(site, "keys", "customers").stdout == "globex\nacme\ninitech\n"
    assert steady(legato(site, "keys").stdout) == "name  keys  partitions of\ncustomers  3  orders, visits"


def test_wrong_keys_are_told_all_at_once_and_none_is_added(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = ask(site, capsys, "keys", "customers", "--add", "a|b", "sound", "", "x" * 201)
    assert (error["code"], error["exit"]) == ("key-illegal", 2)
    assert [line.partition(": ")[2] for line in error["why"].splitlines()] == [
        "it contains '|'", "it is empty", "it has 201 characters, 200 at most are allowed",
    ]  # fmt: skip
    assert not (site / ".legato").exists()


@pytest.mark.parametrize("words", [("custmers",), ("custmers", "--add", "acme")])
def test_a_set_that_is_not_there_is_told(site: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    error = ask(site, capsys, "keys", *words)
    assert (error["code"], error["exit"], error["why"]) == ("dynamic-set", 3, "did you mean `customers`?")


def test_a_project_without_dynamic_partitions_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = make_project(tmp_path)
    assert legato(site, "keys").stdout == "the project has no dynamic partitions\n"
    assert ask(site, capsys, "keys") == []
    assert "lg.dynamic" in ask(site, capsys, "keys", "customers")["why"]


@pytest.mark.parametrize(
    ("words", "next"),
    [(("--add",), "legato keys NAME --add KEY"), (("customers", "a b"), "legato keys customers --add 'a b'")],
)
def test_words_that_say_nothing_are_usage(
    site: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], next: str
) -> None:
    error = ask(site, capsys, "keys", *words)
    assert (error["code"], error["exit"], error["next"]) == ("usage", 2, next)


def test_who_holds_the_store_is_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = open_workspace(site).open_writer("legato run orders")
    try:
        error = ask(site, capsys, "keys", "customers", "--add", "acme")
    finally:
        writer.close()
    assert (error["code"], error["exit"]) == ("store-locked", 5)
    assert "`legato run orders`" in error["what"]
