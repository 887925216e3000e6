"""Watches the shops over four days; on the third one, somebody mistypes a price. Takes a few seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from server import Town

FOLDER = Path(__file__).parent
LEGATO = [sys.executable, "-m", "legato", "-C", str(FOLDER)]


def tell(text: str) -> None:
    print(f"\n# {text}", flush=True)


def legato(*words: str) -> None:
    """One command."""
    print("$ legato", *words, flush=True)
    subprocess.run([*LEGATO, *words], check=False)


def main() -> None:
    shutil.rmtree(FOLDER / ".legato", ignore_errors=True)  # what an earlier demo has seen
    with Town() as town:
        os.environ["SHOPS_URL"] = town.url

        tell("Day 1: the first look.")
        legato("run", "watch_prices")
        tell(f"One page was not there at once: it was asked for {town.visits} times.")

        tell("Day 2: prices have moved, and a product is gone.")
        town.day = 2
        legato("run", "watch_prices")
        legato("logs", "last", "tell")

        tell("Day 3: a kettle for nothing? The contract does not let that through; readers go on to see day 2.")
        town.day = 3
        legato("run", "watch_prices")
        legato("why", "prices")

        tell("Day 4: the slip is mended. What is compared is day 4 with day 2, the last that was published.")
        town.day = 4
        legato("run", "watch_prices", "--most", "3")
        legato("logs", "last", "tell")
        legato("versions", "prices")
        legato("query", "select product, shop, price from prices where product = 'kettle' order by price")


if __name__ == "__main__":
    main()
