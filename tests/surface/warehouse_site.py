"""A project in which every state occurs, and the commands that ask of it."""

from __future__ import annotations

import json
from pathlib import Path

from cli_site import make_project

import legato.surfaces.cli.main as cli

CONFIG = 'name = "warehouse"\nmodules = ["pipeline"]\nexecutor = "inline"\n'
PIPELINE = '''\
"""Flights by day, each day as the feed says."""

import json
from pathlib import Path

import polars as pl

import legato as lg

days = lg.daily("2024-01-01", end="2024-01-07")


@lg.source(partitions=days)
def feed(day: lg.Partition) -> str | None:
    return json.loads(Path(__file__).with_name("feed.json").read_text()).get(day.key)


@lg.asset(partitions=days)
def raw(day: lg.Partition, feed: str) -> pl.DataFrame:
    print("reading", day, feed)
    if feed == "broken":
        raise ValueError("the feed is closed")
    carriers = ["UA", None, None] if feed == "nulls" else ["UA", "AA", "B6"]
    return pl.DataFrame({"flight": [1, 2, 3], "carrier": carriers, "delay_min": [1.5, None, len(feed)]})


lg.check(raw, lg.not_null("carrier"), lg.in_range("delay_min", 0, 3, severity="warn"))


@lg.asset(partitions=days)
def clean(raw: pl.DataFrame) -> pl.DataFrame:
    return raw


@lg.asset
def total(clean: pl.DataFrame) -> dict:
    return {"flights": len(clean)}


@lg.asset(name="ref/rates")
def rates() -> list:
    return [1, 2]


@lg.asset
def prices() -> pl.DataFrame:
    return pl.DataFrame({"price": [3, 4]})


@lg.asset
def unmade() -> int:
    return 1


@lg.task
def announce(total: dict) -> None:
    print("done")
'''

GOOD = {f"2024-01-0{day}": "one" for day in (1, 2, 3, 4, 5)}
BAD = {**GOOD, "2024-01-02": "nulls", "2024-01-03": "broken"}


def call(site: Path, *words: str) -> int:
    return cli.call(["-C", str(site), *words])


def make_warehouse(folder: Path) -> Path:
    """Day 1 is fresh, 2 quarantined, 3 failed, 4 stale by input, 5 never made, 6 blocked; rates and prices are stale as well."""
    site = make_project(folder, PIPELINE, CONFIG)

    def tell(feed: dict[str, str]) -> None:
        (site / "feed.json").write_text(json.dumps(feed))

    tell(GOOD)
    assert call(site, "run", "+clean@2024-01-01..2024-01-04", "ref/rates", "prices", "--json") == 0
    tell(BAD)
    assert call(site, "run", "+clean@2024-01-01..2024-01-04", "--json") == 1
    tell({**BAD, "2024-01-04": "another"})
    text = (site / "pipeline.py").read_text().replace("return [1, 2]", "return [1, 2, 3]")
    (site / "pipeline.py").write_text(f'{text}\n\nlg.check(prices, lg.in_range("price", 0, 10))\n')
    return site
