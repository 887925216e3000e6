"""What a step says while it runs: lines of its log, and facts that are kept with the run.

They work in everything that a run calls, `async def` or not, and from threads that a step starts. Where no run is under way, as
in a test that calls the function itself, `log` prints, and the others only look at what they are given.
"""

from __future__ import annotations

import json
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from legato.quality.schema import describe
from legato.terms.errors import UsageError
from legato.worker.context import teller
from legato.worker.excerpt import excerpt, writable
from legato.worker.picture import read_picture
from legato.worker.scalar import python_scalar

Level = Literal["debug", "info", "warning", "error"]

MOST_ROWS = 1_000
TEXT_BYTES = 256 * 2**10
_LONGEST_NAME, _LONGEST_UNIT, _LONGEST_MESSAGE = 200, 40, 500
_LARGEST_INT = 2**63
_LEVELS: tuple[str, ...] = get_args(Level)
_BARE = re.compile(r"[^\s\"'=\\]+\Z")


def log(message: object, /, *, level: Level = "info", **fields: object) -> None:
    """Writes one line to the step's log: time, level, message, and the fields as `name=value`. Secrets are masked."""
    if level not in _LEVELS:
        raise UsageError("fact-value", f"{level!r} is no level", why=f"the levels are {', '.join(_LEVELS)}", next='level="info"')
    told = teller()
    hide = str if told is None else told.cover()
    moment = datetime.now(UTC)
    words = [f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z", level.upper().ljust(7), hide(str(message))]
    words += [f"{hide(name)}={_field(hide(str(value)))}" for name, value in fields.items()]
    sys.stdout.write(_one_line(" ".join(words)))
    sys.stdout.flush()


def metric(name: str, value: float, unit: str = "") -> None:
    """Tells a finite number under a name; several of one name are a series. Of a long one not every value is kept."""
    number = _number(value, f"the metric {name!r}")
    _named(name, "metric")
    if not isinstance(unit, str) or len(unit) > _LONGEST_UNIT or not unit.isprintable():
        raise UsageError(
            "fact-name", f"{unit!r} is no unit", why=f"a unit is at most {_LONGEST_UNIT} characters", next='unit="MB"'
        )
    told = teller()
    if told is not None:
        told.metric(name, number, unit)


def progress(done: float, total: float | None = None, message: str = "") -> None:
    """Tells how far the step is: so much done, of a total if that is known. Only the newest is kept, so it may be told often."""
    amount = _number(done, "the progress")
    whole = None if total is None else _number(total, "the total")
    if not isinstance(message, str):
        raise UsageError("fact-value", f"the message of a progress is {describe(message)}, not text", next='message="loading"')
    told = teller()
    if told is not None:
        short = message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
        told.progress(amount, whole, writable(short))


def table(name: str, rows: Any) -> None:
    """Tells the first 1,000 rows of a table (polars, pandas, Arrow, DuckDB, or a list of dicts), and how many it has."""
    _named(name, "table")
    found = excerpt(name, rows, MOST_ROWS)
    told = teller()
    if told is not None:
        told.table(name, found)


def markdown(name: str, text: str) -> None:
    """Tells a text in Markdown, of at most 256 KiB."""
    _named(name, "text")
    if not isinstance(text, str):
        raise UsageError("fact-value", f"the text {name!r} is {describe(text)}", next="hand over a str")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > TEXT_BYTES:
        why = f"a text may have {TEXT_BYTES:,}"
        raise UsageError(
            "fact-size", f"the text {name!r} has {size:,} bytes", why=why, next="shorten it, or return it as an asset"
        )
    told = teller()
    if told is not None:
        told.markdown(name, writable(text))


def image(name: str, image: Any) -> None:
    """Tells a picture of at most 10 MiB: the bytes of a PNG, JPEG or SVG, the path of one, or a figure of matplotlib."""
    _named(name, "image")
    found = read_picture(name, image)
    told = teller()
    if told is not None:
        told.image(name, found)


def _named(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        why = f"people find it by its name: one line of at most {_LONGEST_NAME} characters"
        raise UsageError("fact-name", f"{name!r} cannot be the name of a {what}", why=why, next="name it like `rows loaded`")


def _number(value: Any, what: str) -> int | float:
    """The value as a plain number; `fact-value` if it is none, or not finite."""
    kind = type(value)
    if kind is not float:
        value = python_scalar(value)
        kind = type(value)
        if kind is int and -_LARGEST_INT <= value < _LARGEST_INT:
            return int(value)
    if kind is bool or not hasattr(kind, "__float__"):
        raise UsageError("fact-value", f"{what} is {describe(value)}, not a number", next="hand over an int or a float")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError("fact-value", f"{what} is no number that can be kept", why=str(error), next="scale it") from error
    if not math.isfinite(number):
        raise UsageError("fact-value", f"{what} is {number}, and not finite", next="leave it out, or tell that it is missing")
    return number


def _one_line(text: str) -> str:
    return writable(text).replace("\r", "\\r").replace("\n", "\\n") + "\n"


def _field(text: str) -> str:
    """A value as it stands behind its name: in quotes where it would not be seen as one word."""
    return text if _BARE.match(text) else json.dumps(text, ensure_ascii=False)
