"""The verdicts that users' own tests ask for."""

from __future__ import annotations

import polars as pl
import pytest

import legato as lg
from legato.terms.errors import InvalidProject, LegatoError
from legato.testing import judge

GOOD = pl.DataFrame({"carrier": ["UA", "AA"], "delay_min": [1.0, 2.0]})
BAD = pl.DataFrame({"carrier": ["UA", None], "delay_min": [1.0, 2000.0]})


@lg.asset(contract=lg.contract({"carrier": str, "delay_min": lg.column(float, high=1440)}))
def delays() -> pl.DataFrame:
    return GOOD


@lg.check(delays)
def as_many_as_flights(delays: pl.DataFrame, flights: pl.DataFrame) -> tuple[bool, str]:
    return len(delays) == len(flights), f"{len(flights)} went in"


@lg.check(delays, severity="warn")
async def is_early(table: pl.DataFrame, limit: float = 1.5) -> bool:
    return bool(table["delay_min"][0] < limit)


lg.check(delays, lg.not_null("carrier"), lg.row_count(low=3, severity="warn"))


def test_contract_rules_and_functions_are_judged_in_this_order() -> None:
    found = judge(delays, GOOD, flights=GOOD)
    assert [(each.check, each.passed, each.severity) for each in found] == [
        ("contract", True, "block"), ("not_null_carrier", True, "block"), ("row_count", False, "warn"),
        ("as_many_as_flights", True, "block"), ("is_early", True, "warn"),
    ]  # fmt: skip
    assert not any(each.blocks for each in found)


def test_what_offends_is_told() -> None:
    blocking = {each.check: each.message for each in judge(delays, BAD, flights=BAD.head(1)) if each.blocks}
    assert blocking == {
        "contract.delay_min.range": "1 of 2 rows has delay_min above 1440",
        "not_null_carrier": "1 of 2 rows has a null carrier",
        "as_many_as_flights": "1 went in",
    }  # fmt: skip


def test_a_check_that_raises_fails_as_it_does_in_a_run() -> None:
    [verdict] = [each for each in judge(delays, GOOD, flights=3) if each.check == "as_many_as_flights"]
    assert (verdict.passed, verdict.message) == (False, "the check raised TypeError: object of type 'int' has no len()")


def test_an_asset_without_contract_and_checks_has_no_verdicts() -> None:
    assert judge(lg.asset(name="free")(lambda: 1), 1) == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "check as_many_as_flights of delays asks for flights"),
        ({"flights": GOOD, "flihgts": GOOD}, "no check of delays asks for 'flihgts'"),
    ],
)
def test_inputs_are_those_that_checks_ask_for(inputs: dict[str, object], words: str) -> None:
    with pytest.raises(LegatoError, match=words) as caught:
        judge(delays, GOOD, **inputs)
    assert caught.value.code == "judge-input"


def test_one_asset_is_judged() -> None:
    for face in (lg.task(name="notify")(lambda: 1), lg.assets("a", "b")(as_many_as_flights.fn)):
        with pytest.raises(LegatoError, match="is not one asset"):
            judge(face, GOOD)


def test_a_declaration_with_faults_is_not_judged() -> None:
    with pytest.raises(InvalidProject, match="contract="):
        judge(lg.asset(name="broken", contract=3)(lambda: 1), GOOD)  # type: ignore[call-overload]
