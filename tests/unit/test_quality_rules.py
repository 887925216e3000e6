"""Rules and contracts as users write them: plain records of what was asked, and errors that say what to write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from legato.declare import rules as lg
from legato.declare.contract import ContractColumn
from legato.declare.node import Check
from legato.terms.codec import pack, unpack
from legato.terms.errors import LegatoError, Place

WRITTEN = [
    (lg.not_null("carrier", "flight"), "not_null_carrier_flight", {"columns": ["carrier", "flight"]}),
    (lg.unique("flight"), "unique_flight", {"columns": ["flight"]}),
    (lg.row_count(1), "row_count", {"low": 1, "high": None}),
    (lg.in_range("dep_delay", -100, 2000), "in_range_dep_delay", {"column": "dep_delay", "low": -100, "high": 2000}),
    (lg.in_set("origin", {"EWR"}), "in_set_origin", {"column": "origin", "values": ["EWR"]}),
    (lg.matches("tailnum", r"^N\\?"), "matches_tailnum", {"column": "tailnum", "pattern": r"^N\\?"}),
    (lg.expression(" a >= -100 "), "expression_a_100", {"sql": "a >= -100"}),
]


@pytest.mark.parametrize(("rule", "name", "args"), WRITTEN, ids=lambda part: part if isinstance(part, str) else "")
def test_a_rule_is_a_plain_record_with_a_name(rule: lg.Rule, name: str, args: dict[str, Any]) -> None:
    assert (rule.name, rule.args, rule.severity) == (name, args, "block")
    assert unpack(pack(rule), lg.Rule) == rule


def test_a_rule_becomes_a_check_of_an_asset() -> None:
    place = Place("flights.py", 3)
    rule = lg.not_null("carrier", severity="warn", name="carriers")
    expected = Check("carriers", "flights", "warn", "not_null", {"columns": ["carrier"]}, place=place)
    assert rule.check("flights", place) == expected


def test_arguments_are_kept_as_json_has_them() -> None:
    assert lg.in_range("day", date(2013, 1, 1), date(2013, 12, 31)).args["low"] == "2013-01-01"
    assert lg.in_range("air_time", timedelta(minutes=1)).args["low"] == 60.0
    assert lg.in_set("fare", [Decimal("1.50"), np.int64(2)]).args["values"] == ["1.50", 2]


@pytest.mark.parametrize(
    ("write", "what", "hint"),
    [
        (lambda: lg.not_null(), "not_null needs names of columns, not none", 'write not_null("carrier", ...)'),
        (lambda: lg.unique(["a"]), "unique needs names of columns, not ['a']", 'write unique("carrier", ...)'),
        (lambda: lg.row_count(), "row_count has no bound", "give low=, high= or both"),
        (lambda: lg.row_count(5, 1), "low 5 is above high 1", "swap the bounds"),
        (lambda: lg.in_range("a", 1, "b"), "1 and 'b' cannot be compared", "give both bounds in one type"),
        (lambda: lg.in_range("a", float("nan")), "a bound is NaN", "give a number"),
        (lambda: lg.in_range("", 1), "in_range needs names of columns, not ''", 'write in_range("carrier", ...)'),
        (lambda: lg.in_set("a", []), "in_set has no values", 'write in_set("a", ["a", "b"])'),
        (lambda: lg.in_set("a", "EWR"), "'EWR' is not a list of values", "write ['EWR']"),
        (
            lambda: lg.in_set("a", [None]),
            "None cannot be compared with a column's values",
            "give numbers, text, true or false, dates, times or durations",
        ),
        (lambda: lg.matches("a", "["), "'[' is not a regular expression", "mend it"),
        (
            lambda: lg.matches("a", "(?!N)"),
            "'(?!N)' uses look-around or a back-reference",
            "write the pattern without them, or write the check as a function",
        ),
        (lambda: lg.expression(" "), "expression has no SQL", 'write expression("arr_delay >= -100")'),
        (
            lambda: lg.unique("a", severity="error"),
            "severity='error' is unknown",
            'write severity="block" or "warn"',
        ),
        (lambda: lg.unique("a", name="a b"), "'a b' cannot name a check", "give another name"),
    ],
)
def test_bad_arguments_are_refused_with_a_hint(write: Callable[[], object], what: str, hint: str) -> None:
    with pytest.raises(LegatoError) as raised:
        write()
    assert (raised.value.code, raised.value.what, raised.value.next) == ("check", what, hint)


def test_a_contract_names_its_columns_and_types() -> None:
    contract = lg.contract(
        {"carrier": lg.column(str, nulls=False, among=["UA"]), "dep_delay": float, "day": "date", "seats": pl.Int16, "x": None},
        extra="forbid",
        compatibility="backward",
    )  # fmt: skip
    assert contract.columns[0] == ContractColumn("carrier", "str", nulls=False, among=("UA",))
    assert [column.type for column in contract.columns] == ["str", "float", "date", "int", ""]
    assert (contract.extra, contract.compatibility) == ("forbid", "backward")


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda: lg.contract({"day": set}), "column day: 'set' is not a column type"),
        (lambda: lg.contract({"day": "varchar"}), "column day: 'varchar' is not a column type"),
        (lambda: lg.contract({"day": lg.column(low=2, high=1)}), "column day: low 2 is above high 1"),
        (lambda: lg.contract({"day": lg.column(pattern="(")}), "column day: '(' is not a regular expression"),
        (lambda: lg.contract({"day": lg.column(among=[{}])}), "column day: {} cannot be compared with a column's values"),
        (lambda: lg.contract({}, extra="ignore"), "extra='ignore' is unknown"),
        (lambda: lg.contract({}, compatibility="both"), "compatibility='both' is unknown"),
    ],
)
def test_a_bad_contract_names_the_column(write: Callable[[], object], what: str) -> None:
    with pytest.raises(LegatoError) as raised:
        write()
    assert (raised.value.code, raised.value.what) == ("contract", what)
    assert raised.value.next
