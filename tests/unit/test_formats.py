"""Formats, plain data, locations and annotations: what is kept in what form, and where."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NewType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.ports.storage import Slot
from legato.storages import plain
from legato.storages.annotations import options_of, word
from legato.storages.formats import FORMATS, encode
from legato.storages.location import folder_of, part, parts_of
from legato.terms.errors import LegatoError


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (pl.DataFrame({"a": [1]}), "parquet"),
        ("text", "text"),
        (b"bytes", "bytes"),
        ({"a": [1]}, "json"),
        (None, "json"),
        (Path(__file__), "path"),
        (np.float64(1.5), "json"),
        (np.array([1]), "pickle"),
        (Colour.RED, "pickle"),
        (Counter("a"), "pickle"),
        ([pl.DataFrame()], "pickle"),
        (10**6000, "pickle"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_first_format_that_takes_a_value_keeps_it(value: Any, form: str) -> None:
    assert encode(value).format.name == form


def test_formats_differ_in_name_and_suffix() -> None:
    assert len({form.name for form in FORMATS}) == len({form.suffix for form in FORMATS}) == len(FORMATS)


def test_plain_data_is_readable_json() -> None:
    assert json.loads(plain.dump({"day": date(2013, 1, 5), "n": [1, 2.5]}) or b"") == {
        "day": {"$date": "2013-01-05"},
        "n": [1, 2.5],
    }


@pytest.mark.parametrize("value", [object(), [{"a": bytearray()}], np.longdouble(1)], ids=["object", "bytearray", "longdouble"])
def test_what_is_not_plain_is_left_to_others(value: Any) -> None:
    assert plain.dump(value) is None


def test_deep_and_circular_data_is_not_plain() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    circle: list[Any] = []
    circle.append(circle)
    assert plain.dump(deep) is None
    assert plain.dump(circle) is None


def test_text_never_becomes_bytes_by_conversion() -> None:
    with pytest.raises(ValueError):
        plain.convert("abcd", bytes)


def test_a_table_that_parquet_cannot_hold_is_refused_by_name() -> None:
    for frame in (pl.DataFrame({"a": [object()]}), pd.DataFrame({"a": [1, "x", b"y"]})):
        with pytest.raises(LegatoError, match="DataFrame cannot be stored as Parquet") as caught:
            encode(frame)
        assert caught.value.code == "value-type"


@given(st.text(), st.text())
def test_parts_are_safe_and_different_names_differ(one: str, other: str) -> None:
    found = part(one)
    assert 0 < len(found) <= 180
    assert found.isascii()
    assert "/" not in found
    assert not found.startswith(".")
    assert (part(other) == found) == (one == other)


def test_long_names_differ_in_their_hash() -> None:
    assert part("é" * 300) != part("é" * 301)
    assert len(part("é" * 300)) == 180


def test_safe_names_stay_as_they_are() -> None:
    assert folder_of(Slot("Delays", "2013-01-05", "v")) == "Delays/2013-01-05"
    assert folder_of(Slot("raw.flights", "", "v")) == "raw.flights/_"
    assert folder_of(Slot("a", "_", "v")) == "a/%5F"


@pytest.mark.parametrize("location", ["a/b", "a/b/c/d/e", "a/../c", "/a/b", "a//c", "a/b/.", "a/b/c\0"])
def test_locations_that_lead_elsewhere_have_no_parts(location: str) -> None:
    assert parts_of(location) == ()
    assert parts_of("a/b/c.path/report.md") == ("a", "b", "c.path", "report.md")


def test_annotations_are_opened() -> None:
    minutes = NewType("minutes", int)
    assert options_of(Annotated[pl.DataFrame | None, "x"]) == (pl.DataFrame, type(None))
    assert options_of(minutes) == (int,)
    assert [word(kind) for kind in (pl.DataFrame, dict[str, int], int | None, Any)] == [
        "polars.DataFrame",
        "dict[str, int]",
        "int | None",
        "Any",
    ]
