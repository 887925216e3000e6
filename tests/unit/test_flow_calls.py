"""Calls of a flow: what makes two of them equal, how arguments are bound, what a failure becomes, how a map goes on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from hashlib import blake2b
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.calling import Future, TaskFailed
from legato.declare.draft import Site
from legato.declare.faces import flow, task
from legato.declare.partition import Partition
from legato.declare.partitions import static
from legato.declare.project import freeze
from legato.declare.resource import Context
from legato.storages.memory import MemoryStorage
from legato.terms.attempt import Answer, Order
from legato.terms.errors import LegatoError
from legato.terms.fact import Error
from legato.worker.arguments import Arguments, Bound
from legato.worker.inputs import Inputs
from legato.worker.numbers import Numbers
from legato.worker.outcome import exception_of, find_class
from legato.worker.resources import Resources
from legato.worker.row import Row
from legato.worker.values import Values
from legato.worker.window import CHUNK, FEWEST, WINDOW, WINDOW_BYTES, Window


@task
def send(a: Any, b: int = 3, *, day: date = date(2020, 1, 1), context: Context | None = None) -> None: ...


@task
def told(context: Context, text: str) -> None: ...


@task(partitions=static(["k1", "k2"]))
def sliced(key: Partition, text: str) -> None: ...


@flow
def main() -> None: ...


class Handed(Future[Any]):
    key = b"k1"
    result = done = __await__ = lambda self: None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def arguments() -> Arguments:
    project, code = freeze([send, told, sliced, main], Site(name="p"), code_of=lambda fn: fn.__name__)
    storages = {"files": MemoryStorage("files")}
    inputs = Inputs(storages, "files", Resources(code, lambda made: made, lambda: None))
    values = Values(code, storages, "files", inputs, lambda body, kwargs: None, 64 * 2**10)
    return Arguments(project, code, values, project.nodes["main"], Order("r", 0, 1, "main"), Handed)


def bind(arguments: Arguments, *args: Any, **kwargs: Any) -> Bound:
    return arguments.bind(arguments.shape("send"), args, kwargs)


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
    assert bound.inputs == (("a", b"k1"),)
    assert [each.param for each in bound.arguments] == ["b"]


def test_what_legato_fills_in_is_no_argument(arguments: Arguments) -> None:
    bound = arguments.bind(arguments.shape("told"), ("hello",), {})
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
    return Answer(b"k", outcome=outcome, error=Error("raised", "no", types))


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
    made = exception_of(Answer(b"k", outcome="skipped"), "fetch")
    assert (type(made), str(made)) == (TaskFailed, "fetch: it was skipped")
    assert type(exception_of(failed("builtins.ValueError", outcome="cancelled"), "fetch")) is TaskFailed


def test_classes_are_found_wherever_they_stand() -> None:
    assert find_class("http.client.HTTPException").__name__ == "HTTPException"
    assert find_class("tests") is None


# -- maps --


class Begun:
    """Calls that a window begins; `end` lets them have their outcomes."""

    def __init__(self, items: Iterable[int], size_bytes: int = 1) -> None:
        self.made: list[int] = []
        self.chunks: list[int] = []
        self.size_bytes = size_bytes
        self.window = Window(items, self._begin, self._read)

    def end(self, *numbers: int, **outcome: Any) -> None:
        for number in numbers:
            self.window.end(Answer(b"%d" % number, **outcome))

    def _begin(self, window: Window, items: Sequence[int]) -> tuple[list[bytes], int]:
        self.made += items
        self.chunks.append(len(items))
        return [b"%d" % item for item in items], len(items) * self.size_bytes

    def _read(self, answer: Answer) -> int:
        if answer.error is not None:
            raise ValueError(answer.error.message)
        return int(answer.key) * 10


def test_a_window_is_refilled_when_a_chunk_has_ended() -> None:
    begun = Begun(range(9_000))
    assert begun.window.go_on()
    made = len(begun.made)
    assert WINDOW - CHUNK < made <= WINDOW
    begun.end(*range(CHUNK - (WINDOW - made) - 1))
    assert begun.window.is_stuck()
    begun.end(made - 1)
    assert not begun.window.is_stuck()
    assert begun.window.go_on()
    assert len(begun.made) == made + CHUNK


def test_the_first_chunks_are_small() -> None:
    begun = Begun(range(3_000))
    begun.window.go_on()
    assert begun.chunks[0] < begun.chunks[1] < begun.chunks[-2] == CHUNK
    assert begun.made == list(range(3_000))


@pytest.mark.parametrize(
    ("size_bytes", "most"), [(WINDOW_BYTES // WINDOW // 2, WINDOW), (8_000, WINDOW_BYTES // 8_000), (60_000, FEWEST)]
)
def test_a_window_of_large_items_is_smaller(size_bytes: int, most: int) -> None:
    begun = Begun(range(10_000), size_bytes)
    begun.window.go_on()
    assert most - most // 4 <= len(begun.made) <= most
    assert max(begun.chunks) <= most // 4


def test_results_are_in_the_order_of_the_items() -> None:
    begun = Begun(range(5))
    assert begun.window.go_on()
    begun.end(4, 2, 3, 0, 1)
    assert not begun.window.go_on()
    assert begun.window.results() == [0, 10, 20, 30, 40]


def test_the_first_failure_in_order_is_the_one_that_is_raised() -> None:
    begun = Begun(range(5))
    begun.window.go_on()
    begun.end(3, error=Error("raised", "third"))
    begun.end(0)
    assert begun.window.is_stuck()
    begun.end(1, error=Error("raised", "first"))
    assert not begun.window.is_stuck()
    with pytest.raises(ValueError, match="first"):
        begun.window.results()


def test_a_failure_ends_the_making_of_calls() -> None:
    begun = Begun(range(9_000))
    begun.window.go_on()
    made = len(begun.made)
    begun.end(0, error=Error("raised", "no"))
    assert not begun.window.go_on()
    assert len(begun.made) == made < 9_000


def test_what_was_drawn_is_called_when_the_next_item_raises() -> None:
    def items() -> Iterator[int]:
        yield from range(CHUNK + 3)
        raise LookupError("no more")

    begun = Begun(items())
    with pytest.raises(LookupError):
        begun.window.go_on()
    assert begun.made == list(range(CHUNK + 3))


# -- numbers --


@given(st.lists(st.lists(st.integers(0, 5_000), max_size=1_000), max_size=5))
def test_equal_calls_are_numbered(calls: list[list[int]]) -> None:
    numbers, met = Numbers(), Counter[int]()
    for some in calls:
        digests = [(call + 2).to_bytes(16, "little") for call in some]  # 0 and 1 are taken for the same
        for call, digest, key in zip(some, digests, numbers.keys(digests), strict=True):
            assert key == (digest if not met[call] else digest + b"-%d" % met[call])
            met[call] += 1


def test_many_calls_are_all_told_apart() -> None:
    numbers = Numbers()
    digests = [blake2b(b"%d" % number, digest_size=16).digest() for number in range(20_000)]
    assert [key for at in range(0, 20_000, 70) for key in numbers.keys(digests[at : at + 70])] == digests
    assert numbers.keys(digests) == [digest + b"-1" for digest in digests]


# -- rows: many calls at once --


def row(arguments: Arguments, node: str = "send", **shared: Any) -> Row:
    return Row(arguments, arguments.shape(node), shared)


def test_a_row_makes_the_calls_that_one_by_one_would_be_made(arguments: Arguments) -> None:
    items = [1, "x", None, (1, 2), {"y": [1], "x": 2}, Handed(), 1.5]
    keys, calls = row(arguments, b=7, day=date(2020, 1, 2)).calls(items, list)
    assert keys == [digest(arguments, item, b=7, day=date(2020, 1, 2)) for item in items]
    assert [(len(call.keys), call.over, call.inputs) for call in calls] == [(1, "", (("a", b"k1"),)), (6, "a", ())]
    passed, handed = calls
    assert [each.param for each in passed.arguments] == [each.param for each in handed.arguments] == ["b", "day"]
    assert passed.keys + handed.keys == (keys[5], *keys[:5], keys[6])
    single = handed.one(1)
    assert (single.keys, single.over, single.items) == ((keys[1],), "", ())
    assert {each.param: each.value for each in single.arguments}["a"] == b"\xa1x"
    assert handed.one(3).arguments[-1].refs == (handed.items[3],)


def test_what_all_items_share_is_stored_once(arguments: Arguments) -> None:
    (call,) = row(arguments, b=(1, 2)).calls(range(10), list)[1]
    assert [len(each.refs) for each in call.arguments] == [1]
    assert call.items == tuple(map(msgspec.msgpack.encode, range(10)))


def test_a_row_over_partitions(arguments: Arguments) -> None:
    keys, calls = row(arguments, "sliced", text="t").calls(["k1", "k2"], list)
    shape = arguments.shape("sliced")
    assert keys == [arguments.bind(shape, (key,), {"text": "t"}).digest for key in ("k1", "k2")]
    assert [(call.keys, call.partition) for call in calls] == [((keys[0],), "k1"), ((keys[1],), "k2")]


def test_a_row_that_does_not_fit_is_refused_before_the_first_item(arguments: Arguments) -> None:
    with pytest.raises(TypeError, match=r"send\(\) got an unexpected keyword argument 'c'"):
        row(arguments, c=1)
    with pytest.raises(TypeError, match=r"send\(\) multiple values for argument 'a'"):
        row(arguments, a=1)
