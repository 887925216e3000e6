"""Loads a project: reads its configuration, imports its modules, collects, validates and freezes what they declare."""

from __future__ import annotations

import ast
import dataclasses
import gc
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from msgspec.structs import replace

from legato.declare import faces
from legato.declare.body import Code
from legato.declare.draft import BUILT_IN_STORAGES, Site
from legato.declare.manuscript import Script, script_of
from legato.declare.node import Project
from legato.declare.project import collect, freeze
from legato.declare.resource import watch_secrets
from legato.terms.codec import fingerprint
from legato.terms.errors import Fault, Place
from legato.worker.config import Config, config_of_then, read_config
from legato.worker.fingerprint import Fingerprints
from legato.worker.mask import Mask
from legato.worker.modules import Finder, Own, import_modules
from legato.worker.source import chain_of

Judge = Callable[[Project], list[Fault]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project with its functions, its configuration and what its files said. `source` is a fingerprint of all that."""

    project: Project
    code: Code
    config: Config
    source: str
    script: Script


def load_project(folder: Path, judge: Judge | None = None, script: Script | None = None) -> Loaded:
    """The project that `folder` is in, from its source as it is now, or `InvalidProject` with all its faults.

    `judge` finds further faults in what was declared (`plan.validate.faults`). With a `script` its source is what that says.
    The project's modules stay imported, in place of those of a project that was loaded before; if this one is invalid, those
    come back.
    """
    config, faults = read_config(folder) if script is None else config_of_then(folder, script)
    finder = Finder(Own(config.root), script.pages if script is not None else ())
    finder.install()
    try:
        with _without_garbage_collection():
            loaded = _load(config, finder, faults, judge)
    except BaseException:
        finder.withdraw()
        raise
    finder.settle()
    return loaded


def _load(config: Config, finder: Finder, faults: Sequence[Fault], judge: Judge | None) -> Loaded:
    finder.own.name(config.modules)
    with watch_secrets() as named:
        modules, failed = import_modules(config.modules, finder.own, config.file)
    hide = Mask(named).cover()
    failed = [replace(fault, what=hide(fault.what), hint=hide(fault.hint)) for fault in failed]
    known = [*faults, *failed, *_unbound_checks(modules, finder.trees)]
    site = Site(
        name=config.name,
        pools=config.pools,
        storages=(*BUILT_IN_STORAGES, *config.storages),
        root=str(config.root),
        broker=config.broker is not None,
        buckets=tuple(config.buckets),
    )
    fingerprints = Fingerprints(finder)
    declared = collect(vars(module) for module in modules)
    project, code = freeze(declared, site, code_of=fingerprints.of, judge=judge, known=known)
    code = dataclasses.replace(code, secrets=tuple(dict.fromkeys((*code.secrets, *named))))
    read = [(name, file, finder.texts[file]) for name, file in finder.modules.items() if file in finder.texts]
    script = script_of(config.file.name, config.text, str(config.root), read)
    return Loaded(project, code, config, _source(script, finder, f"{config.root}/"), script)


def _source(script: Script, finder: Finder, root: str) -> str:
    """Equal for equal files at equal places below the project's folder; an installed package's by their full paths."""
    return fingerprint(script.settings, {file.removeprefix(root): fingerprint(text) for file, text in finder.texts.items()})


def _unbound_checks(modules: Sequence[ModuleType], trees: dict[str, ast.Module]) -> Iterator[Fault]:
    """A fault for each bare `lg.check("delays", ...)`: with a name instead of a face nobody would ever find it."""
    for module in modules:
        file = inspect.getfile(module) if getattr(module, "__file__", None) else ""
        tree = trees.get(file)
        for statement in tree.body if tree else ():
            call = statement.value if isinstance(statement, ast.Expr) else None
            if not isinstance(call, ast.Call) or len(call.args) < 2 or not isinstance(call.args[0], ast.Constant):
                continue
            asset = call.args[0].value
            if not isinstance(asset, str):
                continue
            found: object = module
            for name in chain_of(call.func):
                found = getattr(found, name, None)
            if found is faces.check:
                hint = f"bind it to a name (checks = ...), or give the asset itself: lg.check({asset}, ...)"
                yield Fault("check-unbound", "nothing keeps this check", Place(file, statement.lineno), hint)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Syntax trees are many small objects that all stay: looking through them for garbage triples the time of a load."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
