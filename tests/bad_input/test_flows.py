"""Flows that misbehave in every way there is, on real worker processes: each ends, says what is wrong, and mixes nothing up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from legato.kernel.events import AnyEvent, StepSucceeded
from legato.kernel.inputs import Cancel, Input
from legato.kernel.state import CANCELLED, FAILED, RunState, Status
from legato.runtime.conductor import Conductor
from legato.service.request import Request
from legato.service.resuming import Resumption
from legato.service.running import resume, run, session
from legato.terms.errors import InvalidProject, LegatoError
from legato.terms.fact import Error
from legato.wiring.code import open_workspace

CONFIG = """\
name = "bad"
modules = ["pipeline"]
workers = 2

[pools]
one = 1
two = 2
"""

PIPELINE = '''
import asyncio, itertools, os, random
from pathlib import Path
import legato as lg


@lg.task
def double(number: int) -> int:
    return 2 * number


@lg.task
async def double_later(number: int) -> int:
    return 2 * number


@lg.task
def count(table: dict, names: set) -> int:
    return len(table) + len(names)


def is_first_pass() -> bool:
    """The body is entered for the first time, as only somebody can know who leaves notes outside."""
    note = Path("entered")
    first = not note.exists()
    note.touch()
    return first


# -- not deterministic --


@lg.flow
def random_branches() -> list[list[int]]:
    found = []
    for _ in range(10):
        if random.random() < 0.5:
            number = random.randrange(5)
            found.append([number, double(number)])
    lg.sleep("1ms")
    if random.random() < 0.5:
        found.append([100, double(100)])
    return found


@lg.flow
async def gathered_in_any_order() -> list[list[int]]:
    numbers = random.sample(range(30), 20)
    found = await asyncio.gather(*map(double_later, numbers))
    await lg.sleep("1ms")
    return [[number, value] for number, value in zip(numbers, found)]


@lg.flow
def other_order_of_keys() -> int:
    table, names = ({"a": 1, "b": 2}, {"x", "y"}) if is_first_pass() else ({"b": 2, "a": 1}, {"y", "x"})
    made = count(table, names)
    lg.sleep("1ms")
    return made


# -- without end --


@lg.flow
def calls_without_end() -> int:
    return sum(map(double, itertools.count()))


@lg.flow
def begins_without_end() -> None:
    for number in itertools.count():
        double.submit(number)


@lg.flow
def maps_without_end() -> list:
    return double.map(itertools.count())


@lg.flow
def catches_that_there_is_no_end() -> int:
    made = 0
    while True:
        try:
            made += double(made)
        except Exception:
            pass


@lg.flow
def calls_itself(depth: int = 0) -> int:
    return calls_itself(depth + 1)


@lg.flow
def swallows() -> str:
    try:
        lg.sleep("1h")
    except BaseException:
        return "swallowed"


@lg.flow
def swallows_without_end() -> None:
    while True:
        try:
            lg.sleep("1h")
        except BaseException:
            continue


@lg.flow
async def swallows_later() -> None:
    while True:
        try:
            await lg.sleep("1h")
        except BaseException:
            continue


# -- waiting for oneself --


@lg.flow
async def awaits_itself() -> None:
    await asyncio.current_task()


@lg.task(pool="one")
def in_one(number: int) -> int:
    return number


@lg.flow(pool="one")
def holds_what_it_calls_for() -> int:
    return in_one(1)


@lg.task(pool="two")
def in_two(number: int) -> int:
    return number


@lg.flow(pool="two")
def holds_one_of_two(number: int) -> int:
    return in_two(number)


@lg.flow
def two_that_wait_for_each_other() -> list:
    return holds_one_of_two.map([1, 2])


# -- values and failures --


@lg.flow
def maps_nothing() -> list:
    return double.map([]) + double.map(number for number in ())


@lg.flow
def maps_what_breaks() -> list:
    def numbers():
        yield from (1, 2)
        raise LookupError("the list is torn")

    try:
        return double.map(numbers())
    except LookupError as error:
        return [str(error), double(3)]


@lg.task
def returns_much(mb: int) -> bytes:
    return b"x" * (mb << 20)


@lg.task
def measure(value: bytes) -> int:
    return len(value)


@lg.flow
def hands_much_on(mb: int = 64) -> int:
    return measure(returns_much.submit(mb))


@lg.task
def returns_too_much() -> bytes:
    import resource
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 30),) * 2)
    return b"x" * (2 << 30)


@lg.flow
def runs_out_of_memory() -> str:
    try:
        returns_too_much()
    except MemoryError:
        return "told"


@lg.task
def no_better(number: int) -> int:
    raise KeyError("the fallback fails too")


@lg.task(fallback=no_better)
def needs_help(number: int) -> int:
    raise ValueError("no")


@lg.flow
def is_not_helped() -> str:
    try:
        needs_help(1)
    except KeyError as error:
        return repr(error)


def slow_undo(result: int) -> None:
    import time
    time.sleep(0.4)


@lg.task(undo=slow_undo)
def can_be_undone() -> int:
    return 1


@lg.flow(on_failure="rollback")
def rolls_back() -> None:
    can_be_undone()
    raise ValueError("all of it back")


def undo_that_fails(number: int, result: int) -> None:
    print("taking back", number, result)
    if not Path("mended").exists():
        raise OSError("the other side is locked")


@lg.task(undo=undo_that_fails)
def cannot_be_undone(number: int) -> int:
    return 10 * number


@lg.flow(on_failure="rollback")
def is_left_half_way() -> None:
    can_be_undone()
    cannot_be_undone(7)
    raise ValueError("all of it back")
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "legato.toml").write_text(CONFIG)
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path


def play(folder: Path, flow: str, requests: Any = None) -> RunState:
    """The ended run of a flow; `requests` may ask its conductor for something."""
    workspace = open_workspace(folder)
    with session(workspace, "test", keep_value) as opened:

        def begin(conductor: Conductor, _: Any, run_id: str) -> None:
            if requests is not None:
                conductor.requests = lambda: requests(conductor.runs[run_id].state)

        _, state = run(opened, Request(flow), begin)
    assert state is not None
    assert state.ended is not None
    return state


def keep_value(state: RunState, events: list[AnyEvent]) -> None:
    """Of what a flow returned that nobody calls, the run itself keeps nothing but the event."""
    for event in events:
        if isinstance(event, StepSucceeded) and event.step == 0 and event.value is not None:
            state.values[0] = event.value


def value(state: RunState) -> Any:
    """What the flow returned."""
    assert state.ended == "succeeded", state.errors
    return msgspec.msgpack.decode(state.values[0])


def error(state: RunState) -> Error:
    """Why the flow failed; what it left open is cancelled."""
    assert state.ended == "failed"
    assert set(state.status[1:]) <= {CANCELLED, FAILED, Status.SUCCEEDED, Status.SKIPPED}
    return state.errors[0]


def made(state: RunState, node: str) -> int:
    """How many steps of this node there are."""
    return sum(step.node == node for step in state.plan.steps)


# -- not deterministic --


@pytest.mark.parametrize("flow", ["random_branches", "gathered_in_any_order"])
def test_another_way_on_the_second_pass_gives_no_mixed_up_results(project: Path, flow: str) -> None:
    state = play(project, flow)
    assert state.attempts[0] == 1
    assert [found for number, found in value(state)] == [2 * number for number, found in value(state)]


def test_the_order_of_keys_makes_no_other_call(project: Path) -> None:
    state = play(project, "other_order_of_keys")
    assert (value(state), made(state, "count")) == (4, 1)
    assert (project / "entered").exists()


# -- without end --


@pytest.mark.parametrize("flow", ["calls_without_end", "begins_without_end", "maps_without_end", "catches_that_there_is_no_end"])
def test_calls_without_end_come_to_one(project: Path, flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legato.kernel.rules.flow.MOST_CALLS", 400)
    state = play(project, flow)
    assert error(state).kind == "flow"
    assert "made more than 1,000,000 calls" in error(state).message
    assert made(state, "double") <= 400


def test_a_flow_that_calls_itself_comes_to_an_end(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legato.kernel.rules.flow.MOST_DEPTH", 3)
    state = play(project, "calls_itself")
    assert "called a flow below 100 others" in error(state).message
    assert made(state, "calls_itself") == 4


@pytest.mark.parametrize("flow", ["swallows", "swallows_without_end", "swallows_later"])
def test_a_body_that_swallows_its_unwinding_is_told_so(project: Path, flow: str) -> None:
    found = error(play(project, flow))
    assert found.kind == "flow"
    assert "catches BaseException" in found.message
    assert found.where.startswith("pipeline.py:")


# -- waiting for oneself --


def test_a_coroutine_that_awaits_itself_fails(project: Path) -> None:
    assert "cannot await on itself" in error(play(project, "awaits_itself")).message


def test_a_flow_that_holds_the_slot_that_its_call_needs_fails(project: Path) -> None:
    found = error(play(project, "holds_what_it_calls_for"))
    assert found.message.startswith("called what needs a slot of a pool that it, and flows above it, hold")


def test_flows_that_hold_what_each_other_needs_are_named(project: Path) -> None:
    with pytest.raises(LegatoError) as stuck:
        play(project, "two_that_wait_for_each_other")
    assert stuck.value.code == "stuck"
    assert stuck.value.why == "in_two waits for a slot of two; flows hold theirs until they end"
    assert stuck.value.next.startswith("legato cancel ")


def test_no_asset_can_need_the_flow_that_makes_it(project: Path) -> None:
    with (project / "pipeline.py").open("a") as file:
        file.write("\n\n@lg.asset(deps=[maps_nothing])\ndef table() -> list:\n    return []\n")
    with pytest.raises(InvalidProject) as refused:
        open_workspace(project)
    assert [fault.code for fault in refused.value.faults] == ["called-input"]


# -- values and failures --


def test_a_map_over_nothing_is_empty(project: Path) -> None:
    assert value(play(project, "maps_nothing")) == []


def test_a_map_over_what_breaks_raises_that_and_the_flow_may_go_on(project: Path) -> None:
    assert value(play(project, "maps_what_breaks")) == ["the list is torn", 6]


def test_a_huge_value_is_stored_once_and_never_passes_through_the_conductor(project: Path) -> None:
    state = play(project, "hands_much_on")
    assert value(state) == 64 << 20
    (index,) = state.kept
    assert state.kept[index].size_bytes == 64 << 20
    assert sum(map(len, state.values.values())) < 100
    assert sum(path.stat().st_size for path in (project / ".legato").glob("state.db*")) < 1 << 20


def test_a_value_that_memory_does_not_hold_is_an_error_of_the_step(project: Path) -> None:
    assert value(play(project, "runs_out_of_memory")) == "told"


def test_a_fallback_that_fails_is_what_the_flow_hears_of(project: Path) -> None:
    assert value(play(project, "is_not_helped")) == "KeyError(\"'the fallback fails too'\")"


def test_a_cancel_during_the_rollback_changes_nothing(project: Path) -> None:
    def cancel_late(state: RunState) -> list[tuple[str, Input]]:
        return [(state.run_id, Cancel("ann"))] if state.rolling and state.running else []

    state = play(project, "rolls_back", cancel_late)
    assert (state.ended, list(state.status)) == ("rolled_back", [FAILED, Status.UNDONE])


def test_an_undo_that_fails_leaves_the_rest_undone_and_is_tried_again(project: Path) -> None:
    state = play(project, "is_left_half_way")
    assert (state.ended, list(state.status)) == ("partly_undone", [FAILED, Status.UNDONE, Status.SUCCEEDED])
    assert (state.errors[2].kind, state.errors[2].message) == ("undo", "the other side is locked")
    (project / "mended").touch()
    workspace = open_workspace(project)
    with session(workspace, "test") as opened:
        told: list[Resumption] = []
        state = resume(opened, state.run_id, told.append, lambda *_: None)
    assert [(part.node, part.action) for part in told[0].parts] == [("cannot_be_undone", "undo")]
    assert (state.ended, list(state.status)) == ("rolled_back", [FAILED, Status.UNDONE, Status.UNDONE])
    logs = b"".join(path.read_bytes() for path in Path(workspace.logs).rglob("*.log"))
    assert logs.count(b"taking back 7 70") == 2
