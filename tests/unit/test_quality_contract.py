"""A contract is judged rule by rule: every broken one gives a verdict that says so in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pandas as pd
import polars as pl
import pytest

from legato.declare import rules as lg
from legato.declare.contract import Contract, ContractColumn
from legato.quality.contract import judge_contract
from legato.quality.schema import columns_of
from legato.terms.fact import Column

FRAME = pl.DataFrame({"carrier": ["UA", None, "UA"], "delay": [1.0, 5.0, -3.0], "day": [date(2013, 1, 1)] * 3})


def judged(contract: Contract, value: Any = FRAME, published: tuple[Column, ...] | None = None) -> dict[str, str]:
    """The broken rules by name."""
    verdicts = judge_contract(value, contract, published)
    assert all(verdict.blocks for verdict in verdicts) or len(verdicts) == 1
    return {verdict.check: verdict.message for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.DataFrame.to_arrow, pl.DataFrame.to_pandas, pl.DataFrame.lazy])
def test_a_kept_contract_gives_one_passing_verdict(convert: Callable[[pl.DataFrame], Any]) -> None:
    contract = lg.contract({"carrier": str, "delay": lg.column(float, low=-3, high=5)}, extra="forbid")
    [verdict] = judge_contract(convert(FRAME.drop("day")), contract)
    assert (verdict.check, verdict.passed, verdict.total) == ("contract", True, 3)
    assert verdict.message == "2 columns as the contract says"


def test_every_broken_rule_has_a_verdict() -> None:
    contract = lg.contract(
        {
            "carrier": lg.column(str, nulls=False, unique=True, among=["B6"], pattern="^B"),
            "delay": lg.column(float, low=0, high=3),
            "tail": str,
            "seats": int,
        },
        extra="forbid",
    )
    assert judged(contract) == {
        "contract.columns": "missing columns tail, seats; the table has carrier, delay, day",
        "contract.extra": "column day not in the contract, which forbids others",
        "contract.carrier.nulls": "1 of 3 rows has a null carrier",
        "contract.carrier.unique": "2 of 2 rows share their carrier with another row",
        "contract.carrier.among": "2 of 2 rows have carrier not among B6",
        "contract.carrier.pattern": "2 of 2 rows have carrier not matching ^B",
        "contract.delay.range": "2 of 3 rows have delay outside 0 to 3",
    }


def test_a_wrong_type_is_said_once() -> None:
    contract = lg.contract({"delay": lg.column(int, low=0), "day": lg.column("date", low=date(2013, 1, 1))})
    assert judged(contract) == {"contract.delay.type": "column delay is float, the contract says int"}


def test_a_column_of_nothing_but_nulls_fits_every_type() -> None:
    empty = pd.DataFrame({"carrier": [None, None]})
    assert judged(lg.contract({"carrier": lg.column(str, among=["UA"])}), empty) == {}
    assert list(judged(lg.contract({"carrier": lg.column(str, nulls=False)}), empty)) == ["contract.carrier.nulls"]


def test_records_written_by_hand_may_hold_dates() -> None:
    contract = Contract((ContractColumn("day", "date", low=date(2014, 1, 1)),))
    assert judged(contract) == {"contract.day.range": "3 of 3 rows have day below 2014-01-01"}


def test_the_schema_is_compared_with_the_published_one() -> None:
    published = (*columns_of(FRAME), Column("origin", "str"))
    contract = lg.contract({"carrier": str}, compatibility="backward")
    text = "the schema is not backward compatible: column origin was removed"
    assert judged(contract, published=published) == {"contract.compatibility": text}
    assert judged(lg.contract({"carrier": str}, compatibility="forward"), published=published) == {}
    assert judged(lg.contract({"carrier": str}), published=published) == {}


def test_the_first_nulls_of_a_column_that_may_hold_them_break_nothing() -> None:
    published = columns_of(FRAME.drop_nulls())
    assert judged(lg.contract({"carrier": str}, compatibility="full"), published=published) == {}


def test_a_new_column_that_may_not_be_null_breaks_forward_compatibility() -> None:
    published = columns_of(FRAME.drop("day"))
    contract = lg.contract({"day": lg.column("date", nulls=False)}, compatibility="forward")
    text = "the schema is not forward compatible: column day was added and may not be null"
    assert judged(contract, published=published) == {"contract.compatibility": text}


def test_a_value_that_is_no_table_breaks_its_contract() -> None:
    assert judged(lg.contract({"a": int}), [1, 2]) == {"contract": "the value is a list, not a table"}
