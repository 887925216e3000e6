"""What whoever started a run sees of it: the plan, what happens meanwhile, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable

from msgspec.structs import replace

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.store import Run, Store
from legato.service.folding import Folder
from legato.service.readings import Warned, warned_in
from legato.service.reporting import RunReport, report_state
from legato.service.tally import Tally
from legato.service.workspace import Workspace
from legato.surfaces.cli.call import Call
from legato.surfaces.cli.output import point_at_nothing
from legato.surfaces.cli.planning import MOST_LINES, draw_folds, draw_notes, in_reasons, totals
from legato.surfaces.cli.progress import watcher_for
from legato.surfaces.cli.summary import draw_summary, next_commands
from legato.terms.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK


class View:
    """One run, on the screen or as lines of JSON. The run goes on if nobody reads any more."""

    def __init__(self, call: Call, workspace: Workspace) -> None:
        self._call, self._workspace = call, workspace
        self._tally = Tally()
        self._watcher = watcher_for(call, workspace.clock, self._tally)
        self._warned: list[Warned] = []
        self._began = workspace.clock.now()

    def show(self, plan: Plan, run_id: str, store: Store) -> None:
        """The plan of a run that was accepted."""
        if not self._call.json:
            screen = self._call.screen
            if plan.backfill is not None:
                self._preview(plan, store)
                screen.say(f"run {screen.paint(run_id, 'bold')}")
                return
            draw_folds(screen, self._folder(store).plan(plan), MOST_LINES)
            screen.say(totals(plan, store.timings()))
            draw_notes(screen, plan)
            screen.say(f"run {screen.paint(run_id, 'bold')}")

    def _preview(self, plan: Plan, store: Store) -> None:
        from legato.service.backfilling import foresee_backfill  # few runs need it
        from legato.surfaces.cli.preview import draw_preview

        folder = self._folder(store)
        draw_preview(self._call.screen, foresee_backfill(self._workspace, store, folder, plan), folder.plan(plan), MOST_LINES)

    def begin(self, state: RunState, slots: int, store: Store) -> None:
        """The run is about to start, or to go on; so many workers are there for it."""
        self._quietly(sys.stdout.flush)
        self._quietly(lambda: self._watcher.begin(state, slots, store.timings()))

    def hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        """Tell what happened."""
        for event in events:
            self._warned += warned_in(event)
            self._tally.hear(event)
        self._quietly(lambda: self._watcher.hear(state, events))

    def tick(self) -> None:
        """Tell how far it is, if it is time."""
        self._quietly(self._watcher.tick)

    def note(self, words: str) -> None:
        """Tell something beside."""
        self._quietly(lambda: self._watcher.note(words))

    def end(self) -> None:
        """There is nothing more to watch."""
        self._quietly(self._watcher.end)

    def answer(self, run: Run, state: RunState, store: Store) -> int:
        """Tell how the run ended; the exit code."""
        words = run.state if state.ended is not None else "paused" if state.paused else "interrupted"
        report = report_state(self._folder(store), run, state, words, self._warned, self._tally)
        report = replace(report, seconds=(self._workspace.clock.now() - self._began) / 1e6)
        code = EXIT_INTERRUPTED if state.ended is None else EXIT_OK if state.ended == "succeeded" else EXIT_FAILED
        self._say(report, ok=code == EXIT_OK)
        return code

    def _say(self, report: RunReport, *, ok: bool) -> None:
        if self._call.json:
            self._call.event("summary", ok=ok, result=report, next=[command for command, _ in next_commands(report)])
        else:
            draw_summary(self._call.screen, report)

    def _folder(self, store: Store) -> Folder:
        return Folder(self._workspace.project, self._workspace.extents(store))

    def _quietly(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except BrokenPipeError:
            point_at_nothing()


def answer_nothing(call: Call, request: str, counts: dict[str, int]) -> int:
    """Say why there is nothing to run."""
    if call.json:
        result = {"id": None, "request": request, "state": "nothing", "steps": 0, "counts": counts}
        call.event("summary", ok=True, result=result, next=[])
    else:
        call.screen.say(f"nothing to run: {in_reasons(counts)}")
    return EXIT_OK
