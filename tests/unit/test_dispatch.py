"""What a worker is given: how much of it at once, and orders of many calls as of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from legato.kernel.decide import decide
from legato.kernel.inputs import Offer
from legato.kernel.state import RunState
from legato.plan.graph import Graph
from legato.plan.records import Handling, Plan, Reason, Step
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import Dispatch, Pace
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.attempt import Argument, Call, Called, Item, Ref
from legato.terms.codec import pack
from legato.terms.instant import Instant
from legato.worker.loading import load_project

CODE = """import legato as lg
@lg.source
def rates() -> str: ...


@lg.task
def noop(number: int = 0) -> int: ...

@lg.task
def priced(number: int, rates: str) -> int: ...

@lg.flow
def main() -> None: ...
"""
NOW = Instant(1_000_000)
STORED = Ref("main", "", "v1", "files", "", "json", digest="d")


@pytest.fixture
def dispatch(tmp_path: Path) -> Dispatch:
    (tmp_path / "legato.toml").write_text('name = "p"\nmodules = ["pipeline"]\n')
    (tmp_path / "pipeline.py").write_text(CODE)
    return Dispatch(Graph(load_project(tmp_path).project), {}, Catalogue(MemoryStore(MemoryDisk())))


@pytest.fixture
def state() -> RunState:
    """A run whose flow is under way."""
    handling = {"main": Handling(flow=True), "noop": Handling(), "priced": Handling(), "kept": Handling(cached=True)}
    plan = Plan(request="main", project="p", steps=[Step("main", "", True, Reason("requested"))], handling=handling)
    state = RunState("r", plan)
    decide(state, Offer(1.0, 1, {}, flows=True), NOW)
    return state


def call(state: RunState, *calls: Call) -> range:
    """The flow makes calls; their steps."""
    first = len(state.plan.steps)
    decide(state, Called("r", 0, 1, calls), NOW)
    return range(first, len(state.plan.steps))


def many(items: tuple[Item, ...], node: str = "noop", **rest: object) -> Call:
    keys = tuple(b"%s %d" % (node.encode(), number) for number in range(len(items)))
    return replace(Call(keys, node, over="number", items=items), **rest)


class TestCalls:
    @pytest.mark.parametrize("rest", [{}, {"arguments": (Argument("other", value=pack(1)),)}, {"partition": "k"}])
    def test_many_orders_are_as_each_alone(self, dispatch: Dispatch, state: RunState, rest: dict[str, object]) -> None:
        steps = [*call(state, many((pack(1), STORED, pack(3)), **rest)), *call(state, Call((b"alone",), "noop"))]
        state.attempts[steps[1]] = 3
        alone = [dispatch.order(state, step, token, "run") for token, step in enumerate(steps, 7)]
        assert dispatch.plain_calls(state, steps, 7) == alone

    def test_what_takes_the_results_of_others_is_no_plain_call(self, dispatch: Dispatch, state: RunState) -> None:
        (first,) = call(state, Call((b"first",), "noop"))
        steps = call(state, Call((b"second",), "noop", inputs=(("number", b"first"),)))
        assert dispatch.plain_calls(state, [first], 1) is not None
        assert dispatch.plain_calls(state, [first, *steps], 1) is None

    def test_nor_is_what_is_asked_again_or_cached_or_reads_a_source(self, dispatch: Dispatch, state: RunState) -> None:
        assert dispatch.plain_calls(state, call(state, Call((b"job",), "noop", poll_s=1.0)), 1) is None
        assert dispatch.plain_calls(state, call(state, Call((b"kept",), "kept")), 1) is None
        assert dispatch.plain_calls(state, call(state, Call((b"priced",), "priced")), 1) is None

    def test_nor_is_what_another_node_or_the_plan_makes(self, dispatch: Dispatch, state: RunState) -> None:
        steps = call(state, Call((b"a",), "noop"), Call((b"b",), "kept"))
        assert dispatch.plain_calls(state, steps, 1) is None
        assert dispatch.plain_calls(state, [0], 1) is None

    def test_nor_what_was_undone_before(self, dispatch: Dispatch, state: RunState) -> None:
        steps = call(state, many((pack(1),)))
        state.undone[steps[0]] = 1
        assert dispatch.plain_calls(state, steps, 1) is None
        assert dispatch.order(state, steps[0], 1, "run").undone == 1


class TestPace:
    def test_the_first_attempt_says_how_long_they_take(self) -> None:
        pace = Pace({"known": (4, 2.0)})
        pace.see("new", 0.3)
        assert pace.cost_s == {"known": 0.5, "new": 0.3}

    def test_slower_ones_count_at_once_and_faster_ones_by_half(self) -> None:
        pace = Pace({"node": (1, 0.1)})
        pace.see("node", 0.4)
        assert pace.cost_s["node"] == 0.4
        pace.see("node", 0.2)
        assert pace.cost_s["node"] == pytest.approx(0.3)
        pace.see("node", 0.2)
        assert pace.cost_s["node"] == pytest.approx(0.25)

    def test_of_many_the_mean_counts_as_if_it_came_so_often(self) -> None:
        together, alone = Pace({"node": (1, 0.4)}), Pace({"node": (1, 0.4)})
        together.see("node", 0.5, 5)
        for _ in range(5):
            alone.see("node", 0.1)
        assert together.cost_s["node"] == pytest.approx(alone.cost_s["node"])
        together.see("node", 100 * 0.1, 100)
        assert together.cost_s["node"] == pytest.approx(0.1)

    def test_one_of_many_that_waited_for_a_processor_does_not_starve_the_workers(self) -> None:
        pace = Pace({"node": (1, 50e-6)})
        pace.see("node", 400 * 50e-6 + 0.01, 400)
        assert pace.cost_s["node"] < 100e-6
