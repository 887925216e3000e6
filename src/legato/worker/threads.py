"""Threads: how many the data libraries may start, and whether any makes a fork unsafe."""

from __future__ import annotations

import os
import re
import threading

_UNSAFE = re.compile(r"polars-\d+|tokio-rt-worker|async-executor-")


def limit_threads(workers: int) -> None:
    """Share the cores among the workers: polars, OpenMP and Arrow start no more threads than each worker's part.

    Settings of the user's win. Must be called before these libraries are imported, so before a project is loaded:
    they read their environment once.
    """
    share = str(max(1, len(os.sched_getaffinity(0)) // max(1, workers)))
    for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, share)


def fork_hazard() -> str:
    """Why a fork of this process is unsafe; empty if it is safe.

    A fork copies memory but only the thread that calls it: locks and queues of all others stay as they are for ever.
    Threads of Python and the pools of polars (and tokio, below it) are found; importing polars starts only harmless ones.
    """
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if others:
        return f"Python threads run: {', '.join(others)}"
    for name in _native_threads():
        if _UNSAFE.match(name):
            return f"a thread pool was used: {name}"
    return ""


def _native_threads() -> list[str]:
    names = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                names.append(file.read().strip())
        except OSError:  # it ended meanwhile
            continue
    return names
