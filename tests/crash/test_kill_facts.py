"""kill -9 on the process tree of a flow that tells facts: each is on record once, and what it says is stored is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from processes import kill_all, tree_of, wait_until_gone

from legato.kernel.events import AnyEvent, FactsNoted, RunEnded, decode
from legato.storages.files import FileStorage
from legato.stores.sqlite import SqliteStore
from legato.terms.attempt import Image
from legato.terms.errors import NotFound
from legato.terms.fact import Markdown, Metric, Progress, Table

PIPELINE = """
import time
import legato as lg

PNG = bytes.fromhex("89504e470d0a1a0a")

@lg.task
def work(number: int) -> int:
    for done in range(5):
        lg.metric("done", done)
        time.sleep(0.005)
    return number

@lg.flow
def rounds(count: int = 6) -> int:
    for number in range(count):
        lg.metric("round", work(number), "rounds")
        lg.metric("same", 1)
        lg.table("table", [{"number": number}])
        lg.markdown("text", f"round {number}")
        lg.image("picture", PNG + bytes([number]))
        lg.progress(number + 1, count)
        lg.sleep("50ms")
    return count
"""
COUNT = 6


def _events(folder: Path) -> list[AnyEvent]:
    """The events of the only run, as they are on record."""
    try:
        store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
        found = [decode(body) for run in store.runs() for _, body in store.events(run.id)]
    except NotFound:
        return []
    store.close()
    return found


def _round(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    (folder / "legato.toml").write_text('name = "kill"\nmodules = ["pipeline"]\nworkers = 2\n')
    (folder / "pipeline.py").write_text(PIPELINE)
    legato = [sys.executable, "-m", "legato", "-C", str(folder)]
    command = ["run", "rounds"]
    for _ in range(chance.randint(1, 3)):
        process = subprocess.Popen([*legato, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.15, 0.9))
        tree = tree_of(process.pid)
        kill_all(tree if chance.random() < 0.5 else [chance.choice(tree)])
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), f"seed {seed}: {said.decode()}"
        wait_until_gone(pid for pid in tree if pid != process.pid)
        events = _events(folder)
        if events:
            command = ["resume"]
        if any(isinstance(event, RunEnded) for event in events):
            break
    else:
        finished = subprocess.run([*legato, *command], capture_output=True, text=True, timeout=120)
        assert finished.returncode == 0, f"seed {seed}: {finished.stdout}\n{finished.stderr}"
    _check(folder, seed)
    examined = subprocess.run([*legato, "doctor", "--json"], capture_output=True, text=True, timeout=120)
    findings = msgspec.json.decode(examined.stdout)["result"]["findings"]
    assert [each for each in findings if each["subject"] == "strangers"] == [], f"seed {seed}"


def _check(folder: Path, seed: int) -> None:
    told: dict[int, list[tuple[int, Any]]] = {}
    for event in _events(folder):
        if isinstance(event, FactsNoted):
            told.setdefault(event.step, []).extend((event.token, fact) for fact in event.facts)
    flow = [fact for _, fact in told.pop(0)]
    assert [fact.value for fact in flow if isinstance(fact, Metric) and fact.name == "round"] == list(range(COUNT)), (
        f"seed {seed}"
    )
    assert [fact.value for fact in flow if isinstance(fact, Metric) and fact.name == "same"] == [1] * COUNT, f"seed {seed}"
    numbers = [msgspec.msgpack.decode(fact.rows) for fact in flow if isinstance(fact, Table)]
    assert numbers == [[[number]] for number in range(COUNT)], f"seed {seed}"
    assert [fact.text for fact in flow if isinstance(fact, Markdown)] == [f"round {number}" for number in range(COUNT)]
    assert [fact.done for fact in flow if isinstance(fact, Progress)][-1] == COUNT, f"seed {seed}"
    images = [fact for fact in flow if isinstance(fact, Image)]
    storage = FileStorage(folder / ".legato" / "data")
    assert [storage.load((image.kept,), Path).read_bytes()[-1] for image in images] == list(range(COUNT)), f"seed {seed}"
    for facts in told.values():  # those of a task: whole in its newest try, in part or whole in those that were killed
        newest = facts[-1][0]
        assert [fact.value for token, fact in facts if token == newest] == list(range(5)), f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_flow_tells_everything_once(tmp_path: Path, seed: int) -> None:
    _round(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_rounds(tmp_path: Path, block: int) -> None:
    for seed in range(3000 + block * 10, 3010 + block * 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        _round(folder, seed)
