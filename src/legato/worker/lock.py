"""The workers' lock of a project: no worker starts while one of an earlier conductor is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from legato.terms.errors import Unreachable

PATIENCE_S = 10.0
"""How long those of an earlier conductor may take to be gone: most need milliseconds, who frees a large memory a little more."""
STEP_S = 0.01
"""How often to look whether they are."""


class WorkersLock:
    """An flock that whoever makes attempts holds together with all that could still write for it.

    The kernel keeps an flock for as long as any process has a copy of its descriptor. Forked processes have one, fresh
    workers are handed one, and other programs have none, since it is closed when they start. So the lock is free as soon as
    a nursery, its workers and what user code forked are all gone, however they went. Without a path it is always free.
    """

    def __init__(self, path: str, descriptor: int = -1) -> None:
        self.path = path
        self._descriptor = descriptor
        """One that was handed over: the lock is held already."""
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # it had to be for the start; programs of user code get none

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a worker that is started as another program has to keep open."""
        return () if self._descriptor < 0 else (self._descriptor,)

    def take(self) -> bool:
        """Whether the lock is held here now; never waits. The file says who took it last."""
        if self._descriptor >= 0 or not self.path:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(descriptor, b"%-10d\n" % os.getpid(), 0)  # of one length, since to cut the file first costs 0.2 ms
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def wait(self) -> None:
        """Take the lock; `Unreachable` (`workers-left`) if it cannot be had in time."""
        until = time.monotonic() + PATIENCE_S
        while not self.take():
            if time.monotonic() > until:
                raise workers_left(self.path)
            time.sleep(STEP_S)

    def release(self) -> None:
        """Let go of it; it stays taken while another process has a copy."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def workers_left(path: str) -> Unreachable:
    """The lock could not be had in time; names who is to be killed, if it can be seen from here."""
    pids = [str(pid) for pid in find_holders(path)]
    who = f"process{'es' if len(pids) > 1 else ''} {', '.join(pids)}" if pids else _name_taker(path)
    return Unreachable(
        "workers-left", "workers of an earlier command are still alive, so none can be started", where=path,
        why=f"{who} may still write, and did not end within {PATIENCE_S:g} s",
        next=f"kill -9 {' '.join(pids) if pids else 'it where it runs'}, then: legato resume",
    )  # fmt: skip


def find_holders(path: str) -> list[int]:
    """The pids of all processes seen from here, and not closed to this user, that hold the lock on this file."""
    file = os.stat(path)
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and _holds(name, file))


def _holds(pid: str, file: os.stat_result) -> bool:
    """Whether a process has a descriptor of the file that carries the lock: others only wait for it."""
    with contextlib.suppress(OSError):  # it has ended, or is somebody else's
        return any(_carries_lock(f"/proc/{pid}", number, file) for number in os.listdir(f"/proc/{pid}/fd"))
    return False


def _carries_lock(process: str, number: str, file: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(f"{process}/fd/{number}"), file):
            with open(f"{process}/fdinfo/{number}") as about:
                return "FLOCK" in about.read()
    return False


def _name_taker(path: str) -> str:
    """Who took the lock, as the file says. In another container it counts otherwise: nobody is to kill that number here."""
    with open(path) as file:
        return f"process {file.read().strip()} of another user or container, or one that it left,"
