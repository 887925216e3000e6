"""The rows of flows: calls one after the other, maps, and flows that sleep."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import (
    NOOP,
    Result,
    at_most,
    at_rate,
    beside_commits,
    best_of,
    project,
    run_once,
    time_afresh,
    time_commits,
    time_run,
)
from benchmarks.tree import watch
from legato.executors.process import RETIRE_S

CODE = """
import time
from pathlib import Path

@lg.task
def noop(number: int = 0) -> None:
    return None

@lg.task
def fibonacci(number: int) -> int:
    return number if number < 2 else bare(number - 1) + bare(number - 2)

def bare(number):
    return number if number < 2 else bare(number - 1) + bare(number - 2)

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

@lg.flow
def in_turn() -> None:
    for number in range({count}):
        noop(number)

@lg.flow
def mapped() -> None:
    before = resident_pages()
    noop.map(range({count}))
    Path("grown.txt").write_text(str(resident_pages() - before))

@lg.flow
def small() -> None:
    for _ in range(40):
        fibonacci(10)

@lg.flow
def large() -> None:
    took = []
    for _ in range(2):
        before = time.process_time()
        fibonacci({large})
        took.append(time.process_time() - before)
    Path("least.txt").write_text(str(min(took)))

@lg.flow
def tiny() -> None:
    for _ in range(10):
        fibonacci(1)

@lg.flow
def nap(number: int) -> float:
    lg.sleep({asleep_s})
    return time.time()

@lg.flow
def naps() -> None:
    nap.map(range({count}))
"""
_PAGE_BYTES = 4096
ASLEEP_S = 15


def code(*, count: int = 1, large: int = 20) -> str:
    """The project's module, with so many calls."""
    return CODE.format(count=count, large=large, asleep_s=ASLEEP_S)


def in_turn(size: float) -> Result:
    """1,000 sequential tasks of one flow, durable, beside one SQLite commit a task."""
    count = 1_000
    with project(code(count=count)) as folder:
        floor, ours = best_of(5, lambda: time_commits(folder, count), lambda: time_afresh(folder, "process", "in_turn"))
    return beside_commits(f"{count:,} sequential tasks of one flow", count, ours, floor)


def mapped(size: float) -> Result:
    """A map over 10,000 items in a flow, beside 10,000 planned steps."""
    count = 10_000
    with project(code(count=count)) as folder, project(NOOP.format(count=count)) as planned:
        floor, ours = best_of(7, lambda: time_afresh(planned, "process"), lambda: time_afresh(folder, "process", "mapped"))
    return at_rate(f"map over {count:,} items in a flow", count / ours, "items/s", count / floor, "steps/s (planned)", 0.8)


def map_large(size: float) -> Result:
    """A map over 100,000 items, beside one over 10,000: the rate holds."""
    few, many = int(10_000 * size), int(100_000 * size)
    floor, ours = (max(_map(count)[0] for _ in range(2)) for count in (few, many))
    return at_rate(f"map over {many:,} items: rate", ours, "items/s", floor, f"items/s ({few:,} items)", 0.8)


def map_memory(size: float) -> Result:
    """Memory of a map, from 10,000 to 100,000 items: in the process that conducts, and in that of the flow."""
    few, many = 10_000, max(50_000, int(100_000 * size))
    low, high = _map(few), _map(many)
    conductor, flow = ((high[at] - low[at]) / (many - few) for at in (1, 2))
    return Result(
        f"map over {many:,} items: memory", f"{conductor:.0f} bytes an item", f"{flow:.0f} bytes in the flow's process",
        f"{conductor:.0f} bytes", "under 500 bytes; 100 in the flow", max(at_most(conductor, 500.0), at_most(flow, 100.0)),
    )  # fmt: skip


def _map(count: int) -> tuple[float, float, float]:
    """Items a second, bytes that the conductor holds more than before, and bytes that the flow's process does."""
    with project(code(count=count)) as folder:
        seconds, held = run_once(folder, "mapped")
        grown = int((folder / "grown.txt").read_text()) * _PAGE_BYTES
    return count / seconds, held, grown


def asleep(size: float) -> Result:
    """1,000 flows that sleep: memory and processor time of all processes meanwhile, and how late they wake."""
    count = 1_000
    with project(code(count=count)) as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.asleep_once", str(folder), str(count)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert process.stdout is not None
        first_wakes = float(process.stdout.readline())
        time.sleep(RETIRE_S + 0.5)  # the last worker for flows is kept for so long
        seen = watch(process.pid, min(5.0, first_wakes - time.time() - 0.5))
        late_s = float(process.stdout.readline())
        assert process.wait() == 0
    share = seen.cpu_s / seen.seconds
    mb = seen.size_bytes / 1e6
    return Result(
        f"{count:,} flows that sleep", f"{mb:.0f} MB, {share * 100:.1f} % of a core", "-", f"{late_s:.2f} s late",
        "200 MB, 1 % of a core, 1 s late", max(at_most(mb, 200.0), at_most(share, 0.01), at_most(late_s, 1.0)),
    )  # fmt: skip


def short_calls(size: float) -> Result:
    """40 sequential calls of fibonacci(10) in a flow, each durable: the whole run."""
    with project(code()) as folder:
        ours = min(time_run(folder, executor="process", selection="small") for _ in range(5))
    return Result(
        "40 x fibonacci(10) in a flow", f"{ours * 1e3:.0f} ms", "-", f"{ours * 1e3:.0f} ms", "under 50 ms", at_most(ours, 0.05)
    )


def long_calls(size: float) -> Result:
    """10 sequential calls of fibonacci(33) in a flow, beside the same in a bare loop: what durability adds.

    No machine has seconds that nothing disturbs. So the work is measured as the processor time that the flow's process takes for
    a call, all in it included, and the waits around the calls as ten calls with next to nothing to compute. Where in memory a
    process happens to stand makes some per cent, and a fork stands where its parent does: so both are started anew each round.
    """
    number = 33 if size >= 1 else 26
    with project(code(large=number)) as folder:

        def durable() -> float:
            shutil.rmtree(folder / ".legato", ignore_errors=True)
            run_once(folder, "large")
            return float((folder / "least.txt").read_text())

        bare, work = best_of(10, lambda: _bare(folder, number), durable)
        around = min(time_afresh(folder, "process", "tiny") for _ in range(5))
    floor, ours = 10 * bare, 10 * work + around
    ratio = ours / floor
    return Result(
        f"10 x fibonacci({number}) in a flow", f"{ours:.2f} s, {around * 1e3:.0f} ms of it around the calls",
        f"{floor:.2f} s (bare loop)", f"{(ratio - 1) * 100:+.1f} %", "at most +1 %", at_most(ratio, 1.01),
    )  # fmt: skip


def _bare(folder: Path, number: int) -> float:
    """The least processor time of the same calls in a loop of plain Python, in seconds for one."""
    loop = f"import sys; sys.path.insert(0, {str(folder)!r}); import pipeline; from time import process_time as now; took = []\n"
    loop += f"for _ in range(2): start = now(); pipeline.bare({number}); took.append(now() - start)\nprint(min(took))"
    return float(subprocess.run([sys.executable, "-c", loop], capture_output=True, check=True).stdout)
