"""One attempt, made by the harness: inputs, values, judging, errors, resources."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from msgspec.structs import replace

from legato.declare.body import Binding, Body, Code, cache_key, check_key, undo_key, until_key
from legato.declare.contract import Contract, ContractColumn
from legato.declare.node import Cache, Check, Node, Project, Retry
from legato.declare.partitions import Partition, daily
from legato.declare.resource import Context, Secret
from legato.storages.memory import MemoryStorage
from legato.terms.attempt import Argument, Done, Order, Raised, Report
from legato.terms.errors import LegatoError
from legato.worker.context import current
from legato.worker.harness import Harness
from legato.worker.preload import Kit

TABLE = pl.DataFrame({"carrier": ["AA", None], "delay": [3, 5]})


class Bench:
    """A project that grows by a node or resource at a time, and a harness over it."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.code = Code(secrets=(Secret("BENCH_SECRET"),))
        self.storage = MemoryStorage("files", unpickle=True)
        self.harness: Harness | None = None

    def node(self, fn: Callable[..., Any], *bindings: Binding, kind: Any = "task", **fields: Any) -> None:
        outputs = fields.pop("outputs", (fn.__name__,) if kind == "asset" else ())
        self.nodes[fn.__name__] = Node(name=fn.__name__, kind=kind, outputs=outputs, **fields)
        self.code.bodies[fn.__name__] = body(fn, *bindings)

    def make(self, node: str, *arguments: Argument, **fields: Any) -> Report:
        if self.harness is None:
            project = Project(name="bench", nodes=self.nodes, makers={name: name for name in self.nodes})
            kit = Kit(project, self.code, lambda: {"files": self.storage}, "files", Path(__file__).parent)
            self.harness = Harness(kit)
        return self.harness.make(Order("r1", 7, 9, node, arguments=arguments, **fields))

    def done(self, node: str, *arguments: Argument, **fields: Any) -> Done:
        end = self.make(node, *arguments, **fields)
        assert isinstance(end, Done), end
        return end

    def value(self, node: str, *arguments: Argument, **fields: Any) -> Any:
        end = self.done(node, *arguments, **fields)
        return self.storage.load((end.kept,), Any) if end.kept else msgspec.msgpack.decode(end.value or b"")

    def failure(self, node: str, *arguments: Argument, **fields: Any) -> Any:
        end = self.make(node, *arguments, **fields)
        assert isinstance(end, Raised), end
        return end.error


def body(fn: Callable[..., Any], *bindings: Binding) -> Body:
    return Body(fn, bindings, asyncio.iscoroutinefunction(fn), fn.__code__.co_filename, fn.__code__.co_firstlineno)


def inline(param: str, value: Any) -> Argument:
    return Argument(param, value=msgspec.msgpack.encode(value))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    if bench.harness is not None:
        bench.harness.close()


@dataclass
class Lead:
    name: str
    seen: date


# Inputs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (Lead, {"name": "x", "seen": "2013-01-05"}, Lead("x", date(2013, 1, 5))),
        (list[date], ["2013-01-05"], [date(2013, 1, 5)]),
        (float, 1, 1.0),
        (Any, {"a": [1]}, {"a": [1]}),
        (pl.DataFrame, {"a": [1]}, {"a": [1]}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (Path, "a/b", Path("a/b")),
        (list[Path] | None, ["a"], [Path("a")]),
    ],
)
def test_inline_values_become_what_the_annotation_asks_for(bench: Bench, kind: Any, given: Any, expected: Any) -> None:
    got = []
    bench.node(take := _named("take", got.append), Binding("value", "input", kind))
    bench.done(take.__name__, inline("value", given))
    assert got == [expected]
    assert type(got[0]) is type(expected)


def test_an_inline_value_that_does_not_fit_is_an_input_error(bench: Bench) -> None:
    bench.node(_named("take", print), Binding("value", "input", int))
    error = bench.failure("take", inline("value", "five"))
    assert (error.kind, error.types) == ("input", ())
    assert "input value does not fit its annotation int" in error.message


def test_stored_inputs_are_loaded_as_asked_for(bench: Bench) -> None:
    bench.node(_returning("table", TABLE), kind="asset")
    ref = bench.done("table").outputs[0].ref
    bench.node(_named("rows", lambda value: [type(value).__name__, len(value)]), Binding("value", "input", list[pl.DataFrame]))
    assert bench.value("rows", Argument("value", refs=(ref,), many=True))[0] == "list"
    bench.storage.discard(ref)
    error = bench.failure("rows", Argument("value", refs=(ref,)))
    assert error.kind == "input"
    assert "[storage-missing]" in error.message
    elsewhere = msgspec.structs.replace(ref, storage="lake")
    assert "no storage 'lake'" in bench.failure("rows", Argument("value", refs=(elsewhere,))).message


def test_partition_context_and_defaults(bench: Bench) -> None:
    seen: dict[str, Any] = {}

    def report(day: Partition, me: Context, other: str = "own") -> None:
        seen.update(day=day, me=me, other=other, now=current())

    days = daily("2013-01-01", end="2014-01-01")
    bindings = (Binding("day", "partition"), Binding("me", "context"), Binding("other", "default"))
    bench.node(report, *bindings, partitions=days)
    bench.done("report", partition="2013-01-05", attempt=2)
    assert seen["day"].date == date(2013, 1, 5)
    assert seen["other"] == "own"
    assert seen["me"] == seen["now"]
    assert (seen["me"].run, seen["me"].attempt, seen["me"].idempotency_key) == ("r1", 2, "r1:7")
    with pytest.raises(LegatoError, match="no-attempt"):
        current()


# Resources -----------------------------------------------------------------------------------------------


class Database:
    pass


class Session:
    def __init__(self, database: Database) -> None:
        self.database = database


class Client:
    pass


def test_resources_are_made_once_and_closed_in_reverse(bench: Bench) -> None:
    story: list[str] = []

    def database() -> Iterator[Database]:
        story.append("open database")
        os.environ["BENCH_DATABASE"] = "open"
        yield Database()
        story.append("close database")

    def session(database: Database) -> Iterator[Session]:
        yield Session(database)
        story.append("close session")

    async def client() -> AsyncIterator[Client]:
        yield Client()
        story.append("close client")

    bench.code.resources.update(
        {Database: body(database), Session: body(session, Binding("database", "resource", Database)), Client: body(client)}
    )
    bindings = [Binding("a", "resource", Session), Binding("b", "resource", Database), Binding("c", "resource", Client)]
    bench.node(_named("use", lambda a, b, c: a.database is b and isinstance(c, Client)), *bindings)
    assert bench.value("use") is True
    assert bench.value("use") is True
    assert os.environ.pop("BENCH_DATABASE") == "open"  # what a resource changes stays
    assert story == ["open database"]
    assert bench.harness is not None
    bench.harness.close()
    assert story == ["open database", "close client", "close session", "close database"]


def test_a_missing_resource_is_named(bench: Bench) -> None:
    bench.node(_named("use", print), Binding("value", "resource", Database))
    assert "nothing makes a Database" in bench.failure("use").message


# A task's value ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, "text", [1, {"a": None}], b"bytes", 1.5, datetime(2013, 1, 5, tzinfo=UTC)])
def test_small_plain_values_travel_inline(bench: Bench, value: Any) -> None:
    bench.node(_returning("make", value))
    assert bench.done("make").kept is None
    assert bench.value("make") == value


@pytest.mark.parametrize("value", [(1, 2), {1, 2}, date(2013, 1, 5), "x" * 70_000, TABLE, 2**70])
def test_what_would_not_come_back_equal_is_stored(bench: Bench, value: Any) -> None:
    bench.node(_returning("make", value))
    end = bench.done("make")
    assert end.kept is not None
    assert (end.kept.asset, end.kept.version) == ("make", "r1-9")
    got = bench.value("make")
    assert got.equals(value) if isinstance(value, pl.DataFrame) else got == value


def test_nothing_is_one_byte(bench: Bench) -> None:
    bench.node(_returning("make", None))
    assert bench.done("make").value == b"\xc0"


def test_a_source_returns_its_version(bench: Bench) -> None:
    bench.node(_returning("raw", date(2013, 1, 5)), kind="source", outputs=("raw",))
    assert bench.value("raw") == "2013-01-05"
    bench.node(_returning("odd", [1]), kind="source", outputs=("odd",))
    assert "a source returns text" in bench.failure("odd").message


# An asset's values ---------------------------------------------------------------------------------------


def test_several_outputs_as_dict_or_tuple(bench: Bench) -> None:
    bench.node(_returning("pair", (1, "b")), kind="asset", outputs=("a", "b"))
    bench.node(_returning("named", {"b": "b", "a": 1}), kind="asset", outputs=("a", "b"))
    for node in ("pair", "named"):
        outputs = bench.done(node).outputs
        assert [(output.ref.asset, bench.storage.load((output.ref,), Any)) for output in outputs] == [("a", 1), ("b", "b")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1,), "returned 1 values for 2 outputs: a, b"),
        (5, "returned an int, not a dict or tuple of its outputs: a, b"),
        ({"a": 1}, "returned nothing for its output b"),
        ({"a": 1, "b": 2, "c": 3}, "returned 'c', which is none of its outputs"),
        (None, "returned nothing"),
    ],
)
def test_outputs_that_do_not_match_are_refused(bench: Bench, value: Any, words: str) -> None:
    bench.node(_returning("pair", value), kind="asset", outputs=("a", "b"))
    error = bench.failure("pair")
    assert error.kind == "value"
    assert words in error.message
    assert bench.storage.values == {}


def test_if_one_output_is_refused_none_stays_staged(bench: Bench) -> None:
    bench.node(_returning("pair", (1, (n for n in ()))), kind="asset", outputs=("a", "b"))
    assert bench.failure("pair").kind == "value"
    assert bench.storage.values == {}


def test_contract_and_checks_are_judged_on_the_staged_version(bench: Bench) -> None:
    checks = (
        Check("has_carrier", "table", kind="not_null", args={"columns": ["carrier"]}),
        Check("enough", "table", severity="warn"),
        Check("breaks", "table"),
    )
    contract = Contract((ContractColumn("carrier", "str"), ContractColumn("gate")))
    bench.node(_returning("table", TABLE), kind="asset", checks=checks, contracts={"table": contract})
    rows = Binding("limit", "input", int)
    enough = body(lambda table, limit: (len(table) >= limit, f"wants {limit}"), Binding("table", "input"), rows)
    bench.code.bodies[check_key("table", "enough")] = enough
    bench.code.bodies[check_key("table", "breaks")] = body(lambda anything: 1 / 0, Binding("anything", "input"))
    (output,) = bench.done("table", inline("enough:limit", 3)).outputs
    assert [(verdict.check, verdict.passed, verdict.blocks) for verdict in output.verdicts] == [
        ("contract.columns", False, True),
        ("has_carrier", False, True),
        ("enough", False, False),
        ("breaks", False, True),
    ]
    assert output.verdicts[2].message == "wants 3"
    assert "ZeroDivisionError" in output.verdicts[3].message
    assert bench.storage.load((output.ref,), pl.DataFrame).equals(TABLE)
    assert [column.name for column in output.columns] == ["carrier", "delay"]


def test_a_check_gets_the_type_that_it_asks_for(bench: Bench) -> None:
    import pyarrow as pa

    bench.node(_returning("table", TABLE), kind="asset", checks=(Check("typed", "table"),))
    typed = body(lambda frame: isinstance(frame, pa.Table), Binding("frame", "input", pa.Table))
    bench.code.bodies[check_key("table", "typed")] = typed
    assert bench.done("table").outputs[0].verdicts[0].passed


# Not there yet -------------------------------------------------------------------------------------------


def waiting(bench: Bench, value: Any, until: Callable[..., Any], *bindings: Binding, kind: str = "task") -> None:
    bench.node(_returning("ask", value), kind=kind, retry=Retry(3, until=True))
    bench.code.bodies[until_key("ask")] = body(until, Binding("result", "result"), *bindings)


@pytest.mark.parametrize("kind", ["task", "asset"])
def test_a_result_is_refused_while_until_says_no(bench: Bench, kind: str) -> None:
    waiting(bench, {"state": "running"}, lambda result: result["state"] == "done", kind=kind)
    error = bench.failure("ask")
    assert (error.kind, error.types[0]) == ("pending", "builtins.TimeoutError")
    assert error.message == "not there yet: `until` says no to {'state': 'running'}"
    assert error.where.startswith(f"{Path(__file__).name}:")
    assert bench.storage.values == {}


def test_until_may_look_at_the_inputs_and_be_async(bench: Bench) -> None:
    async def enough(result: int, least: int) -> bool:
        await asyncio.sleep(0)
        return result >= least

    waiting(bench, 5, enough, Binding("least", "input", int))
    assert bench.value("ask", inline("least", 5)) == 5
    assert bench.failure("ask", inline("least", 6)).message == "not there yet: `until` says no to 5"


def test_an_until_that_raises_is_an_error_like_any_other(bench: Bench) -> None:
    waiting(bench, {}, lambda result: result["state"])
    error = bench.failure("ask")
    assert (error.kind, error.types[0]) == ("raised", "builtins.KeyError")


def test_until_does_not_judge_what_stands_in(bench: Bench) -> None:
    waiting(bench, 1, lambda result: False)
    bench.node(_returning("spare", 2))
    bench.nodes["ask"] = replace(bench.nodes["ask"], fallback="spare")
    assert bench.value("ask", mode="fallback") == 2


# Cache keys ------------------------------------------------------------------------------------------


def keyed(bench: Bench, value: Any) -> None:
    bench.node(_raising("work", AssertionError("not now")), cache=Cache(key=True))
    bench.code.bodies[cache_key("work")] = body(lambda lead: value if value is not ... else lead, Binding("lead", "input", Any))


def test_a_key_is_said_without_doing_the_work(bench: Bench) -> None:
    keyed(bench, ...)
    keys = [bench.done("work", inline("lead", lead), mode="key").value for lead in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 3)]
    assert keys[0] == keys[1] != keys[2]
    assert bench.storage.values == {}


@pytest.mark.parametrize(
    ("value", "told"), [(None, "nothing (None); is a return missing?"), (object(), "an object, and no plain data")]
)
def test_a_key_that_is_none_or_no_data_is_refused(bench: Bench, value: Any, told: str) -> None:
    keyed(bench, value)
    error = bench.failure("work", inline("lead", 1), mode="key")
    assert (error.kind, error.message) == ("value", f"the cache key of work is {told}")


def test_what_is_to_be_said_in_the_log_is_said_first(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.node(_returning("work", 1))
    bench.done("work", remark="it was gone")
    assert capsys.readouterr().out == "legato: it was gone\n"


# Errors --------------------------------------------------------------------------------------------------


class Throttled(Exception):
    retry_after = 2


def test_an_error_says_when_to_try_again(bench: Bench) -> None:
    bench.node(_raising("call", Throttled("slow down")))
    error = bench.failure("call")
    assert error.retry_after_s == 2.0
    assert error.types[0] == f"{__name__}.Throttled"


@pytest.mark.parametrize(("header", "wanted"), [("5", 5.0), (" 120 ", 120.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)])
def test_an_error_says_when_to_try_again_as_the_header_has_it(bench: Bench, header: str, wanted: float) -> None:
    bench.node(_raising("call", type("Busy", (Exception,), {"retry_after": header})()))
    assert bench.failure("call").retry_after_s == wanted


@pytest.mark.parametrize("odd", ["soon", "", "-1", "1e400", "9" * 400, True, None])
def test_what_is_no_time_to_try_again_is_none(bench: Bench, odd: object) -> None:
    bench.node(_raising("odd", type("Odd", (Exception,), {"retry_after": odd})()))
    assert bench.failure("odd").retry_after_s is None


@pytest.mark.parametrize("exception", [KeyboardInterrupt(), GeneratorExit(), MemoryError(), BaseException("raw")])
def test_every_kind_of_exception_is_caught(bench: Bench, exception: BaseException) -> None:
    bench.node(_raising("call", exception))
    error = bench.failure("call")
    assert error.types[0] == f"builtins.{type(exception).__name__}"
    assert error.message == (str(exception) or type(exception).__name__)


def test_a_cause_is_told_and_library_frames_are_not(bench: Bench) -> None:
    def parse() -> None:
        try:
            msgspec.json.decode(b"{", type=dict)
        except msgspec.DecodeError as error:
            raise RuntimeError("no lead") from error

    bench.node(parse)
    error = bench.failure("parse")
    assert "DecodeError" in error.trace
    assert "direct cause" in error.trace
    assert error.where.startswith("test_harness.py:")
    assert "worker/" not in error.trace


def test_secrets_are_masked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SECRET", "hunter22")
    bench.node(_raising("call", ValueError("login with hunter22 failed")))
    error = bench.failure("call")
    assert error.message == "login with *** failed"
    assert "hunter22" not in error.trace


def test_an_undo_that_fails_is_told_apart(bench: Bench) -> None:
    bench.node(_returning("charge", 1))
    bench.code.bodies[undo_key("charge")] = body(_raising("refund", ValueError("no")))
    assert bench.failure("charge", mode="undo").kind == "undo"


def test_an_unknown_node_says_what_to_do(bench: Bench) -> None:
    assert "this project has no gone [node]" in bench.failure("gone").message


def test_async_leftovers_are_cancelled(bench: Bench) -> None:
    left: list[asyncio.Task[None]] = []

    async def spawn() -> int:
        left.append(asyncio.create_task(asyncio.sleep(600)))
        await asyncio.sleep(0)
        return 1

    bench.node(spawn)
    assert bench.value("spawn") == 1
    assert left[0].cancelled()


def _named(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    def call(**kwargs: Any) -> Any:
        return fn(*kwargs.values())

    call.__name__ = name
    return call


def _returning(name: str, value: Any) -> Callable[..., Any]:
    return _named(name, lambda: value)


def _raising(name: str, error: BaseException) -> Callable[..., Any]:
    def call() -> None:
        raise error

    call.__name__ = name
    return call
