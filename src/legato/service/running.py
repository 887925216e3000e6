"""Running plans: accept, drive, resume, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.executor import Executor
from legato.ports.store import Store
from legato.runtime.conductor import Conductor, Listener
from legato.service.actor import actor
from legato.service.finding import find_run
from legato.service.folding import Folder
from legato.service.inbox import LOOK_EVERY_S, Inbox
from legato.service.keeping import Keeper, make_room
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.projects import keep_project
from legato.service.request import Request
from legato.service.resuming import Resumption, foresee
from legato.service.workspace import Workspace

Started = Callable[[Conductor, Plan, str], None]
"""Told of the run, once it is accepted and before the first attempt: a surface shows it and takes the handle to stop it."""


class Session:
    """A conductor's place, taken: workers first (they are forked), then the store, for writing."""

    def __init__(self, workspace: Workspace, command: str, listener: Listener | None) -> None:
        self.workspace = workspace
        self.executor: Executor = workspace.open_executor(f"{workspace.clock.now()}")
        try:
            self.store: Store = workspace.open_writer(command)
        except BaseException:
            self.executor.close()
            raise
        self.inbox = Inbox(workspace.inbox, look_every_s=LOOK_EVERY_S)
        self._listener = listener

    def conductor(self, planner: Planner) -> Conductor:
        """A conductor over this session's store and workers."""
        workspace = self.workspace
        conductor = Conductor(
            self.store, self.executor, workspace.clock, workspace.graph, planner.extents,
            storages=workspace.storages, listener=self._listener, observe=workspace.observe,
        )  # fmt: skip
        keep_project(self.store, workspace)
        conductor.requests = lambda: self.inbox.read(conductor.runs)
        return conductor

    def close(self) -> None:
        """Stop the workers and give the store free."""
        try:
            self.executor.close()
        finally:
            self.store.close()


@contextmanager
def session(workspace: Workspace, command: str, listener: Listener | None = None) -> Iterator[Session]:
    """Take the conductor's place while the block runs."""
    opened = Session(workspace, command, listener)
    try:
        yield opened
    finally:
        opened.close()


def run(opened: Session, request: Request, started: Started) -> tuple[Plan, RunState | None]:
    """Plan a request and, if there is something to do, run it to its end; no state if there was nothing."""
    planner = Planner(opened.workspace, opened.store)
    plan = plan_request(planner, request)
    if not plan.has_work:
        return plan, None
    conductor = opened.conductor(planner)
    run_id = conductor.accept(plan, actor=actor())
    started(conductor, plan, run_id)
    return plan, _drive(opened, conductor, run_id)


def resume(
    opened: Session, run_id: str, told: Callable[[Resumption], None], started: Callable[[Conductor, str], None], *,
    failed_only: bool = False,
) -> RunState:  # fmt: skip
    """Let a run go on: one that was interrupted or paused where it stood, one that ended with what did not succeed.

    Before anything starts, `told` hears what will be done.
    """
    planner = Planner(opened.workspace, opened.store)
    conductor = opened.conductor(planner)
    opened.inbox.forget(run_id)
    before, project = find_run(opened.store, run_id), opened.workspace.project
    state = conductor.resume(run_id, actor=actor(), failed_only=failed_only)
    told(foresee(opened.store, state, before, project, Folder(project, planner.extents)))
    started(conductor, run_id)
    return _drive(opened, conductor, run_id)


def _drive(opened: Session, conductor: Conductor, run_id: str) -> RunState:
    conductor.drive()
    opened.inbox.settle()
    if opened.store.oldest_open() is None:
        make_room(Keeper(opened.store, lambda: opened.workspace, tuple, noted=1), opened.workspace.clock.now())
    return conductor.runs[run_id].state
