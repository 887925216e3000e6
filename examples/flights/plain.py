"""The same year without Legato: `python plain.py [FOLDER]` writes the same tables and the report with two processes.

The same: every function, contract and check; each step reads its inputs from Parquet and writes its output with the same
compression, a file for each partition. Not there: files that survive a power cut, versions, resuming, skipping what is
fresh, retries, lineage, a record of what was found. It is the floor that the cost of `legato run` is measured against.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

import pipeline as p
from legato.storages.tables import COMPRESSION
from legato.testing import judge

PROCESSES = 2


def make_references(folder: Path) -> None:
    """Makes what has no partitions and is read every day."""
    for asset in (p.airlines, p.planes, p.airports):
        keep(folder, asset, "all", asset())


def make_day(folder: Path, key: str) -> None:
    """Makes all tables of a day."""
    day = p.DAYS.partition(key)
    keep(folder, p.flights, key, p.flights(day))
    keep(folder, p.weather, key, p.weather(day))
    tables = [read(folder, "flights", key), read(folder, "weather", key), read(folder, "airlines"), read(folder, "planes")]
    keep(folder, p.delays, key, p.delays(*tables), flights=tables[0])
    keep(folder, p.routes, key, p.routes(read(folder, "delays", key), read(folder, "airports")))


def make_month(folder: Path, key: str) -> None:
    """Makes a month from its days."""
    keep(folder, p.carrier_performance, key, p.carrier_performance(read(folder, "delays", f"{key}-*")))


def make_report(folder: Path) -> None:
    """Makes the report from all months, and announces it."""
    report = p.report(read(folder, "carrier_performance", "*"))
    keep(folder, p.report, "all", report, airlines=read(folder, "airlines"))
    p.announce(report)


def read(folder: Path, name: str, key: str = "all") -> pl.DataFrame:
    """A table, or those of all keys that match as one."""
    return pl.read_parquet(sorted((folder / name).glob(f"{key}.parquet")))


def keep(folder: Path, asset: Any, key: str, value: Any, **inputs: Any) -> None:
    """Writes a value, and stops everything if it breaks its contract or fails a blocking check."""
    name = asset.node.name
    path = folder / name / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, str):
        path.with_suffix(".md").write_text(value)
    else:
        value.write_parquet(path.with_name(f"{key}.parquet"), compression=COMPRESSION)
    for verdict in judge(asset, value, **inputs):
        if not verdict.passed:
            print(f"{name} {key}: {verdict.check}: {verdict.message}")
            if verdict.severity == "block":
                raise SystemExit(1)


def main() -> None:
    """Makes everything, each kind after what it needs, and prints how long it took."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "plain-output")
    started = perf_counter()
    with ProcessPoolExecutor(PROCESSES) as pool:
        pool.submit(make_references, folder).result()
        for make, keys in ((make_day, p.DAYS.keys()), (make_month, p.MONTHS.keys())):
            list(pool.map(partial(make, folder), keys))
        pool.submit(make_report, folder).result()
    print(f"{sum(1 for _ in folder.glob('*/*'))} files in {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
