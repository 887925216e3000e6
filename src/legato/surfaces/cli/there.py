"""Runs of a running service: asked for at its desk, and watched from here."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.store import Store
from legato.runtime.replay import follow
from legato.service.actor import actor
from legato.service.asks import Heard, Ping, Pong, ResumeRun, SubmitRun, Submitted
from legato.service.former import Code
from legato.service.guest import ask
from legato.service.request import Request
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call
from legato.surfaces.cli.view import View, answer_nothing
from legato.terms.codec import unpack
from legato.terms.errors import EXIT_INTERRUPTED, LegatoError, Unreachable, UsageError

PATIENCE_S, LOOK_EVERY_S, GONE_S = 120.0, 0.05, 10.0


def run_there(call: Call, workspace: Workspace, request: Request, *, alone: bool, code: Code = "") -> int:
    """Have the service run this, with the project as it is here, and watch it; `alone` says that other workers were asked for."""
    if alone:
        raise UsageError(
            "service-workers", "the service has workers of its own", why="a project has one conductor at a time",
            next="leave out --executor and --workers, or stop `legato up`",
        )  # fmt: skip
    asked = SubmitRun(actor=actor(), request=request, key=secrets.token_hex(16), code=code, source=_source(workspace, code))
    found = ask(workspace.state, asked, Submitted, PATIENCE_S)
    if not found.run:
        return answer_nothing(call, found.request, found.reasons)
    with _may_be_left(found.run):
        store, view = call.history(workspace), View(call, workspace)
        view.show(unpack(store.plan(found.run), Plan), found.run, store)
        return _watch(workspace, store, view, _Trail(store, found.run))


def resume_there(call: Call, workspace: Workspace, run_id: str, *, failed_only: bool = False, code: Code = "") -> int:
    """Have the service let a run go on, and watch it."""
    store, view = call.history(workspace), View(call, workspace)
    trail = _Trail(store, run_id)
    trail.read()
    wish = ResumeRun(actor=actor(), run=run_id, source=_source(workspace, code), failed_only=failed_only, code=code)
    ask(workspace.state, wish, Heard, PATIENCE_S)
    with _may_be_left(run_id):
        return _watch(workspace, store, view, trail)


def _source(workspace: Workspace, code: Code) -> str:
    """The files that the service has to have taken over before: those of now, unless it is about the code of then."""
    return "" if code == "then" or workspace.is_former else workspace.snapshot.source


@contextmanager
def _may_be_left(run_id: str) -> Iterator[None]:
    """While it is watched: whoever has enough (Ctrl-C, SIGTERM) leaves the run to the service, and is told so."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise LegatoError(
            "watch-ended", f"run {run_id} goes on in the service", why="this only ended the watching",
            next=f"legato cancel {run_id}, or legato status {run_id}", exit_code=EXIT_INTERRUPTED,
        ) from None  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(workspace: Workspace, store: Store, view: View, trail: _Trail) -> int:
    """Tell what happens until the run has ended, or stands still."""
    state, seen = trail.state, time.monotonic()
    view.begin(state, ask(workspace.state, Ping(), Pong).workers, store)
    try:
        while True:
            if events := trail.read():
                view.hear(state, events)
            if state.ended is not None or (state.paused and not state.running):
                break
            view.tick()
            now = time.monotonic()
            if workspace.find_holder() is not None:
                seen = now
            elif now - seen > GONE_S:
                raise Unreachable(
                    "service-none", f"the service has ended; run {state.run_id} is open", next=f"legato resume {state.run_id}"
                )
            time.sleep(LOOK_EVERY_S)
    finally:
        view.end()
    run = store.run(state.run_id)
    assert run is not None
    return view.answer(run, state, store)


class _Trail:
    """The state of a run that another process works on, brought up to date by `read`."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._number = store, 0
        self.state = RunState(run_id, unpack(store.plan(run_id), Plan))

    def read(self) -> list[ev.AnyEvent]:
        """What was committed since the last call; the state has it folded in."""
        found: list[ev.AnyEvent] = []
        self._number = follow(self._store, self.state, self._number, hear=found.append)
        return found
