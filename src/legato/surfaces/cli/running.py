"""`legato run`, and every command that runs steps: take the conductor's place, watch the run, tell how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from legato.plan.records import Plan
from legato.ports.store import Run
from legato.runtime.conductor import Conductor
from legato.runtime.runs import Live
from legato.service.finding import find_run, nothing_ran
from legato.service.former import Code
from legato.service.running import Session, run
from legato.service.shell import command as words_of
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.params import read_request, takes_code, takes_params, takes_results
from legato.surfaces.cli.stopping import Stopper
from legato.surfaces.cli.view import View, answer_nothing
from legato.terms.errors import EXIT_INTERRUPTED, LegatoError, NotFound, Unreachable, UsageError

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
@takes_code
@run_options
def run_command(
    call: Call, selection: tuple[str, ...], force: bool, code: Code | None, executor: str | None, workers: int | None,
    no_wait: bool, **more: Any,
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
    workspace, code = _opened(call, code, more["start"], executor, workers)
    request = read_request(workspace, selection, force, **more)
    if workspace.is_served:
        from legato.surfaces.cli.there import run_there

        return run_there(call, workspace, request, alone=bool(executor or workers), code=code)
    sitting = Sitting(call, workspace)
    with sitting.place(f"legato run {request.selection}".strip(), wait=not no_wait) as session:
        with sitting.watch():
            plan, state = run(session, request, sitting.begin)
        if state is None:
            return answer_nothing(call, plan.request, plan.reasons)
        return sitting.answer()


def _opened(
    call: Call, code: Code | None, start: tuple[str, str] | None, executor: str | None, workers: int | None
) -> tuple[Workspace, Code]:
    """The project, with the code that is wanted where a run is repeated."""
    if start is None and code is not None:
        raise UsageError(
            "code-of-what", "--code says with which code a run is repeated", why="anything else runs with the code of now",
            next="legato run --from STEP RUN --code then, or leave it out",
        )  # fmt: skip
    if start is None:
        return call.workspace(executor=executor, workers=workers), ""
    from legato.surfaces.cli.choosing import choose_code

    step, run = start

    def again(found: Run) -> str:
        return words_of("legato", "run", "--from", step, found.id, "--code", "then")

    try:
        chosen = choose_code(call, code, lambda store: find_run(store, run), executor=executor, workers=workers, again=again)
    except NotFound as error:
        raise nothing_ran() if error.code == "store-none" else error from None
    return chosen.workspace, chosen.code


class Sitting:
    """One time at the conductor's place: from taking it to the last word on the run."""

    def __init__(self, call: Call, workspace: Workspace) -> None:
        self.call, self.workspace = call, workspace
        self.view = View(call, workspace)
        self._stopper = Stopper()
        self._live: Live | None = None

    @contextmanager
    def place(self, words: str, *, wait: bool) -> Iterator[Session]:
        """The conductor's place, once it is free; `Unreachable` (`store-locked`) if it is taken and we are not to wait."""
        session = self._take(words)
        while session is None:
            if not wait:
                session = Session(self.workspace, words, self.view.hear)
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
            return Session(self.workspace, words, self.view.hear)
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
                    self.view.end()
        self._stopper.raise_if_hurried()

    def begin(self, conductor: Conductor, plan: Plan, run_id: str) -> None:
        """The run was accepted: print its plan, and watch it."""
        self.view.show(plan, run_id, conductor.store)
        self.follow(conductor, run_id)

    def follow(self, conductor: Conductor, run_id: str) -> None:
        """Watch the run."""
        self._live, self._conductor = conductor.runs[run_id], conductor
        self.view.begin(self._live.state, conductor.executor.workers(), conductor.store)
        self._stopper.serve(conductor.drain)
        conductor.on_turn = self._turn

    def _turn(self) -> None:
        self._stopper.raise_if_hurried()
        if words := self._stopper.news():
            self.view.note(words)
        self.view.tick()

    def answer(self) -> int:
        """Tell how the run ended; the exit code."""
        assert self._live is not None
        return self.view.answer(self._live.book.run, self._live.state, self._conductor.store)
