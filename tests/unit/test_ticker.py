"""The ticker over a store in memory: each tick one decision, each decision that fired one run, whoever dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from msgspec.structs import replace

from legato.declare.keyed import Dynamic
from legato.declare.moment import Cron, Every, Missing, Stale, Updated
from legato.declare.node import Node, Project
from legato.kernel import events as ev
from legato.kernel.events import Outcome
from legato.plan.records import Handling, Plan, Reason, Step
from legato.plan.spread import Extents
from legato.ports.store import Commit, RunState
from legato.runtime.book import head_of
from legato.runtime.replay import read_state
from legato.service.ticker import Ticker, _Premises, decision_of
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.attempt import Output
from legato.terms.codec import pack
from legato.terms.instant import Instant, after
from legato.testing.store_records import make_ref, make_run, make_version
from legato.triggers.events import Fired, Skipped
from legato.triggers.inputs import Pause

MORNING = Instant(1_700_000_000_000_000)
HOUR = 3600.0


def make_project(**triggers: object) -> Project:
    nodes = {
        name: Node(name=name, kind="asset", outputs=(name,), trigger=trigger)  # type: ignore[arg-type]
        for name, trigger in triggers.items()
    }
    return Project(name="p", nodes=nodes, makers={name: name for name in nodes})


def plan_of(*nodes: str) -> bytes:
    """A plan that makes these assets, one after the other."""
    steps = [Step(node, "", True, Reason("missing"), (place - 1, place) if place else ()) for place, node in enumerate(nodes)]
    return pack(Plan(request="run", project="f" * 32, steps=steps, handling={node: Handling(outputs=(node,)) for node in nodes}))


class Site:
    """A store that outlives its processes, and a ticker that does not."""

    def __init__(self, project: Project) -> None:
        self.disk, self.project, self.now = MemoryDisk(), project, MORNING
        self.number = 0
        self.start()

    def start(self) -> None:
        self.store = MemoryStore(self.disk)
        self.store.open_writer("test")
        self.ticker = Ticker(self.store, self.project, self.now)

    def wait(self, seconds: float) -> None:
        self.now = after(self.now, seconds)
        self.ticker.pass_time(self.now)

    def submit(self) -> list[str]:
        """Accept a run for each decision that waits; the ids of the new ones."""
        made = []
        for fired in self.ticker.waiting():
            self.number += 1
            self.store.accept(make_run(f"r{self.number}", key=fired.request.key), plan_of(fired.request.node), [])
            made.append(f"r{self.number}")
        return made

    def publish(self, run: str, asset: str, step: int = 0) -> None:
        output = Output(make_ref(asset, "", f"{run}-1"))
        self.record(run, ev.StepSucceeded(self.now, step, step + 1, 0.1, outputs=(output,)))

    def record(self, run: str, *events: ev.AnyEvent) -> None:
        self.store.commit([Commit(run_id=run, events=[ev.encode(each) for each in events])])

    def end(self, run: str, outcome: Outcome = "succeeded") -> None:
        row = self.store.run(run)
        assert row is not None
        done = ev.encode(ev.RunEnded(self.now, outcome))
        state: RunState = "succeeded" if outcome == "succeeded" else "failed"
        self.store.commit([Commit(run_id=run, events=[done], run=replace(row, state=state))])
        self.hear()

    def hear(self) -> None:
        self.ticker.hear(self.now, lambda run: read_state(self.store, run))

    def decisions(self, trigger: str) -> list[Fired | Skipped]:
        return [decision_of(each) for _, each in self.store.decisions(trigger, limit=1_000)][::-1]


def test_a_tick_becomes_a_decision_and_the_decision_a_run() -> None:
    site = Site(make_project(sales=Every(seconds=3600.0)))
    site.wait(HOUR)
    (fired,) = site.ticker.waiting()
    assert (fired.trigger, fired.request.partitions) == ("sales", ("",))
    assert site.submit() == ["r1"]
    assert site.ticker.waiting() == []
    assert site.store.decisions("sales")[0][1].run == "r1"


def test_a_process_that_dies_after_deciding_leaves_the_run_to_the_next() -> None:
    site = Site(make_project(sales=Every(seconds=3600.0)))
    site.wait(HOUR)
    site.start()
    site.wait(0.0)
    assert len(site.decisions("sales")) == 1
    assert site.submit() == ["r1"]
    site.start()
    assert site.submit() == []


def test_a_tick_is_skipped_while_the_run_before_is_open() -> None:
    site = Site(make_project(sales=Every(seconds=3600.0)))
    site.wait(HOUR)
    (run,) = site.submit()
    site.wait(HOUR)
    site.end(run)
    site.wait(HOUR)
    assert [type(each).__name__ for each in site.decisions("sales")] == ["Fired", "Skipped", "Fired"]


def test_what_runs_publish_is_heard_once_also_by_the_next_process() -> None:
    site = Site(make_project(report=Updated(asset="sales"), sales=None))
    site.store.accept(make_run("by-hand"), plan_of("sales"), [])
    site.publish("by-hand", "sales")
    site.start()
    site.hear()
    site.start()
    site.hear()
    assert [type(each).__name__ for each in site.decisions("report")] == ["Fired"]
    site.publish("by-hand", "sales")
    site.hear()
    assert len(site.decisions("report")) == 2


def test_a_new_project_has_no_past() -> None:
    site = Site(make_project(sales=None))
    site.store.accept(make_run("old"), b"", [])
    site.publish("old", "sales")
    site.project = make_project(sales=None, report=Updated(asset="sales"))
    site.start()
    site.hear()
    assert site.decisions("report") == []


def test_a_paused_trigger_stays_paused_over_a_restart() -> None:
    site = Site(make_project(sales=Every(seconds=3600.0)))
    site.ticker.tell(Pause("sales", "ann"), site.now)
    site.start()
    site.wait(HOUR)
    (skipped,) = site.decisions("sales")
    assert isinstance(skipped, Skipped)
    assert skipped.why == "paused"


@pytest.mark.parametrize(("policy", "fired"), [("latest", 1), ("all", 72), ("none", 0)])
def test_three_days_away(policy: str, fired: int) -> None:
    """What is done about the ticks of three days depends on the policy alone, and every one of them is accounted for."""
    site = Site(make_project(sales=Cron(expression="0 * * * *", tz="UTC", catch_up=policy)))  # type: ignore[arg-type]
    site.now = after(site.now, 72 * HOUR)
    site.start()
    site.wait(0.0)
    made = site.decisions("sales")
    assert sum(isinstance(each, Fired) for each in made) == fired
    assert sum(each.ticks if isinstance(each, Skipped) else 1 for each in made) == 72


@pytest.mark.parametrize("seed", range(40))
def test_whoever_dies_whenever_each_tick_is_decided_once_and_each_firing_is_one_run(seed: int) -> None:
    random = Random(seed)
    site = Site(
        make_project(hourly=Every(seconds=3600.0), daily=Cron(expression="0 6 * * *", tz="UTC"), report=Updated(asset="hourly"))
    )
    runs: list[str] = []
    for _ in range(200):
        act = random.choice(("wait", "wait", "submit", "publish", "end", "die"))
        if act == "wait":
            site.wait(random.choice((60.0, 1800.0, 5 * HOUR)))
        elif act == "submit":
            runs += site.submit()
        elif act == "publish" and runs:
            site.publish(random.choice(runs), "hourly")
            if random.random() < 0.5:
                site.hear()
        elif act == "end" and runs:
            site.end(runs.pop(random.randrange(len(runs))))
        elif act == "die":
            site.start()
    site.wait(0.0)
    site.hear()
    site.submit()
    for trigger in ("hourly", "daily", "report"):
        rows = [each for _, each in site.store.decisions(trigger, limit=1_000)]
        fired = [each for each in rows if isinstance(decision_of(each), Fired)]
        assert len({each.key for each in rows}) == len(rows)
        assert len({each.run for each in fired}) == len(fired)
        assert all(each.run for each in fired)
    ticks = [each for each in site.decisions("hourly") if each.timed]
    counted = sum(each.ticks if isinstance(each, Skipped) else 1 for each in ticks)
    assert counted == site.now // 3_600_000_000 - MORNING // 3_600_000_000


def test_a_request_that_cannot_be_a_run_does_not_hold_up_the_next() -> None:
    site = Site(make_project(sales=Every(seconds=3600.0)))
    site.wait(HOUR)
    (fired,) = site.ticker.waiting()
    site.ticker.give_up(fired, "its source is not there", site.now)
    site.wait(HOUR)
    assert [type(each).__name__ for each in site.decisions("sales")] == ["Fired", "Fired"]
    assert site.store.decisions("sales")[1][1].note == "its source is not there"


def test_a_run_that_ended_unheard_does_not_hold_up_the_next() -> None:
    """The service died between giving a request up, or a run's end, and telling the triggers."""
    site = Site(make_project(sales=Every(seconds=3600.0), other=Every(seconds=3600.0)))
    site.wait(HOUR)
    for fired in site.ticker.waiting():
        if fired.trigger == "sales":
            site.store.give_up("sales", fired.key, "nothing to run")
    (run,) = site.submit()
    row = site.store.run(run)
    assert row is not None
    site.store.commit([Commit(run_id=run, run=replace(row, state="failed"))])
    site.start()
    site.wait(HOUR)
    assert [len(site.decisions(name)) for name in ("sales", "other")] == [2, 2]
    assert all(isinstance(each, Fired) for name in ("sales", "other") for each in site.decisions(name))


def test_a_key_that_comes_is_read_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(name="bills", kind="asset", outputs=("bills",), partitions=Dynamic("customers"), trigger=Missing())
    site = Site(Project(name="p", nodes={"bills": node}, makers={"bills": "bills"}))
    read, given = site.store.new_keys, list[str]()

    def new_keys(after: int = 0) -> Iterator[tuple[int, str, str]]:
        for each in read(after):
            given.append(each[2])
            yield each

    monkeypatch.setattr(site.store, "new_keys", new_keys)
    for number in range(3):
        site.store.add_dynamic_keys("customers", [f"a{number}", f"b{number}"])
        site.store.add_dynamic_keys("others", [f"c{number}"])
        for _ in range(2):
            site.ticker.look_for_keys(site.now)
    assert given == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    asked = [each.request.partitions for each in site.ticker.waiting()]
    assert sorted(key for keys in asked for key in keys) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    site.start()
    site.ticker.look_for_keys(site.now)
    assert [*site.ticker.state.dynamic["customers"]] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_what_was_published_last_is_the_newest_version_that_readers_see() -> None:
    site = Site(make_project(sales=Stale(seconds=HOUR)))
    store, node = site.store, site.project.nodes["sales"]
    premises = _Premises(store, site.project, Extents({}, site.now))
    assert premises.last_published(node) is None
    store.accept(make_run("r1"), b"", [])
    for number in range(50):
        version = replace(make_version("sales", f"k{number}", f"v{number}"), at=Instant(1_000 + number))
        store.commit([Commit(run_id="r1", versions=[version], heads=[head_of(version)])])
    assert premises.last_published(node) == 1_049
    store.commit([Commit(run_id="r1", unpublished=[("sales", f"k{number}") for number in range(7, 50)])])
    assert premises.last_published(node) == 1_006
    store.commit([Commit(run_id="r1", unpublished=[("sales", f"k{number}") for number in range(7)])])
    assert premises.last_published(node) is None
