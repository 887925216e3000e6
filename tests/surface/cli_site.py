"""A small project in which every kind of thing happens, and how the tests call the command line on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG = 'name = "shop"\nmodules = ["pipeline"]\nexecutor = "inline"\n'

PIPELINE = '''\
"""A shop: sales by day, of which one day is bad."""

import os

import legato as lg

days = lg.daily("2013-01-30", end="2013-02-03")
months = lg.monthly("2013-01-01", end="2013-03-01")
BAD_DAY = os.environ.get("BAD_DAY", "2013-02-01")


@lg.source
def feed() -> str:
    """The shop's own system."""
    return "v1"


@lg.asset(partitions=days, owner="ops@shop.example", tags=["raw"], retries=lg.Retry(2, delay_s=0.01), timeout="30s")
def sales(day: lg.Partition, feed: str) -> list:
    """Every sale of a day."""
    print("reading", day)
    if day.key == BAD_DAY:
        raise ValueError("the feed is closed")
    return [{"item": "apples", "count": day.date.day}]


@lg.check(sales, severity="warn")
def few_sales(sales: list) -> bool:
    return sales[0]["count"] > 30


@lg.asset(partitions=months, deps={"sales": lg.mapping.overlap()})
def revenue(sales: dict[str, list]) -> int:
    return sum(sale["count"] for day in sales.values() for sale in day)


@lg.asset
def prices() -> dict:
    return {"apples": 2}


@lg.task(on_failure="halt")
def announce(revenue: dict[str, int]) -> None:
    print("done")
'''

_RUN = re.compile(r"\b[0-9a-z]{6}-[0-9a-z]{4}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_TOOK = re.compile(r" *\b\d+(\.\d+)? (ms|s|m \d\d s)\b")
_SIZE = re.compile(r"\b\d+ B\b")


def make_project(folder: Path, pipeline: str = PIPELINE, config: str = CONFIG) -> Path:
    """The project's files, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "legato.toml").write_text(config)
    (folder / "pipeline.py").write_text(textwrap.dedent(pipeline))
    return folder


def legato(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One call of the command line, in a process of its own."""
    return subprocess.run(command(*words), cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=120)


def command(*words: str) -> list[str]:
    """The words that call Legato."""
    return [sys.executable, "-m", "legato.surfaces.cli.main", *words]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, with what colours and widens output taken out."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LEGATO_DEBUG", "COLUMNS", "NO_COLOR", "BAD_DAY")}
    return {**kept, "TZ": "UTC", **variables}


def steady(text: str) -> str:
    """The text with what differs from run to run replaced: ids, times, durations, sizes."""
    for pattern, word in ((_RUN, "RUN"), (_TIME, "TIME"), (_TOOK, " TOOK"), (_SIZE, "SIZE")):
        text = pattern.sub(word, text)
    return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line).rstrip() for line in text.strip("\n").splitlines())


def records(text: str) -> list[dict[str, Any]]:
    """The JSON lines of an answer."""
    return [json.loads(line) for line in text.splitlines()]


def edit(site: Path, old: str, new: str) -> None:
    """Another text in the project's module."""
    text = (site / "pipeline.py").read_text()
    assert old in text
    (site / "pipeline.py").write_text(text.replace(old, new))


def made(site: Path) -> list[str]:
    """What user code has noted in `made.txt` since the last call."""
    file = site / "made.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def wait_for(happened: Callable[[], object]) -> None:
    """Look again and again, for 20 s at most."""
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)
