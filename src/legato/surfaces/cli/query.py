"""`legato query`: SQL over the published versions, as a table, CSV or JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Any

import click
import msgspec

from legato.service.query import Answer, Row
from legato.service.query import query as ask
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, cells_of, clip, count, pad
from legato.terms.errors import UsageError

MOST_CELLS = 60
"""How wide a column of a table gets; CSV and JSON have values whole."""
_NUMERIC = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))\Z")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\\t", 10: "\\n", 13: "\\r"}


@command
@click.argument("sql", nargs=-1, required=True)
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="Rows to show; 0 for all. [default: 50 in a table, else all]"
)
@click.option("--csv", "as_csv", is_flag=True, help="Answer in CSV.")
def query(call: Call, sql: tuple[str, ...], limit: int | None, as_csv: bool) -> None:
    """Ask the published data in SQL.

    \b
    Each asset is a table of the versions that readers see now, all partitions together:
      legato query "select origin, count(*) from flights group by all"
      legato query 'select * from "sales/orders" limit 5'    names with . or / stand in quotes
      legato query --csv "from delays" > delays.csv
      legato query - < question.sql

    The SQL is DuckDB's. It only reads. What is no table has the columns partition and value.
    """
    if as_csv and call.json:
        raise UsageError("usage", "an answer is in CSV or in JSON, not in both", next="leave one of --csv and --json out")
    workspace = call.workspace_or_last()
    text = sys.stdin.read() if sql == ("-",) else " ".join(sql)
    with ask(workspace, call.reader(workspace), text) as answer:
        if as_csv:
            _write_csv(answer, limit)
            return
        wanted = (None if call.json else 50) if limit is None else limit or None
        rows = list(islice(answer.rows, wanted))
        more = next(answer.rows, None) is not None
    columns = [{"name": name, "type": kind} for name, kind in zip(answer.columns, answer.types, strict=True)]
    call.answer({"columns": columns, "rows": rows, "more": more}, lambda: _draw(call.screen, answer, rows, more))


def _write_csv(answer: Answer, limit: int | None) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_in_csv(value) for value in row] for row in islice(answer.rows, limit or None))


def _in_csv(value: Any) -> Any:
    """A value as CSV carries it: nothing for null, times in ISO 8601, lists and structures in JSON, bytes in hexadecimal."""
    if value is None or isinstance(value, str | int | float):
        return str(value).lower() if isinstance(value, bool) else value
    return _in_words(value)


def _in_words(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() | tuple() | dict():
            return msgspec.json.encode(value, enc_hook=str).decode()
    return str(value)


def _draw(screen: Screen, answer: Answer, rows: Sequence[Row], more: bool) -> None:
    if len(rows) == 1 and len(answer.columns) == 1 and isinstance(rows[0][0], str) and "\n" in rows[0][0]:
        screen.say(rows[0][0].rstrip("\n").translate({code: text for code, text in _CONTROL.items() if code not in (9, 10)}))
        return
    cells = [[_cell(screen, value) for value in row] for row in rows]
    shown = _columns_that_fit(screen, answer.columns, cells)
    _draw_table(screen, answer, cells, shown)
    left_out = answer.columns[shown:]
    if left_out:
        screen.say(screen.paint(screen.hang("", f"{count(len(left_out), 'more column')}: {', '.join(left_out)}"), "dim"))
    told = f"the first {count(len(rows), 'row')}; all of them with --limit 0" if more else count(len(rows), "row")
    screen.say(screen.paint(told, "dim"))


def _draw_table(screen: Screen, answer: Answer, cells: Sequence[Sequence[str]], shown: int) -> None:
    """Like `Screen.table`, for columns whose names may be equal and whose cells may all be empty."""
    titles = [clip(name, MOST_CELLS) or " " for name in answer.columns]
    widths = [max(map(cells_of, [titles[at], *(row[at] for row in cells)])) for at in range(shown)]
    numbers = [_NUMERIC.match(kind) is not None for kind in answer.types]
    for number, row in enumerate([titles, *cells]):
        line = "  ".join(pad(row[at], widths[at], right=numbers[at]) for at in range(shown)).rstrip()
        screen.say(screen.paint(line, "dim") if number == 0 else line)


def _columns_that_fit(screen: Screen, names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """How many columns a terminal's line holds, at least one; where there is no terminal, all of them."""
    if not screen.is_terminal:
        return len(names)
    used = 0
    for at, name in enumerate(names):
        used += 2 + max(map(cells_of, [clip(name, MOST_CELLS), *(row[at] for row in cells)]))
        if used - 2 > screen.width and at:
            return at
    return len(names)


def _cell(screen: Screen, value: Any) -> str:
    if value is None:
        return screen.paint("null", "dim")
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return clip(_in_words(value).translate(_CONTROL), MOST_CELLS)


def _number(value: float) -> str:
    """At most six digits after the point, without zeros at the end; very small and very large ones with an exponent."""
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return f"{value:.6g}"
