"""What a step tells while it runs: what is taken, what is refused, what is kept of too much, what is masked."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

import legato as lg
from legato.declare.body import Body, Code, check_key
from legato.declare.node import Check, Node, Project
from legato.declare.resource import Secret
from legato.storages.memory import MemoryStorage
from legato.terms.attempt import Done, Image, Noted, Order, Raised, Report
from legato.terms.fact import Markdown, Metric, Progress, Table
from legato.worker.harness import Harness
from legato.worker.preload import Kit
from legato.worker.teller import KEPT_WHOLE, MOST_NAMES, MOST_SHOWN

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 20
SVG = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'


class Step:
    """One attempt after the other of one function, and what they told."""

    def __init__(self) -> None:
        self.storage = MemoryStorage("files")
        self.sent: list[Noted] = []
        self.reports: list[Any] = []
        self.secrets = (Secret("TOLD_SECRET"),)

    def make(self, fn: Callable[[], Any], kind: Any = "task", *, token: int = 9, noted: tuple[int, ...] = ()) -> Report:
        code = Code(secrets=self.secrets)
        checks = ()
        code.bodies["fn"] = body(fn)
        if kind == "asset":
            code.bodies["fn"], code.bodies[check_key("fn", "judge")] = body(lambda: 1), body(fn)
            checks = (Check(asset="fn", name="judge", kind="function", severity="warn"),)
        node = Node(name="fn", kind=kind, outputs=("fn",) if kind == "asset" else (), checks=checks)
        project = Project(name="p", nodes={"fn": node}, makers={"fn": "fn"})
        kit = Kit(project, code, lambda: {"files": self.storage}, "files", Path.cwd())
        harness = Harness(kit)
        try:
            end = harness.make(Order("r1", 7, token, "fn", noted=noted), Nobody(), self._take)
        finally:
            harness.close()
        self.reports.append(end)
        return end

    def _take(self, noted: Noted) -> None:
        assert (noted.run, noted.step) == ("r1", 7)
        copy = msgspec.msgpack.decode(msgspec.msgpack.encode(noted), type=Noted)
        assert copy == noted
        self.sent.append(noted)
        self.reports.append(noted)

    @property
    def facts(self) -> list[Any]:
        return [fact for noted in self.sent for fact in noted.facts]

    def tell(self, fn: Callable[[], Any], kind: Any = "task") -> list[Any]:
        """The facts of an attempt that must succeed."""
        before = len(self.facts)
        end = self.make(fn, kind)
        assert isinstance(end, Done), end
        return self.facts[before:]

    def refused(self, fn: Callable[[], Any]) -> str:
        end = self.make(fn)
        assert isinstance(end, Raised), end
        return end.error.message


class Nobody:
    """A line to a conductor that never answers: for bodies of flows that call nothing."""

    def call(self, called: Any) -> None:
        raise AssertionError(called)

    def take(self, timeout_s: float) -> None:
        return None

    def listen(self, ring: Any) -> bool:
        return False


def body(fn: Callable[..., Any]) -> Body:
    return Body(fn, (), asyncio.iscoroutinefunction(fn), fn.__code__.co_filename, fn.__code__.co_firstlineno)


@pytest.fixture
def step() -> Step:
    return Step()


# Where -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["task", "asset", "flow"])
def test_every_kind_of_function_may_tell(step: Step, kind: str) -> None:
    """An asset's is told by its check here: that is part of the same attempt."""

    def fn() -> bool:
        lg.metric("rows", 15, "rows")
        lg.progress(1, 2, "half")
        return True

    metric, progress = step.tell(fn, kind)
    assert (metric.name, metric.value, metric.unit, metric.number) == ("rows", 15, "rows", 1)
    assert (progress.done, progress.total, progress.message) == (1, 2, "half")
    assert metric.at > 1_700_000_000_000_000


def test_an_async_function_and_its_threads_may_tell(step: Step) -> None:
    async def fn() -> None:
        lg.metric("first", 1)
        await asyncio.gather(*(asyncio.to_thread(lg.metric, "many", number) for number in range(20)))
        thread = threading.Thread(target=lg.metric, args=("last", 3))
        thread.start()
        thread.join()

    facts = step.tell(fn)
    assert [fact.name for fact in facts] == ["first", *["many"] * 20, "last"]
    assert sorted(fact.value for fact in facts[1:-1]) == list(range(20))


def test_all_is_told_before_the_end_of_the_attempt(step: Step) -> None:
    def fn() -> None:
        lg.metric("rows", 1)
        raise ValueError("no")

    end = step.make(fn)
    assert isinstance(end, Raised)
    assert [type(report) for report in step.reports] == [Noted, Raised]


def test_a_thread_that_outlives_its_attempt_is_not_heard(step: Step) -> None:
    go_on, over = threading.Event(), threading.Event()

    def late() -> None:
        go_on.wait()
        lg.metric("late", 1)
        over.set()

    assert step.tell(lambda: threading.Thread(target=late).start()) == []
    go_on.set()
    assert over.wait(10)
    assert step.facts == []


def test_a_forked_child_is_not_heard(step: Step) -> None:
    def fn() -> int:
        lg.metric("before", 1)
        child = os.fork()
        if child == 0:
            for number in range(3_000):
                lg.metric("child", number)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert [fact.name for fact in step.tell(fn)] == ["before"]


def test_outside_of_a_run_log_prints_and_the_others_only_look(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lg.log("loaded", level="warning", rows=3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z WARNING loaded rows=3\n", capsys.readouterr().out)
    for call in (lambda: lg.metric("a", 1), lambda: lg.progress(1), lambda: lg.table("a", []), lambda: lg.markdown("a", "b")):
        assert call() is None
    assert lg.image("a", PNG) is None  # type: ignore[func-returns-value]
    with pytest.raises(lg.LegatoError, match="not finite"):
        lg.metric("a", float("nan"))
    with pytest.raises(lg.LegatoError, match="neither PNG"):
        lg.image("a", b"GIF89a")
    assert capsys.readouterr().out == ""


# Log lines -------------------------------------------------------------------------------------------------


def test_a_line_of_the_log(step: Step, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLD_SECRET", 'hunter"2\n')

    def fn() -> None:
        lg.log("two\nlines", file="a b.csv", empty="", odd='say "no"', rows=15, message="mine", left=None)
        lg.log({"plain": 1}, level="debug")
        lg.log('with hunter"2\n in it', level="error", key='hunter"2\n')

    assert step.tell(fn) == []
    lines = [line.partition("Z ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        r'INFO    two\nlines file="a b.csv" empty="" odd="say \"no\"" rows=15 message=mine left=None',
        "DEBUG   {'plain': 1}",
        "ERROR   with *** in it key=***",
    ]
    assert "'fatal' is no level" in step.refused(lambda: lg.log("x", level="fatal"))  # type: ignore[arg-type]


# Numbers ---------------------------------------------------------------------------------------------------


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


# Tables, texts, images -------------------------------------------------------------------------------------

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


# Secrets ---------------------------------------------------------------------------------------------------


def test_secrets_are_masked_in_every_fact(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLD_SECRET", "hunter2")

    def fn() -> None:
        lg.metric("of hunter2", 1, "hunter2")
        lg.progress(1, message="at hunter2")
        lg.table("hunter2", [{"hunter2": "is hunter2"}])
        lg.markdown("hunter2", "# hunter2")
        lg.image("hunter2", "<svg>hunter2</svg>")

    facts = step.tell(fn)
    assert [type(fact) for fact in facts] == [Metric, Table, Markdown, Image, Progress]
    assert b"hunter2" not in msgspec.msgpack.encode(facts)
    assert b"***" in msgspec.msgpack.encode(facts[0])
    stored = step.storage.load((facts[3].kept,), Path)
    assert (stored.read_text(), stored.name) == ("<svg>***</svg>", "image.svg")


def test_a_long_cell_is_cut_after_secrets_are_masked(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLD_SECRET", "hunter2-of-the-woods")
    rows = [{"cell": "x" * before + "hunter2-of-the-woods" + "y" * 100} for before in range(975, 1001)]
    (table,) = step.tell(lambda: lg.table("cells", rows))
    assert b"hunter" not in table.rows


def test_a_secret_that_is_no_text_hinders_nobody(step: Step, tmp_path: Path) -> None:
    step.secrets = (Secret(f"file:{tmp_path / 'binary'}"),)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff\xfe")
    assert [type(fact) for fact in step.tell(lambda: lg.progress(1, message="going on"))] == [Progress]


# Flows -----------------------------------------------------------------------------------------------------


def again(step: Step, fn: Callable[[], Any], token: int) -> list[Any]:
    """The facts of another pass through a flow's body, with all keys that were sent before on record."""
    known = tuple(key for noted in step.sent for key in noted.keys if key)
    before = len(step.facts)
    assert isinstance(step.make(fn, "flow", token=token, noted=known), Done)
    return step.facts[before:]


def test_a_flow_that_is_entered_again_tells_only_what_is_new(step: Step) -> None:
    stage = [1]

    def fn() -> None:
        for number in range(stage[0]):
            lg.metric("same", 1)
            lg.metric("other", number)
            lg.table("t", [{"n": number}])
            lg.markdown("m", f"at {number}")
            lg.image("i", PNG + bytes([number]))
            lg.progress(number, 3)

    assert len(again(step, fn, 1)) == 6
    files = len(step.storage.values)
    (progress,) = again(step, fn, 2)
    assert isinstance(progress, Progress)
    assert len(step.storage.values) == files
    stage[0] = 3
    new = again(step, fn, 3)
    assert [fact.value for fact in new if isinstance(fact, Metric)] == [1, 1, 1, 2]
    assert [fact.value for fact in step.facts if isinstance(fact, Metric) and fact.name == "same"] == [1, 1, 1]
    assert [fact.text for fact in step.facts if isinstance(fact, Markdown)] == ["at 0", "at 1", "at 2"]
    assert len([fact for fact in step.facts if isinstance(fact, Image)]) == len(step.storage.values) == 3


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 1, 0, 2, 0], [3, 0, 1, 2]])
def test_whatever_the_order_nothing_is_told_twice(step: Step, order: list[int]) -> None:
    told: list[int] = [0, 1, 2]
    again(step, lambda: [lg.metric("n", number) for number in told], 1)
    again(step, lambda: [lg.metric("n", number) for number in order], 2)
    wanted = {number: max(told.count(number), order.count(number)) for number in {*told, *order}}
    values = [fact.value for fact in step.facts]
    assert {number: values.count(number) for number in set(values)} == wanted


def test_a_task_that_is_tried_again_tells_it_all_again(step: Step) -> None:
    for token in (1, 2):
        step.make(lambda: lg.metric("n", 1), token=token)
    assert [(noted.token, noted.keys, len(noted.facts)) for noted in step.sent] == [(1, (), 1), (2, (), 1)]
