"""kill -9 on the real process tree, at random moments: nothing acknowledged is lost, and recovery needs no repair."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import kill_all, tree_of, wait_until_gone

from legato.kernel import events as ev
from legato.plan.records import Plan
from legato.stores.sqlite import SqliteStore
from legato.terms.codec import unpack
from legato.terms.errors import NotFound

PIPELINE = '''
import os, time
import legato as lg

slices = lg.static([f"s{number:02}" for number in range(16)])
WITNESS = os.environ["WITNESS"]


def witness(*words: str) -> None:
    """One line, written at once by whoever makes an attempt: nobody's memory but the disk's."""
    with open(WITNESS, "ab", buffering=0) as file:
        file.write((" ".join(words) + "\\n").encode())


@lg.asset(partitions=slices)
def raw(part: lg.Partition) -> list:
    witness("raw", part.key)
    time.sleep(0.01)
    return [part.key, 1]


@lg.asset(partitions=slices, retries=lg.Retry(3, delay_s=0.01))
def clean(raw: list, part: lg.Partition) -> list:
    witness("clean", part.key)
    if part.key == "s07" and not os.path.exists(WITNESS + ".tried"):
        open(WITNESS + ".tried", "w").close()
        raise RuntimeError("the first try fails")
    time.sleep(0.005)
    return [*raw, 2]


@lg.task(partitions=slices)
def note(clean: list, part: lg.Partition) -> int:
    witness("note", part.key)
    return len(clean)


@lg.asset
def total(clean: dict[str, list], note: dict[str, int]) -> dict:
    witness("total", "")
    return {"rows": sum(len(rows) for rows in clean.values()), "notes": sum(note.values())}
'''


def _project(folder: Path) -> dict[str, str]:
    (folder / "legato.toml").write_text('name = "kill"\nmodules = ["pipeline"]\nworkers = 2\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    return {**os.environ, "WITNESS": str(folder / "witness.txt")}


def _recorded(folder: Path) -> Counter[tuple[str, str]]:
    """How often each step's success is on record, in the newest run."""
    store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
    try:
        run = next(iter(store.runs(limit=1)), None)
        if run is None:
            return Counter()
        steps = unpack(store.plan(run.id), Plan).steps
        events = [ev.decode(body) for _, body in store.events(run.id)]
    except NotFound:
        return Counter()
    finally:
        store.close()
    return Counter((steps[each.step].node, steps[each.step].partition) for each in events if isinstance(each, ev.StepSucceeded))


def _starts(folder: Path) -> list[tuple[str, str]]:
    try:
        lines = (folder / "witness.txt").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(node, partition) for node, _, partition in (line.partition(" ") for line in lines)]


def _round(folder: Path, seed: int) -> None:
    chance, env = random.Random(seed), _project(folder)
    legato = [sys.executable, "-m", "legato", "-C", str(folder)]
    command = "run"
    for kill in range(chance.randint(1, 3)):
        process = subprocess.Popen([*legato, command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.15, 0.9))
        tree = tree_of(process.pid)
        kill_all(tree if chance.random() < 0.5 else [chance.choice(tree)])
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), f"seed {seed}, kill {kill}: {said.decode()}"
        wait_until_gone(pid for pid in tree if pid != process.pid)
        done = _recorded(folder)
        assert all(count == 1 for count in done.values()), f"seed {seed}: recorded twice: {done}"
        command = _next_command(folder)
        if command == "run" and done:
            break
    _finish_once(folder, legato, env, done, seed)


def _next_command(folder: Path) -> str:
    """What a person would type now: `resume` if a run was left open, else `run`."""
    try:
        store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
        found = store.runs(limit=1)
        store.close()
    except NotFound:
        return "run"
    return "resume" if found and found[0].state == "open" else "run"


def _finish_once(folder: Path, legato: list[str], env: dict[str, str], done: Counter[tuple[str, str]], seed: int) -> None:
    """Let the run go on undisturbed; it ends as if nothing had happened, and nothing on record runs again."""
    before = len(_starts(folder))
    command = _next_command(folder)
    finished = subprocess.run([*legato, command], env=env, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, f"seed {seed}: {finished.stdout}\n{finished.stderr}"
    again = set(_starts(folder)[before:]) & set(done) if command == "resume" else set()
    assert not again, f"seed {seed}: on record, and run again: {again}"
    store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
    heads = store.heads(["raw", "clean", "total"])
    versions = store.versions("raw", "s03")
    states = {run.state for run in store.runs()}
    store.close()
    assert states == {"succeeded"}, f"seed {seed}: {states}"
    assert {name: len(found) for name, found in heads.items()} == {"raw": 16, "clean": 16, "total": 1}
    assert len(versions) == 1, f"seed {seed}: published {len(versions)} times"
    value = next((folder / ".legato" / "data" / "total").rglob("*.json")).read_text()
    assert "48" in value, value


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path: Path, seed: int) -> None:
    _round(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_rounds(tmp_path: Path, block: int) -> None:
    for seed in range(1000 + block * 10, 1010 + block * 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        _round(folder, seed)
