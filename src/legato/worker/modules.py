"""Imports a project's modules, always from their source as it is now; what fails becomes a fault and the rest still loads."""

from __future__ import annotations

import ast
import importlib
import linecache
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import legato
from legato.declare.manuscript import Page
from legato.declare.resolve import did_you_mean
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
        self._kept: frozenset[str] = frozenset()

    def name(self, modules: Sequence[str]) -> None:
        """Takes the packages of these modules for the project's own, wherever they are installed."""
        for top in {_dotted(module).partition(".")[0] for module in modules}:
            spec = PathFinder.find_spec(top)
            if spec and spec.has_location and not _belongs_to_python(str(spec.origin)):
                found = spec.submodule_search_locations
                self._named += tuple(f"{path}/" for path in found) if found else (str(spec.origin),)

    def keep(self, files: Iterable[str]) -> None:
        """Takes these files for the project's own, whether they are still there or not."""
        self._kept = frozenset(files)

    @property
    def folders(self) -> list[Path]:
        """Below these lie all its files."""
        named = (Path(each) for each in self._named)
        return [self.root, *(each if each.is_dir() else each.parent for each in named)]

    def __contains__(self, file: str | None) -> bool:
        if not file:
            return False
        if file in self._kept or (self._named and file.startswith(self._named)):
            return True
        below = file.startswith(f"{self.root}/") and "site-packages" not in file
        return below and not (self._foreign and file.startswith(self._foreign))


def _belongs_to_python(file: str) -> bool:
    return file.startswith(_LEGATO) or (file.startswith(_STDLIB) and "site-packages" not in file)


class Finder(MetaPathFinder):
    """Stands in `sys.meta_path` for as long as a project is loaded, and knows the modules that it brought in.

    The project's files are compiled from the source read now. Cached bytecode is not used: it is told apart by whole seconds
    and size, so a quick edit could run old code under the fingerprint of the new. With `pages`, modules are what these say
    that they were, under the files that they had; what is not among them is found as ever.
    """

    def __init__(self, own: Own, pages: Sequence[Page] = ()) -> None:
        self.own = own
        self.trees: dict[str, ast.Module] = {}
        self.texts: dict[str, bytes] = {}
        """What each file of the project's own said that was read."""
        self.modules: dict[str, str] = {}
        """The modules of the project's own that were read or looked at, each with its file."""
        self.names: set[str] = set()
        self._is_of_then = bool(pages)
        self._kept = {page.module: str(own.root / page.file) for page in pages}
        self._kept_texts = {self._kept[page.module]: page.text for page in pages}
        self._folders = _folders_above(self._kept)
        own.keep(self._kept.values())
        self._is_settled = False
        self._path: list[str] = []
        self._before: list[tuple[Finder, dict[str, ModuleType]]] = []

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that Python would find, with our loader for the project's own files."""
        spec = self._find_kept(fullname) or PathFinder.find_spec(fullname, path, target)
        if fullname in self._folders and (spec is None or spec.origin is not None) and fullname not in self._kept:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [self._folders[fullname]]
        if spec is None:
            return None
        if spec.origin in self.own and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, str(spec.origin), self)
            spec.cached = None
        if any(f"{place}/" in self.own for place in (spec.origin, *(spec.submodule_search_locations or ()))):
            self.names.add(fullname)
        return spec

    def file_of(self, module: str) -> str | None:
        """The file of one of the project's modules, loaded or not."""
        file: str | None = getattr(sys.modules.get(module), "__file__", None) or self._kept.get(module)
        if file is None and (spec := self._search(module)) is not None and spec.has_location:
            file = spec.origin
        if file and file in self.own and file.endswith(".py") and module not in self.modules:
            self.modules[module] = file
            if (package := module.rpartition(".")[0]) and (above := self.file_of(package)) is not None:
                self.tree(above)  # it is imported before what is in it
        return file

    def is_folder(self, package: str) -> bool:
        """Whether this is a package without a file of its own: a folder of the project's with modules in it."""
        if (found := sys.modules.get(package)) is not None:
            return getattr(found, "__file__", None) is None and any(
                f"{each}/" in self.own for each in getattr(found, "__path__", ())
            )
        spec = self._search(package)
        return package in self._folders or (spec is not None and spec.origin is None)

    def read(self, file: str) -> bytes:
        """What a file of the project's own says, or said; while the project is loaded it is noted, and stays the same."""
        text = self.texts.get(file, self._kept_texts.get(file))
        if text is None:
            text = Path(file).read_bytes()
        if not self._is_settled:
            self.texts[file] = text
        return text

    def show_in_tracebacks(self, file: str) -> None:
        """Let the lines of a file be those that run, where the file may say something else by now."""
        if (text := self._kept_texts.get(file)) is not None:
            linecache.cache[file] = (len(text), None, decode_source(text).splitlines(keepends=True), file)

    def tree(self, file: str) -> ast.Module | None:
        """The syntax tree of a file of the project's own; None of what is none, or cannot be read."""
        if file not in self.own or not file.endswith(".py"):
            return None
        if file not in self.trees:
            try:
                self.trees[file] = ast.parse(self.read(file), file)
            except (OSError, SyntaxError, ValueError):
                return None
        return self.trees[file]

    def _find_kept(self, fullname: str) -> ModuleSpec | None:
        file = self._kept.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self))

    def _search(self, module: str) -> ModuleSpec | None:
        """The spec of one of the project's own files; of those of now, where they are what is loaded."""
        path: list[str] | None = self.own.search
        spec = None
        for name in () if self._is_of_then else module.split("."):  # by its whole name the packages above would have to be there
            spec = PathFinder.find_spec(name, path)
            if spec is None:
                return None
            path = list(spec.submodule_search_locations or ())
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
        """Lets go of the project that was loaded before, of the syntax trees, and of all texts but those that are to be
        imported only when something runs: these must then be what they are now."""
        self._before.clear()
        later = {module: file for module, file in self.modules.items() if module not in sys.modules and file in self.texts}
        self._kept.update(later)
        self._kept_texts.update((file, self.texts[file]) for file in later.values())
        self.trees, self.texts, self._is_settled = {}, {}, True

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

    def get_data(self, path: str) -> bytes:
        """What a file says; of a module that is kept, what it said."""
        return super().get_data(path) if path != self.path else self._finder.read(path)

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path)
        self._finder.modules[fullname] = self.path
        self._finder.show_in_tracebacks(self.path)
        tree = ast.parse(text, self.path)
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        self._finder.trees[self.path] = tree
        return code


def _folders_above(files: Mapping[str, str]) -> dict[str, str]:
    """The folders of packages that have no file of their own, by name, of these modules."""
    found: dict[str, str] = {}
    for module, file in files.items():
        name, folder = module, str(Path(file).parent.parent if file.endswith("/__init__.py") else Path(file).parent)
        while "." in name:
            name = name.rpartition(".")[0]
            if name not in files:
                found.setdefault(name, folder)
            folder = str(Path(folder).parent)
    return found


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
