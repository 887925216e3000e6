"""`legato run`, and every command that runs steps: take the conductor's place, watch the run, tell how it ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.runtime.conductor import Conductor
from legato.runtime.runs import Live
from legato.service.folding import Folder
from legato.service.readings import Warned, warned_in
from legato.service.reporting import RunReport, report_state
from legato.service.running import Session, run
from legato.service.tally import Tally
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import point_at_nothing
from legato.surfaces.cli.params import read_request, takes_params, takes_results
from legato.surfaces.cli.planning import MOST_LINES, draw_folds, draw_notes, in_reasons, totals
from legato.surfaces.cli.progress import watcher_for
from legato.surfaces.cli.stopping import Stopper
from legato.surfaces.cli.summary import draw_summary, next_commands
from legato.terms.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, LegatoError, Unreachable

LOOK_EVERY_S = 0.2

_shared: list[Callable[..., Any]] = [
    click.option("--executor", type=click.Choice(["process", "inline"]), help="Where steps run: worker processes, or this one."),
    click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="How many worker processes."),
    click.option("--no-wait", is_flag=True, help="Fail at once if another process runs steps in this project."),
]


def run_options(function: Any) -> Any:
    """The options of every command that runs steps."""
    for option in reversed(_shared):
        function = option(function)
    return function


@takes_params
@command
@click.argument("selection", nargs=-1)
@click.option("--force", is_flag=True, help="Also run what is fresh.")
@takes_results
@run_options
def run_command(
    call: Call, selection: tuple[str, ...], force: bool, executor: str | None, workers: int | None, no_wait: bool,
    **more: Any,
) -> int:  # fmt: skip
    """Run what is missing or stale, or a flow.

    SELECTION is as in `legato plan`; without it the whole project is brought up to date. A flow's parameters follow its name, as
    in `legato run new_leads --min-volume 50`; `legato show new_leads` lists them. Ctrl-C once lets what runs end, twice stops at
    once; either way `legato resume` goes on from there.

    \b
      legato run --from enrich RUN               what RUN was asked for, anew from its first call of enrich on
      legato run --from 'enrich#3' last          from the third one; what was made before is reused
      legato run new_leads --pin find_leads=RUN  with what find_leads gave in RUN
    """
    workspace = call.workspace(executor=executor, workers=workers)
    request = read_request(workspace, selection, force, **more)
    sitting = Sitting(call, workspace)
    with sitting.place(f"legato run {request.selection}".strip(), wait=not no_wait) as session:
        with sitting.watch():
            plan, state = run(session, request, sitting.begin)
        if state is None:
            return _answer_nothing(call, plan)
        return sitting.answer()


class Sitting:
    """One time at the conductor's place: from taking it to the last word on the run."""

    def __init__(self, call: Call, workspace: Workspace) -> None:
        self.call, self.workspace = call, workspace
        self._tally = Tally()
        self._watcher = watcher_for(call, workspace.clock, self._tally)
        self._stopper = Stopper()
        self._live: Live | None = None
        self._warned: list[Warned] = []
        self._began = workspace.clock.now()

    @contextmanager
    def place(self, words: str, *, wait: bool) -> Iterator[Session]:
        """The conductor's place, once it is free; `Unreachable` (`store-locked`) if it is taken and we are not to wait."""
        session = self._take(words)
        while session is None:
            if not wait:
                session = Session(self.workspace, words, self._hear)
                break
            self._wait()
            session = self._take(words)
        try:
            yield session
        except KeyboardInterrupt:
            raise self._stopped() from None
        finally:
            session.close()

    def _stopped(self) -> BaseException:
        """What to raise for a hurried stop: once a run has begun, it says how to go on."""
        if self._live is None:
            return KeyboardInterrupt()
        run_id = self._live.book.run.id
        return LegatoError(
            "interrupted", f"run {run_id} was stopped at once", why="what is recorded stays; what was under way is made again",
            next=f"legato resume {run_id}", exit_code=EXIT_INTERRUPTED,
        )  # fmt: skip

    def _take(self, words: str) -> Session | None:
        if self.workspace.find_holder() is not None:
            return None
        try:
            return Session(self.workspace, words, self._hear)
        except Unreachable as error:
            if error.code != "store-locked":
                raise
            return None

    def _wait(self) -> None:
        told = ""
        while (holder := self.workspace.find_holder()) is not None:
            if told != holder.command:
                told = holder.command
                self.call.aside.say(
                    f"waiting for process {holder.pid} (`{holder.command}`, since {holder.since}) to end; "
                    f"to stop it: kill -INT {holder.pid}"
                )
                self.call.aside.stream.flush()
            time.sleep(LOOK_EVERY_S)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Tell of what happens, and let Ctrl-C and SIGTERM stop it."""
        with self._stopper.armed():
            try:
                yield
            finally:
                if self._live is not None:
                    self._quietly(self._watcher.end)
        self._stopper.raise_if_hurried()

    def begin(self, conductor: Conductor, plan: Plan, run_id: str) -> None:
        """The run was accepted: print its plan, and watch it."""
        if not self.call.json:
            folder, screen = self._folder(conductor), self.call.screen
            draw_folds(screen, folder.plan(plan), MOST_LINES)
            screen.say(totals(plan, conductor.store.timings()))
            draw_notes(screen, plan)
            screen.say(f"run {screen.paint(run_id, 'bold')}")
        self.follow(conductor, run_id)

    def follow(self, conductor: Conductor, run_id: str) -> None:
        """Watch the run."""
        self._quietly(sys.stdout.flush)
        self._live, self._conductor = conductor.runs[run_id], conductor
        state, slots, timings = self._live.state, conductor.executor.workers(), conductor.store.timings()
        self._quietly(lambda: self._watcher.begin(state, slots, timings))
        self._stopper.serve(conductor.drain)
        conductor.on_turn = self._turn

    def _turn(self) -> None:
        self._stopper.raise_if_hurried()
        if words := self._stopper.news():
            self._quietly(lambda: self._watcher.note(words))
        self._quietly(self._watcher.tick)

    def _hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        for event in events:
            self._warned += warned_in(event)
            self._tally.hear(event)
        self._quietly(lambda: self._watcher.hear(state, events))

    def _quietly(self, tell: Callable[[], None]) -> None:
        """Tell, and let the run go on if nobody reads any more."""
        try:
            tell()
        except BrokenPipeError:
            point_at_nothing()

    def _folder(self, conductor: Conductor) -> Folder:
        return Folder(self.workspace.project, self.workspace.extents(conductor.store))

    def answer(self) -> int:
        """Tell how the run ended; the exit code."""
        assert self._live is not None
        state, row = self._live.state, self._live.book.run
        words = "interrupted" if state.ended is None else row.state
        report = report_state(self._folder(self._conductor), row, state, words, self._warned, self._tally)
        report = replace(report, seconds=(self.workspace.clock.now() - self._began) / 1e6)
        code = EXIT_INTERRUPTED if state.ended is None else EXIT_OK if state.ended == "succeeded" else EXIT_FAILED
        self._say(report, ok=code == EXIT_OK)
        return code

    def _say(self, report: RunReport, *, ok: bool) -> None:
        if self.call.json:
            self.call.event("summary", ok=ok, result=report, next=[command for command, _ in next_commands(report)])
        else:
            draw_summary(self.call.screen, report)


def _answer_nothing(call: Call, plan: Plan) -> int:
    """Say why there is nothing to run."""
    if call.json:
        counts: dict[str, int] = {}
        for step in plan.steps:
            counts[step.reason.kind] = counts.get(step.reason.kind, 0) + 1
        result = {"id": None, "request": plan.request, "state": "nothing", "steps": 0, "counts": counts}
        call.event("summary", ok=True, result=result, next=[])
    else:
        call.screen.say(f"nothing to run: {in_reasons(plan)}")
    return EXIT_OK
