"""Parameters of flows: from the words of a command, by the function's annotations, to what a plan carries."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from legato.declare import snapshot
from legato.service.params import arguments_of, describe, in_words, parameters_of, read_options
from legato.terms.errors import UsageError
from legato.worker.loading import load_project

PIPELINE = """
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import msgspec

import legato as lg


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Lead(msgspec.Struct):
    name: str
    volume: int = 0


@lg.flow
def takes(
    region: str, count: int = 3, share: float = 0.5, dry_run: bool = False, tags: list[str] = [], days: tuple[int, ...] = (),
    size: Size = Size.SMALL, since: date | None = None, limit: int | None = None, mode: Literal["fast", "slow"] = "fast",
    lead: Lead | None = None, leads: list[Lead] = [], weights: dict[str, float] = {}, free=None, plain=7, folder: Path = Path(),
    context: lg.Context = None,
): ...


@lg.flow
def bare(): ...
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("params")
    (folder / "legato.toml").write_text('modules = ["takes_params"]\n')
    (folder / "takes_params.py").write_text(textwrap.dedent(PIPELINE))
    loaded = load_project(Path(folder))
    taken = snapshot.take(loaded.project, loaded.code)
    return SimpleNamespace(project=taken.project, snapshot=snapshot.decode(snapshot.encode(taken)))


def given(workspace: Any, *words: str) -> dict[str, Any]:
    """What a plan carries for these words, decoded."""
    params = read_options("takes", parameters_of(workspace, "takes"), ["--region", "EU", *words])
    arguments = arguments_of(workspace, ["takes"], params)["takes"]
    assert arguments[0].param == "region"
    return {each.param: msgspec.msgpack.decode(each.value or b"") for each in arguments[1:]}


def refused(workspace: Any, *words: str) -> str:
    with pytest.raises(UsageError) as caught:
        given(workspace, *words)
    assert caught.value.code == "flow-parameters"
    assert "--count int = 3; " in caught.value.why
    assert caught.value.next == "legato show takes"
    return f"{caught.value.what} | {caught.value.why.partition('its parameters')[0].strip()}".strip(" |")


@pytest.mark.parametrize(
    ("words", "carried"),
    [
        ("", {}),
        ("--count 5", {"count": 5}),
        ("--count=-5", {"count": -5}),
        ("--count -5", {"count": -5}),
        ("--share 2", {"share": 2.0}),
        ("--dry-run", {"dry_run": True}),
        ("--dry_run", {"dry_run": True}),
        ("--no-dry-run", {"dry_run": False}),
        ("--dry-run=false", {"dry_run": False}),
        ("--tags a --tags b", {"tags": ["a", "b"]}),
        ("--tags a", {"tags": ["a"]}),
        ("--days 1 --days 2", {"days": [1, 2]}),
        ("--size l", {"size": "l"}),
        ("--size LARGE", {"size": "l"}),
        ("--since 2013-01-05", {"since": "2013-01-05"}),
        ("--limit 5", {"limit": 5}),
        ("--limit null", {"limit": None}),
        ("--mode slow", {"mode": "slow"}),
        ('--lead {"name":"Ann"}', {"lead": {"name": "Ann", "volume": 0}}),
        (
            '--leads {"name":"Ann"} --leads {"name":"Bob"}',
            {"leads": [{"name": "Ann", "volume": 0}, {"name": "Bob", "volume": 0}]},
        ),
        ('--weights {"a":1}', {"weights": {"a": 1.0}}),
        ("--free text", {"free": "text"}),
        ("--free=", {"free": ""}),
        ("--plain 8", {"plain": 8}),
        ("--folder here", {"folder": str(Path.cwd() / "here")}),
        ("--folder ../there", {"folder": str(Path.cwd().parent / "there")}),
        ("--folder /data", {"folder": "/data"}),
    ],
)
def test_text_becomes_what_the_annotation_asks_for(workspace: Any, words: str, carried: dict[str, Any]) -> None:
    assert given(workspace, *words.split()) == carried


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--count many", "'many' is no value of `count`, int | Expected `int`, got `str`"),
        ("--size huge", "'huge' is no value of `size`, Size: s, l | Invalid enum value 'huge'"),
        ("--mode slower", "'slower' is no value of `mode`, Literal['fast', 'slow'] | Invalid enum value 'slower'"),
        ("--weights a=1", "'a=1' is no value of `weights`, dict[str, float] | JSON is malformed: invalid character (byte 0)"),
        ('--leads {"volume":1}', "['{\"volume\":1}'] is no value of `leads`, list[takes_params.Lead] | "
                                 "Object missing required field `name` - at `$[0]`"),
        (f"--weights {'[' * 5_000}", "what is given for `weights` is nested too deep"),
        ("--count many --size huge", "2 things are wrong with what takes is given | "
                                     "'many' is no value of `count`, int (Expected `int`, got `str`); "
                                     "'huge' is no value of `size`, Size: s, l (Invalid enum value 'huge')"),
        ("--cuont 5", "takes has no parameter `cuont` | did you mean `count`?"),
        ("--context 5", "takes has no parameter `context` | did you mean `count`?"),
        ("--no-count", "takes has no parameter `no-count` | did you mean `count`?"),
        ("--count", "--count has no value"),
        ("--count --dry-run", "--count has no value"),
        ("--count 1 --count 2", "--count is given twice"),
        ("--dry-run yes", "`yes` belongs to no parameter"),
        ("--dry-run=maybe", "'maybe' is no value of `dry_run`, bool | Expected `bool`, got `str`"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_all_parameters(workspace: Any, words: str, told: str) -> None:
    assert refused(workspace, *words.split()) == told


def test_what_must_be_given_is_missed(workspace: Any) -> None:
    with pytest.raises(UsageError, match="takes needs `region`"):
        arguments_of(workspace, ["takes"], {})


def test_values_are_taken_as_they_are(workspace: Any) -> None:
    arguments = arguments_of(workspace, ["takes", "bare"][:1], {"region": "EU", "tags": ["a"], "count": 5, "dry_run": True})
    assert [each.param for each in arguments["takes"]] == ["region", "tags", "count", "dry_run"]


def test_a_parameter_needs_one_flow(workspace: Any) -> None:
    for selected in ([], ["takes", "bare"]):
        with pytest.raises(UsageError, match="no one flow that could take `count`"):
            arguments_of(workspace, selected, {"count": 1})
    assert arguments_of(workspace, ["bare"], {}) == {"bare": ()}
    with pytest.raises(UsageError) as caught:
        arguments_of(workspace, ["bare"], {"count": 1})
    assert caught.value.why == "it has no parameters"


def test_parameters_for_people(workspace: Any) -> None:
    shown = {
        each.name: (each.option, each.type, each.default, each.required) for each in describe(parameters_of(workspace, "takes"))
    }
    assert shown["region"] == ("--region", "str", "", True)
    assert shown["dry_run"] == ("--dry-run/--no-dry-run", "bool", "False", False)
    assert shown["limit"] == ("--limit", "int | None", "None", False)
    assert shown["free"] == ("--free", "", "None", False)
    assert shown["plain"] == ("--plain", "int", "7", False)
    assert "context" not in shown


def test_parameters_are_told_as_they_are_written() -> None:
    params = {"min_volume": "50", "tags": ["a b", "c"], "dry_run": True, "loud": False, "weights": {"a": 1}}
    assert in_words(params) == " --min-volume 50 --tags 'a b' --tags c --dry-run --no-loud --weights '{\"a\":1}'"
    assert in_words({}) == ""
