"""The rows of the table of budgets: each function measures its floor and its figure side by side; `size` scales long ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import flows, serving, triggers
from benchmarks.measure import (
    NOOP,
    Result,
    at_most,
    at_rate,
    beside_commits,
    best_of,
    project,
    python,
    run_once,
    time_afresh,
    time_command,
    time_commits,
    time_run,
)
from benchmarks.routes import routes

Row = Callable[[float], Result]


def do_nothing(number: int) -> None:
    """What the floor's tasks do."""


def independent(size: float) -> Result:
    """10,000 independent no-op tasks, durable, on two worker processes, beside a process pool without durability."""
    count = 10_000
    with project(NOOP.format(count=count)) as folder, ProcessPoolExecutor(2) as pool:

        def floor() -> float:
            start = time.perf_counter()
            list(pool.map(do_nothing, range(count)))
            return time.perf_counter() - start

        list(pool.map(do_nothing, range(100)))
        pooled, durable = best_of(7, floor, lambda: time_run(folder, executor="process"))
    name = f"{count:,} independent no-op tasks, 2 workers"
    return at_rate(name, count / durable, "tasks/s", count / pooled, "tasks/s (process pool)", 2.0)


def chained(size: float) -> Result:
    """1,000 chained no-op tasks in one run, durable, inline, beside one SQLite commit a task."""
    count = 1_000
    code = "def step(x=None):\n    return None\nfirst = lg.task(name='t0')(lambda: None)\nchain = [first]\n"
    code += f"for number in range(1, {count}):\n    chain.append(lg.task(name=f't{{number}}', deps={{'x': chain[-1]}})(step))\n"
    with project(code) as folder:
        floor, ours = best_of(5, lambda: time_commits(folder, count), lambda: time_afresh(folder, "inline"))
    return beside_commits(f"{count:,} chained no-op tasks, inline", count, ours, floor)


def cold(size: float) -> Result:
    """`legato run` of three chained tasks from a cold start, beside a Python that does nothing."""
    code = "@lg.task\ndef a() -> int:\n    return 1\n"
    code += "@lg.task\ndef b(a: int) -> int:\n    return a\n@lg.task\ndef c(b: int) -> int:\n    return b\n"
    times = max(3, int(10 * size))
    with project(code) as folder:
        floor = python("-c", "pass", times=times)
        ours = time_command(sys.executable, "-m", "legato", "run", times=times, cwd=folder)
    ratio = ours / floor
    return Result(
        "legato run, three chained tasks, cold", f"{ours:.3f} s", f"{floor * 1e3:.0f} ms (python -c pass)", f"{ratio:.1f} x",
        "at most 20 x and 0.3 s", max(at_most(ratio, 20), at_most(ours, 0.3)),
    )  # fmt: skip


def importing(size: float) -> Result:
    """`import legato`, beside a Python that imports nothing."""
    floor = python("-c", "pass", times=15)
    ours = python("-c", "import legato", times=15)
    added_ms = (ours - floor) * 1e3
    return Result(
        "import legato", f"{ours * 1e3:.0f} ms", f"{floor * 1e3:.0f} ms (python -c pass)", f"+{added_ms:.0f} ms",
        "at most +50 ms", at_most(max(added_ms, 0.1), 50.0),
    )  # fmt: skip


def planning(size: float) -> Result:
    """Loading and planning a project of 10,000 assets, beside one of 1,000."""
    small, large = int(1_000 * size), int(10_000 * size)
    few = min(_load_and_plan(small) for _ in range(3))
    many = min(_load_and_plan(large) for _ in range(2))
    ratio = many / few
    return Result(
        f"load and plan {large:,} assets", f"{many:.2f} s", f"{few:.2f} s ({small:,} assets)", f"{ratio:.1f} x", "at most 12 x",
        at_most(ratio, 12.0),
    )  # fmt: skip


def _load_and_plan(count: int) -> float:
    body = "".join(
        f"@lg.asset\ndef a{number}({f'a{number - number % 10 - 1}: int' if number >= 10 else ''}) -> int:\n    return {number}\n"
        for number in range(count)
    )
    with project(body) as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmarks.plan_once", str(folder), str(count)], check=True)
        return time.perf_counter() - start


def fan_out(size: float) -> Result:
    """A fan-out of 100,000 steps, beside one of 10,000: the rate holds."""
    few, many = int(10_000 * size), int(100_000 * size)
    floor, ours = _fan(few)[0], _fan(many)[0]
    return at_rate(f"fan-out of {many:,} steps: rate", ours, "steps/s", floor, f"steps/s ({few:,} steps)", 0.8)


def memory(size: float) -> Result:
    """Memory of a fan-out, from 10,000 to 100,000 steps, in the process that conducts."""
    low, high = int(10_000 * size), int(100_000 * size)
    each = (_fan(high)[1] - _fan(low)[1]) / (high - low)
    return Result(
        f"fan-out of {high:,} steps: memory",
        f"{each:.0f} bytes a step",
        "-",
        f"{each:.0f} bytes",
        "under 500 bytes",
        at_most(each, 500.0),
    )


def _fan(count: int) -> tuple[float, float]:
    """Steps a second, and bytes held by the conductor more than before the run was planned."""
    with project(NOOP.format(count=count)) as folder:
        seconds, held = run_once(folder)
    return count / seconds, held


def history(size: float) -> Result:
    """10,000 tasks in a store that holds 1,000,000 finished steps, beside an empty store."""
    from benchmarks.past import fill

    count, past = int(10_000 * size), int(1_000_000 * size)
    with project(NOOP.format(count=count)) as fresh, project(NOOP.format(count=count)) as old:
        fill(old, past)
        empty, full = best_of(10, lambda: time_afresh(fresh, "inline"), lambda: time_run(old, executor="inline"))
    name = f"history of {past:,} finished steps: rate"
    return at_rate(name, count / full, "tasks/s", count / empty, "tasks/s (empty store)", 0.9, "0.9 to 1.1 x")


def demo(size: float) -> Result:
    """The flights example's whole year, beside a plain script that does the same work in two processes."""
    source = Path(__file__).parents[1] / "examples" / "flights"
    with tempfile.TemporaryDirectory(prefix="legato-bench-") as name:
        folder = Path(name) / "flights"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".legato", "plain-output", "corrections"))

        def forget() -> None:
            shutil.rmtree(folder / ".legato", ignore_errors=True)

        times = 1 if size < 1 else 3
        ours = time_command(sys.executable, "-m", "legato", "run", times=times, cwd=folder, before=forget)
        floor = python("plain.py", str(Path(name) / "plain"), times=times, cwd=folder)
    ratio = ours / floor
    return Result(
        "the demo's whole year, 2 workers",
        f"{ours:.1f} s",
        f"{floor:.1f} s (plain.py)",
        f"{ratio:.2f} x",
        "at most 2 x",
        at_most(ratio, 2.0),
    )


ROWS: dict[str, Row] = {
    "independent": independent, "chained": chained, "cold": cold, "import": importing, "plan": planning, "fan-out": fan_out,
    "memory": memory, "history": history, "triggers": triggers.passes, "partitions": triggers.turns, "demo": demo,
    "in-turn": flows.in_turn, "mapped": flows.mapped, "map-large": flows.map_large, "map-memory": flows.map_memory,
    "asleep": flows.asleep, "short-calls": flows.short_calls, "long-calls": flows.long_calls, "first-line": serving.first_line,
    "idle": serving.idle, "start": serving.start, "routes": routes, "ticking": serving.ticking,
}  # fmt: skip
