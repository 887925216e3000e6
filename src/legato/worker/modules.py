"""Imports a project's modules, always from their source as it is now; what fails becomes a fault and the rest still loads."""

from __future__ import annotations

import ast
import importlib
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import legato
from legato.declare.resolve import did_you_mean
from legato.terms.codec import fingerprint
from legato.terms.errors import Fault, LegatoError, Place

_LEGATO = str(Path(legato.__file__).parent)
_STDLIB = sysconfig.get_path("stdlib")


class Own:
    """Tells a project's own files from everybody else's: they lie below its folder, or in an installed package that it names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.search = [str(folder) for folder in (root / "src", root) if folder.is_dir()]
        inside = {path for path in (sys.prefix, sys.base_prefix, _LEGATO) if Path(path).is_relative_to(root)}
        self._foreign = tuple(f"{path}/" for path in inside)
        self._named: tuple[str, ...] = ()

    def name(self, modules: Sequence[str]) -> None:
        """Takes the packages of these modules for the project's own, wherever they are installed."""
        for top in {_dotted(module).partition(".")[0] for module in modules}:
            spec = PathFinder.find_spec(top)
            if spec and spec.has_location and not _belongs_to_python(str(spec.origin)):
                found = spec.submodule_search_locations
                self._named += tuple(f"{path}/" for path in found) if found else (str(spec.origin),)

    @property
    def folders(self) -> list[Path]:
        """Below these lie all its files."""
        named = (Path(each) for each in self._named)
        return [self.root, *(each if each.is_dir() else each.parent for each in named)]

    def __contains__(self, file: str | None) -> bool:
        if not file:
            return False
        if self._named and file.startswith(self._named):
            return True
        below = file.startswith(f"{self.root}/") and "site-packages" not in file
        return below and not (self._foreign and file.startswith(self._foreign))


def _belongs_to_python(file: str) -> bool:
    return file.startswith(_LEGATO) or (file.startswith(_STDLIB) and "site-packages" not in file)


class Finder(MetaPathFinder):
    """Stands in `sys.meta_path` for as long as a project is loaded, and knows the modules that it brought in.

    The project's files are compiled from the source read now. Cached bytecode is not used: it is told apart by whole seconds
    and size, so a quick edit could run old code under the fingerprint of the new.
    """

    def __init__(self, own: Own) -> None:
        self.own = own
        self.trees: dict[str, ast.Module] = {}
        self.texts: dict[str, str] = {}
        """The fingerprint of each file of the project's own that was read."""
        self.names: set[str] = set()
        self._path: list[str] = []
        self._before: list[tuple[Finder, dict[str, ModuleType]]] = []

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that Python would find, with our loader for the project's own files."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None:
            return None
        if spec.origin in self.own and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, str(spec.origin), self)
            spec.cached = None
        if any(f"{place}/" in self.own for place in (spec.origin, *(spec.submodule_search_locations or ()))):
            self.names.add(fullname)
        return spec

    def install(self) -> None:
        """Takes the place of the project that was loaded before, whose modules are put aside."""
        for other in [each for each in sys.meta_path if isinstance(each, Finder)]:
            aside = {name: sys.modules.pop(name) for name in other.names if name in sys.modules}
            self._before.append((other, aside))
            other._leave()
        self._enter()
        importlib.invalidate_caches()

    def withdraw(self) -> None:
        """Takes back all that was imported and puts the project that was loaded before in its old place."""
        self._leave()
        for name in self.names:
            sys.modules.pop(name, None)
        for other, modules in self._before:
            other._enter()
            sys.modules.update(modules)
        self._before.clear()

    def settle(self) -> None:
        """Lets go of the project that was loaded before, and of the syntax trees."""
        self._before.clear()
        self.trees = {}

    def _enter(self) -> None:
        finders: list[object] = list(sys.meta_path)
        sys.meta_path.insert(finders.index(PathFinder) if PathFinder in finders else 0, self)
        self._path = [folder for folder in self.own.search if folder not in sys.path]
        sys.path[:0] = self._path

    def _leave(self) -> None:
        sys.meta_path.remove(self)
        sys.path[:] = [folder for folder in sys.path if folder not in self._path]


class _Loader(SourceFileLoader):
    """Compiles a file from its source and keeps the syntax tree, so that fingerprint and code speak of the same text."""

    def __init__(self, fullname: str, path: str, finder: Finder) -> None:
        super().__init__(fullname, path)
        self._finder = finder

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path)
        self._finder.texts[self.path] = fingerprint(text)
        tree = ast.parse(text, self.path)
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        self._finder.trees[self.path] = tree
        return code


def import_modules(entries: Sequence[str], own: Own, config_file: Path) -> tuple[list[ModuleType], list[Fault]]:
    """The modules of these names or files, in this order, and a fault for each that cannot be imported."""
    modules, faults = [], []
    for entry in entries:
        name = _dotted(entry)
        if not all(part.isidentifier() for part in name.split(".")):
            hint = "write a dotted name such as flights.daily, or a file below the project's folder such as flights/daily.py"
            faults.append(Fault("module-name", f"`{entry}` names no Python module", Place(str(config_file)), hint))
            continue
        try:
            module = importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code: SystemExit and whatever else it raises
            faults.append(_import_fault(name, error, own, config_file))
            continue
        file = getattr(module, "__file__", None)
        if file in own:
            modules.append(module)
        elif file is None and hasattr(module, "__path__"):
            hint = f"name the modules in it, such as {name}.daily, or give it an __init__.py that imports them"
            what = f"`{name}` is a folder without __init__.py, so it declares nothing"
            faults.append(Fault("module-empty", what, Place(str(config_file)), hint))
        else:
            what = f"`{name}` is not the project's: Python finds it in {file or 'itself'}"
            faults.append(Fault("module-shadowed", what, Place(str(config_file)), "rename the project's module"))
    return modules, faults


def _dotted(entry: str) -> str:
    """The dotted name of a module that was given as a file."""
    if not entry.endswith(".py") and "/" not in entry:
        return entry
    path = entry.removeprefix("./").removeprefix("src/").removesuffix(".py").rstrip("/").removesuffix("/__init__")
    return path.replace(".", "!").replace("/", ".")


def _import_fault(name: str, error: BaseException, own: Own, config_file: Path) -> Fault:
    """What went wrong in an import, at the last line of the project's own code."""
    own_frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    place = Place(own_frames[-1].filename, own_frames[-1].lineno or 0) if own_frames else Place(str(config_file))
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename in own:
        return Fault("module-syntax", f"{kind}: {error.msg}", Place(str(error.filename), error.lineno or 0), "mend the line")
    if isinstance(error, LegatoError):
        return Fault(error.code, error.what, place, error.next or error.why)
    if isinstance(error, SystemExit):
        hint = 'put it under `if __name__ == "__main__":`'
        return Fault("module-exit", f"`{name}` ends the process when it is imported", place, hint)
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name
        if not own_frames and (name == missing or name.startswith(f"{missing}.")):
            hint = did_you_mean(name, _modules_below(own.root)) or "modules are looked for in the project's folder and in src/"
            return Fault("module-missing", f"there is no module `{name}`", place, hint)
        top = missing.partition(".")[0]
        near = did_you_mean(missing, _modules_below(own.root))
        return Fault(
            "module-import", f"`{name}` needs the module `{missing}`, which is not there", place, near or f"pip install {top}"
        )
    text = f"{kind}: {error}" if str(error) else kind
    return Fault("module-import", f"`{name}` cannot be imported: {text}", place, f'to see all of it: python -c "import {name}"')


def _modules_below(root: Path) -> list[str]:
    """The modules at the top of a project and in its packages' first floor."""
    files = [path for folder in (root, root / "src") for path in (*folder.glob("*.py"), *folder.glob("*/*.py"))]
    return [_dotted(str(path.relative_to(root))) for path in files]
