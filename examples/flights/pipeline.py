"""Every flight that left New York in 2013: from what was sent for each day to the carriers' months and a report of the year.

    flights, weather (by day) with airlines, planes, airports -> delays, routes (by day)
    delays -> carrier_performance (by month) -> report -> announce

While `legato up` runs, a day that is sent again is taken in by itself (`resent`), and the headline is told every 30 s
(`bulletin`).

Delays are in minutes, negative if early; a cancelled flight has none. Every function here can be called as it stands.
"""

from hashlib import sha256

import polars as pl

import archive
import contracts
import legato as lg

DAYS = lg.daily("2013-01-01", end="2014-01-01")
MONTHS = lg.monthly("2013-01", end="2014-01")
OPS = "ops@airline.example"
ON_TIME_MIN = 15

# What others make: Legato asks for its version, and runs what depends on it when that changes.


@lg.source(owner=OPS)
def release() -> str:
    """The release of the archive."""
    return archive.VERSION


@lg.source(partitions=DAYS, owner=OPS)
def feed(day: lg.Partition) -> str:
    """The flights that were sent for a day: its correction if there is one, else those of the archive's release."""
    correction = archive.correction_of(day.date)
    return sha256(correction.read_bytes()).hexdigest() if correction.exists() else archive.VERSION


# What was sent, as it was sent.


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def airlines() -> pl.DataFrame:
    """The airlines' names by carrier code."""
    return archive.table("airlines")


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def planes() -> pl.DataFrame:
    """The planes by tail number: maker, year, number of seats and engines."""
    return archive.table("planes")


@lg.asset(deps=[release], owner=OPS, tags=["reference"])
def airports() -> pl.DataFrame:
    """The airports by code: name, place, altitude in feet, time zone."""
    return archive.table("airports")


@lg.asset(partitions=DAYS, deps=[feed], contract=contracts.FLIGHTS, retries=2, timeout="2m", owner=OPS, tags=["raw"])
def flights(day: lg.Partition) -> pl.DataFrame:
    """A row for each flight that was to leave on a day."""
    return archive.flights_of(day.date)


@lg.asset(partitions=DAYS, deps=[release], contract=contracts.WEATHER, retries=2, timeout="2m", owner=OPS, tags=["raw"])
def weather(day: lg.Partition) -> pl.DataFrame:
    """A row for each airport and hour of a day."""
    return archive.weather_of(day.date)


lg.check(airlines, lg.not_null("carrier", "name"), lg.unique("carrier"))
lg.check(planes, lg.unique("tailnum"), lg.in_range("year", 1900, 2013), lg.in_range("seats", 1, 900))
lg.check(airports, lg.unique("faa"), lg.in_range("lat", -90, 90), lg.in_range("lon", -180, 180))
lg.check(flights, lg.not_null("carrier"), lg.unique("carrier", "flight", "origin"), lg.row_count(500, 1_200))
lg.check(flights, lg.matches("tailnum", "^[DN][0-9][0-9A-Z]{1,5}$"), lg.in_range("dep_delay", -60, 1440), severity="warn")
lg.check(weather, lg.unique("origin", "time_hour"))
# Flights need not wait for the weather, so these warn. They do: of a gust of 1,048 miles an hour, and of a day without weather.
lg.check(weather, lg.row_count(48, 75), lg.in_range("wind_speed", 0, 200), severity="warn")


# By day.


@lg.asset(partitions=DAYS, contract=contracts.DELAYS, owner=OPS, tags=["mart"])
def delays(flights: pl.DataFrame, weather: pl.DataFrame, airlines: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """A row for each flight with its airline, its plane, and the weather where and when it was to leave."""
    names = airlines.select("carrier", airline="name")
    makes = planes.select("tailnum", "manufacturer", "seats", built="year")
    skies = weather.select("origin", "time_hour", "temp", "wind_speed", "precip", "visib")
    return (
        flights.drop("year", "month", "day", "hour", "minute")
        .join(names, on="carrier", how="left", maintain_order="left")
        .join(makes, on="tailnum", how="left", maintain_order="left")
        .join(skies, on=["origin", "time_hour"], how="left", maintain_order="left")
        .with_columns(
            cancelled=pl.col("dep_delay").is_null(),
            plane_age_years=pl.col("date").dt.year() - pl.col("built"),
        )
    )


@lg.check(delays)
def every_airline_is_known(delays: pl.DataFrame) -> bool:
    """No flight is of an airline without a name."""
    return delays["airline"].null_count() == 0


@lg.check(delays)
def no_flight_is_lost_or_doubled(delays: pl.DataFrame, flights: pl.DataFrame) -> tuple[bool, str]:
    """The joins keep each flight, once."""
    return delays.height == flights.height, f"{flights.height} flights went in, {delays.height} came out"


@lg.asset(partitions=DAYS, owner=OPS, tags=["mart"])
def routes(delays: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """A row for each route of a day: its flights, how many were cancelled, the mean delay at departure."""
    flown = delays.group_by("date", "origin", "dest", "distance", maintain_order=True).agg(
        flights=pl.len(),
        cancelled=pl.col("cancelled").sum(),
        mean_dep_delay=pl.col("dep_delay").mean(),
    )
    return flown.join(airports.select(dest="faa", dest_name="name"), on="dest", how="left", maintain_order="left")


lg.check(routes, lg.unique("origin", "dest"), lg.expression("cancelled <= flights"))


# By month, and the year.


@lg.asset(partitions=MONTHS, contract=contracts.CARRIER_PERFORMANCE, owner=OPS, tags=["mart"])
def carrier_performance(delays: pl.DataFrame) -> pl.DataFrame:
    """A row for each carrier in a month. Shares go from 0 to 1; on time is at most 15 minutes late on arrival."""
    by_carrier = delays.group_by("carrier", "airline", month=pl.col("date").dt.truncate("1mo"))
    return by_carrier.agg(
        flights=pl.len(),
        departed=pl.col("dep_delay").count(),
        arrived=pl.col("arr_delay").count(),
        on_time_share=(pl.col("arr_delay") <= ON_TIME_MIN).mean(),
        mean_dep_delay=pl.col("dep_delay").mean(),
        cancelled_share=pl.col("cancelled").mean(),
    ).sort("carrier")


@lg.asset(owner=OPS, tags=["report"])
def report(carrier_performance: pl.DataFrame) -> str:
    """The year by airline as Markdown, the most punctual first: a table and a chart."""
    flights, departed, arrived = pl.sum("flights"), pl.sum("departed"), pl.sum("arrived")
    figures = {
        "flights": flights,
        "on_time": (pl.col("on_time_share") * pl.col("arrived")).sum() / arrived,
        "delay_min": (pl.col("mean_dep_delay") * pl.col("departed")).sum() / departed,
        "cancelled": 1 - departed / flights,
    }
    year = carrier_performance.select(**figures).row(0, named=True)
    airlines = carrier_performance.group_by("airline").agg(**figures).sort("on_time", "airline", descending=[True, False])
    row = "| {airline} | {flights:,} | {on_time:.1%} | {delay_min:.1f} | {cancelled:.1%} |"
    lines = [
        "# Flights from New York in 2013",
        "",
        f"Of {year['flights']:,} flights, {year['cancelled']:.1%} were cancelled; of those that arrived, {year['on_time']:.1%} "
        f"were on time, which is at most {ON_TIME_MIN} minutes late.",
        "",
        "| airline | flights | on time | mean departure delay, minutes | cancelled |",
        "|---|---:|---:|---:|---:|",
        *(row.format(**airline) for airline in airlines.to_dicts()),
        row.format(airline="**all**", **year),
        "",
        "## On time",
        "",
        "```text",
        *(f"{name:<28}{'█' * round(share * 40):<41}{share:.0%}" for name, share in airlines.select("airline", "on_time").rows()),
        "```",
    ]
    return "\n".join(lines) + "\n"


@lg.check(report)
def every_airline_is_in_the_report(report: str, airlines: pl.DataFrame) -> bool:
    """Each airline flew in the year, so each has its row."""
    return all(f"| {name} |" in report for name in airlines["name"])


@lg.task(owner=OPS, retries=lg.Retry(3, on=(ConnectionError,)), timeout="10s")
def announce(report: str) -> str:
    """Tells the headline to the team; here, to whoever reads the log."""
    headline = report.splitlines()[2]
    print(headline)
    return headline


# By itself, while `legato up` runs.


@lg.flow(on=lg.file("corrections/*.csv") | lg.webhook("resent", key="day"), owner=OPS)
def resent(key: str) -> str:
    """Takes in a day that was sent again, and remakes what depends on it: its month, and the report of the year."""
    flights.materialize(key)
    delays.materialize(key)
    routes.materialize(key)
    carrier_performance.materialize(key[:7])
    report.materialize()
    return announce(lg.load("report"))


@lg.flow(on=lg.every("30s"), owner=OPS)
def bulletin() -> str:
    """Tells the headline of the report that was published last."""
    return announce(lg.load("report"))
