"""Numbers for whoever watches the service from outside: what it does, how much, and how it is. Their cost follows what is new."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal

from msgspec import Struct

from legato.kernel import events as ev
from legato.ports.store import Holder, Store

_PAGE, _MOST_READ = 2_000, 20_000
"""How many events are read at once, and in one call: of a longer backlog the rest follows with the next."""
_MOST_COUNTED = 1_000
"""What would be more than this is said to be this much: nobody needs the exact number of things that wait."""

Labels = tuple[tuple[str, str], ...]


class Family(Struct, frozen=True):
    """Numbers of one name: each with what tells it from the others."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Labels, float]]


class Meter:
    """Counts what the runs record, from when it was made: to read it again costs what was recorded since."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._after: int | None = None
        self._counts: Counter[tuple[str, Labels]] = Counter()

    def read(self, store: Store) -> list[Family]:
        """The counters by now."""
        with self._lock:
            self._follow(store)
            counts = dict(self._counts)
        return [
            Family(name, "counter", help, sorted((labels, count) for (each, labels), count in counts.items() if each == name))
            for name, help in _COUNTERS.items()
        ]

    def _follow(self, store: Store) -> None:
        if self._after is None:
            self._after = store.newest_change()
        read = 0
        while read < _MOST_READ and (page := store.changes(self._after, _PAGE)):
            self._after, read = page[-1][0], read + len(page)
            for _, _, body in page:
                for name, labels, count in _counted(ev.decode(body)):
                    self._counts[name, labels] += count


_COUNTERS = {
    "legato_attempts_started_total": "Attempts that were handed out.",
    "legato_attempts_failed_total": "Attempts that failed, by what follows.",
    "legato_steps_succeeded_total": "Steps that succeeded, by whether an earlier run had made the result.",
    "legato_steps_skipped_total": "Steps that were skipped, by why.",
    "legato_runs_ended_total": "Runs that ended, by how.",
}


def _counted(event: ev.AnyEvent) -> Iterator[tuple[str, Labels, int]]:
    match event:
        case ev.AttemptsStarted():
            yield "legato_attempts_started_total", (), len(event.steps)
        case ev.AttemptFailed():
            yield "legato_attempts_failed_total", (("kind", event.error.kind), ("then", event.then)), 1
        case ev.StepSucceeded():
            yield "legato_steps_succeeded_total", (("cached", "true" if event.cached else "false"),), 1
        case ev.StepsSkipped():
            yield "legato_steps_skipped_total", (("why", event.kind),), len(event.steps)
        case ev.RunEnded():
            yield "legato_runs_ended_total", (("outcome", event.outcome),), 1


def read_nodes(store: Store, may_read: Callable[[str], bool]) -> list[Family]:
    """Since the store's beginning: what the attempts of each node took that succeeded."""
    timings = {node: found for node, found in store.timings().items() if may_read(node)}
    return [
        Family(
            "legato_node_attempts_succeeded_total", "counter", "Attempts of a node that succeeded.",
            [((("node", node),), attempts) for node, (attempts, _) in timings.items()],
        ),
        Family(
            "legato_node_seconds_total", "counter", "Seconds that attempts of a node took that succeeded.",
            [((("node", node),), seconds) for node, (_, seconds) in timings.items()],
        ),
    ]  # fmt: skip


def read_state(store: Store, may_read: Callable[[str], bool], holder: Holder | None, state: Path) -> list[Family]:
    """How everything is at the moment."""
    troubles = Counter(trouble.kind for trouble in store.troubles() if may_read(trouble.asset))
    disk = shutil.disk_usage(state)
    numbers: list[tuple[str, str, float]] = [
        ("legato_conductor_up", "Whether a process conducts runs.", float(holder is not None)),
        ("legato_runs_open", f"Runs that are open; {_MOST_COUNTED} for more.", _open_runs(store)),
        ("legato_decisions_waiting", "Decisions that fired and have no run yet.", len(store.waiting_decisions(_MOST_COUNTED))),
        ("legato_events", "The number of the last event.", store.newest_change()),
        ("legato_state_bytes", "The size of the store.", sum(_size(state / name) for name in ("state.db", "state.db-wal"))),
        ("legato_disk_free_bytes", "What is free where the state is.", disk.free),
        ("legato_disk_bytes", "The size of the disk where the state is.", disk.total),
    ]
    found = [Family(name, "gauge", help, [((), number)]) for name, help, number in numbers]
    open_ones = [((("kind", kind),), number) for kind, number in troubles.items()]
    found.append(Family("legato_troubles_open", "gauge", "Troubles that are open, by kind.", open_ones))
    return [*found, *_processes(holder)]


def _open_runs(store: Store) -> int:
    return len(store.runs(state="open", limit=_MOST_COUNTED))


def _processes(holder: Holder | None) -> Iterable[Family]:
    pids = {"web": os.getpid(), **({"conductor": holder.pid} if holder is not None and holder.pid else {})}
    memory = [((("process", name),), float(_memory_bytes(pid))) for name, pid in pids.items()]
    handles = [((("process", name),), float(_handles(pid))) for name, pid in pids.items()]
    yield Family("legato_process_memory_bytes", "gauge", "Resident memory, by process.", memory)
    yield Family("legato_process_handles", "gauge", "Open file handles, by process.", handles)


def _memory_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):  # it has just ended, or the system does not tell
        return 0


def _handles(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
