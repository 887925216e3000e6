"""Workers of a project whose code this process has never seen: a code host loads it and tells what it declares."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from legato.declare.manuscript import Manuscript
from legato.declare.snapshot import Snapshot, decode
from legato.executors.nursery import Link
from legato.executors.process import ProcessExecutor
from legato.terms.attempt import Order, Returned
from legato.terms.codec import unpack
from legato.terms.errors import Fault, InvalidProject, Unreachable
from legato.worker import kin
from legato.worker.capture import remove_empty
from legato.worker.host import GRACE_S, LOG
from legato.worker.lock import WorkersLock
from legato.worker.nursery import Event
from legato.worker.preload import Preload

LOAD_LIMIT_S = 60.0
"""How long a project may take to load."""
_faults = msgspec.msgpack.Decoder(list[Fault])


class HostedExecutor(ProcessExecutor):
    """A `ProcessExecutor` whose workers are forked from a code host: a fresh interpreter that loads the project.

    It has no place for an order before its snapshot is there. When its host is gone, so is the code: it takes no more orders
    (`is_lost`), ends those it held, and another executor has to load the project as it is then.

    `lock`, held, is the workers' lock of the project: all hosts of a conductor share it. Nothing here waits for user code.
    """

    def __init__(  # noqa: PLR0913 - options by keyword
        self, preload: Preload, workers: int, logs: Path, *, root: Path, session: str = "", log_limit_bytes: int = 16 * 2**20,
        flows: int | None = None, lock: WorkersLock | None = None, load_limit_s: float = LOAD_LIMIT_S,
    ) -> None:  # fmt: skip
        self._root, self._workers_lock, self._limit_s = root, lock, load_limit_s
        self._since = time.monotonic()
        self._snapshot: Snapshot | None = None
        self.manuscript: Manuscript | None = None
        """The code that was loaded, once the snapshot is there."""
        self._found: list[Fault] | None = None
        self.is_lost = False
        self.trouble: Unreachable | None = None
        """Why no worker could be started, if that is why it is lost."""
        path = Path(lock.path) if lock is not None else None
        super().__init__(
            preload, workers, logs, session=session, log_limit_bytes=log_limit_bytes, fork=False, flows=flows, lock=path,
        )  # fmt: skip

    def snapshot(self) -> Snapshot | None:
        """What the project declares; None while it is being loaded. `InvalidProject` has all that is wrong with it."""
        if self._snapshot is None and not self.is_lost and self._found is None:
            self.poll(0.0)
        if self._found is not None:
            raise InvalidProject(self._found)
        return self._snapshot

    def load(self) -> Sequence[float]:
        """Expected seconds of work held by each place; no place before the snapshot is there."""
        return super().load() if self._can_work() else ()

    def free_for_flows(self) -> Sequence[int]:
        """The places for flows that hold nothing."""
        return super().free_for_flows() if self._can_work() else ()

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Hand orders to the worker at this place; without a host they come back."""
        if self._can_work():
            super().start(orders, worker, expected_s)
        else:
            self._ready += [Returned(order.run, order.step, order.token) for order in orders]

    def close(self) -> None:
        """Let idle workers clean up, stop the others, and wait until no process is left."""
        super().close()
        remove_empty(self._log)

    @property
    def _log(self) -> Path:
        return Path(self._settings.logs) / self._settings.session / LOG

    def _can_work(self) -> bool:
        return self._snapshot is not None and not self.is_lost

    def _open_link(self, fork: bool) -> Link:
        descriptors = self._workers_lock.descriptors if self._workers_lock is not None else ()
        more = {"root": str(self._root), "limit_s": self._limit_s, "lock": next(iter(descriptors), -1)}
        return Link(self._preload, self._settings, hosting=(more, descriptors))

    def _listen(self, timeout_s: float) -> bool:
        overdue_s = self._since + self._limit_s + GRACE_S - time.monotonic()
        loads = self._snapshot is None and self._found is None and self._link is not None
        if loads and overdue_s <= 0:
            what = f"the project was still being loaded after {self._limit_s:g} s, and could not be stopped"
            self._found = [Fault("code-slow", what, None, self._tail())]
            self._lose_nursery()
        return super()._listen(min(timeout_s, max(0.0, overdue_s)) if loads else timeout_s)

    def _hear_host(self, event: Event) -> None:
        assert self._link is not None
        if event == "loaded":
            body, self.manuscript = unpack(self._link.told, tuple[bytes, Manuscript | None])
            self._snapshot, self._link.told = decode(body), b""
        elif event == "faulty":
            self._found = _faults.decode(self._link.told)

    def _give_up(self, trouble: Unreachable) -> None:
        """A service goes on without these workers: whoever opened them sees to others."""
        self.trouble = trouble
        if not self.is_lost:
            self._lose_nursery()

    def _lose_nursery(self) -> None:
        self.is_lost = True
        link = self._link
        if link is not None:
            kin.kill_group(link.pid)
        super()._lose_nursery()
        if self._snapshot is None and self._found is None and link is not None:
            how = kin.say_status(link.status) if link.status is not None else "is gone"
            self._found = [Fault("code-died", f"the process that loads the project {how}", None, self._tail())]

    def _tail(self) -> str:
        """What the load printed last."""
        try:
            tail = self._log.read_bytes()[-4000:].decode(errors="replace").strip()
        except OSError:
            tail = ""
        return tail or "it printed nothing"
