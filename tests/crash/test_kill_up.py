"""kill -9 of the processes of a service under load, one after the other and all at once: nothing is lost, nothing comes twice.

A process outside asks for runs all the while, and writes down what was acknowledged. The steps write down that they begin, to
a file that nobody else touches.
"""

from __future__ import annotations

import random
import secrets
import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from processes import kill_all, own_mb

sys.path.insert(0, str(Path(__file__).parents[1] / "surface"))

from up_site import Up, up, wait_until

from legato.kernel import events as ev
from legato.kernel.events import decode
from legato.ports.decisions import Decided
from legato.service.asks import Ping, Pong, SubmitRun, Submitted
from legato.service.guest import ask
from legato.service.request import Request
from legato.service.ticker import decision_of
from legato.stores.sqlite import SqliteStore
from legato.terms.errors import Unreachable
from legato.triggers.events import Fired

HEALTHY_S = 5.0
"""How long a service may take to be whole again, on a machine that does nothing else."""
PARTS = ("conductor", "web", "host", "worker")
PROJECT = """
import os
from pathlib import Path
import legato as lg

WITNESS = Path(__file__).parent / "witness"
DOOR = lg.Pool("door", slots=1)

@lg.asset(on=lg.every("1s", catch_up="all"))
def beat() -> int:
    return 1

@lg.task(pool=DOOR)
def work(number: int, key: str) -> int:
    with WITNESS.open("a") as file:
        file.write(f"{key} {number}\\n")
    return number

@lg.flow
def job(key: str) -> int:
    first = sum(work.map(range(3), key=key))
    lg.sleep("0.3s")
    return first + work(3, key)

@lg.task
def probe() -> int:
    return 1
"""


class Load:
    """Asks for runs until it is told to stop; what was acknowledged is written down."""

    def __init__(self, service: Up) -> None:
        self.state = service.folder / ".legato"
        self.accepted: dict[str, str] = {}
        self.fault: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._ask_on()
        except Exception as error:
            self.fault = error

    def _ask_on(self) -> None:
        while not self._stop.wait(0.15):
            key = secrets.token_hex(8)
            while not self._stop.is_set():
                try:
                    asked = SubmitRun(actor="load", request=Request("job", params={"key": key}), key=key)
                    self.accepted[key] = ask(self.state, asked, Submitted, 5.0).run
                    break
                except Unreachable:
                    time.sleep(0.02)

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stop.set()
        self._thread.join()
        assert self.fault is None, self.fault


def heal(service: Up) -> float:
    """Seconds until the service is whole: the API answers, and a run that is asked for now succeeds."""
    started, key = time.monotonic(), secrets.token_hex(8)
    state = service.folder / ".legato"
    run = ""

    def is_well() -> bool:
        nonlocal run
        try:
            if not run:
                run = ask(state, SubmitRun(actor="probe", request=Request("probe"), key=key), Submitted, 1.0).run
            store = SqliteStore(state / "state.db", read_only=True)
            try:
                found = store.run(run)
            finally:
                store.close()
            return found is not None and found.state == "succeeded" and service.get("/api/v1/health") == 200
        except Unreachable:
            return False

    wait_until(is_well, 120)
    return time.monotonic() - started


def memory_mb(service: Up) -> float:
    """What all processes of the service hold."""
    return sum(map(own_mb, service.parts().values()))


def judge(service: Up, load: Load) -> None:
    """Everything that was acknowledged became one run, and each of its steps succeeded once; each tick was decided once."""
    store = SqliteStore(service.folder / ".legato" / "state.db", read_only=True)
    witness = Counter((service.folder / "witness").read_text().split("\n"))
    try:
        runs = {run.key: run for run in store.runs(limit=100_000) if run.actor == "load"}
        assert load.accepted.keys() <= runs.keys()
        assert all(runs[key].id == run for key, run in load.accepted.items())
        assert {key: run.state for key, run in runs.items() if run.state != "succeeded"} == {}
        for key, run in runs.items():
            events = [decode(body) for _, body in store.events(run.id)]
            successes = Counter(event.step for event in events if isinstance(event, ev.StepSucceeded))
            assert set(successes.values()) == {1}, run.id
            attempts = sum(isinstance(event, ev.AttemptsStarted) for event in events)
            started = sum(witness[f"{key} {number}"] for number in range(4))
            assert 4 <= started <= 4 + attempts, "a step ran without an attempt on record"
        wait_until(lambda: sum(each.waits for each in decided_of(store)) <= 2)  # what fired a moment ago may still be planned
        judge_ticks(decided_of(store))
    finally:
        store.close()


def decided_of(store: SqliteStore) -> list[Decided]:
    return [decided for _, decided in store.decisions("beat", limit=100_000)]


def judge_ticks(decided: list[Decided]) -> None:
    """Every second was decided once, and each that fired is a run of its own."""
    fired = [each for each in decided if isinstance(decision_of(each), Fired)]
    seconds = sorted(decision_of(each).at for each in fired)
    assert len(decided) == len(fired), "with catch_up=all nothing is skipped"
    assert [later - sooner for sooner, later in pairwise(seconds)] == [1_000_000] * (len(seconds) - 1)
    runs = [each.run for each in fired if not each.waits]
    assert len(set(runs)) == len(runs)


def pids_of(service: Up, part: str) -> list[int]:
    found = service.parts()
    return [found[part]] if part in found else []


@pytest.mark.timing
def test_it_is_healthy_again_soon(tmp_path: Path) -> None:
    """After each part, and after all at once."""
    with up(tmp_path, PROJECT, "up") as service:
        heal(service)
        load, took = Load(service), list[float]()
        try:
            for parts in (*((part,) for part in PARTS), PARTS):
                pids = {part: pid for part, pid in service.parts().items() if part in parts}
                assert pids.keys() == set(parts)
                kill_all(pids.values())
                took.append(heal(service))
        finally:
            load.stop()
    assert max(took) < HEALTHY_S


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_each_process_in_turn(tmp_path: Path, seed: int) -> None:
    choose, took = random.Random(seed), list[float]()
    with up(tmp_path, PROJECT, "up") as service:
        heal(service)
        at_first, load = memory_mb(service), Load(service)
        try:
            for number in range(20):
                part = PARTS[number % 4]
                time.sleep(choose.uniform(0.05, 0.5))
                wait_until(lambda part=part: bool(pids_of(service, part)))
                kill_all(pids_of(service, part))
                took.append(heal(service))
        finally:
            load.stop()
        settle(service)
        judge(service, load)
        at_last = memory_mb(service)
        print(f"seed {seed}: {len(load.accepted)} runs, {in_words(took)}, {at_first:.0f} MB at first, {at_last:.0f} at last")
        assert median(took) < HEALTHY_S
        assert at_last < at_first * 1.3 + 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_all_at_once(tmp_path: Path, seed: int) -> None:
    choose, took = random.Random(seed), list[float]()
    with up(tmp_path, PROJECT, "up") as service:
        heal(service)
        load = Load(service)
        try:
            for _ in range(10):
                time.sleep(choose.uniform(0.1, 0.8))
                everything = service.parts()
                supervisor = everything.pop("supervisor")
                kill_all(everything.values())
                assert supervisor == service.process.pid
                took.append(heal(service))
        finally:
            load.stop()
        settle(service)
        judge(service, load)
        print(f"seed {seed}: {len(load.accepted)} runs, {in_words(took)}")
        assert median(took) < HEALTHY_S


def in_words(took: list[float]) -> str:
    """How long it was until all was well again. Other tests run beside this one, so that the longest may be anything."""
    return f"healthy after {median(took):.1f} s, {max(took):.1f} at most"


def settle(service: Up) -> None:
    """Wait until nothing that was asked for is open, and end the service."""
    state = service.folder / ".legato"

    def is_settled() -> bool:
        store = SqliteStore(state / "state.db", read_only=True)
        try:
            return not [run for run in store.runs(limit=1_000, state="open") if run.actor == "load"]
        finally:
            store.close()

    wait_until(is_settled, 180)
    assert ask(state, Ping(), Pong).workers == 1
