"""Selections that nest without end are refused in words, like all that cannot be read."""

from __future__ import annotations

import pytest

import legato as lg
from legato.declare.draft import Site as Place
from legato.declare.project import collect, freeze
from legato.plan.graph import Graph
from legato.plan.select import Selector
from legato.plan.spread import Extents
from legato.terms.errors import NotFound, UsageError
from legato.terms.instant import Instant

NOW = Instant(1_700_000_000_000_000)


@lg.asset
def beat() -> int:
    return 1


@lg.asset
def melody(beat: int) -> int:
    return beat


def select(text: str) -> list[str]:
    """What the selection names, in order."""
    project = freeze(collect([{"beat": beat, "melody": melody}]), Place(name="p"), code_of=lambda fn: "")[0]
    return [*Selector(Graph(project), Extents({}, NOW), lambda status: {}).select(text)]


@pytest.mark.parametrize(
    "text", ["(" * 5_000 + "beat" + ")" * 5_000, "not " * 5_000 + "beat", "( not " * 5_000 + "beat" + ")" * 5_000]
)
def test_a_selection_that_nests_too_deep_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        select(text)
    assert refused.value.code == "selection"
    assert refused.value.why == "parentheses and `not` stand in one another more than 100 deep"
    assert len(refused.value.what) < 300


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(" * 100 + "beat" + ")" * 100, ["beat"]),
        ("not " * 100 + "beat", ["beat"]),
        ("not " * 99 + "beat", ["melody"]),
        ("(not beat) " * 200, ["melody"]),
    ],
)
def test_a_selection_may_nest_as_deep_as_anybody_writes(text: str, found: list[str]) -> None:
    assert select(text) == found


def test_a_number_of_levels_that_nobody_can_mean_is_part_of_a_name() -> None:
    assert select("999999999+melody") == ["beat", "melody"]
    with pytest.raises(NotFound) as refused:
        select("9" * 5_000 + "+melody")
    assert refused.value.code == "asset"
