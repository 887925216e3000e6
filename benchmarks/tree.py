"""A process with all below it, seen from outside: how much memory they hold, and how much processor time they take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_GONE = (ProcessLookupError, FileNotFoundError)


class Watched(Struct, frozen=True):
    """What was seen within these seconds: the most memory, pages that are shared counted once, and processor time."""

    seconds: float
    size_bytes: int
    cpu_s: float


def watch(pid: int, seconds: float) -> Watched:
    """Look at a process and all below it for so long: three times, of which the one in the middle counts for processor time.

    While a shared machine is taken away, the system counts that as work of who was just running.
    """
    looks = [_look(pid, seconds / 3) for _ in range(3)]
    middle = sorted(looks, key=lambda look: look.cpu_s)[1]
    return Watched(middle.seconds, max(look.size_bytes for look in looks), middle.cpu_s)


def _look(pid: int, seconds: float) -> Watched:
    started, before, size_bytes = time.monotonic(), _cpu_s(pid), _size_bytes(pid)
    time.sleep(seconds)
    after, passed = _cpu_s(pid), time.monotonic() - started
    used_s = sum(used - before.get(each, 0.0) for each, used in after.items())
    return Watched(passed, max(size_bytes, _size_bytes(pid)), used_s)


def _tree(pid: int) -> Iterator[int]:
    """The process and all below it. Asked for the children of one, the kernel may miss some while others end; so all are read."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(*_GONE):
            below.setdefault(int((folder / "stat").read_text().rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found = [pid]
    while found:
        yield (each := found.pop())
        found += below.get(each, ())


def _cpu_s(pid: int) -> dict[int, float]:
    """The seconds that each of the processes has run."""
    found = {}
    for each in _tree(pid):
        with suppress(*_GONE):
            tasks = Path(f"/proc/{each}/task").iterdir()
            found[each] = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    return found


def _size_bytes(pid: int) -> int:
    size = 0
    for each in _tree(pid):
        with suppress(*_GONE):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            size += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return size
