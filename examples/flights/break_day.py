"""Breaks a day of the feed, or heals it: `python break_day.py 2013-03-05`, then `python break_day.py 2013-03-05 --heal`.

It writes a correction in which every tenth flight of the day has lost its carrier.
"""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path

import polars as pl

import archive


def break_day(day: date) -> Path:
    """Writes a day's correction: its flights as they were sent, but for carriers that are missing."""
    sent = archive.flights_sent(day).drop("date").with_row_index("row")
    carrier = pl.when(pl.col("row") % 10 != 0).then(pl.col("carrier"))
    correction = archive.correction_of(day)
    correction.parent.mkdir(exist_ok=True)
    sent.with_columns(carrier.alias("carrier")).drop("row").write_csv(correction, null_value="NA")
    return correction


def main() -> None:
    """Does what the command line says."""
    parser = ArgumentParser(description="Breaks a day of the feed, or heals it.")
    parser.add_argument("day", type=date.fromisoformat, help="for example 2013-03-05")
    parser.add_argument("--heal", action="store_true", help="remove the day's correction")
    asked = parser.parse_args()
    if asked.day.year != 2013:
        parser.error(f"the feed has the days of 2013, not {asked.day}")
    if asked.heal:
        archive.correction_of(asked.day).unlink(missing_ok=True)
        print(f"{asked.day} is as it was sent at first")
    else:
        print(f"wrote {break_day(asked.day)}")
    print("next: legato run")


if __name__ == "__main__":
    main()
