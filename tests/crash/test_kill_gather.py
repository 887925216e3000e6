"""kill -9 while tasks that were gathered finish in random order: no result is mixed up, and nothing on record runs again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from processes import kill_all, tree_of, wait_until_gone
from records import newest

COUNT = 30
PIPELINE = '''
import asyncio, os, random, time
import legato as lg

def witness(*words):
    """One line, written at once: nobody's memory but the disk's."""
    with open(os.environ["WITNESS"], "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\\n").encode())

@lg.task
async def double(number: int) -> int:
    witness("double", number)
    await asyncio.sleep(random.random() * 0.03)
    return 2 * number

@lg.task
def add(doubled: int, number: int) -> int:
    witness("add", number)
    time.sleep(random.random() * 0.03)
    return doubled + number

async def triple(number: int) -> list[int]:
    doubled = double.submit(number) if number % 3 == 0 else await double(number)
    return [number, await add.submit(doubled, number)]

@lg.task
def keep(found: list[list[int]]) -> list[list[int]]:
    return found

@lg.flow
async def race(count: int) -> list[list[int]]:
    found = await asyncio.gather(*(triple(number) for number in random.sample(range(count), count)))
    return await keep.submit(sorted(found))
'''


def play(folder: Path, seed: int) -> None:
    """A run that is killed up to three times, one process or all of them, and resumed until it ends."""
    chance = random.Random(seed)
    folder.mkdir(exist_ok=True)
    (folder / "legato.toml").write_text('name = "kill"\nmodules = ["pipeline"]\nworkers = 2\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    witness, on_record = folder / "witness.txt", set[str]()
    env = {**os.environ, "WITNESS": str(witness)}
    legato = [sys.executable, "-m", "legato", "-C", str(folder)]
    command = ["run", "race", "--count", str(COUNT)]
    for deadly in [True] * chance.randint(1, 3) + [False]:
        seen = len(lines(witness))
        process = subprocess.Popen([*legato, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        tree = [process.pid]
        if deadly:
            time.sleep(chance.uniform(0.2, 0.9))
            tree = tree_of(process.pid)
            kill_all(tree if chance.random() < 0.5 else [chance.choice(tree)])
        _, said = process.communicate(timeout=60)
        assert process.returncode in ((0, -signal.SIGKILL) if deadly else (0,)), f"seed {seed}: {said.decode()}"
        wait_until_gone(pid for pid in tree if pid != process.pid)
        assert not on_record.intersection(lines(witness)[seen:]), f"seed {seed}: on record, and run again"
        state, done = newest(folder)
        if state is not None:
            command = ["resume"]
            on_record = {calls(state, index) for index in done}
            if state.ended is not None:
                break
    check(folder, seed)


def check(folder: Path, seed: int) -> None:
    """Each call is on record once, and in the end each number stands for itself."""
    state, done = newest(folder)
    assert state is not None
    assert (state.ended, set(done.values())) == ("succeeded", {1}), f"seed {seed}"
    assert len(done) == 2 * COUNT + 2, f"seed {seed}: a call was made twice under two names"
    (kept,) = [index for index in done if state.plan.steps[index].node == "keep"]
    assert msgspec.msgpack.decode(state.values[kept]) == [[number, 3 * number] for number in range(COUNT)], f"seed {seed}"


def calls(state, index: int) -> str:
    """A step on record as the witness would name it."""
    node = state.plan.steps[index].node
    divisor = {"double": 2, "add": 3}.get(node)
    return f"{node} {msgspec.msgpack.decode(state.values[index]) // divisor}" if divisor else node


def lines(witness: Path) -> list[str]:
    """What the witness has written."""
    return witness.read_text().splitlines() if witness.exists() else []


@pytest.mark.parametrize("seed", range(2))
def test_gathered_results_survive_kills(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed)


@pytest.mark.long
def test_gathered_results_survive_many_kills(tmp_path: Path) -> None:
    for seed in range(100, 115):
        play(tmp_path / str(seed), seed)
