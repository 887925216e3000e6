"""Built-in checks agree with a plain Python oracle, say what is wrong in words, and find the rows again in SQL."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legato.declare import rules as lg
from legato.declare.node import Check
from legato.quality.checks import judge_builtins, verdict_of
from legato.terms.errors import LegatoError
from legato.terms.fact import Verdict


def judge(value: Any, rule: lg.Rule) -> Verdict:
    (verdict,) = judge_builtins(value, [rule.check("flights")])
    return verdict


FRAME = pl.DataFrame(
    {
        "flight": [1, 2, None, 2],
        "seats": pl.Series([1, 2, None, 200], dtype=pl.UInt8),
        "carrier": ["UA", "B6", None, "O'H"],
        "origin": pl.Series(["EWR", "JFK", "LGA", None], dtype=pl.Categorical),
        "delay": [1.0, math.nan, 2.0, None],
        "fare": pl.Series(["1.5", "2", "3", None]).cast(pl.Decimal(10, 2)),
        "day": [date(2013, 1, 1), date(2013, 1, 2), date(2013, 1, 3), None],
        "left": [datetime(2013, 1, 1, 5), datetime(2013, 1, 2, 5), datetime(2013, 1, 3, 5), None],
        "air_time": [timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), None],
        "gate_opens": [time(1), time(2), time(3), None],
        "raw": [b"a", b"\x00", b"c", None],
        "late": [True, False, True, None],
        "crew": [[1], [2], [1], None],
        "note": [None] * 4,
        'odd "name"': [1, 2, 3, 4],
    }
).with_columns(pl.col("left").dt.replace_time_zone("America/New_York").alias("local"))

MESSAGES = [
    (lg.not_null("day"), "1 of 4 rows has a null day"),
    (lg.not_null("flight", "day"), "2 of 4 rows have a null in flight or day"),
    (lg.unique("flight"), "2 of 3 rows share their flight with another row"),
    (lg.in_range("seats", -5, 100), "1 of 3 rows has seats outside -5 to 100"),
    (lg.in_range("flight", 1.5), "1 of 3 rows has flight below 1.5"),
    (lg.in_range("delay", 0), "1 of 3 rows has delay below 0"),
    (lg.in_range("fare", Decimal("1.55")), "1 of 3 rows has fare below 1.55"),
    (lg.in_range("day", high="2013-01-02"), "1 of 3 rows has day above 2013-01-02"),
    (lg.in_range("left", datetime(2013, 1, 2)), "1 of 3 rows has left below 2013-01-02T00:00:00"),
    (lg.in_range("local", datetime(2013, 1, 2, 5)), "1 of 3 rows has local below 2013-01-02T05:00:00"),
    (lg.in_range("local", datetime(2013, 1, 2, 11, tzinfo=UTC)), "2 of 3 rows have local below 2013-01-02T11:00:00+00:00"),
    (lg.in_range("air_time", "1m"), "1 of 3 rows has air_time below 1m"),
    (lg.in_range("gate_opens", time(2)), "1 of 3 rows has gate_opens below 02:00:00"),
    (lg.in_range("carrier", "B6", "O"), "2 of 3 rows have carrier outside B6 to O"),
    (lg.in_range("raw", b"\x01"), "1 of 3 rows has raw below b'\\x01'"),
    (lg.in_range('odd "name"', 2), '1 of 4 rows has odd "name" below 2'),
    (lg.in_set("flight", [1, 1.5]), "2 of 3 rows have flight not among 1, 1.5"),
    (lg.in_set("flight", [1.5]), "3 of 3 rows have flight not among 1.5"),
    (lg.in_set("seats", [-1, 1, 300]), "2 of 3 rows have seats not among -1, 1, 300"),
    (lg.in_set("delay", [1, 2, 3, 4, 5, 6, 7]), "1 of 3 rows has delay not among 1, 2, 3, 4, 5 and 2 more"),
    (lg.in_set("carrier", ["UA", "O'H"]), "1 of 3 rows has carrier not among UA, O'H"),
    (lg.in_set("origin", ["EWR"]), "2 of 3 rows have origin not among EWR"),
    (lg.in_set("fare", [1.5, "1.555"]), "2 of 3 rows have fare not among 1.5, 1.555"),
    (lg.in_set("local", ["2013-01-01T05:00"]), "2 of 3 rows have local not among 2013-01-01T05:00"),
    (lg.in_set("air_time", [60]), "2 of 3 rows have air_time not among 60"),
    (lg.in_set("gate_opens", ["01:00"]), "2 of 3 rows have gate_opens not among 01:00"),
    (lg.in_set("late", [True]), "1 of 3 rows has late not among True"),
    (lg.matches("carrier", "^U"), "2 of 3 rows have carrier not matching ^U"),
    (lg.matches("carrier", "'"), "2 of 3 rows have carrier not matching '"),
    (lg.matches("origin", "[JL]"), "1 of 3 rows has origin not matching [JL]"),
    (lg.expression("flight > 1"), "1 of 3 rows does not satisfy flight > 1"),
    (lg.expression("day >= date '2013-01-03'"), "2 of 3 rows do not satisfy day >= date '2013-01-03'"),
]
RULES, TEXTS = [rule for rule, _ in MESSAGES], [text for _, text in MESSAGES]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("stored") / "flights.parquet"
    FRAME.write_parquet(path)
    return path


@pytest.mark.parametrize(("rule", "text"), MESSAGES, ids=TEXTS)
def test_a_failing_check_says_what_is_wrong_and_where(rule: lg.Rule, text: str, stored: Path) -> None:
    verdict = judge(FRAME, rule)
    assert (verdict.passed, verdict.message) == (False, text)
    found = duckdb.sql(f"select count(*) from (from '{stored}' where {verdict.where})").fetchall()
    assert found == [(verdict.failed,)]
    assert len(verdict.sample) == min(verdict.failed, 5)
    json.dumps(verdict.sample, allow_nan=False)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lg.not_null("tail"), "the table has no column tail; it has flight, seats, carrier, origin, delay, fare, day, "
                              "left, air_time, gate_opens and 6 more"),
        (lg.in_range("carrier", 5), "column carrier is str: it cannot be compared with 5"),
        (lg.in_range("flight", "x"), "column flight is int: it cannot be compared with 'x'"),
        (lg.in_range("left", datetime(2013, 1, 2, tzinfo=UTC)),
         "column left is datetime: it cannot be compared with '2013-01-02T00:00:00+00:00'"),
        (lg.in_range("day", "2013-01-02T12:00"), "column day is date: it cannot be compared with '2013-01-02T12:00'"),
        (lg.in_range("air_time", "soon"), "column air_time is duration: it cannot be compared with 'soon'"),
        (lg.in_range("crew", 1), "column crew is list: it cannot be compared with 1"),
        (lg.in_set("late", [1]), "column late is bool: it cannot be compared with 1"),
        (lg.in_set("flight", [True]), "column flight is int: it cannot be compared with True"),
        (lg.matches("flight", "1"), "column flight is int: only str can match a pattern"),
        (lg.expression("flight >"), "expression cannot be judged: unable to parse 'flight >' as Expr"),
        (lg.expression("flight + 1"), "flight + 1 gives int, not true or false"),
        (lg.expression("max(flight) > 1"), "max(flight) > 1 speaks of the table as a whole, not of each row"),
        (lg.expression("1 = 1"), "1 = 1 speaks of the table as a whole, not of each row"),
        (lg.row_count(5), "4 rows; expected at least 5"),
        (lg.row_count(0, 3), "4 rows; expected at least 0 and at most 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_row_by_row_fails_with_the_reason(rule: lg.Rule, text: str) -> None:
    verdict = judge(FRAME, rule)
    assert (verdict.passed, verdict.message, verdict.failed, verdict.where) == (False, text, 0, "")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lg.not_null("crew", 'odd "name"'), None),
        (lg.unique("flight", "crew"), "2 rows pass"),
        (lg.unique("delay"), "3 rows pass"),
        (lg.row_count(4, 4), "4 rows"),
        (lg.in_range("seats", -5, 2000), "3 rows pass"),
        (lg.in_range("note", 1), "no rows to judge"),
        (lg.in_set("note", [1]), "no rows to judge"),
        (lg.matches("note", "x"), "no rows to judge"),
        (lg.expression("note > 1"), "no rows to judge"),
        (lg.expression("carrier = 'UA' or delay > 1"), "3 rows pass"),
    ],
)
def test_a_passing_check_says_how_many_rows_it_judged(rule: lg.Rule, text: str | None) -> None:
    verdict = judge(FRAME.drop_nulls("crew"), rule) if text is None else judge(FRAME, rule)
    assert (verdict.passed, verdict.message, verdict.sample) == (True, text or "3 rows pass", [])


@pytest.mark.parametrize("rule", RULES, ids=TEXTS)
def test_a_table_without_rows_breaks_no_rule_about_rows(rule: lg.Rule) -> None:
    assert judge(FRAME.clear(), rule).message == "no rows to judge"


def test_the_sample_is_plain_short_and_starts_with_the_judged_columns() -> None:
    wide = pl.DataFrame(
        {f"c{n}": [n] for n in range(30)} | {"bad": [math.nan], "text": ["x" * 900], "big": pl.Series([2**70], dtype=pl.Int128)}
    )  # fmt: skip
    [row] = judge(wide, lg.in_range("bad", 0)).sample
    assert list(row) == ["bad", *(f"c{n}" for n in range(11))]
    assert row["bad"] == "nan"
    [row] = judge(wide, lg.in_set("text", ["y"])).sample
    assert len(row["text"]) == 200
    assert judge(wide, lg.in_range("big", high=0)).sample[0]["big"] == str(2**70)
    many = pl.DataFrame({"a": [1] * 9, "at": [datetime(2013, 1, 1)] * 9, "raw": [b"\x01"] * 9, "fare": [Decimal("1.5")] * 9})
    assert judge(many, lg.in_set("a", [2])).sample == [{"a": 1, "at": "2013-01-01T00:00:00", "raw": "01", "fare": "1.5"}] * 5


@pytest.mark.parametrize("convert", [pl.DataFrame.lazy, pl.DataFrame.to_arrow, pl.DataFrame.to_pandas])
def test_every_library_gets_the_same_verdict(convert: Callable[[pl.DataFrame], Any]) -> None:
    frame = FRAME.select("carrier", "flight", "fare")
    for rule in (lg.not_null("carrier"), lg.in_set("carrier", ["UA"]), lg.row_count(9), lg.in_range("fare", 2)):
        assert judge(convert(frame), rule) == judge(frame, rule)


def test_a_value_that_is_no_table_fails_softly_and_keeps_the_severity() -> None:
    verdict = judge({"a": [1]}, lg.not_null("a", severity="warn"))
    assert verdict.message == "the value is a dict, not a table: not_null judges rows and columns"
    assert (verdict.passed, verdict.severity, verdict.blocks) == (False, "warn", False)


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(LegatoError, match="'function' is no built-in check"):
        judge_builtins(FRAME, [Check("c", "flights")])


# Against a plain oracle ----------------------------------------------------------------------------------

numbers = st.lists(st.none() | st.floats(width=64, allow_infinity=True) | st.sampled_from([0.0, 1.0, -1.0]), max_size=20)
small = st.lists(st.none() | st.integers(-3, 3), max_size=20)
quick = settings(max_examples=50, deadline=None)


@quick
@given(numbers, st.floats(-2, 2), st.floats(0, 2))
def test_in_range_agrees_with_python(values: list[float | None], low: float, width: float) -> None:
    high = low + width
    verdict = judge(pl.DataFrame({"a": pl.Series(values, dtype=pl.Float64)}), lg.in_range("a", low, high))
    judged = [value for value in values if value is not None]
    assert verdict.total == len(judged)
    assert verdict.failed == sum(not low <= value <= high for value in judged)
    assert verdict.passed == (verdict.failed == 0)


@quick
@given(small, st.sets(st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]), min_size=1))
def test_in_set_agrees_with_python(values: list[int | None], members: set[float]) -> None:
    verdict = judge(pl.DataFrame({"a": pl.Series(values, dtype=pl.Int8)}), lg.in_set("a", members))
    judged = [value for value in values if value is not None]
    assert (verdict.failed, verdict.total) == (sum(value not in members for value in judged), len(judged))


@quick
@given(st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.sampled_from("xy")), max_size=20))
def test_unique_agrees_with_python(rows: list[tuple[int | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.String}, orient="row")
    verdict = judge(frame, lg.unique("a", "b"))
    judged = Counter(row for row in rows if None not in row)
    assert (verdict.failed, verdict.total) == (sum(n for n in judged.values() if n > 1), judged.total())


# What check functions return -----------------------------------------------------------------------------

CHECK = Check("every_flight_has_a_carrier", "flights")


@pytest.mark.parametrize(
    ("returned", "passed", "message"),
    [
        (True, True, ""),
        (False, False, "the check returned False"),
        (np.bool_(True), True, ""),
        ((False, "3 flights lack one"), False, "3 flights lack one"),
        ((np.True_, "fine"), True, "fine"),
        (None, False, "the check returned nothing (None); is a return missing? (a check returns a bool, (bool, message), "
                      "a Verdict or a table of offending rows)"),
        (1, False, "the check returned an int (a check returns a bool, (bool, message), a Verdict or a table of "
                   "offending rows)"),
        ((True, 3), False, "the check returned a tuple (a check returns a bool, (bool, message), a Verdict or a table "
                           "of offending rows)"),
        (FRAME.clear(), True, "no offending rows"),
        (FRAME.select("day").head(1), False, "1 offending row"),
        (FRAME.select("day").lazy(), False, "4 offending rows"),
        (pd.DataFrame({"day": [1, 2]}), False, "2 offending rows"),
        (FRAME.lazy().select("tail"), False, "the check's offending rows cannot be read: "
                                             'unable to find column "tail"; valid columns: '
                                             + json.dumps(FRAME.columns)),
    ],
)  # fmt: skip
def test_what_a_check_returns_becomes_its_verdict(returned: Any, passed: bool, message: str) -> None:
    verdict = verdict_of(CHECK, returned)
    assert (verdict.check, verdict.passed, verdict.message) == (CHECK.name, passed, message)


def test_offending_rows_are_counted_and_sampled() -> None:
    verdict = verdict_of(CHECK, pl.DataFrame({"day": [date(2013, 1, 1)] * 7}))
    assert (verdict.failed, verdict.sample) == (7, [{"day": "2013-01-01"}] * 5)


def test_an_error_in_a_check_fails_it() -> None:
    verdict = verdict_of(CHECK, None, KeyError("carrier"))
    assert (verdict.passed, verdict.message) == (False, "the check raised KeyError: 'carrier'")


@pytest.mark.parametrize(
    ("declared", "said", "severity"),
    [("block", "warn", "warn"), ("warn", "block", "warn"), ("block", "block", "block")],
)
def test_a_verdict_may_weaken_the_declared_severity_only(declared: Any, said: Any, severity: str) -> None:
    returned = Verdict("mine", False, said, "no", 2, 9, sample=[{"day": date(2013, 1, 1)}])
    verdict = verdict_of(Check("c", "flights", declared), returned)
    assert verdict == Verdict("c", False, severity, "no", 2, 9, sample=[{"day": "2013-01-01"}])  # type: ignore[arg-type]
