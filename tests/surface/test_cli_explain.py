"""Every code that anything raises has its explanation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import legato
from legato.surfaces.explanations import ALIASES, read_explanations

SOURCES = Path(legato.__file__).parent
RAISERS = {
    "LegatoError", "NotFound", "UsageError", "Unreachable", "Forbidden", "Fault", "_fault", "complain", "_lost",
}  # fmt: skip
"""What makes an error or a fault from a code as its first argument."""


def codes() -> Iterator[tuple[str, str]]:
    """Every code in the sources, with where it stands."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
                first = node.args[0]
                if name in RAISERS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value, f"{path.relative_to(SOURCES)}:{node.lineno}"


def test_every_code_is_explained() -> None:
    known = read_explanations()
    assert {code: place for code, place in codes() if code not in known} == {}


def test_no_explanation_is_of_nothing() -> None:
    raised = {code for code, _ in codes()} | {"project"}
    assert {each.name for each in read_explanations().values() if each.section == "Errors"} - raised == set()


def test_other_names_lead_somewhere() -> None:
    assert set(ALIASES.values()) <= set(read_explanations())


def test_next_commands_of_errors_are_explained_topics() -> None:
    """An error that sends people to `legato explain X` sends them to something."""
    known = read_explanations()
    texts = [path.read_text() for path in SOURCES.rglob("*.py")]
    asked = {word.split('"')[0].split("'")[0] for text in texts for word in text.split('next="legato explain ')[1:]}
    assert asked
    assert asked <= set(known)
