"""A service in this process: a conductor that turns in a thread of its own, with a desk at which anybody may ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli_site import PIPELINE, make_project

from legato.service.asks import ASKS
from legato.service.attending import Attendant
from legato.service.desk import Desk
from legato.service.planning import Planner
from legato.service.running import session
from legato.service.workspace import Workspace
from legato.wiring.code import open_workspace
from legato.wiring.service import open_service


class Service:
    """A running service; `workspace` is its project."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._conduct, name="conductor")

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(60)
        self._raise()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self._raise()

    def _raise(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _conduct(self) -> None:
        try:
            with session(self.workspace, "a test") as opened:
                conductor = opened.conductor(Planner(self.workspace, opened.store))
                desk = Desk(self.workspace.state, opened.executor.wake, ASKS)
                conductor.on_turn = Attendant(desk, conductor, lambda: self.workspace).attend
                self._ready.set()
                try:
                    while not self._stop.is_set():
                        conductor.turn()
                finally:
                    desk.close()
        except BaseException as error:
            self._fault = error
        finally:
            self._ready.set()


class Triggered(Service):
    """A running service as `legato up` has it: triggers fire too."""

    def _conduct(self) -> None:
        try:
            with open_service(self.workspace.root, "a test", lambda words: None, workers=1) as service:
                self._ready.set()
                service.run(self._stop.is_set)
        except BaseException as error:
            self._fault = error
        finally:
            self._ready.set()


@contextmanager
def serving(folder: Path, pipeline: str = PIPELINE, kind: type[Service] = Service) -> Iterator[Service]:
    """The service of the shop's project in a folder."""
    service = kind(open_workspace(make_project(folder, pipeline)))
    service.start()
    try:
        yield service
    finally:
        service.stop()
