"""Processes and their descendants on Linux: who they are, and how none of them survives."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Container
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Descendants that lose their parent become children of this process, even those with a session of their own."""
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """This process is killed when its parent (this pid) dies, also if that has happened already."""
    _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _control_process(option: int, value: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


def children() -> list[int]:
    """The pids of this process's children, the dead but unreaped among them."""
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError), open(f"/proc/self/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return _scan_children()
    return found


def _scan_children() -> list[int]:
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            if int(file.read().rpartition(")")[2].split()[1]) == me:
                found.append(int(name))
    return found


def has_children() -> bool:
    """Whether this process has any child, alive or unreaped. Costs one system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_children(keep: Container[int] = ()) -> int:
    """Kill and reap every child and all their descendants but those to keep; how many there were.

    Needs `adopt_orphans`: what a killed child leaves behind becomes a child and is killed in the next pass.
    """
    ended: set[int] = set()
    immortal: set[int] = set()
    while strays := [pid for pid in children() if pid not in keep and pid not in immortal]:
        for pid in strays:
            if not kill(pid):
                immortal.add(pid)
        for pid in strays:
            if pid not in immortal:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        ended.update(strays)
    return len(ended)


def kill(pid: int) -> bool:
    """Kill one process; False if this process may not."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


def kill_group(leader: int) -> None:
    """Kill a process and its process group; nothing happens if they are gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    kill(leader)


def end_own_group() -> NoReturn:
    """Kill this process with its group, at once."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)  # pragma: no cover


def say_status(status: int) -> str:
    """How a process ended, for people: `was killed by signal 11 (SIGSEGV)`, `exited with code 3`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}; did the code call os._exit?"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code}{name}{hint}"
