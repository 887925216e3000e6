"""A year is filled while a service does its other work: on the real process tree, with a pause, and kill -9 of all of it."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from statistics import median

import pytest
from up_site import Up, up, wait_until

from legato.kernel.standing import Standing
from legato.ports.store import Store
from legato.wiring.code import open_workspace

SLOW_S = 3.0
PROJECT = f"""
import time
from pathlib import Path
import legato as lg

SLOW = Path(__file__).parent / "slow"
days = lg.daily("2013-01-01", end="2014-01-01")

@lg.asset(partitions=days)
def flights(day: lg.Partition) -> list[str]:
    time.sleep({SLOW_S} if SLOW.exists() else 0.01)
    return [day.key]

@lg.asset(on=lg.every("1s"))
def beat() -> list[float]:
    return [1.0]
"""


class Poll:
    """Reads the numbers of the newest backfill all the while, from beside, whatever becomes of the service."""

    def __init__(self, folder: Path) -> None:
        self._open = open_workspace(folder).open_reader
        self.seen: list[Standing] = []
        self.broken: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="poll")

    def __enter__(self) -> Poll:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _poll(self) -> None:
        store = self._open()
        while not self._over.wait(0.01):
            for run in store.backfills(limit=1):
                assert run.backfill is not None
                self._judge(run.backfill)
        store.close()

    def _judge(self, now: Standing) -> None:
        if now.requested != 365 or now.requested != now.done + now.failed + now.cancelled + now.pending:
            self.broken.append(f"{now} does not add up")
        if self.seen and now.done < self.seen[-1].done:
            self.broken.append(f"{self.seen[-1]} went back to {now}")
        if not self.seen or now != self.seen[-1]:
            self.seen.append(now)

    @property
    def done(self) -> int:
        return self.seen[-1].done if self.seen else 0


def latencies(store: Store) -> list[float]:
    """How long each run that a trigger asked for took from its acceptance to its end, oldest first."""
    found = [run for run in store.runs(limit=200) if run.actor == "trigger beat" and run.ended is not None]
    return [(run.ended - run.at) / 1e6 for run in reversed(found) if run.ended is not None]


def watch(service: Up) -> subprocess.Popen[str]:
    return service.start("backfill", "flights", "--from", "2013", stdout=subprocess.PIPE, text=True)


@pytest.mark.long
def test_a_year_is_filled_behind_other_work(tmp_path: Path) -> None:
    """The runs of a trigger keep their latency; a pause holds over a kill -9 of everything; then it goes on, and nothing is made
    twice. At every moment the four numbers add up to 365."""
    slow = tmp_path / "slow"
    slow.touch()
    with up(tmp_path, PROJECT, "up", workers=2) as service:
        store = open_workspace(tmp_path).open_reader()
        wait_until(lambda: len(latencies(store)) >= 5)
        alone = latencies(store)
        with Poll(tmp_path) as poll, watch(service) as watching:
            wait_until(lambda: poll.done >= 1)
            before = len(latencies(store))
            wait_until(lambda: len(latencies(store)) >= before + 12)
            beside = latencies(store)[before:]
            assert 1 < poll.done < 365  # each step of it lasts longer than all of a beat may
            code, said = service.call("pause", "last")
            if code:  # the last run may be a beat: then by its own name
                run = store.backfills(limit=1)[0].id
                code, said = service.call("pause", run)
            assert code == 0, said
            out = watching.communicate(timeout=60)[0]
            assert "paused" in out
            slow.unlink()
            stood = poll.done
            beats = len(latencies(store))
            wait_until(lambda: len(latencies(store)) >= beats + 2)
            assert poll.done == stood
            service.close()  # kill -9 of all processes
            store.close()
            go_on(tmp_path, poll, stood)
        assert poll.broken == []
        assert poll.seen[-1] == Standing(365, 365, 0, 0, 0)
        print(f"alone {median(alone):.3f} s, beside {median(beside):.3f} s, longest {max(beside):.3f} s, {len(poll.seen)} looks")
        assert median(beside) < median(alone) + SLOW_S / 4
        assert sorted(beside)[-2] < SLOW_S / 2


def go_on(folder: Path, poll: Poll, stood: int) -> None:
    """Another service finds the run paused, and lets it go on when it is told to."""
    with up(folder, PROJECT, "up", workers=2) as service:
        store = open_workspace(folder).open_reader()
        beats = len(latencies(store))
        wait_until(lambda: len(latencies(store)) >= beats + 2)
        (run,) = store.backfills()
        assert (run.paused, run.state, poll.done) == (True, "open", stood)
        code, said = service.call("resume", run.id)
        assert code == 0, said
        assert "365 of 365 done" in said
        assert len(store.versions("flights", limit=1_000)) == 365
        store.close()
