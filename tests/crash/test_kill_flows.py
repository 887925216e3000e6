"""kill -9 on the process tree of a flow that calls, maps, catches, sleeps and publishes: same result, each version is made of the
one before it, and nothing on record runs again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from processes import kill_all, tree_of, wait_until_gone
from records import newest

import legato as lg
from legato.kernel.state import RunState

PIPELINE = '''
import os, time
import legato as lg

def witness(*words):
    """One line, written at once: nobody's memory but the disk's."""
    with open(os.environ["WITNESS"], "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\\n").encode())

@lg.task
def fetch(count: int) -> list[int]:
    witness("fetch", count)
    return list(range(count))

@lg.task(retries=lg.Retry(2, delay_s=0.02))
def enrich(lead: int) -> int:
    witness("enrich", lead)
    time.sleep(0.01)
    return lead * 10

@lg.task
def refuse() -> None:
    raise ValueError("no")

@lg.task
def poll(what: str) -> int:
    witness("poll", what)
    return 1

@lg.asset(deps={"before": lg.previous})
def ledger(entry: int, before: list[int] | None) -> list[int]:
    time.sleep(0.01)
    return [*(before or []), entry]

@lg.flow
def polls(times: int) -> int:
    return sum(poll("same") for _ in range(times))

@lg.task
def total(values: list[int], polled: int) -> int:
    witness("total", len(values))
    return sum(values) + polled

@lg.flow
def leads(count: int = 15) -> int:
    found = enrich.map(fetch(count))
    try:
        refuse()
    except ValueError:
        found = [*found, 1]
    for entry in range(4):
        ledger.materialize(entry=entry)
    lg.sleep("200ms")
    ledger.materialize(entry=4)
    return total(found, polls(5))
'''
RESULT = sum(10 * lead for lead in range(15)) + 1 + 5


def _seen(state: RunState, done: Counter[int]) -> set[str]:
    """The steps on record, as the witness would name them (polls are all alike, so they are counted elsewhere)."""
    values = {"fetch": lambda index: 15, "enrich": lambda index: msgspec.msgpack.decode(state.values[index]) // 10}
    named = [(state.plan.steps[index].node, index) for index in done]
    return {f"{node} {values[node](index)}" for node, index in named if node in values}


def _round(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    (folder / "legato.toml").write_text('name = "kill"\nmodules = ["pipeline"]\nworkers = 2\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    env = {**os.environ, "WITNESS": str(folder / "witness.txt")}
    legato = [sys.executable, "-m", "legato", "-C", str(folder)]
    command = ["run", "leads"]
    for _ in range(chance.randint(1, 3)):
        process = subprocess.Popen([*legato, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.15, 0.8))
        tree = tree_of(process.pid)
        kill_all(tree if chance.random() < 0.5 else [chance.choice(tree)])
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), f"seed {seed}: {said.decode()}"
        wait_until_gone(pid for pid in tree if pid != process.pid)
        state, _ = newest(folder)
        if state is not None:
            command = ["resume"]
            if state.ended is not None:
                break
    _finish(folder, [*legato, *command], env, seed)


def _finish(folder: Path, command: list[str], env: dict[str, str], seed: int) -> None:
    state, done = newest(folder)
    witness = folder / "witness.txt"
    before = len(witness.read_text().splitlines()) if witness.exists() else 0
    if state is None or state.ended is None:
        finished = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert finished.returncode == 0, f"seed {seed}: {finished.stdout}\n{finished.stderr}"
    after = witness.read_text().splitlines()[before:]
    ended, counts = newest(folder)
    assert ended is not None
    assert ended.ended == "succeeded", f"seed {seed}"
    assert set(counts.values()) == {1}, f"seed {seed}: on record twice"
    nodes = Counter(ended.plan.steps[index].node for index in counts)
    expected = {"fetch": 1, "enrich": 15, "poll": 5, "polls": 1, "total": 1, "leads": 1, "ledger": 5}
    assert nodes == expected, f"seed {seed}: {nodes}"
    assert lg.load("ledger", project=folder) == [0, 1, 2, 3, 4], f"seed {seed}: a version was made of the wrong one"
    (top,) = [index for index in counts if ended.plan.steps[index].node == "total"]
    assert msgspec.msgpack.decode(ended.values[top]) == RESULT, f"seed {seed}"
    again = set(after) & _seen(state, done) if state is not None else set()
    assert not again, f"seed {seed}: on record, and run again: {again}"


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_flow_ends_as_an_undisturbed_one(tmp_path: Path, seed: int) -> None:
    _round(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_rounds(tmp_path: Path, block: int) -> None:
    for seed in range(2000 + block * 10, 2010 + block * 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        _round(folder, seed)
