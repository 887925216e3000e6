"""`legato query`: SELECT over what is published, and nothing else."""

from __future__ import annotations

import sys
from typing import Any

import pytest

LATE = """\
carrier  n  late  x
AA       4  null  null
B6       4     3  null
UA       4   1.5  null
3 rows
"""


def test_a_query_sees_published_versions_only(ask: Any, say: Any) -> None:
    assert ask("query", "select count(*), count(carrier) from raw")["rows"] == [[12, 12]]
    code, told = say("query", "select carrier, count(*) n, avg(delay_min) late, null x from RAW group by all order by 1")
    assert (code, told) == (0, LATE)


def test_a_query_knows_values_that_are_no_tables_and_names_in_quotes(ask: Any) -> None:
    assert ask("query", 'select value from "ref/rates"')["rows"] == [["[1,2]"]]
    error = ask("query", "select * from rates")
    assert (error["code"], error["next"]) == ("query-table", 'write "ref/rates"')


def test_a_query_is_cut_where_it_says_so(ask: Any, say: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the first 5 rows; all of them with --limit 0" in say("query", "from raw", "--limit", "5")[1]
    assert "12 rows" in say("query", "from raw", "--limit", "0")[1]
    assert (len(ask("query", "from raw")["rows"]), ask("query", "from raw", "--limit", "5")["more"]) == (12, True)
    assert len(say("query", "--csv", "from raw")[1].splitlines()) == 13


def test_times_come_out_in_utc_and_numbers_as_numbers(ask: Any, say: Any) -> None:
    sql = "select timestamptz '2024-01-01 02:00:00+02' t, sum(flight), [timestamptz '2024-01-01 00:00:00Z'] from raw order by 1"
    assert ask("query", sql)["rows"] == [["2024-01-01T00:00:00Z", 24, "['2024-01-01 00:00:00+00']"]]
    assert say("query", "--csv", sql)[1].splitlines()[1] == "2024-01-01T00:00:00+00:00,24,['2024-01-01 00:00:00+00']"


@pytest.mark.parametrize(
    ("sql", "code", "exit", "words"),
    [
        ("select * from rawe", "query-table", 3, "did you mean `raw`?"),
        ("select * from nothing_alike", "query-table", 3, "the assets are ref/rates, prices, unmade, raw, clean, total"),
        ("select * from unmade", "query-empty", 3, "legato run +unmade"),
        ("selec 1", "query", 2, 'syntax error at or near "selec"'),
        ("select nope from raw", "query", 2, 'legato query "describe raw"'),
        (" ", "query", 2, "there is no SQL to answer"),
        ("select 1; select 2", "query", 2, "2 statements"),
        ("copy (select 1) to 'x.csv'", "query-writes", 2, "'copy'"),
        ("create table t as select 1", "query-writes", 2, "'create'"),
        ("attach 'state.db'", "query-writes", 2, "'attach'"),
        ("set enable_external_access = true", "query-writes", 2, "'set'"),
        ("install httpfs", "query-writes", 2, "'load'"),
        ("show tables", "query", 2, "legato list kind:asset"),
        ("pivot raw on carrier using count(*)", "query", 2, "name the values"),
        ("select * from read_csv('/etc/hostname')", "query-closed", 6, "/etc/hostname"),
        ("select * from 'legato.toml'", "query-table", 3, "legato list kind:asset"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(ask: Any, sql: str, code: str, exit: int, words: str) -> None:
    error = ask("query", sql)
    assert (error["code"], error["exit"]) == (code, exit)
    assert words in f"{error['what']} {error['why']} {error['next']}"


def test_a_query_sees_no_variable_of_the_process(ask: Any) -> None:
    assert ask("query", "select * from sql")["code"] == "query-table"


def test_a_query_without_duckdb_says_what_to_install(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    error = ask("query", "select 1")
    assert (error["code"], error["next"]) == ("extra-missing", "pip install 'legato[tables]'")


def test_text_in_cells_cannot_command_the_terminal(say: Any) -> None:
    assert (
        say("query", "select 'a' || chr(27) || '[31m' || chr(10) || 'b' as t, 1 as n")[1]
        == "t             n\na\\x1b[31m\\nb  1\n1 row\n"
    )
