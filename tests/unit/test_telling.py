"""What a step tells while it runs: who may, what of it is masked, and what a flow that is entered again tells anew."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from telling_step import PNG, Step

import legato as lg
from legato.declare.resource import Secret
from legato.terms.attempt import Done, Image, Noted, Raised
from legato.terms.fact import Markdown, Metric, Progress, Table


@pytest.fixture
def step() -> Step:
    return Step()


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
