"""The nursery: a small process with one thread that starts workers, watches them, and leaves none behind.

It holds the loaded project, so a worker is a fork of it and ready in a few milliseconds. It adopts orphans: what a dead worker
leaves behind, even in sessions of their own, becomes a child of the nursery and is killed before the worker's end is reported.
When its control socket closes, because the conductor closed it or died in whatever way, it kills everything and ends.
Before its first worker it waits until no worker of an earlier conductor is left.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from legato.terms.errors import LegatoError
from legato.worker import kin
from legato.worker.duty import log_name, serve
from legato.worker.lock import PATIENCE_S, STEP_S, WorkersLock
from legato.worker.preload import Kit, WorkerSettings
from legato.worker.slate import Slate
from legato.worker.veil import Veil, Veils

Verb = Literal["spawn", "kill"]
Event = Literal["spawned", "exited", "failed", "barred", "broken", "loaded", "faulty"]
_commands = msgspec.msgpack.Decoder(tuple[Verb, int])
_events = msgspec.msgpack.Decoder(tuple[Event, int, int, str])
_encode = msgspec.msgpack.Encoder().encode
MESSAGE_BYTES = 1 << 16
STALE = 75
"""The exit code of a fresh worker that finds other code than its host has told of."""

Spawn = Callable[[int, int, int, Iterable[int], Veil | None], int]
"""Starts the worker of a number with a socket and a slate (descriptors), without those of others; its pid."""


def encode_command(verb: Verb, number: int) -> bytes:
    """What a nursery is told. `spawn` travels with two descriptors: the worker's socket and its slate."""
    return _encode((verb, number))


def encode_event(event: Event, number: int = 0, value: int = 0, text: str = "") -> bytes:
    """What a nursery tells: a worker's pid, its wait status when all it started is gone, or why one could not start.

    `barred` means that workers of an earlier conductor are left, so that none up to this number can be started: it is told once
    for all who wait. `loaded` and `faulty` are a code host's: they travel with the descriptor of a file in memory, which holds
    the snapshot, or the faults.
    """
    return _encode((event, number, value, text))


def decode_event(body: bytes) -> tuple[Event, int, int, str]:
    """The event, the worker's number, and its pid or wait status, or a text."""
    return _events.decode(body)


class Nursery:
    """The life of the nursery process. `spawn` is how it starts a worker, `lock` what it needs before the first."""

    def __init__(self, control: socket.socket, spawn: Spawn, lock: WorkersLock, veils: Veils) -> None:
        self._control = control
        self._veils = veils
        self._spawn = spawn
        self._lock = lock
        self._waiting: dict[int, tuple[int, int]] = {}
        self._until = 0.0
        self._workers: dict[int, int] = {}
        self._dead: list[tuple[int, int]] = []
        self._wake, wake_end = socket.socketpair()
        self._wake.setblocking(False)
        wake_end.setblocking(False)
        kin.adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the conductor decides; its end of the socket is what counts
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        self._wake_end = wake_end

    def run(self) -> None:
        """Serve until the control socket closes; then nothing that was started here is left."""
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while True:
            for fd, _ in poller.poll(STEP_S * 1000 if self._waiting else None):
                if fd == self._control.fileno():
                    if not self._listen():
                        return self._end()
                else:
                    self._wake.recv(4096)
            self._bury()
            if self._waiting and not poller.poll(0):  # else there is more to hear: who is asked for together waits together
                self._begin()

    def _listen(self) -> bool:
        try:
            body, fds, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 2)
        except ConnectionError:
            return False
        if not body:
            return False
        verb, number = _commands.decode(body)
        if verb == "spawn":
            self._until = self._until if self._waiting else time.monotonic() + PATIENCE_S
            self._waiting[number] = fds[0], fds[1]
        elif number in self._waiting:
            self._drop(number, encode_event("exited", number, signal.SIGKILL))
        else:
            for pid in [pid for pid, each in self._workers.items() if each == number]:
                kin.kill_group(pid)
        return True

    def _begin(self) -> None:
        """Start the workers that were asked for, if none of an earlier conductor is left."""
        for number in list(self._waiting):
            try:
                if not self._lock.take():
                    self._wait_on()
                    break
                self._start(number)
            except OSError as error:
                self._drop(number, encode_event("failed", number, text=f"no worker can be started: {error}"))

    def _wait_on(self) -> None:
        """Nobody who waits can be started yet; if that lasts too long, say so once for all of them: it is one trouble."""
        if time.monotonic() <= self._until:
            return
        last = max(self._waiting)
        for number in list(self._waiting):
            self._let_go(number)
        self._tell(encode_event("barred", last))

    def _start(self, number: int) -> None:
        others = [fd for each, fds in self._waiting.items() if each != number for fd in fds] + self._veils.descriptors()
        pid = self._spawn(number, *self._waiting[number], others, self._veils.hang(number))
        self._workers[pid] = number
        self._drop(number, encode_event("spawned", number, pid))

    def _drop(self, number: int, news: bytes) -> None:
        """This worker waits no longer: tell why."""
        self._let_go(number)
        self._tell(news)

    def _let_go(self, number: int) -> None:
        """This worker waits no longer: close what it was to have."""
        for fd in self._waiting.pop(number):
            os.close(fd)

    def _bury(self) -> None:
        """Reap the dead, kill what they left, and report an end once nothing of it is left."""
        self._reap()
        if not self._dead:
            return
        strays = [pid for pid in kin.children() if pid not in self._workers]
        if sum(map(kin.kill, strays)):  # each of their deaths wakes the nursery again
            return
        for number, status in self._dead:
            self._veils.lift(number)
            self._tell(encode_event("exited", number, status))
        self._dead.clear()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._workers.pop(pid, None)
            if os.waitstatus_to_exitcode(status) == STALE and number is not None:
                raise LegatoError("code-changed", "the code that this process had loaded is no longer there")
            if number is not None:
                self._dead.append((number, status))

    def _tell(self, body: bytes) -> None:
        with contextlib.suppress(OSError):  # a conductor that died is noticed by the next read
            self._control.send(body)

    def _end(self) -> None:
        for pid in self._workers:
            kin.kill_group(pid)
        kin.end_children()
        self._veils.lift_all()


def run_forked(control: socket.socket, kit: Kit, settings: WorkerSettings) -> NoReturn:
    """Be a nursery in a process that was just forked from one that has loaded the project."""
    try:
        _forget_signals()
        os.setsid()
        gc.freeze()  # what is shared with all workers is never looked at by their garbage collectors
        _forking(control, kit, settings, WorkersLock(settings.lock)).run()
    except BaseException as error:
        break_off(control, error)
    os._exit(0)


def run_fresh(control: socket.socket, load: Callable[[], Kit], hazard: Callable[[], str], argument: Any) -> NoReturn:
    """Be a nursery in an interpreter of its own that loads the project."""
    try:
        live(control, load(), hazard, argument)
    except BaseException as error:
        break_off(control, error)
    os._exit(0)


def live(control: socket.socket, kit: Kit, hazard: Callable[[], str], argument: Any) -> None:
    """Serve with a kit that was loaded here: fork workers, or start fresh ones if that is unsafe."""
    settings = msgspec.convert(argument["settings"], WorkerSettings)
    lock = WorkersLock(settings.lock, argument.get("lock", -1))
    if hazard():
        Nursery(control, lambda *args: _start_worker(argument, lock, *args), lock, _veils(kit, settings)).run()
    else:
        gc.freeze()
        _forking(control, kit, settings, lock).run()


def _forking(control: socket.socket, kit: Kit, settings: WorkerSettings, lock: WorkersLock) -> Nursery:
    return Nursery(control, lambda *args: _fork_worker(control, kit, settings, *args), lock, _veils(kit, settings))


def _veils(kit: Kit, settings: WorkerSettings) -> Veils:
    return Veils(kit.code.secrets, lambda number: Path(settings.logs) / log_name(settings, number))


def break_off(control: socket.socket, error: BaseException) -> NoReturn:
    """Tell what went wrong, and end with all that was started here."""
    import traceback

    text = "".join(traceback.format_exception(error))[-8000:]
    with contextlib.suppress(OSError):
        control.send(encode_event("broken", text=text))
    kin.end_children()
    os._exit(1)


def _fork_worker(  # noqa: PLR0913 - what it has, and what it is handed
    control: socket.socket, kit: Kit, settings: WorkerSettings, number: int, sock: int, slate: int, others: Iterable[int],
    veil: Veil | None,
) -> int:  # fmt: skip
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # native threads of libraries; fork_hazard has judged them
        pid = os.fork()
    if pid:
        return pid
    try:
        control.close()
        for fd in others:
            os.close(fd)
        signal.set_wakeup_fd(-1)
        _forget_signals()
        _settle(parent)
        _reseed()
        serve(kit, settings, number, socket.socket(fileno=sock), Slate(slate), veil)
    finally:
        os._exit(1)


def _start_worker(
    argument: dict[str, Any], lock: WorkersLock, number: int, sock: int, slate: int, _: Iterable[int], veil: Veil | None
) -> int:  # fmt: skip
    others = (veil.fd if veil is not None else -1, argument.get("manuscript", -1))
    kept = (sock, slate, *lock.descriptors, *(fd for fd in others if fd >= 0))
    known = {"number": number, "socket": sock, "slate": slate, "veil": veil and veil.fd, "kept": kept, "parent": os.getpid()}
    text = json.dumps(argument | known)
    command = [sys.executable, "-m", "legato.worker", "worker", text]
    process = subprocess.Popen(command, pass_fds=kept)
    process.returncode = 0  # the nursery reaps it itself; keeps Popen from trying
    return process.pid


def run_fresh_worker(load: Callable[[], Kit], argument: dict[str, Any]) -> NoReturn:
    """Be a worker in an interpreter of its own."""
    _settle(argument["parent"])
    for fd in argument["kept"]:
        os.set_inheritable(fd, False)  # it had to be for this start; programs of user code get none of them
    kit = load()
    if kit.source != argument.get("source", kit.source):
        os._exit(STALE)
    settings = msgspec.convert(argument["settings"], WorkerSettings)
    veil = Veil(argument["veil"]) if argument["veil"] is not None else None
    serve(kit, settings, argument["number"], socket.socket(fileno=argument["socket"]), Slate(argument["slate"]), veil)


def _settle(parent: int) -> None:
    """A worker leads a process group of its own, adopts what its attempts leave, and dies with its nursery."""
    os.setpgid(0, 0)  # the nursery's session is already apart from any terminal; another would cost 5 ms
    kin.die_with(parent)
    kin.adopt_orphans()


def _forget_signals() -> None:
    """Handlers of the process that was forked mean nothing here."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


def _reseed() -> None:
    """Forked workers draw different random numbers; Python's own generator sees to itself, numpy's does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(random.getrandbits(32))
