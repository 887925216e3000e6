"""The demo's functions, called as the plain functions that they are: no project is loaded, nothing of Legato runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from legato.testing import judge

FOLDER = Path(__file__).parents[2] / "examples" / "flights"
MODULES = ("pipeline", "contracts", "archive", "break_day")
FIRST, CORRECTED, LAST = "2013-01-01", "2013-03-05", "2013-12-31"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The demo's module `pipeline`, with a folder of its own for corrections."""
    with pytest.MonkeyPatch.context() as patch:
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(FOLDER)
        pipeline = import_module("pipeline")
        patch.setattr(pipeline.archive, "CORRECTIONS", tmp_path_factory.mktemp("project") / "corrections")
        yield pipeline
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def flights(demo: ModuleType) -> pl.DataFrame:
    made: pl.DataFrame = demo.flights(demo.DAYS.partition(FIRST))
    return made


@pytest.fixture(scope="module")
def delays(demo: ModuleType, flights: pl.DataFrame) -> pl.DataFrame:
    weather = demo.weather(demo.DAYS.partition(FIRST))
    made: pl.DataFrame = demo.delays(flights, weather, demo.airlines(), demo.planes())
    return made


@pytest.fixture(scope="module")
def two_months(demo: ModuleType) -> pl.DataFrame:
    """Carrier performance of AA in two months: of four flights one is cancelled, one diverted, one late."""
    rows = {
        "date": [date(2013, 1, 1)] * 3 + [date(2013, 2, 1)],
        "carrier": ["AA"] * 4,
        "airline": ["American"] * 4,
        "dep_delay": [10, None, 5, 30],
        "arr_delay": [15, None, None, 16],
        "cancelled": [False, True, False, False],
    }
    delays = pl.DataFrame(rows)
    months = [delays.filter(pl.col("date").dt.month() == month) for month in (1, 2)]
    made: pl.DataFrame = pl.concat([demo.carrier_performance(month) for month in months])
    return made


def test_a_day_has_the_flights_that_were_sent(flights: pl.DataFrame) -> None:
    assert flights.height == 842
    assert flights["date"].unique().to_list() == [date(2013, 1, 1)]
    assert flights.schema["time_hour"] == pl.Datetime(time_zone="UTC")


def test_weather_has_a_row_for_each_airport_and_hour_also_where_clocks_are_set_back(demo: ModuleType) -> None:
    weather = demo.weather(demo.DAYS.partition("2013-11-03"))
    assert weather.height == 72
    assert not weather.select("origin", "hour").is_unique().all()
    assert weather.select("origin", "time_hour").is_unique().all()


def test_a_day_without_weather_keeps_its_columns(demo: ModuleType, flights: pl.DataFrame) -> None:
    none = demo.weather(demo.DAYS.partition(LAST))
    assert none.height == 0
    assert none.schema == demo.weather(demo.DAYS.partition(FIRST)).schema
    assert demo.delays(flights, none, demo.airlines(), demo.planes()).height == flights.height


def test_delays_have_a_row_for_each_flight(demo: ModuleType, flights: pl.DataFrame, delays: pl.DataFrame) -> None:
    assert delays.height == flights.height
    assert delays["flight"].to_list() == flights["flight"].to_list()


def test_delays_know_plane_weather_and_cancellation(delays: pl.DataFrame) -> None:
    first = delays.row(0, named=True)
    assert (first["airline"], first["manufacturer"], first["plane_age_years"]) == ("United Air Lines Inc.", "BOEING", 14)
    assert (first["temp"], first["cancelled"]) == (39.02, False)
    assert delays["cancelled"].sum() == 4


def test_a_day_keeps_its_contracts_and_passes_its_checks(demo: ModuleType, flights: pl.DataFrame, delays: pl.DataFrame) -> None:
    verdicts = judge(demo.flights, flights) + judge(demo.delays, delays, flights=flights)
    assert [verdict.check for verdict in verdicts] == [
        "contract", "not_null_carrier", "unique_carrier_flight_origin", "row_count", "matches_tailnum", "in_range_dep_delay",
        "contract", "every_airline_is_known", "no_flight_is_lost_or_doubled",
    ]  # fmt: skip
    assert [verdict.message for verdict in verdicts if not verdict.passed] == []


def test_nulls_and_lost_rows_close_the_gate(demo: ModuleType, flights: pl.DataFrame, delays: pl.DataFrame) -> None:
    broken = delays.head(800).with_columns(airline=pl.lit(None, pl.String))
    blocking = {verdict.check: verdict.message for verdict in judge(demo.delays, broken, flights=flights) if verdict.blocks}
    assert blocking["every_airline_is_known"] == "the check returned False"
    assert blocking["no_flight_is_lost_or_doubled"] == "842 flights went in, 800 came out"
    [verdict] = judge(demo.report, "| airline |", airlines=demo.airlines())
    assert (verdict.check, verdict.blocks) == ("every_airline_is_in_the_report", True)


def test_routes_count_each_flight_once(demo: ModuleType, delays: pl.DataFrame) -> None:
    routes = demo.routes(delays, demo.airports())
    assert routes["flights"].sum() == 842
    assert routes["cancelled"].sum() == 4
    assert routes.select("origin", "dest").is_unique().all()


def test_a_month_counts_what_left_and_what_arrived(two_months: pl.DataFrame) -> None:
    january = two_months.row(0, named=True)
    assert january.pop("cancelled_share") == pytest.approx(1 / 3)
    assert january == {
        "carrier": "AA", "airline": "American", "month": date(2013, 1, 1),
        "flights": 3, "departed": 2, "arrived": 1, "on_time_share": 1.0, "mean_dep_delay": 7.5,
    }  # fmt: skip


def test_the_report_weighs_months_by_their_flights(demo: ModuleType, two_months: pl.DataFrame) -> None:
    report = demo.report(two_months)
    assert "| American | 4 | 50.0% | 15.0 | 25.0% |" in report
    assert f"American{' ' * 20}{'█' * 20}{' ' * 21}50%" in report


def test_the_task_prints_the_headline(demo: ModuleType, two_months: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    headline = demo.announce(demo.report(two_months))
    assert headline.startswith("Of 4 flights, 25.0% were cancelled; of those that arrived, 50.0% were on time")
    assert capsys.readouterr().out == f"{headline}\n"


def test_a_correction_stands_in_for_its_day_until_it_is_healed(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking = import_module("break_day")
    day, other = demo.DAYS.partition(CORRECTED), demo.DAYS.partition(FIRST)
    sent, before, beside = demo.flights(day), demo.feed(day), demo.feed(other)

    breaking.break_day(day.date)
    broken = demo.flights(day)
    assert broken.drop("carrier").equals(sent.drop("carrier"))
    assert (sent["carrier"].null_count(), broken["carrier"].null_count()) == (0, 97)
    assert demo.feed(day) != before
    assert demo.feed(other) == beside

    monkeypatch.setattr(sys, "argv", ["break_day.py", CORRECTED, "--heal"])
    breaking.main()
    assert demo.flights(day).equals(sent)
    assert demo.feed(day) == before == demo.release()


def test_calling_an_asset_and_a_check_brings_in_declarations_alone() -> None:
    code = (
        "import sys, pipeline\n"
        "verdict = pipeline.every_airline_is_in_the_report('', pipeline.airlines())\n"
        "print(verdict, *sorted({name.split('.')[1] for name in sys.modules if name.startswith('legato.')}))"
    )
    done = subprocess.run([sys.executable, "-Bc", code], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout == "False declare terms\n"
