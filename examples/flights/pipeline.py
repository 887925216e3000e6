"""Every flight that left New York in 2013: from the raw files, by day, to carriers by month and a report of the year.

    flights, weather (by day)  +  airlines, planes, airports  ->  delays, routes (by day)
    delays  ->  carrier_performance (by month)  ->  report  ->  announce

Delays are in minutes, negative if early; a flight that was cancelled has none. Distances are in miles.
"""

from datetime import date, datetime
from hashlib import sha256

import polars as pl

import archive
import legato as lg

DAYS = lg.daily("2013-01-01", end="2014-01-01")
MONTHS = lg.monthly("2013-01", end="2014-01")
AIRPORTS = ("EWR", "JFK", "LGA")
OPS = "ops@airline.example"
ON_TIME_MIN = 15


# -- what others make: Legato looks at its version and runs nothing --


@lg.source(owner=OPS)
def release() -> str:
    """The release of the archive."""
    return archive.PACKAGE.version


@lg.source(partitions=DAYS, owner=OPS)
def feed(day: lg.Partition) -> str:
    """The flights that were sent for a day: its correction if there is one, else the archive's release."""
    correction = archive.correction_of(day.date)
    return sha256(correction.read_bytes()).hexdigest() if correction.exists() else archive.PACKAGE.version


# -- raw data --


@lg.asset(
    partitions=DAYS, deps=[feed], retries=2, timeout="2m", owner=OPS, tags=["raw"],
    contract=lg.contract(
        {
            "date": lg.column(date, nulls=False),
            "carrier": lg.column(str, description="two letters or digits; named in airlines"),
            "flight": lg.column(int, nulls=False, low=1),
            "tailnum": lg.column(str, description="the plane, where one was assigned"),
            "origin": lg.column(str, nulls=False, among=AIRPORTS),
            "dest": lg.column(str, nulls=False),
            "sched_dep_time": lg.column(int, nulls=False, low=0, high=2359, description="local time as HHMM"),
            "dep_delay": lg.column(int, description="minutes; null if cancelled"),
            "arr_delay": lg.column(int, description="minutes; null if cancelled or diverted"),
            "distance": lg.column(int, nulls=False, low=1, description="miles"),
            "time_hour": lg.column(datetime, nulls=False, description="scheduled hour of departure, UTC"),
        },
        compatibility="backward",
    ),
)  # fmt: skip
def flights(day: lg.Partition) -> pl.DataFrame:
    """A row for each flight that was to leave New York on a day, as it was sent."""
    return archive.flights_of(day.date)


lg.check(
    flights,
    lg.not_null("carrier"),
    lg.unique("carrier", "flight", "origin"),
    lg.row_count(500, 1_200),
    lg.matches("tailnum", "^[DN][0-9][0-9A-Z]{1,5}$", severity="warn"),
    lg.in_range("dep_delay", -60, 24 * 60, severity="warn"),
)


@lg.asset(
    partitions=DAYS, deps=[release], retries=2, timeout="2m", owner=OPS, tags=["raw"],
    contract=lg.contract(
        {
            "origin": lg.column(str, nulls=False, among=AIRPORTS),
            "time_hour": lg.column(datetime, nulls=False, description="UTC"),
            "temp": lg.column(float, low=-30, high=130, description="degrees Fahrenheit"),
            "wind_speed": lg.column(float, low=0, description="miles an hour"),
            "precip": lg.column(float, low=0, description="inches"),
            "visib": lg.column(float, low=0, high=10, description="miles"),
        }
    ),
)  # fmt: skip
def weather(day: lg.Partition) -> pl.DataFrame:
    """The weather at the three airports in each hour of a day."""
    return archive.weather_of(day.date)


lg.check(weather, lg.unique("origin", "time_hour"))
lg.check(  # warnings, since flights do not wait for the weather: the real data has one gust too many and one empty day
    weather,
    lg.row_count(48, 75),
    lg.in_range("wind_speed", high=200),
    severity="warn",
)


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def airlines() -> pl.DataFrame:
    """The airlines' names by carrier code."""
    return archive.table("airlines")


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def planes() -> pl.DataFrame:
    """The planes by tail number: year and maker, number of seats, engines."""
    return archive.table("planes")


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def airports() -> pl.DataFrame:
    """Airports by code: name, place, height in feet, time zone."""
    return archive.table("airports")


lg.check(airlines, lg.not_null("carrier", "name"), lg.unique("carrier"))
lg.check(planes, lg.unique("tailnum"), lg.in_range("year", 1900, 2013), lg.in_range("seats", 1, 900))
lg.check(airports, lg.unique("faa"), lg.in_range("lat", -90, 90), lg.in_range("lon", -180, 180))


# -- by day --


@lg.asset(partitions=DAYS, owner=OPS, tags=["mart"])
def delays(flights: pl.DataFrame, weather: pl.DataFrame, airlines: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """A row for each flight with its airline, its plane, and the weather where and when it was to leave."""
    joined = (
        flights.join(airlines.rename({"name": "airline"}), on="carrier", how="left", maintain_order="left")
        .join(planes.select("tailnum", "manufacturer", "seats", built="year"), on="tailnum", how="left", maintain_order="left")
        .join(weather, on=["origin", "time_hour"], how="left", maintain_order="left")
    )
    return joined.select(
        "date", "time_hour", "carrier", "airline", "flight", "origin", "dest", "distance", "dep_delay", "arr_delay",
        "tailnum", "manufacturer", "seats", "temp", "wind_speed", "precip", "visib",
        cancelled=pl.col("dep_delay").is_null(),
        plane_age_years=pl.col("date").dt.year() - pl.col("built"),
    )  # fmt: skip


lg.check(delays, lg.in_range("plane_age_years", 0, 80), lg.expression("cancelled or dep_delay is not null"))


@lg.check(delays)
def every_flight_has_an_airline(delays: pl.DataFrame) -> bool:
    """No flight is of an airline that nobody knows."""
    return delays["airline"].null_count() == 0


@lg.check(delays)
def no_flight_is_lost_or_doubled(delays: pl.DataFrame, flights: pl.DataFrame) -> tuple[bool, str]:
    """The joins keep each flight once."""
    return delays.height == flights.height, f"{flights.height} flights went in, {delays.height} came out"


@lg.asset(partitions=DAYS, owner=OPS, tags=["mart"])
def routes(delays: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """A row for each route flown on a day: how many flights, how many cancelled, mean delay at departure."""
    flown = delays.group_by("date", "origin", "dest", maintain_order=True).agg(
        flights=pl.len(),
        cancelled=pl.col("cancelled").sum(),
        mean_dep_delay=pl.col("dep_delay").mean(),
        distance=pl.col("distance").first(),
    )
    return flown.join(airports.select(dest="faa", dest_name="name"), on="dest", how="left", maintain_order="left")


lg.check(routes, lg.unique("origin", "dest"), lg.expression("cancelled <= flights"))


# -- by month, and the year --


@lg.asset(partitions=MONTHS, owner=OPS, tags=["mart"])
def carrier_performance(delays: pl.DataFrame) -> pl.DataFrame:
    """A row for each carrier in a month. Shares are from 0 to 1; on time is at most 15 minutes late on arrival."""
    by_carrier = delays.group_by("carrier", "airline", month=pl.col("date").dt.truncate("1mo"))
    return by_carrier.agg(
        flights=pl.len(),
        departed=pl.col("dep_delay").count(),
        arrived=pl.col("arr_delay").count(),
        on_time_share=(pl.col("arr_delay") <= ON_TIME_MIN).mean(),
        mean_dep_delay=pl.col("dep_delay").mean(),
        cancelled_share=pl.col("cancelled").mean(),
    ).sort("carrier")


lg.check(carrier_performance, lg.unique("carrier"), lg.in_range("on_time_share", 0, 1), lg.in_range("cancelled_share", 0, 1))


@lg.asset(owner=OPS, tags=["report"])
def report(carrier_performance: pl.DataFrame) -> str:
    """The year by carrier as Markdown: a table and a chart, the most punctual first."""
    months = carrier_performance.with_columns(
        on_time=pl.col("on_time_share") * pl.col("arrived"),
        delay_min=pl.col("mean_dep_delay") * pl.col("departed"),
    )
    totals = [
        pl.sum("flights"),
        (pl.sum("on_time") / pl.sum("arrived")).alias("on_time"),
        (pl.sum("delay_min") / pl.sum("departed")).alias("delay_min"),
        (1 - pl.sum("departed") / pl.sum("flights")).alias("cancelled"),
    ]
    year = months.select(*totals).row(0, named=True)
    carriers = months.group_by("airline").agg(*totals).sort("on_time", descending=True).to_dicts()
    row = "| {airline} | {flights:,} | {on_time:.1%} | {delay_min:.1f} | {cancelled:.1%} |"
    return "\n".join(
        [
            "# New York's flights in 2013",
            "",
            f"{year['on_time']:.1%} of {year['flights']:,} flights were on time (at most {ON_TIME_MIN} minutes late on arrival).",
            "",
            "| airline | flights | on time | mean departure delay, min | cancelled |",
            "|---|---:|---:|---:|---:|",
            *(row.format(**carrier) for carrier in carriers),
            row.format(airline="**all**", **year),
            "",
            "On time:",
            "",
            "```",
            *(f"{each['airline']:<27} {'█' * round(each['on_time'] * 40):<40} {each['on_time']:.0%}" for each in carriers),
            "```",
            "",
        ]
    )


@lg.task(owner=OPS, retries=lg.Retry(3, on=(ConnectionError,)), timeout="10s")
def announce(report: str) -> str:
    """Tells the team the year's headline: here, whoever reads the log."""
    headline = report.splitlines()[2]
    print(headline)
    return headline
