"""Declared functions stay functions, and decorators keep faults instead of raising."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import legato as lg
from legato.declare.pool import Use
from legato.terms.errors import LegatoError


@lg.asset
def flights() -> list[int]:
    """All flights.

    One number each.
    """
    return [1, 2, 3]


@lg.asset(owner="ops@airline.example", tags=["daily"], retries=3, timeout="1h30m", pool=lg.Pool("crm", priority=5))
def delays(flights: list[int], factor: int = 2) -> list[int]:
    return [each * factor for each in flights]


def codes(face: object) -> list[str]:
    return [fault.code for fault in face.faults]  # type: ignore[attr-defined]


def test_a_face_calls_its_function_and_nothing_else() -> None:
    assert delays(flights()) == [2, 4, 6]
    assert delays([1], factor=5) == [5]


def test_a_face_looks_like_its_function() -> None:
    assert (flights.__name__, flights.__module__) == ("flights", __name__)
    assert inspect.getdoc(flights) == "All flights.\n\nOne number each."
    assert list(inspect.signature(delays).parameters) == ["flights", "factor"]
    assert repr(flights) == "<asset flights>"


def test_keywords_become_the_node() -> None:
    node = delays.node
    assert (node.name, node.kind, node.outputs) == ("delays", "asset", ("delays",))
    assert (node.retry, node.timeout_s) == (lg.Retry(3), 5400.0)
    assert (node.pools, node.priority) == ((Use("crm"),), 5)
    assert (node.owner, node.tags) == ("ops@airline.example", ("daily",))
    assert flights.node.description == "All flights.\n\nOne number each."
    assert node.place is not None
    assert node.place.file == __file__
    assert node.place.line == delays.fn.__code__.co_firstlineno


def test_several_assets_of_one_function() -> None:
    @lg.assets("planes", "airports")
    def fleet() -> tuple[int, int]:
        return 1, 2

    assert fleet.node.outputs == fleet.names == ("planes", "airports")
    assert fleet() == (1, 2)


def test_a_task_makes_no_asset() -> None:
    @lg.task(undo=lambda result: None, when=lambda: True)
    def notify() -> None: ...

    assert notify.node.outputs == ()
    assert notify.names == ("notify",)
    assert (notify.node.undo, notify.node.when) == (True, True)


def test_a_retry_keeps_its_function_apart_from_its_record() -> None:
    is_there = len
    face = lg.task(retries=lg.Retry(until=is_there, max_time=timedelta(hours=2)))(lambda: [1])
    assert face.until is is_there
    assert face.node.retry == lg.Retry(until=True, max_time=7200.0)
    assert face.node.retry.max_time_s == lg.Retry(max_time="2h").max_time_s == 7200.0
    assert lg.task(retries=3)(lambda: 1).until is None


def test_a_cache_keeps_its_function_apart_from_its_record() -> None:
    face = lg.task(cache=lg.Cache(timedelta(days=1), key=len, version="2"))(lambda x: 1)
    assert face.cache_key is len
    assert face.node.cache == lg.Cache(86_400.0, key=True, version="2")
    assert face.node.cache.ttl_s == 86_400.0
    plain = lg.flow(cache="1d")(lambda x: 1)
    assert (plain.node.cache, plain.cache_key) == (lg.Cache("1d"), None)
    assert lg.task(lambda: 1).node.cache is None


@pytest.mark.parametrize(
    "cache", ["soon", 0, True, lg.Cache("0s"), lg.Cache(key="id"), lg.Cache(key=dict), lg.Cache(version=2), lg.Cache(ttl=[])]
)
def test_a_cache_that_makes_no_sense_is_a_fault(cache: Any) -> None:
    face = lg.task(name="t", cache=cache)(lambda: 1)
    assert codes(face) == ["cache"]
    assert face.node.cache is None


def test_an_asset_has_no_cache() -> None:
    with pytest.raises(TypeError, match="cache"):
        lg.asset(cache="1d")  # type: ignore[call-overload]


def test_a_flow_is_not_waited_for() -> None:
    flow = lg.flow(name="f", retries=lg.Retry(3, until=bool))(lambda: 1)
    assert codes(flow) == ["retries"]


def test_async_functions_stay_async() -> None:
    @lg.task
    async def fetch() -> int:
        return 7

    assert asyncio.run(fetch()) == 7


def test_a_text_of_tags_is_one_tag() -> None:
    assert lg.asset(tags="daily")(lambda: 1).node.tags == ("daily",)


@pytest.mark.parametrize(
    ("keywords", "code"),
    [
        ({"retries": -1}, "retries"),
        ({"retries": "three"}, "retries"),
        ({"retries": True}, "retries"),
        ({"retries": lg.Retry(1, backoff="sometimes")}, "retries"),  # type: ignore[arg-type]
        ({"retries": lg.Retry(1, delay_s=-1)}, "retries"),
        ({"retries": lg.Retry(1, delay_s="1s")}, "retries"),  # type: ignore[arg-type]
        ({"retries": lg.Retry("3")}, "retries"),  # type: ignore[arg-type]
        ({"retries": lg.Retry(backoff="fixed")}, "retries"),
        ({"retries": lg.Retry(max_time="soon")}, "retries"),
        ({"retries": lg.Retry(max_time=0)}, "retries"),
        ({"retries": lg.Retry(3, until=True)}, "retries"),
        ({"retries": lg.Retry(3, until=int)}, "retries"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": "0s"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"on_failure": "explode"}, "on-failure"),
        ({"partitions": "daily"}, "partitions"),
        ({"pool": 3}, "pool"),
        ({"pool": "two words"}, "pool"),
        ({"owner": 3}, "owner"),
        ({"storage": None}, "storage"),
        ({"version": 2}, "version"),
        ({"tags": ["a b"]}, "tags"),
        ({"tags": 5}, "tags"),
        ({"domain": "a b"}, "domain"),
        ({"when": "always"}, "when"),
        ({"name": "a b"}, "name"),
        ({"name": 5}, "name"),
        ({"contract": {"nobody": lg.contract({"a": int})}}, "contract-output"),
        ({"contract": {"a": lg.column(int)}}, "contract"),
    ],
)
def test_a_bad_keyword_is_a_fault_at_its_line_and_not_an_error(keywords: dict[str, object], code: str) -> None:
    @lg.asset(**keywords)  # type: ignore[call-overload]
    def broken() -> int:
        return 1

    assert codes(broken) == [code]
    assert broken.faults[0].place.file == __file__
    assert broken.faults[0].place.line == broken.fn.__code__.co_firstlineno
    assert broken.faults[0].hint
    assert broken() == 1


def test_all_faults_of_a_decorator_are_kept() -> None:
    face = lg.asset(retries=-1, timeout="soon", on_failure="explode")(lambda: 1)  # type: ignore[arg-type]
    assert sorted(codes(face)) == ["name", "on-failure", "retries", "timeout"]


def test_an_unknown_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="retrys"):
        lg.asset(retrys=3)  # type: ignore[call-overload]


@pytest.mark.parametrize("keyword", ["retries", "timeout", "pool", "deps", "version"])
def test_a_source_takes_no_keyword_that_would_do_nothing(keyword: str) -> None:
    with pytest.raises(TypeError, match=keyword):
        lg.source(**{keyword: 1})  # type: ignore[call-overload]


def test_a_source_has_the_keywords_of_what_is_only_looked_at() -> None:
    face = lg.source(name="feed", owner="ops@airline.example", tags=["raw"], domain="sales")(lambda: "v1")
    node = face.node
    assert (face.faults, node.kind, node.outputs) == ([], "source", ("feed",))
    assert (node.owner, node.tags, node.domain) == ("ops@airline.example", ("raw",), "sales")


def test_only_functions_can_be_declared() -> None:
    assert "declare-function" in codes(lg.asset(42))  # type: ignore[call-overload]
    assert "declare-function" in codes(lg.task(name="k")(int))


def test_assets_need_names() -> None:
    assert codes(lg.assets()(flights.fn)) == ["assets"]
    assert codes(lg.assets("a", "a")(flights.fn)) == ["assets"]
    assert codes(lg.assets("a", "b c")(flights.fn)) == ["name"]
    assert codes(lg.assets("a", "b", contract=lg.contract({"x": int}))(flights.fn)) == ["contract"]  # type: ignore[arg-type]


def test_built_in_checks_stay_with_the_face() -> None:
    @lg.asset
    def table() -> int:
        return 1

    lg.check(table, lg.not_null("carrier"), lg.unique("flight"), severity="warn")
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    [declared] = table.checks
    assert [rule.severity for rule in declared.rules] == ["warn", "warn"]  # type: ignore[union-attr]
    assert str(declared.place) == f"{__file__}:{line}"


def test_a_check_function_stays_a_function() -> None:
    @lg.asset
    def table() -> int:
        return 1

    @lg.check(table, severity="warn")
    def positive(table: int) -> bool:
        return table > 0

    assert positive(1)
    assert not positive(-1)
    assert table.checks == [positive]
    assert (positive.name, positive.severity) == ("positive", "warn")


def test_faults_of_checks() -> None:
    table = lg.asset(lambda: 1)
    assert codes(lg.check(table, 5)) == ["check-rule"]  # type: ignore[call-overload]
    assert codes(lg.check(table, lg.not_null("a"), severity="loud")) == ["severity"]  # type: ignore[call-overload]
    assert codes(lg.check(table, lg.not_null("a"), lg.unique("a"), name="both")) == ["check-name"]
    assert codes(lg.check(table, severity="loud")(lambda v: True)) == ["severity"]  # type: ignore[call-overload]
    assert codes(lg.check(table, name=5)(lambda v: True)) == ["check-name"]  # type: ignore[call-overload]
    assert codes(lg.check(table)(5)) == ["declare-function"]  # type: ignore[arg-type]


def test_one_rule_takes_the_name_it_is_given() -> None:
    [rule] = lg.check("table", lg.not_null("a"), name="whole").rules
    assert rule.name == "whole"


def test_a_resource_stays_a_function() -> None:
    @lg.resource
    def connection() -> Iterator[int]:
        yield 3

    assert next(connection()) == 3


def test_a_secret_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    token = lg.secret("LEGATO_TEST_TOKEN")
    monkeypatch.setenv("LEGATO_TEST_TOKEN", "s3cret")
    assert token.reveal() == "s3cret"
    monkeypatch.setenv("LEGATO_TEST_TOKEN", "other")
    assert token.reveal() == "other"


def test_a_secret_in_a_file(tmp_path: object) -> None:
    file = tmp_path / "token"  # type: ignore[operator]
    file.write_text("s3cret\n")
    assert lg.secret(f"file:{file}").reveal() == "s3cret"


def test_a_secret_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGATO_TEST_TOKEN", "s3cret")
    token = lg.secret("LEGATO_TEST_TOKEN")
    assert (repr(token), str(token), f"{token}", f"{token:>5}") == ("***", "***", "***", "  ***")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        json.dumps(token)


@pytest.mark.parametrize("reference", ["LEGATO_NOT_SET", "file:/nowhere/token"])
def test_a_missing_secret_is_named(reference: str) -> None:
    with pytest.raises(LegatoError, match=reference) as caught:
        lg.secret(reference).reveal()
    assert caught.value.code == "secret-missing"
    assert caught.value.next
