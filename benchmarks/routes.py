"""The row of the routes: what the API answers, and how soon, with a long past in the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from benchmarks.measure import Result, at_most, project
from benchmarks.past import fill
from benchmarks.serving import CODE, Service, serving

MORE = """
@lg.asset(partitions=lg.daily("2026-01-01", end="2026-01-08"))
def days() -> int:
    return 1
"""
LATER = """
@lg.task
def later() -> None:
    return None
"""
_BUDGET_MS = 100
_TOLD_MS = 0.4 * _BUDGET_MS
_WAIT_S = 30.0


def routes(size: float) -> Result:
    """Each GET route of the API but the stream, with 1,000,000 finished steps in the store: the slowest by its 95th percentile.

    Every call must be answered, and each asks for another of the past runs, of 10,000 steps each.
    """
    past, times = int(1_000_000 * size), max(20, int(40 * size))
    with project(CODE + MORE) as folder:
        fill(folder, past)
        with serving(folder) as service:
            service.wait()
            runs, given = _prepare(service, folder)
            paths = _paths(service.call("/openapi"), given)
            found = {path: _p95_ms(service, path, runs(path), times) for path in paths}
    for path in sorted(found, key=lambda path: -found[path]):
        if found[path] >= _TOLD_MS:
            print(f"  {found[path]:6.1f} ms  {path}", file=sys.stderr)
    slowest = max(found, key=lambda path: found[path])
    late = found[slowest]
    return Result(
        f"API, {past:,} steps in store: p95 of the slowest of {len(found)}",
        f"{late:.0f} ms ({slowest.partition('?')[0].removeprefix('/api/v1')})", "-", f"{late:.0f} ms",
        f"under {_BUDGET_MS} ms", at_most(late, _BUDGET_MS),
    )  # fmt: skip


def _prepare(service: Service, folder: Path) -> tuple[Callable[[str], list[str]], dict[str, Any]]:
    """Make what the routes are asked for: which runs a path is asked with, and values for all else."""
    made = service.call("/runs", {"selection": "prices"})["run"]
    filled = service.call("/backfills", {"selection": "days"})["run"]
    past = [each["id"] for each in service.call("/runs?limit=1000")["runs"] if each["id"].startswith("past-")]
    with (folder / "pipeline.py").open("a") as file:
        file.write(LATER)
    _wait(lambda: len(service.call("/projects")) == 2)
    _wait(lambda: service.call(f"/backfills/{filled}")["state"] == "succeeded")
    (attempt,) = service.call(f"/runs/{made}/attempts")
    given = {
        "name": "prices", "key": "prices", "of": "prices", "words": "three", "word": "asset", "attempt": attempt["token"],
    }  # fmt: skip

    def runs(path: str) -> list[str]:
        return [filled] if "/backfills/" in path else [made] if "/log" in path else past

    return runs, given


def _wait(true: Callable[[], bool]) -> None:
    until = time.monotonic() + _WAIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def _paths(schema: dict[str, Any], given: dict[str, Any]) -> Iterator[str]:
    """The path of each GET route, with all that it requires; `{run}` is left open."""
    for path, methods in schema["paths"].items():
        if "get" not in methods or path.endswith("/changes"):  # it has no end
            continue
        required = [each["name"] for each in methods["get"].get("parameters", []) if each["in"] == "query" and each["required"]]
        yield path + (f"?{urlencode({name: given[name] for name in required})}" if required else "")


def _p95_ms(service: Service, path: str, runs: list[str], times: int) -> float:
    took = []
    for number in range(times):
        asked = path.replace("{run}", runs[number % len(runs)])
        began = time.perf_counter()
        try:
            service.read(asked)
        except HTTPError as refused:
            raise AssertionError(f"{asked} is answered with {refused.code}: {refused.read().decode()}") from refused
        took.append(1e3 * (time.perf_counter() - began))
    return sorted(took)[int(0.95 * (times - 1))]
