"""Calls of a flow: what makes two of them equal, how arguments are bound, what a failure becomes, how a map goes on."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import msgspec
import pytest

from legato.declare.calling import Future, TaskFailed
from legato.declare.draft import Site
from legato.declare.faces import flow, task
from legato.declare.project import freeze
from legato.declare.resource import Context
from legato.storages.memory import MemoryStorage
from legato.terms.attempt import Answer, Order
from legato.terms.errors import LegatoError
from legato.terms.fact import Error
from legato.worker.arguments import Arguments, Bound
from legato.worker.inputs import Inputs
from legato.worker.outcome import exception_of, find_class
from legato.worker.resources import Resources
from legato.worker.values import Values
from legato.worker.window import CHUNK, WINDOW, Window


@task
def send(a: Any, b: int = 3, *, day: date = date(2020, 1, 1), context: Context | None = None) -> None: ...


@task
def told(context: Context, text: str) -> None: ...


@flow
def main() -> None: ...


class Handed(Future[Any]):
    key = "k1"
    result = done = __await__ = lambda self: None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def arguments() -> Arguments:
    project, code = freeze([send, told, main], Site(name="p"), code_of=lambda fn: fn.__name__)
    storages = {"files": MemoryStorage("files")}
    inputs = Inputs(storages, "files", Resources(code, lambda made: made, lambda: None))
    values = Values(code, storages, "files", inputs, lambda body, kwargs: None, 64 * 2**10)
    return Arguments(project, code, values, project.nodes["main"], Order("r", 0, 1, "main"))


def bind(arguments: Arguments, *args: Any, **kwargs: Any) -> Bound:
    return arguments.bind(arguments.shape("send"), args, kwargs, Handed)


def digest(arguments: Arguments, *args: Any, **kwargs: Any) -> bytes:
    return bind(arguments, *args, **kwargs).digest


EQUAL = [
    (((1,), {}), ((1, 3), {})),
    (((1,), {}), ((), {"b": 3, "a": 1})),
    ((({"x": 1, "y": 2},), {}), (({"y": 2, "x": 1},), {})),
    ((({"a", "b", "c"},), {}), (({"c", "b", "a"},), {})),
    (((1,), {"day": date(2020, 1, 1)}), ((1,), {})),
]
DIFFERENT = [
    (((1,), {}), ((2,), {})),
    (((1,), {}), ((True,), {})),
    (((1,), {}), (("1",), {})),
    (((None, 1), {}), ((1, None), {})),
    ((([1, 2],), {}), (((1, 2),), {})),
    (((b"x",), {}), (("x",), {})),
    ((([[1], 2],), {}), (([[1, 2]],), {})),
    (((Handed(),), {}), (("k1",), {})),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_calls_have_equal_digests(arguments: Arguments, one: Any, other: Any) -> None:
    assert digest(arguments, *one[0], **one[1]) == digest(arguments, *other[0], **other[1])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_inputs_have_other_digests(arguments: Arguments, one: Any, other: Any) -> None:
    assert digest(arguments, *one[0], **one[1]) != digest(arguments, *other[0], **other[1])


def test_plain_values_travel_inline_and_others_are_stored(arguments: Arguments) -> None:
    bound = bind(arguments, {"x": [1]}, 5, day=date(2020, 1, 2))
    assert [(each.param, each.refs) for each in bound.arguments] == [("a", ()), ("b", ()), ("day", ())]
    assert msgspec.msgpack.decode(bound.arguments[0].value or b"") == {"x": [1]}
    (stored,) = bind(arguments, (1, 2)).arguments
    assert stored.value is None
    assert stored.refs[0].asset == "main"


def test_a_future_is_passed_on_by_its_key(arguments: Arguments) -> None:
    bound = bind(arguments, Handed(), 4)
    assert bound.inputs == (("a", "k1"),)
    assert [each.param for each in bound.arguments] == ["b"]


def test_what_legato_fills_in_is_no_argument(arguments: Arguments) -> None:
    bound = arguments.bind(arguments.shape("told"), ("hello",), {}, Handed)
    assert [each.param for each in bound.arguments] == ["text"]


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "send() missing a required argument: 'a'"),
        ((1, 2, 3), {}, "send() too many positional arguments"),
        ((1,), {"a": 1}, "send() multiple values for argument 'a'"),
        ((1,), {"c": 1}, "send() got an unexpected keyword argument 'c'"),
    ],
)
def test_wrong_arguments_are_told_as_python_does(arguments: Arguments, args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(TypeError) as raised:
        bind(arguments, *args, **kwargs)
    assert str(raised.value) == words


def test_what_cannot_be_stored_is_refused_by_name(arguments: Arguments) -> None:
    with pytest.raises(LegatoError, match=r"send cannot be given .*lock.* as `a` \[call-argument\]"):
        bind(arguments, threading.Lock())


def test_a_node_of_no_project_cannot_be_called(arguments: Arguments) -> None:
    with pytest.raises(LegatoError, match="main calls other, which is not part of the project"):
        arguments.shape("other")


# -- failures --


def failed(*types: str, outcome: Any = "failed") -> Answer:
    return Answer("r", 0, 1, "k", outcome, error=Error("raised", "no", types))


def test_a_failure_is_raised_as_what_it_was() -> None:
    made = exception_of(failed("builtins.ConnectionRefusedError", "builtins.OSError"), "fetch")
    assert type(made) is ConnectionRefusedError
    assert str(made) == "no"
    assert made.error.message == "no"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "types",
    [(), ("nowhere.to.Be",), ("builtins.KeyboardInterrupt",), ("builtins.ExceptionGroup",), ("builtins.len",),
     ("legato.terms.errors.LegatoError",), ("a.<locals>.B",)],
)  # fmt: skip
def test_what_cannot_be_raised_here_is_a_failed_task(types: tuple[str, ...]) -> None:
    made = exception_of(failed(*types), "fetch")
    assert type(made) is TaskFailed
    assert str(made) == "fetch: no"


def test_a_call_that_never_ran_is_a_failed_task() -> None:
    made = exception_of(Answer("r", 0, 1, "k", "skipped"), "fetch")
    assert (type(made), str(made)) == (TaskFailed, "fetch: it was skipped")
    assert type(exception_of(failed("builtins.ValueError", outcome="cancelled"), "fetch")) is TaskFailed


def test_classes_are_found_wherever_they_stand() -> None:
    assert find_class("http.client.HTTPException").__name__ == "HTTPException"
    assert find_class("tests") is None


# -- maps --


class Begun:
    def __init__(self, item: int) -> None:
        self.item, self.is_seen, self.error, self.on_end = item, False, None, None

    def result(self) -> int:
        if self.error is not None:
            raise self.error
        return self.item * 10

    def end(self, error: Exception | None = None) -> None:
        self.error = error
        self.on_end(self)  # type: ignore[misc]


def window_of(count: int) -> tuple[Window, list[Any]]:
    begun: list[Any] = []

    def begin(item: int) -> Any:
        begun.append(Begun(item))
        return begun[-1]

    return Window(iter(range(count)), begin), begun


def test_a_window_is_refilled_when_a_chunk_has_ended() -> None:
    window, begun = window_of(3_000)
    assert window.go_on()
    assert len(begun) == WINDOW
    for pending in begun[: CHUNK - 1]:
        pending.end()
    assert window.is_stuck()
    begun[-1].end()
    assert not window.is_stuck()
    assert window.go_on()
    assert len(begun) == WINDOW + CHUNK


def test_results_are_in_the_order_of_the_items() -> None:
    window, begun = window_of(5)
    assert window.go_on()
    for pending in reversed(begun):
        pending.end()
    assert not window.go_on()
    assert window.results() == [0, 10, 20, 30, 40]


def test_the_first_failure_in_order_is_the_one_that_is_raised() -> None:
    window, begun = window_of(5)
    window.go_on()
    begun[3].end(ValueError("third"))
    begun[0].end()
    assert window.is_stuck()
    begun[1].end(ValueError("first"))
    assert not window.is_stuck()
    with pytest.raises(ValueError, match="first"):
        window.results()
    assert [pending.is_seen for pending in begun] == [False, False, True, False, True]


def test_a_failure_ends_the_making_of_calls() -> None:
    window, begun = window_of(3_000)
    window.go_on()
    begun[0].end(ValueError("no"))
    assert not window.go_on()
    assert len(begun) == WINDOW
