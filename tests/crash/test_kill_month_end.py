"""kill -9 on the month-end close at random moments: while it posts, while it waits for finance, while it takes everything back.

The ledger is the witness: it stands outside, sees every request, and pulls the plug at some of them, before or after it has
done what was asked. Other plugs are pulled when so many events are on record, while finance is being asked, or at any time.
Seeds are printed, with how often each phase was hit.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from processes import kill_all, tree_of, wait_until_gone

from legato.kernel import events as ev
from legato.kernel.state import HELD, RunState
from legato.runtime.clock import SystemClock
from legato.runtime.replay import read_state
from legato.service.inbox import Inbox, Resolution
from legato.stores.sqlite import SqliteStore
from legato.terms.codec import pack
from legato.terms.errors import NotFound

EXAMPLE = Path(__file__).parents[2] / "examples" / "month_end"
MOST_LOST = 2
"""How often a worker alone is killed in one round: a step that loses its worker more often than that fails."""


def _load(name: str) -> Any:
    """A module of the example, under a name that no other example's module has."""
    spec = spec_from_file_location(f"month_end_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


server, flows = _load("server"), _load("flows")


class Ledger(server.Ledger):
    """Sees every request. At the one that `at` counts down to it pulls the plug: before that is done, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.at, self.before, self.victims = 0, False, list[int]
        self.pulled = Event()

    def answer(self, method: str, path: str, body: object) -> tuple[int, object]:
        self.seen.append(f"{method} {path}")
        self.at -= 1
        is_due = self.at == 0
        if is_due and self.before:
            self._pull()
        answer = super().answer(method, path, body)
        if is_due and not self.before:
            self._pull()
        return answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked was killed before it had its answer: that is what this is about."""

    def _pull(self) -> None:
        kill_all(self.victims())
        self.pulled.set()


class Round:
    """One month, closed through all kills; `refused` says what finance answers."""

    def __init__(self, folder: Path, ledger: Ledger, seed: int) -> None:
        self.folder, self.ledger, self.seed = folder, ledger, seed
        self.chance = random.Random(seed)
        self.month = f"{2000 + seed}-03"
        self.refused = self.chance.random() < 0.5
        self.kills, self.lost, self.first = 0, 0, len(ledger.seen)
        self.phases: Counter[str] = Counter()
        self.answered = False
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".legato", "__pycache__"))
        self.env = {**os.environ, "LEDGER_URL": ledger.url}

    def play(self, most: int) -> None:
        """So many kills or fewer, then an undisturbed end."""
        while self.kills < most and not self._is_over():
            self._live(self._start())
        state = self._state()
        while state is None or state.ended is None:
            process, until = self._start(), time.monotonic() + 60
            while process.poll() is None:
                self._answer()
                time.sleep(0.01)
                if time.monotonic() > until:
                    kill_all(tree_of(process.pid))
            _, said = process.communicate()
            assert process.returncode in (0, 1), f"{self}: exit {process.returncode}: {said.decode()}"
            state = self._state()
        self._check(state)

    # -- one life --

    def _start(self) -> subprocess.Popen[bytes]:
        words = ["run", "close_month", "--month", self.month] if self._state() is None else ["resume"]
        command = [sys.executable, "-m", "legato", "-C", str(self.folder), *words, "--workers", "1"]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def _live(self, process: subprocess.Popen[bytes]) -> None:
        """Let it run until a plug is pulled; what is on record then stays as it is."""
        chance, ledger = self.chance, self.ledger
        ledger.pulled.clear()
        ledger.victims = lambda: self._victims(process.pid)
        ledger.before = chance.random() < 0.5
        ledger.at = chance.randint(1, 6) if chance.random() < 0.5 else 0
        self._wait_for_its_moment(process)
        ledger.at = 0
        self.kills += ledger.pulled.is_set()
        tree = tree_of(process.pid)
        if process.poll() is None:
            kill_all(tree)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, 1, -signal.SIGKILL), f"{self}: {said.decode()}"
        self.kills += process.returncode == -signal.SIGKILL and not ledger.pulled.is_set()
        wait_until_gone(pid for pid in tree if pid != process.pid)
        self._take_stock()

    def _wait_for_its_moment(self, process: subprocess.Popen[bytes]) -> None:
        """Until the ledger pulls the plug, so many events are on record, finance is asked, or (rarely) some time has passed."""
        chance, ledger = self.chance, self.ledger
        until = time.monotonic() + (chance.uniform(0.0, 0.5) if chance.random() < 0.15 else 30.0)
        most = len(self._read()[1]) + chance.randint(1, 30)
        asked = self.answered or chance.random() < 0.4
        while time.monotonic() < until and process.poll() is None and not ledger.pulled.is_set():
            state, events = self._read()
            if len(events) >= most and not ledger.at > 0:
                break
            if state is not None and HELD in state.status and not self.answered:
                if not asked:
                    break
                self._answer()
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.01))

    def _victims(self, pid: int) -> list[int]:
        """The whole tree, or its root alone, or one of the others while the round may lose one."""
        tree = tree_of(pid)
        roll = self.chance.random()
        if roll < 0.2 and len(tree) > 1 and self.lost < MOST_LOST:
            self.lost += 1
            return [self.chance.choice(tree[1:])]
        return tree if roll < 0.7 else tree[:1]

    def _answer(self) -> None:
        """Finance answers, once, as soon as it is asked."""
        state = None if self.answered else self._state()
        if state is None or state.ended is not None:
            return
        for step, code in enumerate(state.status):
            if code == HELD:
                inbox = Inbox(self.folder / ".legato" / "inbox")
                said = Resolution(
                    state.run_id, step, pack(not self.refused), "ann", SystemClock().now(), reason="as the seed says"
                )
                inbox.leave(said, SystemClock())
                self.answered = True

    # -- what is on record --

    def _state(self) -> RunState | None:
        return self._read()[0]

    def _read(self) -> tuple[RunState | None, list[ev.AnyEvent]]:
        store = SqliteStore(self.folder / ".legato" / "state.db", read_only=True)
        try:
            runs = store.runs(limit=1)
            return (
                (read_state(store, runs[0].id), [ev.decode(body) for _, body in store.events(runs[0].id)]) if runs else (None, [])
            )
        except NotFound:
            return None, []
        finally:
            store.close()

    def _is_over(self) -> bool:
        state = self._state()
        return state is not None and state.ended is not None

    def _take_stock(self) -> None:
        """Nothing that was on record when a former life ended was done again in this one."""
        state, events = self._read()
        since, self.first = self.ledger.seen[self.first :], len(self.ledger.seen)
        again = set(since) & self._forbidden
        assert not again, f"{self}: on record, and done again: {again}"
        self.phases[_phase(state)] += 1
        if state is not None:
            done = {event.step for event in events if isinstance(event, ev.StepSucceeded)}
            undone = {event.step for event in events if isinstance(event, ev.StepUndone)}
            self._forbidden = {self._request(state, step) for step in done} | {self._undo(state, step) for step in undone}

    _forbidden: set[str] = set()

    def _request(self, state: RunState, step: int) -> str:
        """What a step asks of the ledger."""
        called = [index for index, each in enumerate(state.plan.steps) if each.node == state.plan.steps[step].node]
        entity = flows.ENTITIES[called.index(step) % len(flows.ENTITIES)]
        paths = {
            "collect": f"GET books/{entity}/{self.month}",
            "post": f"PUT journals/{entity}/{state.run_id}:{step}",
            "publish": f"PUT published/{self.month}",
        }
        return paths.get(state.plan.steps[step].node, "")

    def _undo(self, state: RunState, step: int) -> str:
        return self._request(state, step).replace("PUT", "DELETE")

    # -- the end --

    def _check(self, state: RunState) -> None:
        self._take_stock()
        _, events = self._read()
        self._check_order(events)
        journals = {
            path.split("/")[1]: self.ledger.records[path] for path in self.ledger.under("journals") if self._is_mine(path)
        }
        published = f"published/{self.month}" in self.ledger.records
        if self.refused:
            assert (state.ended, journals, published) == ("rolled_back", {}, False), f"{self}: {state.ended}, {journals}"
            return
        corrections = flows.reconcile(server.books(self.month))
        expected = {entity: {"month": self.month, "cents": cents} for entity, cents in corrections.items()}
        assert (state.ended, journals, published) == ("succeeded", expected, True), f"{self}: {state.ended}, {journals}"

    def _is_mine(self, path: str) -> bool:
        return self.ledger.records[path]["month"] == self.month

    def _check_order(self, events: list[ev.AnyEvent]) -> None:
        """Each step succeeds once and is undone once, the last first; nothing is handed out again after that."""
        done: list[int] = []
        undone: list[int] = []
        for event in events:
            if isinstance(event, ev.AttemptsStarted):
                over = undone if event.mode == "undo" else done
                assert not set(event.steps) & set(over), f"{self}: handed out again: {event}"
            elif isinstance(event, ev.StepSucceeded):
                done.append(event.step)
            elif isinstance(event, ev.StepUndone):
                undone.append(event.step)
        assert len(set(done)) == len(done), f"{self}: {done}"
        waits = {step for event in events if isinstance(event, ev.WaitEnded) for step in [event.step]}
        assert [step for step in undone if step not in waits] == (done[::-1] if self.refused else []), f"{self}: {done}, {undone}"

    def __str__(self) -> str:
        return f"seed {self.seed} ({'refused' if self.refused else 'approved'}, {self.kills} kills)"


def _phase(state: RunState | None) -> str:
    if state is None:
        return "before it was accepted"
    if state.ended is not None:
        return "after its end"
    if state.rolling:
        return "rolling back"
    if HELD in state.status:
        return "waiting for finance"
    nodes = {state.plan.steps[step].node for step in range(state.planned, len(state.status))}
    return "publishing" if "publish" in nodes else "posting" if "post" in nodes else "collecting"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as served:
        yield served


def _play(tmp_path: Path, ledger: Ledger, seeds: Iterator[int], kills: int) -> None:
    """Rounds until so many plugs were pulled."""
    pulled = 0
    phases: Counter[str] = Counter()
    while pulled < kills:
        seed = next(seeds)
        played = Round(tmp_path / str(seed), ledger, seed)
        try:
            played.play(most=random.Random(seed).randint(2, 6))
        except BaseException:
            print(f"{played}: {dict(played.phases)}")
            raise
        pulled += played.kills
        phases += played.phases
    print(f"{pulled} kills, the last seed is {seed}: {dict(phases)}")


@pytest.mark.parametrize("first", [0])
def test_a_killed_close_ends_as_an_undisturbed_one(tmp_path: Path, ledger: Ledger, first: int) -> None:
    _play(tmp_path, ledger, iter(range(first, first + 100)), kills=4)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_three_hundred_kills(tmp_path: Path, ledger: Ledger, block: int) -> None:
    _play(tmp_path, ledger, iter(range(1000 + 100 * block, 1100 + 100 * block)), kills=30)
