"""Snapshots: a project as data, canonical, and enough to judge parameters without the user's classes."""

from __future__ import annotations

import datetime
import enum
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from legato.declare import snapshot
from legato.declare.schema import kind_of, schema_of, takes_path
from legato.plan.graph import Graph
from legato.worker.loading import load_project

PIPELINE = """
import legato as lg
from datetime import date

days = lg.daily("2013-01-01", end="2014-01-01")

@lg.asset(partitions=days, tags={"z", "a", "m"}, on=lg.cron("0 6 * * *"))
def flights(day: lg.Partition) -> list: return []

@lg.asset(partitions=days, retries=lg.Retry(3, max_time="2h"))
def delays(flights): return flights

@lg.task
def enrich(lead: dict, wanted: set[str] = {"b", "a", "c"}): return lead

@lg.flow
def new_leads(since: date | None = None, object=object()): return enrich({})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "legato.toml").write_text('modules = ["snapshot_pipeline"]\n[pools]\ncrm = 2\n')
    (tmp_path / "snapshot_pipeline.py").write_text(textwrap.dedent(PIPELINE))
    return tmp_path


def taken(folder: Path) -> snapshot.Snapshot:
    loaded = load_project(folder)
    return snapshot.take(loaded.project, loaded.code, loaded.source)


def test_a_snapshot_survives_its_bytes(project: Path) -> None:
    before = taken(project)
    after = snapshot.decode(snapshot.encode(before))
    assert after.parameters == before.parameters
    assert list(after.project.nodes) == list(before.project.nodes)
    assert snapshot.encode(after) == snapshot.encode(before)
    assert after.fingerprint == before.fingerprint
    assert Graph(after.project).needs == Graph(before.project).needs


def test_other_processes_write_the_same_bytes(project: Path) -> None:
    script = (
        "import sys, hashlib; from pathlib import Path; from legato.declare import snapshot;"
        "from legato.worker.loading import load_project; loaded = load_project(Path(sys.argv[1]));"
        "print(hashlib.sha256(snapshot.encode(snapshot.take(loaded.project, loaded.code, loaded.source))).hexdigest())"
    )
    seen = {
        subprocess.check_output([sys.executable, "-c", script, str(project)], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_a_comment_is_another_source_of_the_same_version(project: Path) -> None:
    before = taken(project)
    file = project / "snapshot_pipeline.py"
    file.write_text(file.read_text() + "# a comment\n")
    after = taken(project)
    assert (after.fingerprint, after.source == before.source) == (before.fingerprint, False)


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Lead(msgspec.Struct):
    name: str
    volume: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: list[str] = []
    parent: Lead | None = None


@dataclass
class Window:
    low: int
    high: int | None = None


class Part(TypedDict, total=False):
    count: int


class Point(NamedTuple):
    x: int
    y: int


class One(msgspec.Struct, tag="one", forbid_unknown_fields=True):
    count: int


class Two(msgspec.Struct, tag="two"):
    share: float


@pytest.mark.parametrize(
    ("annotation", "given", "carried"),
    [
        (Lead, {"name": "Ann"}, {"name": "Ann", "volume": 0, "tags": [], "parent": None}),
        (Window, {"low": "1"}, {"low": 1, "high": None}),
        (Part, {}, {}),
        (Point, [1, 2], [1, 2]),
        (One | Two, {"type": "two", "share": 3}, {"type": "two", "share": 3.0}),
        (dict[int, float], {"1": 2}, {1: 2.0}),
        (tuple[int, str], ["1", "a"], [1, "a"]),
        (set[int], ["1"], [1]),
        (Size | None, "s", "s"),
        (datetime.date | None, "2013-01-05", "2013-01-05"),
        (datetime.timedelta, "P1D", "P1D"),
        (Literal["a", 1], 1, 1),
        (Any, {"a": [1]}, {"a": [1]}),
        (bytes, "aGk=", b"hi"),
    ],
)
def test_values_are_converted_without_the_users_classes(annotation: Any, given: Any, carried: Any) -> None:
    kind = kind_of(msgspec.json.decode(msgspec.json.encode(schema_of(annotation))))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.convert(given, kind, strict=False)), strict=False) == carried


@pytest.mark.parametrize(
    ("annotation", "given", "told"),
    [
        (Lead, {"volume": 1}, "Object missing required field `name`"),
        (Lead, {"name": "Ann", "volume": -1}, "Expected `int` >= 0"),
        (One, {"type": "one", "count": 1, "more": 2}, "Object contains unknown field `more`"),
        (list[Annotated[str, msgspec.Meta(max_length=2)]], ["abc"], "length <= 2"),
        (Size, "huge", "Invalid enum value 'huge'"),
        (datetime.datetime, "noon", "Invalid RFC3339"),
    ],
)
def test_what_does_not_fit_is_refused_without_the_users_classes(annotation: Any, given: Any, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(given, kind_of(schema_of(annotation)), strict=False)


def test_what_is_no_data_takes_nothing() -> None:
    assert (schema_of(object()), schema_of(list[type(sys)]), schema_of(Any)) == (False, False, True)


def test_a_path_is_text_that_is_read_from_where_it_is_written() -> None:
    assert schema_of(Path) == {"type": "string", "format": "path"}
    takes = [Path, list[Path], tuple[Path, ...], Path | None]
    assert [takes_path(schema_of(each)) for each in takes] == [True] * 4
    assert [takes_path(schema_of(each)) for each in (str, list[str], dict[str, Path], object())] == [False] * 4


def test_defaults_are_told_alike_everywhere() -> None:
    assert snapshot.parameter("wanted", set, {"b", "a"}).default == "{'a', 'b'}"
    assert snapshot.parameter("thing", Any, object()).default == "<object object>"
