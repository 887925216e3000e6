"""Assets of which one call makes many partitions: what may be declared, what the call is given, what becomes of what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from legato.runtime.dispatch import gather
from legato.terms.attempt import Argument, Order, Ref
from legato.terms.codec import pack, unpack
from legato.worker.failure import Refused
from legato.worker.gathering import Gathering, Headless
from legato.worker.loading import Loaded, load_project


def load(folder: Path, code: str) -> Loaded:
    (folder / "legato.toml").write_text('name = "p"\nmodules = ["pipeline"]\n')
    head = "from typing import Annotated\nimport legato as lg\ndays = lg.daily('2013-01-01', end='2013-02-01')\n"
    (folder / "pipeline.py").write_text(head + code)
    return load_project(folder)


def faults_of(folder: Path, code: str) -> list[str]:
    with pytest.raises(Exception, match="partition") as raised:
        load(folder, code)
    return [str(fault.what) for fault in raised.value.faults if fault.code == "together"]


def test_it_is_declared_with_a_list_of_partitions(tmp_path: Path) -> None:
    loaded = load(tmp_path, "@lg.asset(partitions=days)\ndef a(days: Annotated[list[lg.Partition], 10]) -> dict: ...\n")
    assert loaded.project.nodes["a"].together == 10


def test_without_a_number_it_is_as_many_as_a_worker_takes(tmp_path: Path) -> None:
    code = "@lg.asset(partitions=days)\ndef a(days: 'list[lg.Partition]') -> dict: ...\n"
    assert load(tmp_path, code).project.nodes["a"].together == 256


MANY = "days: list[lg.Partition]"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("@lg.asset(partitions=days)\ndef a(days: Annotated[list[lg.Partition], 1]): ...", "makes no sense"),
        ("@lg.asset(partitions=days)\ndef a(days: Annotated[list[lg.Partition], 9999]): ...", "makes no sense"),
        (f"@lg.asset(partitions=days)\ndef a({MANY}, day: lg.Partition): ...", "its partitions twice"),
        (f"@lg.task(partitions=days)\ndef a({MANY}): ...", "only a single asset"),
        (f"@lg.assets('x', 'y', partitions=days)\ndef a({MANY}): ...", "only a single asset"),
        (f"@lg.asset(partitions=days, when=lambda: True)\ndef a({MANY}): ...", "when is about one"),
        (f"@lg.asset(partitions=days, deps={{'old': lg.previous}})\ndef a({MANY}, old): ...", "lg.previous is about one"),
    ],
)
def test_what_does_not_go_with_it_is_a_fault(tmp_path: Path, code: str, says: str) -> None:
    (what,) = faults_of(tmp_path, code + "\n")
    assert says in what


def ref(partition: str) -> Ref:
    return Ref("up", partition, "v", "files", "", "json", digest=partition)


def order(token: int, partition: str, *arguments: Argument) -> Order:
    return Order("r", token, token, "a", partition, arguments)


def test_the_first_order_has_what_all_of_them_read() -> None:
    """Versions and values by partition, each once; what is the same for all, as it is; each order what its own checks read."""
    orders = [
        order(
            number, key, Argument("up", (ref(key), ref("shared")), many=True), Argument("rate", value=pack(2)),
            Argument("feed", value=pack({key: f"v{number}"}), many=True), Argument("ok:up", (ref(key),)),
        )
        for number, key in ((3, "x"), (4, "y"))
    ]  # fmt: skip
    first, second = gather(orders)
    given = {argument.param: argument for argument in first.arguments}
    assert [each.partition for each in given["up"].refs] == ["x", "shared", "y"]
    assert unpack(given["feed"].value or b"", object) == {"x": "v3", "y": "v4"}
    assert (given["rate"].value, given["rate"].many) == (pack(2), False)
    assert [argument.param for argument in second.arguments] == ["ok:up"]
    assert second.arguments[0].refs == (ref("y"),)
    assert {(each.together, each.head) for each in (first, second)} == {(("x", "y"), 3)}


class Call:
    """A function that is asked for several partitions at once; `count` says how often."""

    def __init__(self, made: object) -> None:
        self.made, self.count = made, 0

    def __call__(self) -> object:
        self.count += 1
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def take(gathering: Gathering, node: object, order: Order, call: Call) -> object:
    try:
        return gathering.take(node, order, call)  # type: ignore[arg-type]
    except Refused as refused:
        return refused.message
    except (ValueError, Headless) as error:
        return error


@pytest.fixture
def node(tmp_path: Path) -> object:
    code = "@lg.asset(partitions=days)\ndef a(days: Annotated[list[lg.Partition], 10]) -> dict: ...\n"
    return load(tmp_path, code).project.nodes["a"]


def test_one_call_is_made_and_each_partition_has_its_own_value(node: object) -> None:
    """A value that is an exception fails its partition alone; one that is missing is told."""
    orders = gather([order(7, "x"), order(8, "y"), order(9, "z")])
    gathering, bad = Gathering(), ValueError("no file")
    call = Call({"x": 1, "y": bad})
    assert take(gathering, node, orders[0], call) == 1
    assert take(gathering, node, orders[1], call) is bad
    assert take(gathering, node, orders[2], call) == "a returned nothing for a@z"
    assert call.count == 1


def test_what_the_call_raises_all_of_them_raise(node: object) -> None:
    orders, gathering, bad = gather([order(7, "x"), order(8, "y")]), Gathering(), ValueError("no luck")
    assert [take(gathering, node, each, Call(bad)) for each in orders] == [bad, bad]


@pytest.mark.parametrize(("made", "says"), [([1], "and no dict by partition"), ({"x": 1, "q": 2}, "returned 'q', which is none")])
def test_what_is_no_dict_of_its_partitions_is_refused(node: object, made: object, says: str) -> None:
    (alone,) = gather([order(7, "x")])
    assert says in str(take(Gathering(), node, alone, Call(made)))


def test_without_its_head_an_order_goes_back(node: object) -> None:
    """The call was made elsewhere, or another came between: nothing is made, and nothing is taken from another call."""
    orders, gathering = gather([order(7, "x"), order(8, "y")]), Gathering()
    call = Call({"x": 1, "y": 2})
    assert isinstance(take(gathering, node, orders[1], call), Headless)
    take(gathering, node, orders[0], call)
    take(gathering, node, gather([order(20, "x"), order(21, "y")])[0], call)
    assert isinstance(take(gathering, node, orders[1], call), Headless)
