"""Numbers, progress, tables, texts and images that a step tells: what is taken, what is refused, what is kept of too much."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from telling_step import JPEG, PNG, SVG, Step

import legato as lg
from legato.terms.attempt import Image
from legato.terms.fact import Markdown, Table
from legato.worker.teller import KEPT_WHOLE, MOST_NAMES, MOST_SHOWN


@pytest.fixture
def step() -> Step:
    return Step()


@pytest.mark.parametrize(
    ("value", "kept"),
    [(3, 3), (0.5, 0.5), (np.int64(7), 7), (np.float32(0.5), 0.5), (Decimal("1.5"), 1.5), (2**70, float(2**70))],
)
def test_numbers_of_all_kinds(step: Step, value: Any, kept: float) -> None:
    (fact,) = step.tell(lambda: lg.metric("n", value))
    assert fact.value == kept
    assert type(fact.value) is type(kept)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("inf"), "the metric 'n' is inf, and not finite"),
        (float("nan"), "the metric 'n' is nan, and not finite"),
        (np.float64("nan"), "is nan, and not finite"),
        (True, "is a bool, not a number"),
        (np.True_, "is a bool, not a number"),
        ("3", "is a str, not a number"),
        (None, "is nothing (None), not a number"),
        (10**400, "is no number that can be kept"),
    ],
)
def test_what_is_no_number_is_refused(step: Step, value: Any, words: str) -> None:
    message = step.refused(lambda: lg.metric("n", value))
    assert words in message
    assert "[fact-value]" in message


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201, 3, None])
def test_names_are_short_lines(step: Step, name: Any) -> None:
    for call in (
        lambda: lg.metric(name, 1),
        lambda: lg.table(name, []),
        lambda: lg.markdown(name, ""),
        lambda: lg.image(name, PNG),
    ):
        assert "[fact-name]" in step.refused(call)
    assert "[fact-name]" in step.refused(lambda: lg.metric("n", 1, "x" * 41))


def test_of_a_long_series_the_beginning_a_sample_and_the_end_are_kept(step: Step) -> None:
    def fn() -> None:
        for number in range(1, 100_001):
            lg.metric("loss", number)

    facts = step.tell(fn)
    assert [fact.number for fact in facts] == [fact.value for fact in facts]
    values = [fact.value for fact in facts]
    assert values[:KEPT_WHOLE] == list(range(1, KEPT_WHOLE + 1))
    assert values[-1] == 100_000
    assert len(values) == len(set(values)) < 5_000
    assert max(after - before for before, after in itertools.pairwise(values)) == 128


def test_of_progress_only_the_newest_is_kept(step: Step) -> None:
    def fn() -> None:
        for number in range(100_000):
            lg.progress(number, 100_000, f"file {number}")

    (fact,) = step.tell(fn)
    assert (fact.done, fact.message) == (99_999, "file 99999")
    (endless,) = step.tell(lambda: lg.progress(3, message="\ud800" + "x" * 600))
    assert (endless.total, len(endless.message), endless.message[:2], endless.message[-1]) == (None, 500, "?x", "…")
    assert "the total is a str" in step.refused(lambda: lg.progress(1, "2"))  # type: ignore[arg-type]
    assert "the message" in step.refused(lambda: lg.progress(1, 2, 3))  # type: ignore[arg-type]


def test_too_many_names_are_refused(step: Step) -> None:
    def fn() -> None:
        for number in range(MOST_NAMES + 1):
            lg.metric(f"loss of {number}", 1)

    assert "[fact-many]" in step.refused(fn)
    assert len(step.facts) == MOST_NAMES


ROWS = [{"carrier": "AA", "delay": 1.5, "late": True}, {"carrier": None, "delay": 2.0, "late": False}]
FRAME = pl.DataFrame(ROWS)


def cells(table: Table) -> list[list[Any]]:
    rows: list[list[Any]] = msgspec.msgpack.decode(table.rows)
    assert len(rows) == table.kept
    return rows


@pytest.mark.parametrize(
    "rows",
    [ROWS, tuple(ROWS), FRAME, FRAME.lazy(), FRAME.to_pandas(), FRAME.to_arrow(), FRAME.to_arrow().to_batches()[0]],
    ids=["dicts", "tuple", "polars", "lazy", "pandas", "arrow", "batch"],
)
def test_tables_of_every_library_are_told_alike(step: Step, rows: Any) -> None:
    (table,) = step.tell(lambda: lg.table("t", rows))
    assert (table.columns, table.total, table.kept) == (("carrier", "delay", "late"), 2, 2)
    assert cells(table) == [["AA", 1.5, True], [None, 2.0, False]]


def test_a_relation_is_told(step: Step) -> None:
    (table,) = step.tell(lambda: lg.table("t", duckdb.sql("select range as n, 'a' as b from range(5000)")))
    assert (table.columns, table.total, table.kept) == (("n", "b"), 5_000, 1_000)
    assert cells(table)[-1] == [999, "a"]


def test_an_index_that_says_something_is_told(step: Step) -> None:
    frame = pd.DataFrame({"mean": [1, 2]}, index=pd.Index(["a", "b"], name="carrier"))
    (table,) = step.tell(lambda: lg.table("t", frame))
    assert (table.columns, cells(table)) == (("carrier", "mean"), [["a", 1], ["b", 2]])


def test_cells_are_plain(step: Step) -> None:
    rows = [{"a": np.int64(3), 7: Decimal("1.5"), "c": [1]}, {"a": 2**80, "d": "\ud800" + "x" * 2_000, "c": pd.NaT}]
    (table,) = step.tell(lambda: lg.table("t", rows))
    assert table.columns == ("a", "7", "c", "d")
    first, second = cells(table)
    assert first == [3, "1.5", "[1]", None]
    assert (second[0], second[2], len(second[3])) == (str(2**80), "NaT", 1_000)


def test_of_a_large_table_as_much_is_kept_as_has_room(step: Step) -> None:
    wide = [{"text": "x" * 1_000} for _ in range(5_000)]
    (table,) = step.tell(lambda: lg.table("t", wide))
    assert (table.total, 200 < table.kept < 262, len(table.rows) < 263_000) == (5_000, True, True)
    assert cells(table)[0] == ["x" * 1_000]
    assert step.tell(lambda: lg.table("none", []))[0].total == 0
    assert "[fact-size]" in step.refused(lambda: lg.table("t", [dict.fromkeys(range(300), "x" * 1_000)]))
    assert "[fact-size]" in step.refused(lambda: lg.table("t", [{str(number) * 150: 1 for number in range(1_000)}]))


@pytest.mark.parametrize("rows", ["text", 3, [1, 2], [{"a": 1}, "b"], {"a": [1]}, None])
def test_what_is_no_table_is_refused(step: Step, rows: Any) -> None:
    assert "[fact-value]" in step.refused(lambda: lg.table("t", rows))


def test_texts(step: Step) -> None:
    (text,) = step.tell(lambda: lg.markdown("summary", "# Done\n\ud800"))
    assert text == Markdown("summary", "# Done\n?")
    assert "[fact-size]" in step.refused(lambda: lg.markdown("summary", "ä" * 140_000))
    assert "[fact-value]" in step.refused(lambda: lg.markdown("summary", b"x"))  # type: ignore[arg-type]


class Figure:
    """What matplotlib's figures and its pyplot can do."""

    def savefig(self, target: Any, *, format: str) -> None:
        assert format == "png"
        target.write(PNG)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [(PNG, "png"), (bytearray(PNG), "png"), (JPEG, "jpeg"), (SVG, "svg"), (SVG.encode(), "svg"), (Figure(), "png"),
     (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>', "svg"), ("a.png", "png"), (Path("a.png"), "png")],
)  # fmt: skip
def test_images_of_every_kind(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Any, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PNG)
    (image,) = step.tell(lambda: lg.image("a/../plot 1", picture))
    assert isinstance(image, Image)
    assert (image.name, image.kind) == ("a/../plot 1", kind)
    assert image.kept.version == "r1-9-i1"
    stored = step.storage.load((image.kept,), Path)
    assert stored.name == {"png": "a_plot_1.png", "jpeg": "a_plot_1.jpg", "svg": "a_plot_1.svg"}[kind]
    assert stored.read_bytes() in (PNG, JPEG, SVG.encode(), picture)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (b"", "neither PNG nor JPEG nor SVG"),
        (b"GIF89a", "neither PNG nor JPEG nor SVG"),
        ("<html></html>", "neither PNG nor JPEG nor SVG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(10 * 2**20), "[fact-size]"),
        ("large.png", "[fact-size]"),
        ("missing.png", "cannot be read"),
        (3, "is an int"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(
    step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("large.png", "wb") as file:
        file.truncate(2**30)
    assert words in step.refused(lambda: lg.image("plot", picture))
    assert step.storage.values == {}


def test_too_many_tables_and_texts_are_refused(step: Step) -> None:
    def fn() -> None:
        for number in range(MOST_SHOWN + 1):
            lg.markdown("again", f"text {number}")

    assert "[fact-many]" in step.refused(fn)
    assert len(step.facts) == MOST_SHOWN
