"""The house's own rules: sizes, names, and words that mean one thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "legato").rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES, MOST_NESTING = 500, 50, 4
VAGUE = re.compile(r"(?:^|_)(?:utils?|helpers?|common|base|manager|handler|processor|info|misc)(?:_|$)")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, its docstring aside: what has to be held in mind."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _nesting(node: ast.AST, depth: int = 0) -> int:
    blocks = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        follows = isinstance(node, ast.If) and child in node.orelse and isinstance(child, ast.If)
        deepest = max(deepest, _nesting(child, depth + (isinstance(child, blocks) and not follows)))
    return deepest


def test_files_stay_readable() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_functions_stay_small() -> None:
    found = []
    for path in SOURCES:
        for function in _functions(ast.parse(path.read_text())):
            lines, nesting = _code_lines(function), _nesting(function)
            if lines > MOST_FUNCTION_LINES or nesting > MOST_NESTING:
                found.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {lines} lines, {nesting} deep")
    assert found == []


def test_names_say_something() -> None:
    found = [str(path) for path in SOURCES if VAGUE.search(path.stem)]
    for path in SOURCES:
        names = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        found += [
            f"{path.relative_to(ROOT)}: {name}" for name in names if VAGUE.search(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
        ]
    assert found == []


def test_everything_public_is_documented() -> None:
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree) and tree.body:
            found.append(f"{path.relative_to(ROOT)}: the module")
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            overloaded = any("overload" in ast.dump(decorator) for decorator in node.decorator_list)
            if not ast.get_docstring(node) and not overloaded:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert found == []


@cache
def _names() -> list[tuple[str, str, frozenset[str]]]:
    """Every file, class and function with the words that its name is made of."""
    found = []
    for path in SOURCES:
        names = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        for name in (path.stem, *names):
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
            found.append((str(path.relative_to(ROOT)), name, frozenset(words)))
    return found


GLOSSARY = ROOT / "docs" / "glossary.md"
REJECTED = re.compile(r"^\| \*\*(?P<word>[a-z ]+)\*\* \|.*\| (?P<not>[^|]*) \|$", re.M)


@pytest.mark.parametrize("match", list(REJECTED.finditer(GLOSSARY.read_text())), ids=lambda match: match["word"])
def test_one_word_for_one_thing(match: re.Match[str]) -> None:
    """A word that the glossary gives up for another names no class, function or file."""
    rejected = [word.strip().replace(" ", "_") for word in match["not"].split(",") if word.strip()]
    found = [f"{path}: {name} ({word})" for path, name, words in _names() for word in rejected if word in words]
    assert found == []
