"""Fingerprints functions: the same for the same code, whatever its comments, layout, line numbers or machine.

A function counts with all it uses of the project's own modules: functions, classes and constants, theirs in turn, what
it closed over and the values of its defaults. Code of others counts by name alone.
"""

from __future__ import annotations

import ast
import builtins
import copy
import dis
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import msgspec

from legato.declare.faces import Called
from legato.terms.codec import fingerprint, pack
from legato.worker.merkle import Merkle
from legato.worker.modules import Finder
from legato.worker.source import Chain, Import, Imported, Loads, Source, chain_of, header, text_of

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]

Name = tuple[str, str]
"""A name at the top floor of a module."""


class _Live:
    """A function that was met as an object, not by name. Compared by identity, and kept alive so that this stays true."""

    __slots__ = ("fn",)

    def __init__(self, fn: Any) -> None:
        self.fn = fn

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Live) and other.fn is self.fn

    def __hash__(self) -> int:
        return id(self.fn)


Unit = Name | _Live
Refs = dict[str, Unit]


class Fingerprints:
    """The fingerprints of one project's functions. Each file is parsed once, each name followed once."""

    def __init__(self, finder: Finder) -> None:
        self._finder, self._own = finder, finder.own
        self._by_file: dict[str, Source | None] = {}
        self._by_module: dict[str, Source | None] = {}
        self._folders: dict[str, bool] = {}
        self._merkle: Merkle[Unit] = Merkle(self._expand)

    def of(self, fn: Any) -> str:
        """The fingerprint of this function."""
        return self._merkle.digest(_Live(fn))

    def _expand(self, unit: Unit) -> tuple[str, Refs]:
        return self._live(unit.fn) if isinstance(unit, _Live) else self._named(*unit)

    # -- objects --

    def _live(self, fn: Any) -> tuple[str, Refs]:
        if isinstance(fn, Called):
            return "", {"": _Live(fn.fn)}
        if isinstance(fn, functools.partial):
            return str(_packed([fn.args, fn.keywords])), {"": _Live(fn.func)}
        if isinstance(fn, MethodType):
            kind = type(fn.__self__)
            return "", {"": _Live(fn.__func__), "self": (kind.__module__, kind.__qualname__.partition(".")[0])}
        if not isinstance(fn, FunctionType):
            wrapped = getattr(fn, "__wrapped__", None)
            return _type_name(fn), {"": _Live(wrapped)} if callable(wrapped) else {}
        code = fn.__code__
        source = self._file(code.co_filename, fn.__module__)
        node = source.definition(code.co_firstlineno, code.co_name) if source else None
        values, refs = _held(fn)
        if source and node:
            text, uses = self._written(code, source, _bare(node, source))
            return text + values, {**uses, **refs}
        if code.co_filename in self._own or code.co_filename.startswith("<"):
            seen = {name: fn.__globals__[name] for name in _looked_up(code)[0] if name in fn.__globals__}
            refs.update({name: _Live(value) for name, value in seen.items() if isinstance(value, FunctionType | Called)})
            return _instructions(code) + values, refs
        if callable(wrapped := getattr(fn, "__wrapped__", None)):
            refs["__wrapped__"] = _Live(wrapped)
        return f"{fn.__module__}.{fn.__qualname__}", refs

    def _written(self, code: CodeType, source: Source, node: ast.AST) -> tuple[str, Refs]:
        """The text of a function and what it uses; its code object tells which names can come from around it."""
        names, imports = _looked_up(code)
        local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
        heads = names - local if source.stars else {name for name in names - local if source.knows(name)}
        text, chains = text_of(node, heads)
        if not imports:
            return text, self._refs(source, chains, ()) if chains else {}
        loads = Loads()
        loads.visit(node)
        return text, self._refs(source, (c for c in loads.chains if c[0] not in code.co_freevars), loads.imports)

    # -- names --

    def _named(self, module: str, name: str) -> tuple[str, Refs]:
        source = self._module(module)
        if source is None or not name:
            return f"{module}.{name}", {}
        texts: list[str] = []
        refs: Refs = {}
        for statement in source.bindings.get(name, ()):
            for part in header(statement):
                loads, bare = Loads(), _bare(part, source)
                loads.visit(bare)
                texts.append(text_of(bare)[0])
                refs.update(self._refs(source, loads.chains, loads.imports))
        if name in source.imports:
            target = self._imported(source.imports[name])
            if target is None:
                texts.append(".".join(source.imports[name]))
            elif isinstance(target, tuple):
                refs["import"] = target
        for star in source.stars if not texts and not refs else ():
            target = self._imported(Imported((star, name)))
            if isinstance(target, tuple):
                refs["import"] = target
        return "\n".join(texts), refs

    def _refs(self, source: Source, chains: Iterable[Chain], statements: Iterable[Import]) -> Refs:
        """What the chains and imports of a piece of code lead to, by how they are written."""
        imports = dict(pair for statement in statements for pair in source.imported(statement))
        found: Refs = {}
        for chain in chains:
            unit = self._follow(source, chain, imports)
            if unit is not None:
                found[".".join(chain)] = unit
        for name, imported in imports.items():
            target = self._imported(imported)
            if isinstance(target, tuple):
                found[f"import {name}"] = target
        return found

    def _follow(self, source: Source, chain: Chain, imports: Mapping[str, Imported]) -> Unit | None:
        """The unit that a chain leads to; None for builtins."""
        head = chain[0]
        imported = imports.get(head) or (None if head in source.bindings else source.imports.get(head))
        if imported is None:
            known = head in source.bindings or (source.stars and not hasattr(builtins, head))
            return (source.module, head) if known else None
        target, rest = self._imported(imported), chain[1:]
        folder = ".".join(filter(None, imported))
        while target is None and rest and self._is_folder(folder):
            target, folder, rest = self._module(f"{folder}.{rest[0]}"), f"{folder}.{rest[0]}", rest[1:]
        if target is None:
            return imported[0], imported[1]
        for attribute in rest:
            if not isinstance(target, Source):
                break
            target = self._imported(Imported((target.module, attribute))) or (target.module, attribute)
        return (target.module, "") if isinstance(target, Source) else target

    def _imported(self, imported: Imported) -> Name | Source | None:
        """What an import gives: a name of one of the project's modules, such a module, or None for what others wrote."""
        module, name = imported
        source = self._module(module)
        if source is None and name and self._is_folder(module):
            return self._module(f"{module}.{name}")
        if not name or source is None:
            return source
        if name in source.bindings or name in source.imports:
            return module, name
        return self._module(f"{module}.{name}") or ((module, name) if source.stars else None)

    # -- files --

    def _module(self, name: str) -> Source | None:
        """One of the project's modules, loaded or not."""
        if name not in self._by_module:
            file = self._finder.file_of(name)
            self._by_module[name] = self._file(file, name) if file else None
        return self._by_module[name]

    def _is_folder(self, package: str) -> bool:
        if package not in self._folders:
            self._folders[package] = self._finder.is_folder(package)
        return self._folders[package]

    def _file(self, file: str, module: str) -> Source | None:
        if file not in self._by_file:
            self._by_file[file] = None
            tree = self._finder.tree(file)
            if tree is not None:
                self._by_file[file] = Source(module, Path(file).name == "__init__.py", tree)
        return self._by_file[file]


def _bare(node: Any, source: Source) -> Any:
    """The node without Legato's decorators, whose keywords are not code."""
    decorators = getattr(node, "decorator_list", None)
    if not decorators:
        return node
    bare = copy.copy(node)
    bare.decorator_list = [each for each in decorators if not _is_legato(each, source)]
    return bare


def _is_legato(decorator: ast.expr, source: Source) -> bool:
    chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return bool(chain) and source.imports.get(chain[0], ("",))[0].partition(".")[0] == "legato"


def _held(fn: FunctionType) -> tuple[str, Refs]:
    """What a function object holds beside its code: the values of its defaults and of the names that it closed over."""
    held: dict[str, Any] = dict(fn.__kwdefaults__ or {})
    if fn.__defaults__:
        code = fn.__code__
        held.update(
            zip(code.co_varnames[code.co_argcount - len(fn.__defaults__) : code.co_argcount], fn.__defaults__, strict=True)
        )
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # closed over before it was given a value
            held[name] = None
    if not held:
        return "", {}
    plain: dict[str, bytes] = {}
    refs: Refs = {}
    for name, value in held.items():
        if isinstance(value, FunctionType | Called | MethodType | functools.partial):
            refs[name] = _Live(value)
        elif (packed := _packed(value)) is not None:
            plain[name] = packed
        else:
            kind = value if isinstance(value, type) else type(value)
            refs[name] = (kind.__module__, kind.__qualname__.partition(".")[0])
    return fingerprint(plain), refs


def _packed(value: Any) -> bytes | None:
    """A plain value as canonical bytes; None of anything else."""
    try:
        return pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _looked_up(code: CodeType) -> tuple[set[str], bool]:
    """The names that a code object and those in it look up (globals, and attributes too), and whether they import."""
    names = set(code.co_names)
    imports = _IMPORT_NAME in code.co_code[::2]
    for const in code.co_consts:
        if isinstance(const, CodeType):
            inner, more = _looked_up(const)
            names |= inner
            imports = imports or more
    return names, imports


def _instructions(code: CodeType) -> str:
    """Code without source, as text: what it does, with which constants and names, wherever it stood."""
    consts = [
        _instructions(const)
        if isinstance(const, CodeType)
        else sorted(map(repr, const))
        if isinstance(const, frozenset)
        else repr(const)
        for const in code.co_consts
    ]
    return fingerprint(code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars)
