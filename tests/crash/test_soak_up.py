"""Ten minutes of a real service at 50 runs a minute: what its processes hold stays level, memory and open files."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import mean

import pytest
from processes import own_mb

sys.path.insert(0, str(Path(__file__).parents[1] / "surface"))

from up_site import up, wait_until

LASTS_S, WARM_S, LOOK_S = 600.0, 120.0, 5.0
PROJECT = """
import legato as lg

@lg.task
def add(number: int) -> int:
    print("a line")
    return number + 1

@lg.flow(on=lg.every("1.2s", catch_up="all"))
def beat() -> int:
    return sum(add.map(range(3)))
"""


def held(pids: list[int]) -> tuple[float, int]:
    """Megabytes of memory, and open files, of these processes."""
    return sum(map(own_mb, pids)), sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


@pytest.mark.long
def test_ten_minutes_leave_nothing_behind(tmp_path: Path) -> None:
    with up(tmp_path, PROJECT, "up") as service:
        wait_until(lambda: "worker" in service.parts())
        parts = service.parts()
        began, seen = time.monotonic(), list[tuple[float, int]]()
        while time.monotonic() - began < LASTS_S:
            time.sleep(LOOK_S)
            if time.monotonic() - began > WARM_S:
                seen.append(held(list(parts.values())))
        assert service.parts() == parts, "no process was replaced"
        runs = service.legato("runs", "-n", "1000")
    third = len(seen) // 3
    first, last = mean(size for size, _ in seen[:third]), mean(size for size, _ in seen[-third:])
    print(f"{len(runs)} runs; {first:.1f} MB, then {last:.1f}; {seen[0][1]} files, then {seen[-1][1]}")
    assert len(runs) >= 0.95 * LASTS_S / 1.2
    assert {each["state"] for each in runs} <= {"succeeded", "running"}
    assert last < first * 1.03 + 1.0
    assert max(files for _, files in seen[-third:]) <= max(files for _, files in seen[:third]) + 2
