"""What the executor suite stands on: a project of well and badly behaved functions, and a driver for any executor."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.body import Binding, Body, Code, undo_key, when_key
from legato.declare.node import Node, Project
from legato.ports.executor import Executor
from legato.storages.files import FileStorage
from legato.terms.attempt import Argument, Begun, Done, Fact, Noted, Order, Report
from legato.worker.preload import Kit
from legato.worker.telling import image, log, markdown, metric, progress, table

# Well behaved functions ----------------------------------------------------------------------------------


def noop() -> None:
    """Nothing."""


def add(a: int, b: int) -> int:
    """A sum."""
    return a + b


async def add_later(a: int, b: int) -> int:
    """A sum, from an async function."""
    return a + b


def nap(seconds: float, witness: str = "") -> None:
    """Says that it was entered, and lasts."""
    if witness:
        Path(f"{witness}.new").write_text(str(os.getpid()))
        os.rename(f"{witness}.new", witness)  # who sees it can read it
    time.sleep(seconds)


def say(text: str) -> None:
    """Speaks through every way out of a process."""
    print(text, "print")
    print(text, "stderr", file=sys.stderr)
    os.write(1, f"{text} write\n".encode())
    subprocess.run(["echo", text, "child"], check=True)


def look() -> dict[str, Any]:
    """What this process looks like to a function."""
    umask = os.umask(0)
    os.umask(umask)
    found = [name for name in os.environ if name.startswith("SAMPLE")]
    return {"cwd": os.getcwd(), "umask": umask, "environ": found, "path": "/planted" in sys.path}


def number() -> int:
    """An asset."""
    return 42


def tell(name: str, times: int = 1, seconds: float = 0.0, code: int = 0) -> None:
    """Tells facts of every kind, metrics from a thread; then lasts, and raises or ends the process if it has a code."""
    log("telling", name=name)
    thread = threading.Thread(target=_count, args=(name, times))
    thread.start()
    thread.join()
    table(name, [{"n": 1}])
    markdown(name, "# text")
    image(name, "<svg/>")
    for done in range(times):
        progress(done, times)
    time.sleep(seconds)
    if code > 0:
        os._exit(code)
    if code < 0:
        raise ValueError(name)


def _count(name: str, times: int) -> None:
    for value in range(times):
        metric(name, value)


async def tell_later(name: str) -> None:
    """Tells facts from an async function."""
    await asyncio.gather(*(asyncio.to_thread(metric, name, value) for value in range(3)))


# Badly behaved functions ---------------------------------------------------------------------------------


def fail(text: str) -> None:
    """Raises."""
    raise ConnectionRefusedError(text)


def lie() -> int:
    """Returns another type than it says."""
    return "text"  # type: ignore[return-value]


def forget() -> int:
    """Returns nothing, as an asset must not."""
    return None  # type: ignore[return-value]


def hold() -> Any:
    """Returns what cannot be stored."""
    return threading.Lock()


def leave_politely() -> None:
    """Calls sys.exit."""
    sys.exit(3)


def wander() -> None:
    """Changes the process around it."""
    os.chdir("/")
    os.umask(0o777)
    os.environ["SAMPLE_PLANTED"] = "yes"
    sys.path.append("/planted")


def hush() -> None:
    """Closes the standard output, and prints."""
    os.close(1)
    sys.stdout.close()


def descend() -> None:
    """Never stops calling itself."""
    descend()


class Unprintable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def resist() -> None:
    """Raises what cannot be shown."""
    raise Unprintable


def flood(megabytes: int) -> None:
    """Prints a lot."""
    line = "x" * 1023
    print("first")
    for _ in range(megabytes * 1024):
        print(line)
    print("last")


def exit_hard(code: int) -> None:
    """Ends the process behind Python's back."""
    print("before the end")
    os._exit(code)


def crash() -> None:
    """Reads address 0."""
    ctypes.string_at(0)


def break_now(now: bool) -> None:
    """Quick and harmless, until it is told to end the process."""
    if now:
        os._exit(1)


def kill_self() -> None:
    """Dies as from the kernel's out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave_children(witness: str, seconds: float) -> None:
    """Leaves a child, one that runs another program, and a grandchild with a session of its own and no parent (the witness)."""
    program = subprocess.Popen(["sleep", "600"])
    Path(f"{witness}.program").write_text(str(program.pid))
    if os.fork() == 0:
        time.sleep(600)
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            Path(f"{witness}.new").write_text(str(os.getpid()))
            os.rename(f"{witness}.new", witness)
            time.sleep(600)
        os._exit(0)
    os.waitpid(middle, 0)
    while not Path(witness).exists():
        time.sleep(0.001)
    time.sleep(seconds)


def come_back_twice() -> int:
    """Forks, and returns in the child too."""
    os.fork()
    return os.getpid()


_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    noop, add, add_later, nap, say, look, tell, tell_later, fail, lie, hold, leave_politely, wander, hush, descend, resist, flood,
    exit_hard, crash, break_now, kill_self, leave_children, come_back_twice,
)  # fmt: skip


def sample_kit(folder: str) -> Kit:
    """The project of these functions, with a file storage below the folder."""
    bodies = {fn.__name__: _body(fn) for fn in _FUNCTIONS}
    nodes = {name: Node(name=name, kind="task") for name in bodies}
    for fn in (number, forget):
        bodies[fn.__name__] = _body(fn)
        nodes[fn.__name__] = Node(name=fn.__name__, kind="asset", outputs=(fn.__name__,))
    bodies["guarded"] = _body(noop)
    bodies[when_key("guarded")] = _body(lambda go: go)
    bodies[undo_key("guarded")] = _body(say)
    nodes["guarded"] = Node(name="guarded", kind="task", when=True, undo=True, fallback="add")
    project = Project(name="samples", nodes=nodes, makers={name: name for name in nodes})
    storages = {"files": FileStorage(Path(folder) / "data", durable=False, unpickle=True)}
    return Kit(project, Code(bodies=bodies), lambda: storages, "files", Path(__file__).parent)


def _body(fn: Callable[..., Any]) -> Body:
    code = fn.__code__
    hints = {name: kind for name, kind in (("a", int), ("b", int), ("seconds", float)) if name in code.co_varnames}
    params = code.co_varnames[: code.co_argcount]
    bindings = tuple(Binding(param, "input", hints.get(param, Any)) for param in params)
    return Body(fn, bindings, fn in (add_later, tell_later), code.co_filename, code.co_firstlineno)


# Driving an executor -------------------------------------------------------------------------------------

PATIENCE_S = 60.0
"""How long anything may take that must happen at all, on a machine that does much else."""


class Driver:
    """Writes orders with tokens of their own, and collects ends; fails if any order ends twice."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.ends: dict[int, Report] = {}
        self.begun: list[Begun] = []
        self.noted: list[Noted] = []
        self._tokens = 0

    def order(self, node: str, mode: str = "run", **inputs: Any) -> Order:
        """An order with inline inputs, of run `r`; its step and token are the same number."""
        self._tokens += 1
        arguments = tuple(Argument(name, value=msgspec.msgpack.encode(value)) for name, value in inputs.items())
        return Order("r", self._tokens, self._tokens, node, arguments=arguments, mode=mode)  # type: ignore[arg-type]

    def collect(self, until: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"nothing came of it in {timeout_s} s; ends so far: {self.ends}"
            for report in self.executor.poll(0.05):
                if isinstance(report, Begun):
                    self.begun.append(report)
                    continue
                if isinstance(report, Noted):
                    assert report.token not in self.ends, f"told after its end: {report}"
                    self.noted.append(report)
                    continue
                assert report.run == "r"
                assert report.step == report.token
                assert report.token not in self.ends, f"ended twice: {self.ends[report.token]} and {report}"
                self.ends[report.token] = report

    def collect_more(self) -> None:
        """Poll until one more order has ended, if any is out."""
        ends = len(self.ends)
        if ends < self._tokens:
            self.collect(lambda: len(self.ends) > ends)

    def finish(self, orders: Sequence[Order], timeout_s: float = PATIENCE_S) -> list[Report]:
        """Poll until all these orders have ended; their ends."""
        self.collect(lambda: all(order.token in self.ends for order in orders), timeout_s)
        return [self.ends[order.token] for order in orders]

    def facts(self, token: int) -> list[Fact]:
        """What this attempt has told."""
        return [fact for noted in self.noted if noted.token == token for fact in noted.facts]

    def make(self, node: str, mode: str = "run", timeout_s: float = PATIENCE_S, **inputs: Any) -> Report:
        """The end of one attempt."""
        order = self.order(node, mode, **inputs)
        self.executor.start([order], 0, 0.1)
        return self.finish([order], timeout_s)[0]

    def value(self, node: str, **inputs: Any) -> Any:
        """What a task returned."""
        end = self.make(node, **inputs)
        assert isinstance(end, Done), end
        assert end.value is not None, end
        return msgspec.msgpack.decode(end.value)
