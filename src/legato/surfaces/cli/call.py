"""One call of the command line: what every command is handed, and the one way in which it answers.

A command is a function with `@command`, its own options below it, and a `Call` as its first argument:

    @command
    @click.argument("name")
    def show(call: Call, name: str) -> None:
        \"\"\"Show all there is to know of one asset or task.\"\"\"
        workspace = call.workspace_or_last()
        found = asking.describe(workspace, call.reader(workspace), name)
        call.answer(found, lambda: draw(call.screen, found))

With `--json` the record is printed in the envelope; else the function draws it. Errors are raised, never printed. A
command returns None, or an exit code where work was done and failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from legato.surfaces.cli.output import Screen, write_json
from legato.surfaces.shape import error_record
from legato.terms.errors import Fault, InvalidProject, LegatoError, NotFound

if TYPE_CHECKING:
    from legato.ports.store import Store
    from legato.service.workspace import Workspace

P = ParamSpec("P")

ENVELOPE = 1
"""The version of the JSON envelope: raised when a field changes its meaning or goes, not when one is added."""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Call:
    """What a command works with: the project, and where its answer goes."""

    def __init__(self, *, json: bool = False, debug: bool = False) -> None:
        self.json, self.debug = json, debug
        self.folder: Path | None = None
        self.command = ""
        self._in_force: Workspace | None = None

    @property
    def screen(self) -> Screen:
        """Where people read the answer."""
        return Screen(sys.stdout)

    @property
    def aside(self) -> Screen:
        """Where people read errors, and notes that are no part of the answer."""
        return Screen(sys.stderr)

    # -- the project --

    def workspace(self, *, executor: str | None = None, workers: int | None = None) -> Workspace:
        """The project, loaded; `InvalidProject` with all its faults."""
        from legato.wiring.code import open_workspace

        return open_workspace(self.folder, executor=executor, workers=workers)

    def workspace_or_last(self) -> Workspace:
        """The project, loaded; where its files are broken, as it was in force last, and a note says so. `InvalidProject` where it
        never was."""
        try:
            return self.workspace()
        except InvalidProject as error:
            from legato.wiring.code import open_last

            last = open_last(self.folder)
            if last is None:
                raise
            self._note_faults(error.faults, last)
            return last

    def workspace_in_force(self) -> Workspace:
        """The project for what runs none of its code: as the running service has it, which imports nothing here; where none runs,
        as `workspace_or_last` gives it."""
        if self._in_force is None:
            from legato.wiring.state import open_in_force

            self._in_force = open_in_force(self.folder or Path.cwd())
            if self._in_force is None:
                self._in_force = self.workspace_or_last()
            elif self._in_force.faults:
                self._note_faults(self._in_force.faults, self._in_force)
        return self._in_force

    def _note_faults(self, faults: Sequence[Fault], found: Workspace) -> None:
        many = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        version = found.project.fingerprint[:12]
        self.aside.say(f"note: the project has {many}: legato check; this goes by version {version}, which was in force last")

    def workspace_of(self, version: str, *, executor: str | None = None, workers: int | None = None) -> Workspace:
        """The project as it was at this version; a `LegatoError` where its code cannot be had any more."""
        from legato.wiring.code import open_workspace_of

        return open_workspace_of(self.folder, version, executor=executor, workers=workers)

    def past(self) -> Store:
        """The store, as `history` gives it, where the project's code is not wanted."""
        from legato.wiring.state import open_published

        store, _ = click.get_current_context().with_resource(open_published(self.folder or Path.cwd()))
        return store

    def reader(self, workspace: Workspace) -> Store | None:
        """The store, for reading, closed when the command ends; None where nothing ran yet."""
        try:
            return self.history(workspace)
        except NotFound as error:
            if error.code != "store-none":
                raise
            return None

    def history(self, workspace: Workspace) -> Store:
        """The store, for reading, closed when the command ends; `NotFound` (`store-none`) where nothing ran yet."""
        store = workspace.open_reader()
        click.get_current_context().call_on_close(store.close)
        return store

    # -- answers --

    def answer(self, result: Any, draw: Callable[[], None], *, ok: bool = True) -> None:
        """Give the command's one answer: the record in the envelope, or drawn for people."""
        if self.json:
            write_json({"legato": ENVELOPE, "command": self.command, "ok": ok, "result": result})
        else:
            draw()

    def event(self, event: str, **fields: Any) -> None:
        """Give one line of a streamed answer. For `--json` alone."""
        write_json({"legato": ENVELOPE, "event": event, **fields})

    def report(self, error: LegatoError) -> None:
        """Tell an error: what, where, why, and the next command."""
        if self.json:
            self._refuse(error_record(error))
            return
        screen = self.aside
        screen.say(f"{screen.paint('error:', 'red', 'bold')} {error.what} {screen.paint(f'[{error.code}]', 'dim')}")
        for name, text in (("where", error.where), ("why", error.why), ("next", error.next)):
            if text:
                screen.say(screen.hang(f"  {screen.paint(f'{name}:', 'dim')}{' ' * (6 - len(name))}", str(text)))
        if isinstance(error, InvalidProject):
            for fault in error.faults:
                screen.say(f"  - {fault}")

    def report_fault(self, error: Exception) -> None:
        """Tell of an error that nobody raised on purpose."""
        told = LegatoError(
            "internal", f"this is a fault of Legato: {type(error).__name__}: {error}", why="an error that Legato did not foresee",
            next="" if self.debug else "the same command with --debug shows where; please report it",
        )  # fmt: skip
        self.report(told)
        if self.debug:
            import traceback

            traceback.print_exception(error)

    def _refuse(self, error: dict[str, Any]) -> None:
        write_json({"legato": ENVELOPE, "command": self.command, "ok": False, "error": error})


def command(fn: Callable[Concatenate[Call, P], int | None]) -> click.Command:
    """A command from a function of a `Call`: with the options that all commands share."""

    def start(*args: P.args, **kwargs: P.kwargs) -> int | None:
        call = click.get_current_context().find_object(Call)
        assert call is not None
        call.command = click.get_current_context().info_name or ""
        return fn(call, *args, **kwargs)

    start.__doc__ = fn.__doc__
    start.__click_params__ = getattr(fn, "__click_params__", [])  # type: ignore[attr-defined]
    made = click.command(context_settings=SETTINGS)(start)
    made.params.extend([*shared_options(), click.Option(["--json"], is_flag=True, expose_value=False, help="Answer in JSON.")])
    return made


def shared_options() -> list[click.Parameter]:
    """The options that stand before or after the command's name."""
    return [
        click.Option(
            ["-C", "--project"], metavar="DIR", expose_value=False, callback=_enter,
            type=click.Path(exists=True, file_okay=False, path_type=Path), help="Work on the project in this folder.",
        ),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="Show where Legato itself failed."),
    ]  # fmt: skip


def _enter(context: click.Context, _: click.Parameter, folder: Path | None) -> None:
    call = context.find_object(Call)
    if call is not None and folder is not None:
        call.folder = Path(os.path.abspath(folder))
