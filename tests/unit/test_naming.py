"""The names of steps: by node and partition, with a number where a flow made several calls of one node."""

from __future__ import annotations

import pytest

from legato.kernel.state import CALLED
from legato.plan.records import Handling, Reason, Step
from legato.service.naming import Names
from legato.terms.errors import NotFound
from legato.terms.key import show, split_number


def step(node: str, partition: str = "", *, planned: bool = False) -> Step:
    return Step(node, partition, True, Reason("requested") if planned else CALLED)


@pytest.fixture
def names() -> Names:
    steps = [
        step("flow", planned=True),
        step("sales", "a#1", planned=True),
        step("send"),
        step("ask"),
        step("send"),
        step("send", "x"),
    ]
    handling = {each.node: Handling() for each in steps} | {"sales": Handling(outputs=("raw", "net"))}
    return Names(steps, handling, 2)


def test_a_number_tells_calls_of_one_node_apart(names: Names) -> None:
    assert [names.of(index) for index in range(6)] == ["flow", "sales@a#1", "send#1", "ask", "send#2", "send@x"]


def test_steps_that_join_later_are_named_too(names: Names) -> None:
    assert names.of(3) == "ask"
    names._steps.append(step("ask"))  # type: ignore[attr-defined]
    assert (names.of(3), names.of(6)) == ("ask#1", "ask#2")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("send", [2, 4, 5]),
        ("send#1", [2]),
        ("send#2", [4]),
        ("send@x", [5]),
        ("send@x#1", [5]),
        ("ask#1", [3]),
        ("sales@a#1", [1]),
        ("net", [1]),
    ],
)
def test_steps_are_found_by_name(names: Names, text: str, found: list[int]) -> None:
    assert names.find(text, run="r") == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("send#9", "it called send twice"),
        ("ask#2", "it called ask once"),
        ("flow#1", "flow is one step of it, and no call"),
        ("send@y", "send is a step of it, but not at y"),
        ("sned", "did you mean `send`?"),
    ],
)
def test_what_is_no_step(names: Names, text: str, why: str) -> None:
    with pytest.raises(NotFound) as caught:
        names.find(text, run="r")
    assert (caught.value.code, caught.value.why) == ("step", why)


@pytest.mark.parametrize("text", ["send", "send#", "#3", "send#x", "send#²", "a#1@b"])
def test_a_text_without_a_number(text: str) -> None:
    assert split_number(text) == (text, 0)


def test_a_name_is_read_as_it_is_written() -> None:
    assert split_number(show("send", "x", 12)) == ("send@x", 12)
