"""What the flows of the suite call: tasks and assets of all kinds."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.faces import asset, task
from legato.worker.telling import metric


class Lead(msgspec.Struct):
    """A record of the user's own."""

    name: str
    score: int = 0


class Picky(Exception):
    """Cannot be made from one text, as those of many libraries."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@task
def add(a: int, b: int = 1) -> int:
    """A sum."""
    return a + b


@task
async def add_later(a: int, b: int = 1) -> int:
    """A sum, from an async function."""
    await asyncio.sleep(0)
    return a + b


@task
def total(values: list[int]) -> int:
    """A sum of many."""
    return sum(values)


@task
def grade(lead: Lead) -> Lead:
    """A record from a record."""
    return Lead(lead.name, len(lead.name))


@task
def swap(pair: Any) -> Any:
    """A pair, turned around; unannotated."""
    return pair[::-1]


@task
def fail(text: str) -> None:
    """Raises."""
    raise ConnectionRefusedError(text)


@task
def inspect(number: int, bad: list[int]) -> int:
    """Raises for some numbers."""
    if number in bad:
        raise ValueError(f"bad {number}")
    return number


@task
def fail_oddly() -> None:
    """Raises what cannot be made again from its text."""
    raise Picky(7, "no")


@task
def die_once(witness: str) -> str:
    """Ends its process at the first call."""
    if not Path(witness).exists():
        Path(witness).touch()
        os._exit(3)
    return "alive"


@task
def nap(seconds: float) -> float:
    """Lasts."""
    time.sleep(seconds)
    return seconds


@task
def look() -> tuple[str, str, bool]:
    """What is around a task, and whether it would call durably."""
    print("a task looks")
    return os.getcwd(), os.environ.get("FLOW_PLANTED", ""), add(1, 1) == 2


@task
def measure(number: int) -> int:
    """Tells what it is given."""
    metric("measured", number)
    return number


@asset
def numbers() -> list[int]:
    """An asset."""
    return [1, 2, 3]


@asset
def leads(found: list[int], first: Lead, limit: int = 2) -> list[str]:
    """An asset that only flows make."""
    return [f"{first.name} {each}" for each in found[:limit]]
