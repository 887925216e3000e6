"""Two versions of a project compared: what is new, changed, removed, and what breaks whom."""

from __future__ import annotations

from typing import Any

import pytest

from legato.declare.contract import Contract, ContractColumn
from legato.declare.node import Check, Dep, Node, Project, Retry
from legato.declare.partitions import Static
from legato.declare.snapshot import Parameter, Snapshot, parameter
from legato.plan.diff import Change, compare
from legato.terms.errors import Place


def snapshot(*nodes: Node, **parameters: tuple[Parameter, ...]) -> Snapshot:
    project = Project(name="p", nodes={node.name: node for node in nodes}, makers={}, fingerprint=str(len(nodes)))
    return Snapshot(project=project, parameters=parameters)


def asset(name: str = "a", *reads: str, **more: Any) -> Node:
    return Node(name=name, kind="asset", **{"outputs": (name,), "deps": tuple(Dep(each, each) for each in reads), **more})


def change(old: Snapshot, new: Snapshot) -> Change:
    (found,) = compare(old, new).changes
    return found


def promise(**column: Any) -> dict[str, Contract]:
    extra = column.pop("extra", "allow")
    return {"a": Contract((ContractColumn(**{"name": "x", "type": "int", **column}),), extra=extra)}


def test_equal_versions_do_not_differ() -> None:
    placed = asset(place=Place("a.py", 1)), asset(place=Place("a.py", 9))
    assert compare(snapshot(placed[0]), snapshot(placed[1])).changes == ()


def test_new_and_removed() -> None:
    old, new = snapshot(asset("a"), asset("b", "a")), snapshot(asset("c"))
    assert compare(old, new).changes == (
        Change(name="a", kind="asset", what="removed", breaking=("read by b",)),
        Change(name="b", kind="asset", what="removed"),
        Change(name="c", kind="asset", what="new"),
    )


@pytest.mark.parametrize(
    ("old", "new", "words", "breaking"),
    [
        ({"code": "1"}, {"code": "2"}, ("code",), ()),
        ({}, {"owner": "ann", "retry": Retry(3)}, ("retries", "owner"), ()),
        ({}, {"deps": (Dep("b", "b"),)}, ("now reads b",), ()),
        ({"partitions": Static(("x", "y"))}, {}, None, ("its partitions are others: what is published has keys of before",)),
        ({"contracts": promise()}, {}, ("contract",), ("contract of a: promises nothing any more",)),
        ({"contracts": promise()}, {"contracts": promise(type="str")}, ("contract",),
         ("contract of a: column x changed from int to str",)),
        ({"contracts": promise()}, {"contracts": promise(name="y")}, ("contract",),
         ("contract of a: column x was removed", "contract of a: column y must be there")),
        ({"contracts": promise(nulls=False)}, {"contracts": promise()}, ("contract",),
         ("contract of a: column x may now be null",)),
        ({"contracts": promise(low=0, high=9)}, {"contracts": promise(low=1, high=9)}, ("contract",),
         ("contract of a: column x has narrower bounds",)),
        ({"contracts": promise(low=0, high=9)}, {"contracts": promise(low=-1)}, ("contract",), ()),
        ({"contracts": promise(among=(1, 2))}, {"contracts": promise(among=(1,), unique=True)}, ("contract",),
         ("contract of a: column x must be unique", "contract of a: column x may have fewer values")),
        ({"contracts": promise()}, {"contracts": promise(extra="forbid")}, ("contract",),
         ("contract of a: other columns are no longer allowed",)),
        ({"checks": (Check("big", "a", args={"low": 1}),)}, {"checks": (Check("big", "a", args={"low": 2}),)},
         ("check big",), ()),
        ({}, {"checks": (Check("big", "a", place=Place("a.py", 3)),)}, ("new check big",), ()),
        ({"outputs": ("a", "b")}, {"outputs": ("a",)}, (), ("no longer makes b",)),
    ],
)  # fmt: skip
def test_what_changed_and_what_it_breaks(old: Any, new: Any, words: Any, breaking: Any) -> None:
    found = change(snapshot(asset(**old)), snapshot(asset(**new)))
    assert found.breaking == breaking
    assert words is None or found.words == words


def test_parameters_of_flows() -> None:
    flow = Node(name="f", kind="flow")
    old = snapshot(flow, f=(parameter("a", int, 1), parameter("b", str, ""), parameter("c", int, 1)))
    new = snapshot(flow, f=(parameter("a", int), parameter("c", str, ""), parameter("d", int)))
    assert change(old, new).breaking == (
        "parameter b is gone",
        "parameter a must be given",
        "parameter c takes other values: int -> str",
        "parameter d must be given",
    )
