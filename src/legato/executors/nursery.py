"""An executor's hold on its nursery: starts it, speaks to it, and sees that it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec

from legato.executors.crew import Worker
from legato.worker import kin
from legato.worker.nursery import MESSAGE_BYTES, Event, decode_event, encode_command, run_forked
from legato.worker.preload import Kit, Preload, WorkerSettings, lend

_ends: set[socket.socket] = set()
"""The conductor's ends of all sockets in this process. A nursery that is forked must close its copies: held open there they would
hide the conductor's death from the other nurseries."""


class Link:
    """One nursery process: forked from this one, which then needs the kit, or a fresh interpreter, which needs the loader.

    With `hosting` it is a code host: what that has to know besides, and the descriptors that it is handed. `told` are then the
    bytes of its snapshot or faults.
    """

    def __init__(
        self, preload: Preload, settings: WorkerSettings, *, fork: bool = False,
        hosting: tuple[Mapping[str, Any], tuple[int, ...]] | None = None,
    ) -> None:  # fmt: skip
        self.told = b""
        self.status: int | None = None
        self.socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _ends.add(self.socket)
        with far:
            if fork and preload.kit is not None:
                self.pid = self._fork(far, preload.kit, settings)
            else:
                self.pid = self._start(far, preload, settings, hosting)
        self.socket.setblocking(False)

    def _fork(self, far: socket.socket, kit: Kit, settings: WorkerSettings) -> int:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # native threads of libraries; fork_hazard has judged them
            pid = os.fork()
        if pid == 0:
            for end in _ends:
                end.close()
            run_forked(far, kit, settings)
        return pid

    def _start(
        self, far: socket.socket, preload: Preload, settings: WorkerSettings,
        hosting: tuple[Mapping[str, Any], tuple[int, ...]] | None,
    ) -> int:  # fmt: skip
        more, handed = hosting or ({}, ())
        manuscript = lend(preload.manuscript)
        argument = {
            "control": far.fileno(),
            "path": sys.path,
            "loader": preload.loader,
            "arguments": preload.arguments,
            "settings": msgspec.to_builtins(settings),
            "manuscript": manuscript,
            **more,
        }
        role = "nursery" if hosting is None else "host"
        command = [sys.executable, "-m", "legato.worker", role, json.dumps(argument)]
        descriptors = (far.fileno(), *handed, *(fd for fd in (manuscript,) if fd >= 0))
        try:
            process = subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True)
        finally:
            if manuscript >= 0:
                os.close(manuscript)
        process.returncode = 0  # reaped by `close`
        return process.pid

    def spawn(self, worker: Worker) -> None:
        """Ask for a worker. OSError if the nursery is gone."""
        with worker.far:
            socket.send_fds(self.socket, [encode_command("spawn", worker.number)], [worker.far.fileno(), worker.slate.fd])
        _ends.add(worker.socket)

    def kill(self, worker: Worker) -> None:
        """Ask for a worker's end, with all it started. OSError if the nursery is gone."""
        self.socket.send(encode_command("kill", worker.number))

    def receive(self) -> tuple[list[tuple[Event, int, int, str]], bool]:
        """What the nursery has to tell, and whether it is still there."""
        events: list[tuple[Event, int, int, str]] = []
        while True:
            try:
                body, descriptors, _, _ = socket.recv_fds(self.socket, MESSAGE_BYTES, 1)
            except BlockingIOError:
                return events, True
            except ConnectionError:  # it died with commands unread; what it had told before comes next, then nothing
                continue
            if not body:
                return events, False
            for descriptor in descriptors:
                with open(descriptor, "rb") as file:
                    file.seek(0)
                    self.told = file.read()
            events.append(decode_event(body))

    def close(self, patience_s: float = 10.0) -> None:
        """Let the nursery kill everything and end; if it does not in time, kill it, and so its workers."""
        _ends.discard(self.socket)
        self.socket.close()
        until = time.monotonic() + patience_s
        pause_s = 0.0005
        while not self._is_reaped():
            if time.monotonic() > until:
                kin.kill(self.pid)
            time.sleep(pause_s)
            pause_s = min(0.02, pause_s * 2)

    def _is_reaped(self) -> bool:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            return pid != 0
        except ChildProcessError:
            return True


def forget(worker: Worker) -> None:
    """A worker's socket is about to be closed."""
    _ends.discard(worker.socket)


def await_end(pid: int, patience_s: float = 2.0) -> None:
    """Kill an orphaned worker with its group, and wait until it can do nothing more."""
    kin.kill_group(pid)
    until = time.monotonic() + patience_s
    while time.monotonic() < until and _is_alive(pid):
        time.sleep(0.001)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
