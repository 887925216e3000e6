"""Freezing: names become edges, and everything that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest

import legato as lg
from legato.declare import order
from legato.declare.body import Code
from legato.declare.draft import Site
from legato.declare.node import Dep, Project
from legato.declare.project import collect, contract_fingerprint, freeze
from legato.plan import validate
from legato.terms.errors import Fault, InvalidProject

days = lg.daily("2013-01-01", end="2014-01-01")
months = lg.monthly("2013-01-01", end="2014-01-01")


class Warehouse:
    """A resource's type."""


def frozen(*declared: Any, **site: Any) -> tuple[Project, Code]:
    namespace = {str(index): each for index, each in enumerate(declared)}
    names = Site(**{"name": "test", **site})
    return freeze(collect([namespace]), names, code_of=lambda fn: fn.__code__.co_code.hex(), judge=validate.faults)


def faults(*declared: Any, **site: Any) -> list[Fault]:
    with pytest.raises(InvalidProject) as caught:
        frozen(*declared, **site)
    return caught.value.faults


def codes(*declared: Any, **site: Any) -> list[str]:
    return [fault.code for fault in faults(*declared, **site)]


def asset(name: str, fn: Callable[..., Any] = lambda: 1, **keywords: Any) -> Any:
    return lg.asset(name=name, **keywords)(fn)


def bound(code: Code, key: str) -> dict[str, str]:
    return {binding.param: binding.source for binding in code.body(key).bindings}


# -- edges --


def test_a_parameter_named_like_an_asset_or_task_is_an_input() -> None:
    a, b = asset("a"), lg.task(name="b")(lambda: 1)
    project, code = frozen(asset("c", lambda a, b, limit=3: a), a, b)
    assert project.nodes["c"].deps == (Dep("a", "a"), Dep("b", "b"))
    assert bound(code, "c") == {"a": "input", "b": "input", "limit": "default"}
    assert list(project.nodes) == ["a", "b", "c"]


def test_deps_in_a_list_only_come_before() -> None:
    a, b, c = asset("a"), asset("b"), asset("c")
    project, _ = frozen(a, b, c, asset("d", lambda b: b, deps=[a, "b", c]))
    assert project.nodes["d"].deps == (Dep("b", "b"), Dep("a"), Dep("c"))


def test_deps_in_a_dict_name_the_parameter() -> None:
    prev = asset("prev", partitions=days)
    week = lg.look_back(7)
    project, _ = frozen(
        prev,
        asset("x", lambda x: x, deps={"x": prev}, partitions=days),
        asset("y", lambda prev: prev, deps={"prev": week}, partitions=days),
        asset("z", lambda now, then: now, deps={"now": "prev", "then": lg.Input(prev, week)}, partitions=days),
    )
    assert project.nodes["x"].deps == (Dep("prev", "x"),)
    assert project.nodes["y"].deps == (Dep("prev", "prev", week),)
    assert project.nodes["z"].deps == (Dep("prev", "now"), Dep("prev", "then", week))


def test_a_list_may_hold_mappings_too() -> None:
    week = lg.look_back(7)
    a, b = asset("a", partitions=days), asset("b", partitions=days)
    wanted = [lg.Input(a, week), lg.Input("b", week)]
    project, _ = frozen(a, b, asset("c", lambda b: b, deps=wanted, partitions=days))
    assert project.nodes["c"].deps == (Dep("b", "b", week), Dep("a", "", week))


def test_several_assets_can_be_needed_one_by_one_or_all() -> None:
    project, _ = frozen(fleet, asset("one", lambda planes: planes), lg.task(name="two", deps=[fleet])(lambda: 1))
    assert project.nodes["one"].deps == (Dep("planes", "planes"),)
    assert project.nodes["two"].deps == (Dep("planes"), Dep("airports"))
    assert project.maker("airports").name == "fleet"


def test_partition_resource_context_and_secret_are_injected() -> None:
    token = lg.secret("TOKEN")

    @lg.resource
    def warehouse(token: lg.Secret = token) -> Iterator[Warehouse]:
        yield Warehouse()

    def made(day: lg.Partition, db: Warehouse, run: lg.Context, partition: str, key: lg.Secret = token) -> None: ...

    project, code = frozen(warehouse, asset("a", made, partitions=days))
    kinds = {"day": "partition", "db": "resource", "run": "context", "partition": "partition", "key": "default"}
    assert bound(code, "a") == kinds
    assert code.resources[Warehouse].fn is warehouse.fn
    assert code.secrets == (token,)
    assert project.nodes["a"].deps == ()


def test_an_input_wins_over_a_resource_of_its_type() -> None:
    @lg.resource
    def warehouse() -> Warehouse:
        return Warehouse()

    def made(stock: Warehouse) -> None: ...

    _, code = frozen(warehouse, asset("stock"), asset("a", made))
    assert bound(code, "a") == {"stock": "input"}


def test_undo_and_when_take_some_of_the_inputs() -> None:
    @lg.task(undo=lambda result, a: None, when=lambda a: True)
    def work(a: int) -> int:
        return a

    _, code = frozen(asset("a"), work)
    assert bound(code, "work#undo") == {"result": "input", "a": "input"}
    assert bound(code, "work#when") == {"a": "input"}


def test_until_takes_the_result_and_some_of_the_inputs() -> None:
    def work(a: int) -> int:
        return a

    named = lg.task(name="named", retries=lg.Retry(3, until=lambda a, result: result > a))(work)
    first = lg.task(name="first", retries=lg.Retry(3, until=lambda a, answer, least=1: answer > least))(work)
    nothing = lg.task(name="nothing", retries=lg.Retry(3, until=lambda: True))(work)
    project, code = frozen(asset("a"), named, first, nothing)
    assert bound(code, "named#until") == {"a": "input", "result": "result"}
    assert bound(code, "first#until") == {"a": "input", "answer": "result", "least": "default"}
    assert bound(code, "nothing#until") == {}
    assert project.nodes["named"].retry.until is True


def test_a_cache_key_takes_some_of_the_inputs() -> None:
    work = lg.task(name="work", cache=lg.Cache(key=lambda a: a))(lambda a, b: a)
    project, code = frozen(asset("a"), asset("b"), work)
    assert bound(code, "work#key") == {"a": "input"}
    assert project.nodes["work"].cache == lg.Cache(key=True)


def test_checks_take_the_value_and_more_inputs() -> None:
    table, other = asset("table"), asset("other")

    @lg.check(table)
    def same_size(value: int, other: int) -> bool:
        return value == other

    lg.check(table, lg.not_null("x"))
    project, code = frozen(same_size, table, other)
    function, built_in = sorted(project.nodes["table"].checks, key=lambda check: check.kind)
    assert (function.name, function.deps, bool(function.code)) == ("same_size", (Dep("other", "other"),), True)
    assert (built_in.kind, built_in.args, built_in.code) == ("not_null", {"columns": ["x"]}, "")
    assert bound(code, "table#check:same_size") == {"value": "input", "other": "input"}
    assert list(project.nodes) == ["other", "table"]


def test_a_check_on_a_name_is_found_where_it_is_bound() -> None:
    project, _ = frozen(asset("table"), lg.check("table", lg.not_null("x")))
    assert [check.name for check in project.nodes["table"].checks] == ["not_null_x"]


def test_a_fallback_is_named_by_face_or_name() -> None:
    spare = lg.task(name="spare")(lambda a: a)
    project, _ = frozen(asset("a"), spare, asset("b", lambda a: a, fallback=spare), asset("c", lambda a: a, fallback="spare"))
    assert [project.nodes[name].fallback for name in "bc"] == ["spare", "spare"]


# -- collecting --


def test_each_face_is_collected_once_wherever_it_is_found() -> None:
    a, b, c, d = (asset(name) for name in "abcd")
    modules = [{"a": a, "made": [b, c]}, {"a": a, "again": {"d": d, "b": b}, "other": 5, "lists": [1, 2]}]
    assert collect(modules) == [a, b, c, d]


def test_collecting_wakes_no_proxies() -> None:
    class Proxy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise RuntimeError("woken")

    assert collect([{"proxy": Proxy()}]) == []


# -- faults --


def test_an_unknown_parameter_is_told_with_the_name_that_was_meant() -> None:
    [fault] = faults(asset("weather"), asset("delays", lambda wether: wether))
    assert fault.what == "parameter `wether` of `delays` names no asset, task or resource"
    assert fault.hint == "did you mean `weather`?"
    assert fault.place is not None
    assert fault.place.file == __file__


def test_duplicate_names_show_both_places() -> None:
    [fault] = faults(asset("a"), asset("a"))
    assert fault.code == "duplicate-name"
    assert __file__ in fault.what


def test_one_output_twice_is_a_duplicate() -> None:
    assert codes(asset("planes"), lg.assets("planes", "airports", name="fleet")(lambda: 1)) == ["duplicate-name"]


def test_cycles_are_shown_in_the_order_of_the_data() -> None:
    [fault] = faults(asset("a", lambda c: c), asset("b", lambda a: a), asset("c", lambda b: b), asset("d", lambda c: c))
    assert fault.what == "inputs in a circle: a -> b -> c -> a"
    assert fault.hint.count(__file__) == 3


def test_a_check_can_close_a_circle() -> None:
    a = asset("a")
    b = asset("b", lambda a: a)
    check = lg.check(a)(lambda value, b: True)
    check.name = "c"
    assert codes(a, b, check) == ["cycle"]


def test_an_asset_cannot_need_itself() -> None:
    [fault] = faults(asset("a", lambda a: a))
    assert fault.what == "inputs in a circle: a -> a"


def resource_without_type() -> Any:
    return lg.resource(lambda: 3)


@lg.resource
def one() -> Warehouse:
    return Warehouse()


@lg.resource
def two() -> Warehouse:
    return Warehouse()


@lg.resource
def builtin() -> dict:  # type: ignore[type-arg]
    return {}


@lg.resource
def needy(wish: int) -> Warehouse:
    return Warehouse()


@lg.resource
def circular(self: Warehouse) -> Warehouse:
    return self


def unresolved(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


def positional(a: int, /) -> None: ...


fleet = lg.assets("planes", "airports", name="fleet")(lambda: 1)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([asset("a", deps=["b"])], ["unknown-dep"]),
        ([asset("a", deps=[asset("b")])], ["unknown-dep"]),
        ([asset("a", deps="b")], ["deps"]),
        ([asset("a", deps=[5])], ["deps"]),
        ([asset("b"), asset("a", deps={"x": "b"})], ["deps"]),
        ([fleet, asset("a", lambda x: x, deps={"x": fleet})], ["deps"]),
        ([asset("a", unresolved)], ["annotation", "parameter"]),
        ([asset("b"), asset("a", positional)], ["parameter"]),
        ([asset("a", lambda partition: 1)], ["partition-none"]),
        ([asset("a", fallback="b")], ["fallback"]),
        ([asset("b"), asset("a", fallback="b")], ["fallback"]),
        ([asset("b"), lg.task(name="t")(lambda b: b), asset("a", fallback="t")], ["fallback-inputs"]),
        ([lg.task(name="t", fallback="t")(lambda: 1)], ["fallback"]),
        ([asset("a", pool="crm")], ["pool-unknown"]),
        ([asset("a", storage="lake")], ["storage-unknown"]),
        ([lg.task(name="t", undo=lambda wrong: 1)(lambda: 1)], ["parameter"]),
        ([lg.task(name="t", when=lambda result: 1)(lambda: 1)], ["parameter"]),
        ([lg.task(name="t", cache=lg.Cache(key=lambda other: 1))(lambda: 1)], ["parameter"]),
        ([lg.task(name="t", retries=lg.Retry(1, until=lambda result, more: 1))(lambda: 1)], ["parameter"]),
        ([lg.check("nobody", lg.not_null("x"))], ["check-target"]),
        ([lg.check(asset("a"), lg.not_null("x"))], ["check-target"]),
        ([lg.check(5, lg.not_null("x"))], ["check-target"]),  # type: ignore[call-overload]
        ([fleet, lg.check("fleet", lg.not_null("x"))], ["check-target"]),
        ([lg.task(name="t")(lambda: 1), lg.check("t", lg.not_null("x"))], ["check-target"]),
        ([asset("a"), lg.check("a", lg.not_null("x"), lg.not_null("x"))], ["duplicate-check"]),
        ([asset("a"), lg.check("a", lg.not_null("x"), name="a b")], ["name"]),
        ([asset("a"), asset("b"), lg.check("a", name="c")(lambda b: True)], ["check-value"]),
        ([asset("b"), lg.source(name="s")(lambda b: 1)], ["source-input"]),
        ([resource_without_type()], ["resource-type"]),
        ([builtin], ["resource-type"]),
        ([one, two], ["duplicate-resource"]),
        ([needy], ["parameter"]),
        ([circular], ["cycle"]),
    ],
)
def test_faults(declared: list[Any], expected: list[str]) -> None:
    found = faults(*declared)
    assert [fault.code for fault in found] == expected
    assert all(fault.place is not None for fault in found)
    assert all(fault.hint for fault in found)


def test_known_pools_and_storages_are_no_faults() -> None:
    project, _ = frozen(asset("a", pool="crm", storage="lake"), pools={"crm": 1}, storages=("lake",))
    assert project.pools == {"crm": 1}


def test_an_impossible_mapping_is_a_fault() -> None:
    keyed = asset("keyed", partitions=lg.static(["EWR", "JFK"]))
    [fault] = faults(keyed, asset("by_day", lambda keyed: 1, partitions=days))
    assert fault.code == "mapping"
    assert "by_day" in fault.what
    assert "keyed" in fault.what


def test_all_faults_come_together_in_order_of_their_lines() -> None:
    found = faults(
        asset("a", lambda wrong: 1),
        asset("b", lambda: 1, retries=-1),
        asset("c", lambda: 1, pool="crm"),
    )
    assert [fault.code for fault in found] == ["parameter", "retries", "pool-unknown"]


def test_a_project_that_is_wrong_everywhere_is_told_quickly() -> None:
    wrong = [asset(f"a{i}", lambda nothing: 1) for i in range(500)]
    assert len(faults(*wrong)) == 500


# -- fingerprints --


def test_equal_declarations_make_equal_fingerprints_wherever_they_stand() -> None:
    def made() -> list[Any]:
        return [asset("a", tags=("x",)), asset("b", lambda a: a)]

    first, _ = frozen(*made())
    second, _ = frozen(*reversed(made()))
    assert first.fingerprint == second.fingerprint
    assert frozen(*made()[:1])[0].fingerprint != first.fingerprint


def test_version_replaces_the_code() -> None:
    one, _ = frozen(asset("a", lambda: 1, version="1"))
    same, _ = frozen(asset("a", lambda: 2, version="1"))
    other, _ = frozen(asset("a", lambda: 2, version="2"))
    assert one.nodes["a"].code == same.nodes["a"].code != other.nodes["a"].code


def test_contract_and_checks_have_a_fingerprint_of_their_own() -> None:
    def of(*rules: Any, contract: Any = None) -> str:
        face = asset("a", contract=contract)
        if rules:
            lg.check(face, *rules)
        return contract_fingerprint(frozen(face)[0].nodes["a"], "a")

    assert of() == ""
    assert of(lg.not_null("x"), lg.unique("x")) == of(lg.unique("x"), lg.not_null("x"))
    prints = {of(), of(lg.not_null("x")), of(lg.not_null("y")), of(contract=lg.contract({"x": int}))}
    assert len(prints) == 4


def test_places_are_shown_from_the_projects_folder() -> None:
    root = __file__.rpartition("/")[0]
    project, _ = frozen(asset("a"), root=root)
    assert project.nodes["a"].place.file == "test_project.py"  # type: ignore[union-attr]


# -- order --


def test_order_is_that_of_declaration_where_nothing_is_needed() -> None:
    assert order.sort({"c": [], "a": ["c"], "b": [], "d": ["a", "b"]}) == ["c", "b", "a", "d"]


def test_cycles_that_share_no_name_are_all_found() -> None:
    needs = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"], "e": ["a"], "f": []}
    assert sorted(map(sorted, order.cycles(needs))) == [["a", "b"], ["c", "d"]]


@pytest.mark.timing
def test_freezing_is_linear() -> None:
    def seconds(count: int) -> float:
        faces = [lg.task(name=f"t{i}")(_task_after(i)) for i in range(count)]
        started = perf_counter()
        project, _ = frozen(*faces)
        assert len(project.nodes) == count
        return perf_counter() - started

    seconds(100)
    assert min(seconds(2000), seconds(2000)) < 10 * min(seconds(400), seconds(400))


def _task_after(number: int) -> Any:
    if number == 0:
        return lambda: 0
    names: dict[str, Any] = {}
    exec(f"def task(t{number - 1}): return 1", names)
    return names["task"]


def test_a_namespace_is_not_needed_to_be_a_module() -> None:
    assert len(collect([vars(SimpleNamespace(a=asset("a")))])) == 1
