"""The `legato` command: its table of commands, and how every error leaves it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NamedTuple

import click

from legato.surfaces.cli.call import SETTINGS, Call, shared_options
from legato.surfaces.cli.output import point_at_nothing
from legato.terms.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, LegatoError, UsageError


class Entry(NamedTuple):
    """Where a command's function is, and what `legato --help` says of it."""

    function: str
    help: str
    section: str


START, ASK, RUN, ALONE, DATA, DOORS, MEND = "Start", "Look", "Run", "By itself", "Data", "Doors", "Mend"

COMMANDS: dict[str, Entry] = {
    "init": Entry("starting:init", "Make a new project with a small pipeline that runs.", START),
    "demo": Entry("starting:demo", "Make the flights project: a year of real data.", START),
    "check": Entry("starting:check", "Find everything that is wrong with the project.", START),
    "list": Entry("listing:list_command", "List assets, tasks, sources and flows with their state.", ASK),
    "show": Entry("listing:show", "Show all there is to know of one asset, task or flow.", ASK),
    "status": Entry("runs:status", "Say how the project is, or how one run is.", ASK),
    "why": Entry("why:why", "Say why an asset is as it is.", ASK),
    "diff": Entry("diff:diff", "Say what changed from one version of the project to another.", ASK),
    "plan": Entry("planning:plan", "Say what would run, and why.", RUN),
    "run": Entry("running:run_command", "Run what is missing or stale, or a flow.", RUN),
    "backfill": Entry("backfilling:backfill", "Make the partitions of a stretch of time.", RUN),
    "resume": Entry("resuming:resume_command", "Let a run go on where it stopped.", RUN),
    "cancel": Entry("cancelling:cancel_command", "Stop a run.", RUN),
    "waits": Entry("waits:waits_command", "List what flows wait for.", RUN),
    "approve": Entry("waits:approve_command", "Approve what a flow asks for.", RUN),
    "signal": Entry("waits:signal_command", "Send a signal to the flows that wait for it.", RUN),
    "runs": Entry("runs:runs", "List runs, newest first.", RUN),
    "logs": Entry("logs:logs", "Print what a run's steps printed.", RUN),
    "facts": Entry("facts:facts", "Show what a run's steps told: metrics, tables, images.", RUN),
    "triggers": Entry("triggers:triggers", "List what runs by itself, and when it is next due.", ALONE),
    "next": Entry("triggers:next_command", "Say what the clock will bring.", ALONE),
    "decisions": Entry("triggers:decisions", "List what fired, what was skipped, and why.", ALONE),
    "pause": Entry("pausing:pause", "Let a run or a trigger stand still.", ALONE),
    "unpause": Entry("pausing:unpause", "Let a paused trigger go on.", ALONE),
    "up": Entry("up:up", "Run what runs by itself, and answer what is asked.", ALONE),
    "dev": Entry("up:dev", "The same, with each saved file taken over at once.", ALONE),
    "versions": Entry("versions:versions", "List the versions of an asset.", DATA),
    "rollback": Entry("versions:rollback", "Publish an older version again.", DATA),
    "keys": Entry("keys:keys", "List the keys of dynamic partitions, or add some.", DATA),
    "query": Entry("query:query", "Ask the published data in SQL.", DATA),
    "users": Entry("access:users", "List who may come in by the API, or say so.", DOORS),
    "tokens": Entry("access:tokens", "List the tokens of programs, make one, or take one back.", DOORS),
    "login-link": Entry("access:login_link", "Make a link that logs a browser in, once.", DOORS),
    "audit": Entry("access:audit", "List what was done, and by whom.", DOORS),
    "api": Entry("access:api", "Print the schema of the HTTP API.", DOORS),
    "doctor": Entry("doctor:doctor", "Check the project's state and data on disk.", MEND),
    "export": Entry("archiving:export_command", "Write state and data to one file.", MEND),
    "restore": Entry("archiving:restore_command", "Take state and data from such a file.", MEND),
    "clean": Entry("cleaning:clean", "Let go of what is older than the project keeps it.", MEND),
    "explain": Entry("explain:explain", "Explain an error code or a word.", MEND),
}
"""Every command, in the order of `legato --help`: name -> its function, below `legato.surfaces.cli`."""


class Table(click.Group):
    """Commands imported one at a time: help and spelling need only the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, function = entry.function.partition(":")
        found: click.Command = getattr(import_module(f"legato.surfaces.cli.{module}"), function)
        found.name = cmd_name
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        call = ctx.find_object(Call)
        if call is not None:
            call.command = name
        if name and not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=1)
            why = f"did you mean `{near[0]}`?" if near else ""
            raise UsageError("command", f"there is no command {name!r}", why=why, next="legato --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section])


@click.command(cls=Table, params=shared_options(), context_settings=SETTINGS)
@click.version_option(package_name="legato", message="legato %(version)s")
def legato() -> None:
    """Legato runs the work that makes your data, and keeps its promises.

    New here? `legato demo` makes a project to play with, `legato init` one of your own.
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    code = call(sys.argv[1:] if args is None else args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        point_at_nothing()
    sys.exit(code)


def call(args: list[str]) -> int:
    """The exit code of one call; every error is told in the form that was asked for."""
    asked = Call(json="--json" in args, debug=bool(os.environ.get("LEGATO_DEBUG")) or "--debug" in args)
    try:
        return int(legato.main(args, prog_name="legato", standalone_mode=False, obj=asked) or 0)
    except LegatoError as error:
        asked.report(error)
        return error.exit_code
    except click.ClickException as error:
        asked.report(_as_usage(error))
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader had enough
        point_at_nothing()
        return EXIT_OK
    except Exception as error:
        asked.report_fault(error)
        return EXIT_FAILED


def _as_usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    words = error.format_message()
    next = f"{context.command_path} --help" if context is not None else "legato --help"
    return UsageError("usage", words[:1].lower() + words[1:].rstrip("."), next=next)


if __name__ == "__main__":
    main()
