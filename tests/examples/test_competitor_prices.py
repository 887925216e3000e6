"""Competitor prices: the example's own shops are watched by the command line, and what is published is what they ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import legato as lg

FOLDER = Path(__file__).parents[2] / "examples" / "competitor_prices"


@pytest.fixture(scope="module")
def shops() -> ModuleType:
    """The example's server."""
    spec = spec_from_file_location("competitor_shops", FOLDER / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "site", ignore=shutil.ignore_patterns(".legato", "__pycache__")))


@pytest.fixture
def town(shops: ModuleType) -> Iterator[Any]:
    with shops.Town() as town:
        yield town


def watch(site: Path, town: Any, day: int) -> subprocess.CompletedProcess[str]:
    """One look at the shops as they are on a day."""
    town.day = day
    return legato(site, "run", "watch_prices", SHOPS_URL=town.url)


def legato(site: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "legato", "-C", str(site), *words]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)


def asked(shops: ModuleType, day: int) -> dict[tuple[str, str], float]:
    return {(shop, product): price for shop in shops.SHOPS for product, price in shops.offers(shop, day).items()}


def published(site: Path) -> dict[tuple[str, str], float]:
    table: pl.DataFrame = lg.load("prices", kind=pl.DataFrame, project=site)
    return {(row["shop"], row["product"]): row["price"] for row in table.drop_nulls("price").to_dicts()}


def changes(site: Path) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    table: pl.DataFrame = lg.load("price_changes", kind=pl.DataFrame, project=site)
    return {(row["shop"], row["product"]): (row["last_price"], row["price"]) for row in table.to_dicts()}


def moved(shops: ModuleType, last: int, now: int) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    before, after = asked(shops, last), asked(shops, now)
    return {key: (before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)}


def test_what_is_published_is_what_the_shops_ask_and_what_has_moved(site: Path, town: Any, shops: ModuleType) -> None:
    first = watch(site, town, 1)
    assert first.returncode == 0, first.stdout + first.stderr
    assert town.visits == 3
    assert published(site) == asked(shops, 1)
    assert changes(site) == {}
    assert watch(site, town, 2).returncode == 0
    assert published(site) == asked(shops, 2)
    assert changes(site) == moved(shops, 1, 2)
    assert changes(site)["hilltop", "toaster"][1] is None
    told = legato(site, "logs", "last", "tell").stdout
    assert "gone  toaster at hilltop" in told
    assert f"{len(moved(shops, 1, 2))} changes since the last time" in told


def test_a_mistyped_price_reaches_nobody_and_the_comparison_goes_on_from_before(site: Path, town: Any, shops: ModuleType) -> None:
    assert watch(site, town, 2).returncode == 0
    refused = watch(site, town, 3)
    assert refused.returncode == 1
    assert "1 of 29 rows has price below 0.01" in refused.stdout
    assert published(site) == asked(shops, 2)
    assert "prices is quarantined" in legato(site, "why", "prices").stdout
    assert watch(site, town, 4).returncode == 0
    assert published(site) == asked(shops, 4)
    assert changes(site) == moved(shops, 2, 4)


def test_the_demo_tells_the_story(site: Path) -> None:
    demo = subprocess.run([sys.executable, site / "demo.py"], capture_output=True, text=True, timeout=300)
    assert (demo.returncode, demo.stderr) == (0, "")
    told = [line for line in demo.stdout.splitlines() if line.startswith(("# ", "$ ", "error"))]
    assert [line.partition(":")[0] for line in told if line.startswith("# ")] == [
        "# Day 1", "# One page was not there at once", "# Day 2", "# Day 3", "# Day 4"
    ]  # fmt: skip
    assert "it was asked for 3 times" in demo.stdout
    assert "prices is quarantined" in demo.stdout
    assert demo.stdout.count("succeeded in") == 3
