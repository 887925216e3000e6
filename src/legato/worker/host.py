"""The code host: a nursery that loads the project itself, tells what it declares, and only then starts workers.

The conductor behind it never imports user code. Loading may print, hang, spawn or end the process: the host's output goes to a
file of its own, and a second thread ends the load, with all that it started, when its time is over or the conductor is gone.
"""

from __future__ import annotations

import faulthandler
import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from legato.declare.manuscript import write
from legato.declare.resource import Secret, watch_secrets
from legato.declare.snapshot import encode, take
from legato.terms.codec import pack
from legato.terms.errors import Fault, InvalidProject, LegatoError, Place
from legato.worker import kin
from legato.worker.mask import Mask
from legato.worker.nursery import break_off, encode_event, live
from legato.worker.preload import Kit
from legato.worker.veil import Veil

LOG = "host.log"
"""What loading the project printed, in the folder of the executor's log session."""

GRACE_S = 5.0
"""How long after its time a load that does not even end itself is killed."""


class _Watchdog:
    """Ends this process while it loads, if the conductor goes or the time is over."""

    def __init__(self, control: socket.socket, limit_s: float, root: str, output: _Output) -> None:
        self._control, self._limit_s, self._root, self._output = control, limit_s, root, output
        self._main = threading.get_ident()
        self._done = os.eventfd(0)
        faulthandler.dump_traceback_later(limit_s + GRACE_S, exit=True)  # should the interpreter be held, so that no thread runs
        self._thread = threading.Thread(target=self._watch, name="legato-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The load has ended: from here on the nursery watches. No thread is left."""
        os.eventfd_write(self._done, 1)
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        os.close(self._done)

    def _watch(self) -> None:
        poller = select.poll()
        poller.register(self._control, 0)  # nothing but its end
        poller.register(self._done, select.POLLIN)
        found = [fd for fd, _ in poller.poll(self._limit_s * 1000)]
        if self._done in found:
            return
        if not found:
            what = f"the project was still being loaded after {self._limit_s:g} s"
            hint = "move work out of the modules' top floor into functions, or raise the time limit"
            self._output.show()
            _send(self._control, "faulty", pack([Fault("code-slow", what, self._place(), hint)]))
        kin.end_children()
        os._exit(1)

    def _place(self) -> Place | None:
        """Where in the project's own files the load stands."""
        stack = traceback.extract_stack(sys._current_frames()[self._main])
        own = [frame for frame in stack if frame.filename.startswith(f"{self._root}/")]
        return Place(os.path.relpath(own[-1].filename, self._root), own[-1].lineno or 0) if own else None


def run_host(control: socket.socket, load: Callable[[], Kit], hazard: Callable[[], str], argument: dict[str, Any]) -> NoReturn:
    """Be a code host in an interpreter of its own: load, tell the snapshot or the faults, then be the nursery."""
    try:
        kin.adopt_orphans()
        with watch_secrets() as named:
            output = _Output(Path(argument["settings"]["logs"]) / argument["settings"]["session"] / LOG, named)
            watchdog = _Watchdog(control, argument["limit_s"], argument["root"], output)
            kit, told = _load(load, named)
            watchdog.stop()
        output.show()
        if kit is None:
            _send(control, "faulty", told)
            kin.end_children()
        else:
            _send(control, "loaded", told)
            live(control, replace(kit, script=None), hazard, {**argument, "source": kit.source})
    except BaseException as error:
        break_off(control, error)
    os._exit(0)


def _load(load: Callable[[], Kit], named: Sequence[Secret]) -> tuple[Kit | None, bytes]:
    """The kit, with its snapshot and manuscript, or the faults."""
    try:
        kit = load()
        manuscript = write(kit.script) if kit.script is not None else None
        return kit, pack((encode(take(kit.project, kit.code, kit.source)), manuscript))
    except InvalidProject as error:
        return None, pack(error.faults)
    except LegatoError as error:
        return None, pack(
            [Fault(error.code, error.what, Place(str(error.where)) if error.where else None, error.next or error.why)]
        )
    except BaseException as error:
        traceback.print_exc()
        what = Mask(named).cover()(f"the project cannot be loaded: {type(error).__name__}: {error}")
        return None, pack([Fault("code-host", what, None, "see its output: legato logs")])


class _Output:
    """What this process prints: behind a veil while it loads, since what is secret is known only when it has been declared."""

    def __init__(self, log: Path, secrets: Sequence[Secret]) -> None:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._secrets, self._veil = secrets, Veil.create()
        self._lead(self._veil.open_end())

    def show(self) -> None:
        """Write to the log what was printed so far, and from here on directly."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._lead(os.dup(self._log))
        self._veil.pour(self._log, Mask(self._secrets).forms(), all=True)

    def _lead(self, fd: int) -> None:
        for stream in (1, 2):
            os.dup2(fd, stream)
        os.close(fd)


def _send(control: socket.socket, event: Literal["loaded", "faulty"], body: bytes) -> None:
    """Tell the executor, with as many bytes as it takes: they travel as a file in memory."""
    fd = os.memfd_create("legato-told")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(body)
        socket.send_fds(control, [encode_event(event)], [fd])
    except OSError:  # the conductor is gone; whoever listens next finds out
        return
    finally:
        os.close(fd)
