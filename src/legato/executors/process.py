"""Makes attempts in warm worker processes on this machine."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Sequence
from pathlib import Path

from legato.executors.crew import Worker
from legato.executors.nursery import Link, await_end, forget
from legato.terms.attempt import Begun, Order, Report
from legato.terms.errors import Unreachable
from legato.worker.capture import remove_session
from legato.worker.lock import workers_left
from legato.worker.pipe import Frame, frame
from legato.worker.preload import Preload, WorkerSettings
from legato.worker.threads import fork_hazard

CLOSE_S = 5.0
"""How long resources of idle workers may take to clean up before they are killed."""
_STILLBORN = 3
_FRESH_SESSION = "%Y%m%d-%H%M%S"


class ProcessExecutor:
    """A fixed number of places, each taken by a worker process when the first order for it comes, and again after a death.

    Make it before anything is opened that must not be inherited (the store's SQLite connection above all): the nursery is
    forked from this process here, and workers from the nursery. Where a fork is unsafe (`fork_hazard`; or as `fork` says) the
    nursery is a fresh interpreter that loads the project itself, and so is one that replaces a nursery that died.
    Nothing here needs a thread. An executor is for one thread; only `wake` may be called from anywhere.

    With `lock`, a file for all executors of a project, the first worker starts when none of an earlier executor is left,
    however that one ended; `poll` raises `Unreachable` (`workers-left`) if that takes too long.

    If the nursery alone is killed, a process that left its worker's group and session before that is beyond reach.
    """

    def __init__(
        self, preload: Preload, workers: int, logs: Path, *, session: str = "", log_limit_bytes: int = 16 * 2**20,
        fork: bool | None = None, lock: Path | None = None,
    ) -> None:  # fmt: skip
        session = session or f"{time.strftime(_FRESH_SESSION)}-{os.getpid()}"
        self._settings = WorkerSettings(str(logs), session, log_limit_bytes, lock=str(lock or ""))
        self._preload = preload
        self._owner = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._places: list[Worker | None] = [None] * workers
        self._made = 0
        self._stillborn = 0
        self._ready: list[Report] = []
        self._is_closed = False
        self._link: Link | None = self._connect(_can_fork(preload) if fork is None else fork)

    # -- the port --

    def workers(self) -> int:
        """How many worker processes there may be."""
        return len(self._places)

    def load(self) -> Sequence[float]:
        """Expected seconds of work held by each place."""
        return [0.0 if worker is None else worker.load_s for worker in self._places]

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Hand orders to the worker at this place; `expected_s` is for all of them together."""
        chosen = self._places[worker] or self._hire(worker)
        chosen.hand(orders, expected_s)
        self._watch(chosen)

    def recall(self) -> None:
        """Ask every worker for what it has not begun."""
        for worker in self._busy():
            worker.send(frame(Frame.RECALL))
            self._watch(worker)

    def kill(self, run: str, step: int, token: int) -> None:
        """Stop this attempt: an order that has not begun is taken back, else its worker is killed with all it started."""
        key = run, step, token
        for worker in self._busy():
            if key in worker.held:
                if worker.drop(key):
                    self._stop(worker)
                self._watch(worker)
                return

    def poll(self, timeout_s: float) -> list[Report]:
        """Reports since the last call."""
        until = time.monotonic() + timeout_s
        wait_s = 0.0 if self._ready else timeout_s
        while True:
            rung = self._listen(wait_s)
            wait_s = until - time.monotonic()
            if self._ready or rung or wait_s <= 0:
                reports, self._ready = self._ready, []
                return reports

    def wake(self) -> None:
        """Make `poll` return now."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let idle workers clean up, stop the others, and wait until no process is left."""
        if self._is_closed or os.getpid() != self._owner:
            return
        self._is_closed = True
        living = [worker for worker in self._places if worker is not None]
        for worker in living:
            if worker.held:
                self._stop(worker)
            else:
                worker.send(frame(Frame.QUIT))
        until = time.monotonic() + CLOSE_S
        with contextlib.suppress(Unreachable):
            while any(self._places) and self._link is not None and (wait_s := until - time.monotonic()) > 0:
                self._listen(wait_s)
        if self._link is not None:
            self._link.close()
        for worker in filter(None, self._places):
            self._release(worker)
            worker.close()
        remove_session(Path(self._settings.logs) / self._settings.session)
        self._selector.close()
        os.close(self._bell)

    # -- workers --

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._places if worker is not None and worker.held]

    def _hire(self, place: int) -> Worker:
        if self._link is None:
            self._link = self._connect(False)
        self._made += 1
        worker = Worker(self._made, self._settings)
        try:
            self._link.spawn(worker)
        except OSError:  # the nursery died; `poll` will find out, return this worker's orders and start another
            worker.far.close()
        self._places[place] = worker
        self._selector.register(worker.socket, selectors.EVENT_READ, worker)
        return worker

    def _watch(self, worker: Worker) -> None:
        """Listen to a worker, and for room in its pipe if there is more to send."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.has_more_to_send else 0)
        if worker.is_open and self._selector.get_key(worker.socket).events != events:
            self._selector.modify(worker.socket, events, worker)

    def _stop(self, worker: Worker) -> None:
        worker.stopping = True
        self._ask_end(worker)

    def _ask_end(self, worker: Worker) -> None:
        if self._link is not None:
            try:
                self._link.kill(worker)
            except OSError:  # a dead nursery has taken its workers along
                return

    def _release(self, worker: Worker) -> None:
        if worker.is_open:
            self._selector.unregister(worker.socket)
        forget(worker)

    def _bury(self, worker: Worker, status: int | None) -> None:
        self._release(worker)
        self._places[self._places.index(worker)] = None
        self._ready += worker.bury(status)

    # -- what comes in --

    def _listen(self, timeout_s: float) -> bool:
        """Take in what arrives within the time; whether the bell was rung."""
        rung = False
        for key, mask in self._selector.select(timeout_s):
            if key.data is None:
                os.eventfd_read(self._bell)
                rung = True
            elif key.data is self._link:
                self._hear_nursery()
            elif key.data in self._places:  # its end may have been heard in this very round
                self._hear(key.data, mask)
        return rung

    def _hear(self, worker: Worker, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            worker.push()
            self._watch(worker)
        if not mask & selectors.EVENT_READ:
            return
        reports = worker.receive()
        for report in reports:
            if type(report) is Begun and worker.is_unwanted(report):
                self._stop(worker)
        self._ready += reports
        if not worker.is_open:  # it is dying, or its code closed the pipe: the nursery will tell when all is gone
            self._selector.unregister(worker.socket)
            self._ask_end(worker)

    def _hear_nursery(self) -> None:
        assert self._link is not None
        events, is_there = self._link.receive()
        barred = False
        for event, number, value, text in events:
            worker = next((each for each in self._places if each is not None and each.number == number), None)
            if event == "broken":
                self._lose_nursery()
                raise Unreachable("worker-start", "no worker can be started", why=text, next="legato check")
            if worker is None:
                continue
            if event == "spawned":
                worker.pid = value
            elif event == "barred":
                self._bury(worker, None)
                barred = True
            elif event == "failed":
                self._bury(worker, None)
                self._count_stillborn(worker, text)
            else:
                why = worker.tail()
                self._bury(worker, value)
                self._count_stillborn(worker, why)
        if not is_there:
            self._lose_nursery()
        if barred:
            raise workers_left(self._settings.lock)

    def _count_stillborn(self, worker: Worker, why: str) -> None:
        """Several workers in a row that died before they reported anything: something is wrong with all of them."""
        if worker.has_worked or worker.stopping or self._is_closed:
            self._stillborn = 0
            return
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            self._stillborn = 0
            raise Unreachable("worker-start", "workers die before they can work", why=why, next="legato doctor")

    # -- the nursery --

    def _connect(self, fork: bool) -> Link:
        link = Link(self._preload, self._settings, fork=fork)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        return link

    def _drop_link(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link.socket)
            self._link.close()
            self._link = None

    def _lose_nursery(self) -> None:
        """The nursery is gone, and its workers with it: report what they held. The next order starts another nursery."""
        self._drop_link()
        for worker in [worker for worker in self._places if worker is not None]:
            if worker.pid:
                await_end(worker.pid)
            self._bury(worker, None)


def _can_fork(preload: Preload) -> bool:
    return preload.kit is not None and (not preload.loader or not fork_hazard())
