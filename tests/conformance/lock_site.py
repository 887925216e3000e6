"""Where the workers' lock is tested: a project whose functions look at other processes, and a conductor to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.body import Binding, Body, Code
from legato.declare.node import Node
from legato.executors.process import ProcessExecutor
from legato.testing.executor_site import Driver, sample_kit
from legato.worker.preload import Kit, Preload

LOCK = "workers.lock"
WAYS = {"fork": "load", "fresh nursery": "load", "fresh workers": "load_with_threads"}
"""How an executor starts its workers, and what loads the project where a fresh interpreter has to."""


def is_running(pid: int) -> bool:
    """Whether a process exists and is not merely unreaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def living(pids: list[int]) -> list[int]:
    """Which of these processes are there at the moment at which the attempt is entered."""
    return [pid for pid in pids if is_running(pid)]


def copies() -> list[int]:
    """How many descriptors of the lock this process has; and a program that it starts, which takes along all it may."""
    look = ["import os", "names = os.listdir('/proc/self/fd')", "print([os.path.realpath(f'/proc/self/fd/{n}') for n in names])"]
    program = subprocess.run([sys.executable, "-c", "\n".join(look)], close_fds=False, capture_output=True, check=True)
    mine = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return [sum(path.endswith(LOCK) for path in mine), program.stdout.decode().count(LOCK)]


def grow(megabytes: int, witness: str) -> None:
    """Takes memory, which takes its time to be freed; then lasts."""
    memory = bytearray(os.urandom(1 << 20)) * megabytes
    Path(f"{witness}.new").write_text(str(os.getpid()))
    os.rename(f"{witness}.new", witness)
    time.sleep(600 + len(memory) * 0)


def load(folder: str) -> Kit:
    """The sample project, with the functions above."""
    kit = sample_kit(folder)
    nodes, bodies = dict(kit.project.nodes), dict(kit.code.bodies)
    for fn in (living, copies, grow):
        params = fn.__code__.co_varnames[: fn.__code__.co_argcount]
        bindings = tuple(Binding(param, "input", Any) for param in params)
        bodies[fn.__name__] = Body(fn, bindings, False, __file__, fn.__code__.co_firstlineno)
        nodes[fn.__name__] = Node(name=fn.__name__, kind="task")
    makers = {name: name for name in nodes}
    return replace(kit, project=msgspec.structs.replace(kit.project, nodes=nodes, makers=makers), code=Code(bodies=bodies))


def load_with_threads(folder: str) -> Kit:
    """The same project, which starts a thread when it is loaded, so that nothing may be forked from there."""
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return load(folder)


def open_executor(folder: Path, way: str = "fork", workers: int = 1) -> ProcessExecutor:
    """An executor of the project in the folder, as each command has one."""
    preload = Preload(load(str(folder)) if way == "fork" else None, f"lock_site:{WAYS[way]}", (str(folder),))
    session = f"{time.monotonic_ns()}"
    return ProcessExecutor(preload, workers, folder / "logs", session=session, fork=way == "fork", lock=folder / LOCK)


def conduct(folder: Path, way: str, megabytes: int) -> None:
    """Be a conductor whose worker is in a long attempt; says the pids of its nursery and then of that worker."""
    witness = folder / "entered"
    executor = open_executor(folder, way)
    driver = Driver(executor)
    executor.start([driver.order("grow", megabytes=megabytes, witness=str(witness))], 0, 1.0)
    assert executor._link is not None
    print(executor._link.pid, flush=True)
    driver.collect(witness.exists)
    print(witness.read_text(), flush=True)
    driver.collect(lambda: False, 600)


if __name__ == "__main__":
    conduct(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
