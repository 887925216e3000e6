"""What runs are yet to make, as the ticker hears it: flows, what is called by them, runs that are resumed, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from test_ticker import MORNING, Site, make_project, plan_of

from legato.declare.moment import Updated
from legato.declare.node import Project
from legato.kernel import events as ev
from legato.plan.records import Handling, Plan, Reason, Step
from legato.service.ahead import Ahead
from legato.terms.attempt import Call
from legato.terms.codec import pack
from legato.testing.store_records import make_run
from legato.triggers.events import Skipped


def flow_project() -> Project:
    """A flow that follows what it may publish itself."""
    project = make_project(follow=Updated(asset="base"), base=None)
    return replace(project, nodes={**project.nodes, "follow": replace(project.nodes["follow"], kind="flow", outputs=())})


def call_of(node: str, count: int = 1) -> Call:
    return Call(tuple(f"{node}{number}".encode() for number in range(count)), node)


def started(*steps: int) -> ev.AttemptsStarted:
    return ev.AttemptsStarted(MORNING, steps, 1)


def reasons(site: Site, trigger: str) -> list[str]:
    return [each.why if isinstance(each, Skipped) else "fired" for each in site.decisions(trigger)]


@pytest.mark.parametrize(("outcome", "decided"), [("succeeded", ["same-run"]), ("failed", ["same-run", "fired"])])
def test_a_flow_does_not_start_itself_unless_it_failed(outcome: Any, decided: list[str]) -> None:
    site = Site(flow_project())
    site.store.accept(make_run("r"), plan_of("follow"), [])
    site.record("r", started(0), ev.StepsCalled(MORNING, 0, (call_of("base"),)), started(1))
    site.publish("r", "base", step=1)
    if outcome == "succeeded":
        site.record("r", ev.StepSucceeded(MORNING, 0, 1, 0.1))
    site.end("r", outcome)
    assert reasons(site, "follow") == decided


def test_a_flow_that_has_begun_in_the_same_run_may_have_missed_it() -> None:
    site = Site(flow_project())
    site.store.accept(make_run("r"), plan_of("base", "follow"), [])
    site.record("r", started(0, 1))
    site.publish("r", "base")
    site.hear()
    assert reasons(site, "follow") == ["fired"]


def test_a_flow_that_has_not_begun_in_the_same_run_sees_it() -> None:
    site = Site(flow_project())
    site.store.accept(make_run("r"), plan_of("base", "follow"), [])
    site.record("r", started(0))
    site.publish("r", "base")
    site.hear()
    site.record("r", started(1), ev.StepSucceeded(MORNING, 1, 2, 0.1))
    site.end("r")
    assert reasons(site, "follow") == ["same-run"]


@pytest.mark.parametrize("followed", ["nothing", "own"])
def test_what_a_run_made_while_its_trigger_was_away_is_made(followed: str) -> None:
    """Triggers are taken out of the project, and come back when the run is over, whether or not others heard of that."""
    project = make_project(base=None, own=Updated(asset="base"), more=Updated(asset="base"))
    site = Site(project)
    site.store.accept(make_run("r"), plan_of("base", "own", "more"), [])
    site.record("r", started(0))
    site.publish("r", "base")
    site.hear()
    site.project = make_project(base=None, other=Updated(asset=followed))
    site.start()
    site.record("r", started(1))
    site.publish("r", "own", step=1)
    site.end("r", "failed")
    site.project = project
    site.start()
    site.hear()
    assert reasons(site, "own") == ["same-run"]
    assert reasons(site, "more") == ["same-run", "fired"]
    assert site.ticker.state.holding == {}


def plan(*steps: Step, **more: Any) -> Plan:
    names = {step.node for step in steps}
    return Plan(
        request="run", project="p", steps=list(steps), handling={name: Handling(outputs=(name,)) for name in names}, **more
    )


def test_a_rollback_that_goes_on_makes_nothing() -> None:
    ahead = Ahead(plan(Step("own", "", True, Reason("missing"))), 1, {"own": False})
    for event in (started(0), ev.StepSucceeded(MORNING, 0, 1, 0.1), ev.RunEnded(MORNING, "partly_undone")):
        ahead.take(event)
    ahead.take(ev.RunResumed(MORNING, "ann", (0,)))
    assert not ahead.keys.get("own")
    ahead.take(ev.RunEnded(MORNING, "rolled_back"))
    ahead.take(ev.RunResumed(MORNING, "ann", (0,)))
    assert list(ahead.keys["own"]) == [""]


def test_a_partition_that_is_to_be_made_twice_is_ahead_until_the_last_has_begun() -> None:
    ahead = Ahead(plan(Step("flow", "", True, Reason("requested"))), 1, {"own": False})
    ahead.take(ev.StepsCalled(MORNING, 0, (call_of("own", 2),)))
    for step in (1, 2):
        assert list(ahead.keys["own"]) == [""]
        ahead.take(started(step))
    assert not ahead.keys["own"]


def test_a_run_of_many_steps_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count, project = 1_000, make_project(base=None, own=Updated(asset="base"))
    site = Site(project)
    bases = [Step("base", "", True, Reason("missing")) for _ in range(count)]
    whole = plan(*bases, Step("own", "", True, Reason("missing"), (0, count)))
    site.store.accept(make_run("r"), pack(whole), [])
    looked: list[str] = []
    events = site.store.events
    monkeypatch.setattr(site.store, "events", lambda run, after=0: looked.append(run) or events(run, after))
    for step in range(count):
        site.publish("r", "base", step=step)
        if step % 100 == 0:
            site.hear()
    site.hear()
    assert len(looked) == 2  # its state, and its events
    assert reasons(site, "own") == ["same-run"] * count
