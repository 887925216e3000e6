"""Makes attempts in warm worker processes on this machine."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Sequence
from pathlib import Path

from legato.executors.crew import Key, Worker
from legato.executors.nursery import Link, await_end, forget
from legato.terms.attempt import Answers, Begun, Order, Report
from legato.terms.errors import Unreachable
from legato.worker.capture import remove_session
from legato.worker.lock import workers_left
from legato.worker.nursery import Event
from legato.worker.pipe import Frame, answers_frame, frame
from legato.worker.preload import Preload, WorkerSettings
from legato.worker.threads import fork_hazard

RETIRE_S = 2.0
"""How long an idle worker for flows is kept; of several, only one is."""
CLOSE_S = 5.0
"""How long resources of idle workers may take to clean up before they are killed."""
SHIFT_S, SHIFT_BYTES = 86_400.0, 64 * 2**20
"""A worker that has lived so long, or printed so much, is replaced when it is idle: so that old logs can go, file by file."""
_STILLBORN = 3
_FRESH_SESSION = "%Y%m%d-%H%M%S"


class ProcessExecutor:
    """A fixed number of places, each taken by a worker process when the first order for it comes, and again after a death.

    Behind these there are places for `flows` (twice as many if it is not said, at least 2): a worker there is one like the
    others, and ends when it has been idle for a while, so that flows that wait cost no process.

    Make it before anything is opened that must not be inherited (the store's SQLite connection above all): the nursery is
    forked from this process here, and workers from the nursery. Where a fork is unsafe (`fork_hazard`; or as `fork` says) the
    nursery is a fresh interpreter that loads the project itself, and so is one that replaces a nursery that died.
    Nothing here needs a thread. An executor is for one thread; only `wake` may be called from anywhere.

    With `lock`, a file for all executors of a project, the first worker starts when none of an earlier executor is left,
    however that one ended; `poll` raises `Unreachable` (`workers-left`) if that takes too long.

    If the nursery alone is killed, a process that left its worker's group and session before that is beyond reach.
    """

    def __init__(  # noqa: PLR0913 - options by keyword
        self, preload: Preload, workers: int, logs: Path, *, session: str = "", log_limit_bytes: int = 16 * 2**20,
        fork: bool | None = None, flows: int | None = None, lock: Path | None = None,
    ) -> None:  # fmt: skip
        session = session or f"{time.strftime(_FRESH_SESSION)}-{os.getpid()}"
        self._settings = WorkerSettings(str(logs), session, log_limit_bytes, lock=str(lock or ""))
        self._preload = preload
        self._owner = os.getpid()
        self._selector = selectors.EpollSelector()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._workers = workers
        self._places: list[Worker | None] = [None] * (workers + (max(2, 2 * workers) if flows is None else flows))
        self._leaving: list[Worker] = []
        self._made = 0
        self._stillborn = 0
        self._ready: list[Report] = []
        self._is_closed = False
        self._link: Link | None = self._connect(_can_fork(preload) if fork is None else fork)

    # -- the port --

    def workers(self) -> int:
        """How many worker processes there may be."""
        return self._workers

    def load(self) -> Sequence[float]:
        """Expected seconds of work held by each place."""
        return [0.0 if worker is None else worker.load_s for worker in self._places[: self._workers]]

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Hand orders to the worker at this place; `expected_s` is for all of them together."""
        former = self._places[worker]
        if former is not None and not former.held and former.has_done_its_shift(SHIFT_S, SHIFT_BYTES):
            self._dismiss(former)
        chosen = self._places[worker] or self._hire(worker)
        is_flow = worker >= self._workers and not chosen.held and bool(orders)
        if is_flow:
            chosen.flow = _key(orders[0])
        chosen.hand(orders, expected_s)
        self._watch(chosen)
        if is_flow and not any(self._places[: self._workers]):
            self._hire(0)  # what the flow is about to call need not wait for a process to start

    def free_for_flows(self) -> Sequence[int]:
        """The places for flows that hold nothing, those with a warm worker first."""
        places = range(self._workers, len(self._places))
        free = [place for place in places if (worker := self._places[place]) is None or not worker.held]
        return sorted(free, key=lambda place: self._places[place] is None)

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """The place that holds this order."""
        key = run, step, token
        return next((place for place, worker in enumerate(self._places) if worker is not None and key in worker.held), None)

    def answer(self, answers: Sequence[Answers]) -> None:
        """Send each flow its answers; for one that is not held there are none."""
        flows = {worker.flow: worker for worker in self._busy() if worker.flow is not None}
        for each in answers:
            if (worker := flows.get((each.run, each.step, each.token))) is not None:
                worker.send(answers_frame(each))
                self._watch(worker)

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
            rung = self._listen(min(wait_s, self._retire()))
            wait_s = until - time.monotonic()
            if self._ready or rung or wait_s <= 0:
                reports, self._ready = self._ready, []
                return reports

    def fileno(self) -> int:
        """Can be read when there is something for `poll` to take in."""
        return self._selector.fileno()

    def wake(self) -> None:
        """Make `poll` return now."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let idle workers clean up, stop the others, and wait until no process is left."""
        if self._is_closed or os.getpid() != self._owner:
            return
        self._is_closed = True
        for worker in filter(None, self._places):
            if worker.held:
                self._stop(worker)
            else:
                worker.send(frame(Frame.QUIT))
        until = time.monotonic() + CLOSE_S
        with contextlib.suppress(Unreachable):
            while self._crew() and self._link is not None and (wait_s := until - time.monotonic()) > 0:
                self._listen(wait_s)
        if self._link is not None:
            self._link.close()
        for worker in self._crew():
            self._release(worker)
            worker.close()
        remove_session(Path(self._settings.logs) / self._settings.session)
        self._selector.close()
        os.close(self._bell)

    # -- workers --

    def _crew(self) -> list[Worker]:
        return [*filter(None, self._places), *self._leaving]

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._places if worker is not None and worker.held]

    def _retire(self) -> float:
        """Let workers for flows go that have nothing to do: all but one at once, that one later. Seconds until then."""
        idle = [worker for worker in self._places[self._workers :] if worker is not None and not worker.held]
        now = time.monotonic()
        idle.sort(key=lambda worker: worker.idle_since)
        while idle and (len(idle) > 1 or now - idle[0].idle_since >= RETIRE_S):
            self._dismiss(idle.pop(0))
        return idle[0].idle_since + RETIRE_S - now if idle else float("inf")

    def _dismiss(self, worker: Worker) -> None:
        """Let an idle worker end."""
        self._places[self._places.index(worker)] = None
        self._leaving.append(worker)
        worker.send(frame(Frame.QUIT))
        self._watch(worker)

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
        if worker in self._leaving:
            self._leaving.remove(worker)
        else:
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
            elif key.data in self._places or key.data in self._leaving:  # its end may have been heard in this very round
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
            if isinstance(report, Begun) and worker.is_unwanted(report):
                self._stop(worker)
        self._ready += reports
        if reports and not worker.held:
            worker.idle_since = time.monotonic()
        if not worker.is_open:  # it is dying, or its code closed the pipe: the nursery will tell when all is gone
            self._selector.unregister(worker.socket)
            self._ask_end(worker)

    def _hear_nursery(self) -> None:
        assert self._link is not None
        events, is_there = self._link.receive()
        trouble: Unreachable | None = None
        for event, number, value, text in events:
            worker = next((each for each in self._crew() if each.number == number), None)
            if event == "broken":
                self._lose_nursery()
                self._give_up(Unreachable("worker-start", "no worker can be started", why=text, next="legato check"))
                return
            if event == "barred":
                for each in [each for each in self._crew() if each.number <= number]:
                    self._bury(each, None)
                trouble = workers_left(self._settings.lock)
            elif worker is None:
                self._hear_host(event)
            elif event == "spawned":
                worker.pid = value
            elif event == "failed":
                self._bury(worker, None)
                self._count_stillborn(worker, text)
            else:
                why = worker.tail()
                self._bury(worker, value)
                self._count_stillborn(worker, why)
        if not is_there:
            self._lose_nursery()
        if trouble is not None:
            raise trouble

    def _count_stillborn(self, worker: Worker, why: str) -> None:
        """Several workers in a row that died before they reported anything: something is wrong with all of them."""
        if worker.has_worked or worker.stopping or self._is_closed:
            self._stillborn = 0
            return
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            self._stillborn = 0
            self._give_up(Unreachable("worker-start", "workers die before they can work", why=why, next="legato doctor"))

    def _give_up(self, trouble: Unreachable) -> None:
        """No worker can do anything."""
        raise trouble

    def _hear_host(self, event: Event) -> None:
        """What is said of no worker: nothing, but by a code host."""

    # -- the nursery --

    def _connect(self, fork: bool) -> Link:
        link = self._open_link(fork)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        return link

    def _open_link(self, fork: bool) -> Link:
        return Link(self._preload, self._settings, fork=fork)

    def _drop_link(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link.socket)
            self._link.close()
            self._link = None

    def _lose_nursery(self) -> None:
        """The nursery is gone, and its workers with it: report what they held. The next order starts another nursery."""
        self._drop_link()
        for worker in self._crew():
            if worker.pid:
                await_end(worker.pid)
            self._bury(worker, None)


def _can_fork(preload: Preload) -> bool:
    return preload.kit is not None and (not preload.loader or not fork_hazard())


def _key(order: Order) -> Key:
    return order.run, order.step, order.token
