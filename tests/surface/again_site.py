"""A project whose functions note that they were called: what is repeated, and what is not, can be seen."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

from cli_site import command, environment, legato, make_project, records, steady

CONFIG = 'name = "crm"\nmodules = ["pipeline"]\nworkers = 2\n'

PIPELINE = """\
import legato as lg

days = lg.static(["mon", "tue"])


def note(*words):
    with open("made.txt", "a") as file:
        print(*words, file=file)


@lg.source
def feed() -> str:
    return open("feed.txt").read()


@lg.task(partitions=days)
def fetch(day: lg.Partition, feed: str) -> int:
    note("fetch", day)
    return 1 if day.key == "mon" else 2


@lg.task
def total(fetch: dict[str, int]) -> list:
    note("total")
    return [sum(fetch.values())] * 50_000  # too long to be kept inline


@lg.asset
def prices(total: list) -> int:
    note("prices", total[0])
    return total[0]


@lg.asset
def report(prices: int, total: list) -> int:
    note("report", prices)
    return prices + total[0]


@lg.asset
def other() -> int:
    note("other")
    raise ValueError("no other")


@lg.task
def find(source: str) -> list:
    note("find", source)
    return [1, 2, 3]


@lg.task
def rate(lead: int, factor: int = 1) -> int:
    note("rate", lead)
    return lead * 10 * factor


@lg.task
def book(lead: int) -> int:
    note("book", lead)
    return lead


@lg.flow
def one(lead: int) -> int:
    rated = rate(lead)
    return book(rated)


@lg.flow
def leads(source: str = "fair", ask: bool = False) -> int:
    found = find(source)
    if ask and not lg.approval("Go on?"):
        return 0
    lg.sleep("10ms")
    booked = [one(each) for each in found]
    note("leads", sum(booked))
    return sum(booked)


@lg.flow
def mapped(size: int = 3) -> int:
    rated = rate.map(range(size))
    return book(sum(rated))


@lg.asset
def listed(rates: list) -> int:
    note("listed", rates)
    return len(rates)


@lg.flow
def makes() -> None:
    listed.materialize(rates=[rate(1)])
    book(2)


@lg.task
def raises() -> int:
    raise ValueError("no")


@lg.flow
def fails() -> int:
    return raises()


@lg.flow
def large() -> int:
    return len(big()) + rate(1)


@lg.task
def big() -> list:
    note("big")
    return list(range(50_000))
"""


def make_crm(folder: Path) -> Path:
    """The project, with its source at 1."""
    made = make_project(folder, PIPELINE, CONFIG)
    (made / "feed.txt").write_text("1")
    return made


def run(site: Path, *words: str) -> str:
    """A run that succeeds; its id."""
    answer = legato(site, "run", *words)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return re.findall(r"run ([0-9a-z]{6}-[0-9a-z]{4}) succeeded", answer.stdout)[0]


def plan(site: Path, *words: str) -> str:
    answer = legato(site, "plan", *words)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return "\n".join(line for line in steady(answer.stdout).splitlines()[1:] if " of work" not in line and "history" not in line)


def answered(site: Path, *words: str) -> str:
    """A run that asks for an approval, and gets it; its id."""
    process = subprocess.Popen(command("run", *words), cwd=site, env=environment(), stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while "approval" not in legato(site, "waits").stdout:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert legato(site, "approve", "last").returncode == 0
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return records(legato(site, "runs", "-n", "1", "--json").stdout)[0]["result"][0]["id"]


def error(site: Path, *words: str) -> tuple[int, str, str, str]:
    """Exit code, code, what and next of an error."""
    answer = legato(site, *words, "--json")
    told = json.loads(answer.stdout)["error"]
    return answer.returncode, told["code"], told["what"], told["next"]
