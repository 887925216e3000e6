"""What every row shares: projects made on the spot, a run that is timed, and the form of a result."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

NOOP = """
@lg.task(partitions=lg.static([f"k{{number:07}}" for number in range({count})]))
def noop() -> None:
    return None
"""
"""So many independent tasks that do nothing."""


class Result(Struct, frozen=True):
    """One measured row. `ratio` is the figure against its floor (or the figure itself); `budget` says what it must be.

    `strain` is how far the ratio is from its budget: 1.0 is just met, below is better, above 2.0 fails the short form.
    """

    name: str
    figure: str
    floor: str
    ratio: str
    budget: str
    strain: float


def at_least(ratio: float, budget: float) -> float:
    """The strain of a ratio that must not be smaller."""
    return budget / ratio


def at_most(ratio: float, budget: float) -> float:
    """The strain of a ratio that must not be larger."""
    return ratio / budget


def at_rate(name: str, ours: float, noun: str, floor: float, beside: str, least: float, budget: str = "") -> Result:
    """A row that compares how many a second there are, which must be at least so many times what there are at the floor."""
    ratio = ours / floor
    wanted = budget or f"at least {least} x"
    return Result(name, f"{ours:,.0f} {noun}", f"{floor:,.0f} {beside}", f"{ratio:.2f} x", wanted, at_least(ratio, least))


def beside_commits(name: str, count: int, ours_s: float, commits_s: float) -> Result:
    """A row of tasks that are durable one by one, which may take three times what as many commits take."""
    ratio = ours_s / commits_s
    figure, floor = (f"{seconds / count * 1e3:.2f} ms" for seconds in (ours_s, commits_s))
    return Result(name, f"{figure} a task", f"{floor} (a commit)", f"{ratio:.2f} x", "at most 3 x", at_most(ratio, 3.0))


@contextmanager
def project(code: str) -> Iterator[Path]:
    """A folder with a project of one module."""
    with tempfile.TemporaryDirectory(prefix="legato-bench-") as name:
        folder = Path(name)
        (folder / "legato.toml").write_text('name = "bench"\nmodules = ["pipeline"]\n')
        (folder / "pipeline.py").write_text("import legato as lg\n" + code)
        yield folder


def time_run(folder: Path, *, executor: str, workers: int = 2, selection: str = "") -> float:
    """Seconds from the accepted run to its end, in this process, workers included but project loading left out."""
    from legato.service.request import Request
    from legato.service.running import run, session
    from legato.wiring.code import open_workspace

    workspace = open_workspace(folder, executor=executor, workers=workers)
    started: list[float] = []
    with session(workspace, "benchmark") as opened:
        _, state = run(opened, Request(selection), lambda *_: started.append(time.perf_counter()))
        seconds = time.perf_counter() - started[0]
    assert state is not None
    assert state.ended == "succeeded", state.ended
    return seconds


def time_afresh(folder: Path, executor: str, selection: str = "") -> float:
    """Seconds of a run in a store of its own."""
    shutil.rmtree(folder / ".legato", ignore_errors=True)
    return time_run(folder, executor=executor, selection=selection)


def best_of(rounds: int, *takes: Callable[[], float]) -> list[float]:
    """The least that each of these takes, in seconds, of several rounds in which they take turns.

    What else the machine does only ever adds to a time, and comes and goes: so the least is nearest to what something costs, and
    what is compared has to be measured side by side, in this order and in the other.
    """
    best = [float("inf")] * len(takes)
    for number in range(rounds):
        for place in range(len(takes))[:: 1 if number % 2 else -1]:
            best[place] = min(best[place], takes[place]())
    return best


def run_once(folder: Path, selection: str = "") -> tuple[float, float]:
    """Seconds of a run on two workers in a process of its own, and the bytes that it added to that process, which conducts."""
    command = [sys.executable, "-m", "benchmarks.run_once", str(folder), selection]
    seconds, held = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(held)


def time_commits(folder: Path, count: int) -> float:
    """Seconds of so many commits of one small row, synced to disk one by one."""
    file = folder / "floor.db"
    file.unlink(missing_ok=True)
    db = sqlite3.connect(file, isolation_level=None)
    db.executescript("pragma journal_mode=wal; pragma synchronous=full; create table row (id integer primary key, body blob)")
    start = time.perf_counter()
    for _ in range(count):
        db.execute("begin immediate")
        db.execute("insert into row (body) values (?)", (b"x" * 60,))
        db.execute("commit")
    seconds = time.perf_counter() - start
    db.close()
    return seconds


def time_command(*command: str, times: int = 5, cwd: Path | None = None, before: Callable[[], None] | None = None) -> float:
    """The best of several times of a command, in seconds, from outside."""
    best = float("inf")
    for _ in range(times):
        if before is not None:
            before()
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=cwd, env=surroundings())
        best = min(best, time.perf_counter() - start)
    return best


def surroundings() -> dict[str, str]:
    """The environment of measured processes: with kept bytecode, and one table thread for each of two processes."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "POLARS_MAX_THREADS": "1"}


def python(*arguments: str, times: int = 5, cwd: Path | None = None, before: Callable[[], None] | None = None) -> float:
    """The best time of a Python process."""
    return time_command(sys.executable, *arguments, times=times, cwd=cwd, before=before)


def resident_bytes() -> int:
    """How much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
