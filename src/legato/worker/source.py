"""What a source file says, by name and by line, without comments, docstrings and layout."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from importlib.util import resolve_name
from typing import Any

Chain = tuple[str, ...]
"""A name with the attributes asked of it: `helpers.rates.daily` is ("helpers", "rates", "daily")."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Import = ast.Import | ast.ImportFrom
_SILENT = frozenset({"ctx", "kind", "type_comment"})
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Imported(tuple[str, str]):
    """Where an imported name comes from: a module, and the name in it (empty for the module itself)."""

    __slots__ = ()


class Source:
    """One parsed file. `bindings` are the statements at its top floor that give a name its value; `stars` are star imports."""

    def __init__(self, module: str, is_package: bool, tree: ast.Module) -> None:
        self.module = module
        self.package = module if is_package else module.rpartition(".")[0]
        self.bindings: dict[str, list[ast.AST]] = {}
        self.imports: dict[str, Imported] = {}
        self.stars: list[str] = []
        self._tree = tree
        self._by_line: dict[tuple[int, str], Definition] = {}
        self._lambdas: dict[int, list[ast.Lambda]] | None = None
        self._changes: dict[str, list[ast.AST]] = {}
        for statement in _flat(tree.body):
            self._bind(statement)
        for name, statements in self._changes.items():
            if name in self.bindings:
                self.bindings[name].extend(statements)
        self._index(tree)

    def definition(self, line: int, name: str) -> Definition | None:
        """The function whose code starts at this line under this name; None if there is none, or several lambdas."""
        if name != "<lambda>":
            return self._by_line.get((line, name))
        if self._lambdas is None:
            self._lambdas = {}
            for node in ast.walk(self._tree):
                if isinstance(node, ast.Lambda):
                    self._lambdas.setdefault(node.lineno, []).append(node)
        found = self._lambdas.get(line, [])
        return found[0] if len(found) == 1 else None

    def knows(self, name: str) -> bool:
        """Whether the file's top floor gives this name a value."""
        return name in self.bindings or name in self.imports

    def imported(self, statement: Import) -> Iterator[tuple[str, Imported]]:
        """The names that an import statement binds, and where they come from; a star import binds `*`."""
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                module = statement.module or ""
                if statement.level:
                    module = resolve_name("." * statement.level + module, self.package) if self.package else module
                yield alias.asname or alias.name, Imported((module, alias.name))
            elif alias.asname:
                yield alias.asname, Imported((alias.name, ""))
            else:
                top = alias.name.partition(".")[0]
                yield top, Imported((top, ""))

    def _bind(self, statement: ast.AST) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, imported in self.imported(statement):
                if name == "*":
                    self.stars.append(imported[0])
                else:
                    self.imports[name] = imported
        elif isinstance(statement, _DEFINITIONS):
            self.bindings.setdefault(statement.name, []).append(statement)
        elif isinstance(statement, ast.Expr):
            root = _root(statement.value)
            if root and isinstance(statement.value, ast.Call):
                self._changes.setdefault(root, []).append(statement)
        else:
            for node in _targets(statement):
                if isinstance(node, ast.Name):
                    self.bindings.setdefault(node.id, []).append(statement)
                elif root := _root(node):
                    self._changes.setdefault(root, []).append(statement)

    def _index(self, tree: ast.Module) -> None:
        """Finds every function at any depth, and takes docstrings out on the way."""
        for node in _flat(tree.body, into_definitions=True):
            if not isinstance(node, _DEFINITIONS):
                continue
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
            if not isinstance(node, ast.ClassDef):
                line = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                self._by_line[line, node.name] = node


def _flat(body: list[ast.stmt], into_definitions: bool = False) -> Iterator[ast.AST]:
    """The statements of a block and of the blocks in it, headers of compound statements included."""
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _DEFINITIONS) and not into_definitions:
            continue
        for field in ("cases", "finalbody", "orelse", "handlers", "body"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                waiting.extend(reversed(inner))


def _targets(statement: ast.AST) -> Iterator[ast.AST]:
    """What a statement assigns to: names, and the attributes and items that it changes."""
    found: list[ast.AST] = []
    if isinstance(statement, ast.Assign | ast.Delete):
        found.extend(statement.targets)
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        found.append(statement.target)
    elif isinstance(statement, ast.With | ast.AsyncWith):
        found.extend(item.optional_vars for item in statement.items if item.optional_vars)
    elif type(statement).__name__ == "TypeAlias":  # Python 3.12
        found.append(statement.name)  # type: ignore[attr-defined]
    while found:
        node = found.pop()
        if isinstance(node, ast.Tuple | ast.List):
            found.extend(node.elts)
        elif isinstance(node, ast.Starred):
            found.append(node.value)
        else:
            yield node


def _root(node: ast.AST) -> str:
    """The name at the root of calls, attributes and items; empty if there is none."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def chain_of(node: ast.AST) -> Chain:
    """The chain that an expression is; empty if it is none."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def header(node: ast.AST) -> list[ast.AST]:
    """The part of a statement that binds: of a loop or `with` its head, of anything else all of it."""
    if isinstance(node, ast.For | ast.AsyncFor):
        return [node.target, node.iter]
    if isinstance(node, ast.With | ast.AsyncWith):
        return list(node.items)
    return [node]


def text_of(node: ast.AST, heads: Collection[str] = ()) -> tuple[str, set[Chain]]:
    """What a piece of code says, the same for every layout and Python, and the chains in it that start with `heads`.

    The text holds kinds of nodes, names and constants in order. What is empty is left out: newer Pythons know more fields.
    """
    written: list[str] = []
    chains: set[Chain] = set()
    waiting: list[Any] = [node]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, ast.AST):
            written.append(item)
            continue
        kind = item.__class__
        written.append(kind.__name__)
        if kind is ast.Name or kind is ast.Attribute:
            chain = chain_of(item)
            if chain and chain[0] in heads:
                chains.add(chain)
        waiting.append(")")
        for field in reversed(kind._fields):
            value = getattr(item, field, None)
            if value is None or field in _SILENT:
                continue
            if value.__class__ is list:
                if value:
                    waiting.append("]")
                    waiting.extend(each if isinstance(each, ast.AST) else repr(each) for each in reversed(value))
                    waiting.append(f"{field}[")
            else:
                waiting.append(value if isinstance(value, ast.AST) else f"{field} {value!r}")
    return "\n".join(written), chains


class Loads(ast.NodeVisitor):
    """Collects the names that a piece of code takes from around it, with their attributes, and what it imports itself."""

    def __init__(self) -> None:
        self.chains: set[Chain] = set()
        self.imports: list[Import] = []
        self._local: frozenset[str] = frozenset()

    def visit_Name(self, node: ast.Name) -> None:
        if node.id not in self._local:
            self.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if not chain:
            self.generic_visit(node)
        elif chain[0] not in self._local:
            self.chains.add(chain)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports.append(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _COMPREHENSIONS):
            stored = (n.id for each in node.generators for n in ast.walk(each.target) if isinstance(n, ast.Name))
            self._within(frozenset(stored), [node])
        else:
            super().generic_visit(node)

    def _function(self, node: Definition) -> None:
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named += [each for each in (arguments.vararg, arguments.kwarg) if each]
        outside: list[ast.AST | None] = [*arguments.defaults, *arguments.kw_defaults, *(each.annotation for each in named)]
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
        if not isinstance(node, ast.Lambda):
            outside += [*node.decorator_list, node.returns]
        for each in outside:
            if each is not None:
                self.visit(each)
        self._within(frozenset(each.arg for each in named) | _bound(body), body)

    def _within(self, names: frozenset[str], nodes: list[ast.AST]) -> None:
        before, self._local = self._local, self._local | names
        for node in nodes:
            super().generic_visit(node) if isinstance(node, _COMPREHENSIONS) else self.visit(node)
        self._local = before


def _bound(body: list[ast.AST]) -> set[str]:
    """The names that a function binds itself. Its own imports are not among them: they lead to code that counts."""
    bound: set[str] = set()
    outer: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DEFINITIONS):
            bound.add(node.name)
            continue
        if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
        waiting.extend(ast.iter_child_nodes(node))
    return bound - outer
