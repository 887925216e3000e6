"""Runs a project once on two workers; prints the seconds and how much memory the run added to the conductor at its end."""

import gc
import sys
import time
from pathlib import Path

from benchmarks.measure import resident_bytes
from legato.service.request import Request
from legato.service.running import run, session
from legato.wiring.code import open_workspace

workspace = open_workspace(Path(sys.argv[1]), executor="process", workers=2)
with session(workspace, "benchmark") as opened:
    gc.collect()
    before, started = resident_bytes(), list[float]()
    _, state = run(opened, Request(sys.argv[2]), lambda *_: started.append(time.perf_counter()))
    seconds = time.perf_counter() - started[0]
    assert state is not None
    assert state.ended == "succeeded"
    gc.collect()
    print(seconds, resident_bytes() - before)
