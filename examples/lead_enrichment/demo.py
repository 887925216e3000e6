"""Enriches fifty leads from a service in a bad mood, and shows that its limit held. Takes a few seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from server import LIMIT, Directory

FOLDER = Path(__file__).parent
LEGATO = [sys.executable, "-m", "legato", "-C", str(FOLDER)]


def tell(text: str) -> None:
    print(f"\n# {text}", flush=True)


def legato(*words: str) -> None:
    """One command."""
    print("$ legato", *words, flush=True)
    subprocess.run([*LEGATO, *words], check=False)


def main() -> None:
    shutil.rmtree(FOLDER / ".legato", ignore_errors=True)  # what an earlier demo has left
    with Directory() as directory:
        os.environ["DIRECTORY_URL"] = directory.url

        tell("Fifty leads, four workers, twenty requests a second at most.")
        legato("run", "enrich_leads")
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(directory.answered.items()))
        tell(f"The service's own count: {told}.")
        tell(f"Violations of its limit of {LIMIT} requests a second: {directory.answered['violation']}")

        tell("One that was told to come back in a second, and one that the service does not know: not asked again, but guessed.")
        legato("logs", "last", "enrich#33")
        legato("logs", "last", "enrich#47")

        tell("The best leads, published with a contract and a check.")
        legato("query", "select company, people, industry, score, guessed from hot_leads limit 5")


if __name__ == "__main__":
    main()
