"""The supervisor: the process that keeps those of a service alive. It knows nothing of runs, so nothing of runs can stop it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from msgspec import Struct

from legato.terms.instant import format_seconds
from legato.worker import kin

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_STEADY_S = 2.0
"""Who has lived so long is started again at once; who dies sooner, after a pause that doubles."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


class Part(Struct, frozen=True):
    """One process of a service. It is stopped with SIGTERM, and killed with its group `patience_s` later.

    It gets the descriptors `hands` under the same numbers, each time that it is started.
    """

    name: str
    command: tuple[str, ...]
    patience_s: float = 30.0
    hands: tuple[int, ...] = ()


class _Kept:
    """A part, and its process if it has one."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.since = self.due = time.monotonic()
        self.pause_s = _FIRST_PAUSE_S

    def start(self) -> None:
        environment = {**os.environ, "LEGATO_SUPERVISOR": str(os.getpid())}
        self.process = subprocess.Popen(
            self.part.command, stdin=subprocess.DEVNULL, process_group=0, env=environment, pass_fds=self.part.hands
        )
        self.since = time.monotonic()

    def bury(self) -> str:
        """What became of the process, if it has ended since; when to start the next is noted."""
        if self.process is None or self.process.poll() is None:
            return ""
        status, lived_s = self.process.returncode, time.monotonic() - self.since
        kin.kill_group(self.process.pid)
        self.process = None
        self.pause_s = _FIRST_PAUSE_S if lived_s >= _STEADY_S else min(_LONGEST_PAUSE_S, self.pause_s * 2)
        self.due = time.monotonic() + (0.0 if lived_s >= _STEADY_S else self.pause_s)
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with code {status}"


class Supervisor:
    """Starts the parts in order, starts again what dies, and stops them in the opposite order when it is asked to end.

    A part leads a process group of its own. It gets this process's id in `LEGATO_SUPERVISOR`, to end with it
    (`end_with_supervisor`).
    """

    def __init__(self, parts: Sequence[Part], tell: Callable[[str], None]) -> None:
        self._kept = [_Kept(part) for part in parts]
        self._tell = tell
        self._asked = 0

    def run(self) -> None:
        """Keep the parts until SIGINT or SIGTERM; a second one stops them at once."""
        with self._woken() as bell:
            while not self._asked:
                self._tend()
                select.select([bell], [], [], self._pause_s())
                with suppress(BlockingIOError):
                    os.read(bell, 4096)
            for kept in reversed(self._kept):
                self._stop(kept, bell)

    def _tend(self) -> None:
        now = time.monotonic()
        for kept in self._kept:
            if words := kept.bury():
                wait_s = kept.due - now
                again = f"; started again in {format_seconds(wait_s)}" if wait_s >= _FIRST_PAUSE_S else "; started again"
                self._tell(f"{kept.part.name} {words}{again}")
            if kept.process is None and kept.due <= time.monotonic():
                kept.start()

    def _pause_s(self) -> float | None:
        dues = [kept.due for kept in self._kept if kept.process is None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _stop(self, kept: _Kept, bell: int) -> None:
        """Let the part end; kill it and its group when its time is over, or when we are asked again."""
        process, until = kept.process, time.monotonic() + kept.part.patience_s
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        while process.poll() is None and self._asked < 2 and (left_s := until - time.monotonic()) > 0:
            select.select([bell], [], [], left_s)
            with suppress(BlockingIOError):
                os.read(bell, 4096)
        if process.poll() is None:
            self._tell(f"{kept.part.name} is killed: {'asked twice' if self._asked > 1 else 'it did not end in time'}")
        kin.kill_group(process.pid)
        process.wait()

    @contextmanager
    def _woken(self) -> Iterator[int]:
        """A descriptor that becomes readable with every signal."""
        bell, rope = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        try:
            yield bell
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(bell)
            os.close(rope)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._asked += number != signal.SIGCHLD


def end_with_supervisor() -> None:
    """Have this process killed when the supervisor that started it dies; for a part, before anything else."""
    supervisor = os.environ.pop("LEGATO_SUPERVISOR", "")
    if supervisor.isdigit():
        kin.die_with(int(supervisor))
