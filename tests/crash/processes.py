"""Real process trees, to be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def tree_of(pid: int) -> list[int]:
    """A process and everything below it."""
    found, frontier = [pid], [pid]
    while frontier:
        parent = frontier.pop()
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
        found += children
        frontier += children
    return found


def kill_all(pids: Iterable[int]) -> None:
    """kill -9; who has ended already is no matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def own_mb(pid: int) -> float:
    """The memory that a process holds itself, shared pages shared out: files are left out, since who else maps them is chance."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss_Anon:")) / 1024


def wait_until_gone(pids: Iterable[int]) -> None:
    """Nobody is left behind: whoever lost its conductor ends by itself."""
    deadline = time.monotonic() + 60
    left = list(pids)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _is_alive(pid)]
        time.sleep(0.01)
    assert not left, f"processes {left} were left behind"


def _is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
