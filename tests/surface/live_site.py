"""A project whose code changes while its conductor is turned by a test: real code hosts and workers, in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_site import make_project
from up_site import save

from legato.ports.store import Run, Store
from legato.runtime.conductor import Conductor
from legato.service.plans import plan_request
from legato.service.projects import last_in_force
from legato.service.reloading import Reloader
from legato.service.request import Request
from legato.service.sources import plan_when_answered
from legato.stores.sqlite import SqliteStore
from legato.terms.errors import LegatoError
from legato.wiring.service import open_reloader

CONFIG = 'name = "live"\nmodules = ["pipeline"]\nworkers = 1\n'
PIPELINE = """
import time
from pathlib import Path
import legato as lg

HERE = Path(__file__).parent
CODE = "one"

@lg.source
def feed() -> str:
    return "v1"

@lg.asset
def report(feed: str) -> str:
    return CODE + feed

@lg.flow
def long():
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return say(1), say(2)

@lg.task
def say(n: int) -> str:
    with (HERE / "said").open("a") as file:
        print(CODE, file=file)
    return CODE
"""


class Site:
    """A project, its reloader and its conductor, turned by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_project(folder, PIPELINE, CONFIG)
        self.begin()

    def begin(self) -> None:
        """What a service does before there is any code."""
        self.reloader: Reloader = open_reloader(self.folder, workers=1)
        self.conductor: Conductor | None = None
        self.store: Store | None = None

    def open(self) -> Site:
        """Conduct what is in force, once something is."""
        if self.store is None:
            self.open_store()
        self.turn_until(lambda: self.reloader.workspace is not None)
        assert self.store is not None
        self.conductor = self.reloader.conductor(self.store)
        return self

    def open_store(self) -> None:
        """Have the writer's place, and what was in force last."""
        store = self.store = SqliteStore(self.folder / ".legato" / "state.db")
        store.open_writer("a test")
        self.reloader.kept = lambda: last_in_force(store)

    def turn(self) -> None:
        if self.conductor is None:
            self.reloader.step()
            time.sleep(0.005)
        else:
            self.conductor.turn(self.reloader.patience_s)
            self.reloader.step(self.conductor)

    def turn_until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> float:
        """Seconds until the condition holds."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < timeout_s, self.reloader.faults
            self.turn()
        return time.monotonic() - started

    def submit(self, words: str, **params: Any) -> str:
        assert self.conductor is not None
        assert self.store is not None
        assert self.reloader.workspace is not None
        conductor, runs = self.conductor, []

        def refuse(error: LegatoError) -> None:
            raise error

        plan_when_answered(
            self.reloader.workspace, self.store, lambda planner: plan_request(planner, Request(words, params=params)),
            conductor.ask,
            lambda planner, plan: runs.append(conductor.accept(plan, actor="ann", extents=planner.extents)), refuse,
        )  # fmt: skip
        self.turn_until(lambda: bool(runs))
        return runs[0]

    def ended(self, run: str) -> Run:
        assert self.store is not None
        store = self.store
        self.turn_until(lambda: (found := store.run(run)) is not None and found.state != "open")
        found = store.run(run)
        assert found is not None
        return found

    def write(self, source: str) -> None:
        save(self.folder / "pipeline.py", source)

    @property
    def fingerprint(self) -> str:
        assert self.reloader.workspace is not None
        return self.reloader.workspace.project.fingerprint

    def close(self) -> None:
        self.reloader.close(self.conductor)
        if self.store is not None:
            self.store.close()
