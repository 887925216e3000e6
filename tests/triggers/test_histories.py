"""Random histories: what is decided is what a naive reading says, however often the process ends in between."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, instant

import legato as lg
from legato.declare.cron import parse_cron
from legato.declare.moment import AllOf, AnyOf, AtLeast, Cron, Updated, Without, moments
from legato.terms.instant import Instant, to_datetime
from legato.triggers import inputs
from legato.triggers.events import Fired, Skipped
from legato.triggers.form import Form

MINUTE = 60_000_000
BIRTH = instant("2026-03-06T12:00")  # a Friday


# -- every tick of the clock is in exactly one decision --

CLOCKS = [
    lg.every("25m"),
    lg.every("1h", catch_up="all"),
    lg.every("3h", catch_up="none", calendar="weekdays"),
    lg.cron("*/20 5-7 * * *"),
    lg.cron("30 */5 * * *", calendar="weekdays"),
    lg.cron("0 6 * * *", catch_up="none"),
    lg.cron("0 6,18 * * MON-WED", catch_up="all", calendar="weekdays"),
]


def brute_ticks(moment: Any, end: int) -> list[int]:
    """Every tick from birth on, by looking at each minute."""
    table = parse_cron(moment.expression) if isinstance(moment, Cron) else None
    found = []
    for at in range(BIRTH + MINUTE, end + 1, MINUTE):
        if table is None:
            hit = at % round(moment.seconds * 1_000_000) == 0
        else:
            shown = to_datetime(Instant(at))
            hit = shown.minute in table.minutes and shown.hour in table.hours and table.matches(shown.date())
        if hit:
            found.append(at)
    return found


def is_closed(moment: Any, at: int) -> bool:
    return bool(moment.calendar) and to_datetime(Instant(at)).weekday() > 4


def covered(decision: Fired | Skipped, moment: Any, moment_id: str, ticks: list[int]) -> list[int]:
    """The ticks of one moment that a decision decides."""
    if "#" in decision.key:
        if not decision.key.endswith(f"#{moment_id}"):
            return []
        within = [at for at in ticks if decision.first <= at <= decision.at]
        if decision.why != "paused":
            within = [at for at in within if is_closed(moment, at) == (decision.why == "calendar")]
        assert len(within) == decision.ticks
        return within
    return [decision.at] if any(each.moment == moment_id for each in decision.came) else []


@pytest.mark.parametrize("seed", range(60))
def test_every_tick_is_in_exactly_one_decision(seed: int) -> None:
    random = Random(seed)
    clocks = tuple(random.sample(CLOCKS, random.randint(1, 3)))
    on = clocks[0] if len(clocks) == 1 else AnyOf(clocks)
    stage = Stage(lg.asset(name="own", on=on)(lambda: 1), at="2026-03-06T12:00", restarts=random.random() < 0.5)
    furthest = int(stage.now)
    for _ in range(random.randint(3, 12)):
        match random.choice(["ahead", "ahead", "ahead", "back", "pause", "resume", "end"]):
            case "ahead":
                stage.now = Instant(stage.now + random.choice([20, 400, 7000]) * random.randint(0, 60) * MINUTE // 60)
                stage.tell(inputs.TimePassed())
            case "back":
                stage.now = Instant(stage.now - random.randint(0, 3000) * MINUTE)
                stage.tell(inputs.TimePassed())
            case "pause":
                stage.pause("own")
            case "resume":
                stage.resume("own")
            case "end":
                stage.end_runs()
        furthest = max(furthest, stage.now)
    decisions = stage.decisions()
    form = Form(stage.project.nodes["own"].trigger)
    for moment, moment_id in zip(form.leaves, form.ids, strict=True):
        ticks = brute_ticks(moment, furthest)
        decided = [at for each in decisions for at in covered(each, moment, moment_id, ticks)]
        assert sorted(decided) == ticks
    stage.close()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("clock", CLOCKS, ids=lambda each: getattr(each, "expression", None) or each.seconds)
def test_a_policy_does_what_it_says(clock: Any, seed: int) -> None:
    random = Random(seed)
    stage = Stage(lg.asset(name="own", on=clock)(lambda: 1), at="2026-03-06T12:00")
    before = int(stage.now)
    for _ in range(5):
        stage.now = Instant(stage.now + random.choice([1, 30, 400, 7000]) * random.randint(0, 60) * MINUTE // 60)
        open_ticks = [at for at in brute_ticks(clock_of(stage), stage.now) if at > before and not is_closed(clock, at)]
        fired = [each.at for each in stage.tell(inputs.TimePassed()).decisions() if isinstance(each, Fired)]
        on_time = [at for at in open_ticks[-1:] if stage.now - at <= MINUTE]
        assert fired == {"all": open_ticks, "latest": open_ticks[-1:], "none": on_time}[clock.catch_up]
        before = int(stage.now)
        stage.end_runs()


def clock_of(stage: Stage) -> Any:
    return stage.project.nodes["own"].trigger


# -- combinations, partition by partition --

NAMES = ["a", "b", "c", "d"]
KEYS = ["k1", "k2", "k3"]
LEAVES = st.sampled_from([Updated(asset=name) for name in NAMES])


def combined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    some = st.tuples(st.integers(1, 3), several).map(lambda both: AtLeast(min(both[0], len(both[1])), both[1]))
    return several.map(AllOf) | several.map(AnyOf) | some | parts.map(lambda part: ~part)


TREES = st.recursive(LEAVES, combined, max_leaves=6).filter(lambda tree: any(True for _ in moments(tree, negated=False)))
PUBLISHED = st.lists(st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from(KEYS), min_size=1)), min_size=1, max_size=25)


class Naive:
    """One trigger, a partition at a time, with nothing but truth values. "rest" stands for every partition not named."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.plain = {each.asset for each in moments(tree, negated=False)}
        self.came = {key: dict.fromkeys(NAMES, False) for key in [*KEYS, "rest"]}

    def holds(self, tree: Any, key: str) -> bool:
        match tree:
            case Updated(asset=asset):
                return self.came[key][asset]
            case Without(part):
                return not self.holds(part, key)
            case AllOf(parts):
                return all(self.holds(part, key) for part in parts)
            case AnyOf(parts):
                return any(self.holds(part, key) for part in parts)
            case AtLeast(wanted, parts):
                return sum(self.holds(part, key) for part in parts) >= wanted
        raise AssertionError(tree)

    def publish(self, asset: str, keys: set[str]) -> list[str] | None:
        """The partitions that fire; None if this was no tick."""
        for key in keys:
            self.came[key][asset] = True
        if asset not in self.plain:
            return None
        holding = {key for key in KEYS if self.holds(self.tree, key)}
        fired = holding & keys if self.holds(self.tree, "rest") else holding
        for key in fired:
            self.came[key].update(dict.fromkeys(self.plain, False))
        for key in keys:
            self.came[key].update({name: False for name in NAMES if name not in self.plain})
        return sorted(fired)


@settings(max_examples=300)
@given(TREES, PUBLISHED, st.booleans())
def test_combinations_are_what_truth_values_say(tree: Any, history: list[tuple[str, set[str]]], restarts: bool) -> None:
    files = lg.dynamic("files")
    bases = [lg.asset(name=name, partitions=files)(lambda: 1) for name in NAMES]
    own = lg.asset(name="own", on=tree, partitions=files)(lambda a, b, c, d: 1)
    stage, naive = Stage(*bases, own, restarts=restarts, dynamic={"files": KEYS}), Naive(tree)
    lone = Form(stage.project.nodes["own"].trigger).lone
    for asset, keys in history:
        decisions = stage.publish(asset, *sorted(keys)).decisions()
        expected = naive.publish(asset, keys)
        if expected is None:
            assert decisions == []
        elif expected:
            assert [list(each.request.partitions) for each in decisions] == [expected]  # type: ignore[union-attr]
        else:
            assert [each.why for each in decisions] == ["condition"]  # type: ignore[union-attr]
        assert not lone or decisions == [] or isinstance(decisions[0], Fired)
    stage.close()


# -- anything at all --

days = lg.daily("2026-02-01")


def kitchen() -> list[Any]:
    files = lg.dynamic("files")
    base = lg.asset(name="base", partitions=days)(lambda: 1)
    return [
        base,
        lg.asset(name="fresh", on=lg.keep_fresh("5h"), partitions=days)(lambda base: 1),
        lg.asset(name="by_file", on=lg.file("in/*.csv") | lg.trigger.missing(), partitions=files)(lambda: 1),
        lg.asset(name="both", on=lg.cron("0 */4 * * *") & lg.updated("base"), partitions=days)(lambda base: 1),
        lg.asset(name="old", on=lg.trigger.stale("3h") & ~lg.webhook("stop"))(lambda: 1),
        lg.flow(name="mend", on=lg.trigger.failed("base") & lg.trigger.at_least(1, lg.webhook("go"), lg.every("1h")))(lambda: 1),
        lg.flow(name="watch", on=lg.trigger.metric("rows", base, below=5) | lg.webhook("go"))(lambda value=0.0: 1),
    ]


def run(seed: int, restarts: bool) -> Stage:
    """A history on the kitchen's triggers."""
    random = Random(seed)
    history = [(random.randrange(13), random.randrange(10)) for _ in range(random.randint(5, 60))]
    stage = Stage(*kitchen(), restarts=restarts, dynamic={"files": ["f0"]})
    names = count()
    for what, number in history:
        day = f"2026-02-{number + 1:02d}"
        match what:
            case 0 | 1 | 2 | 3:
                stage.now = Instant(stage.now + (number * what * 20 - 30) * MINUTE)
                stage.tell(inputs.TimePassed())
            case 4:
                stage.publish("base", day)
            case 5:
                stage.publish(["fresh", "both", "by_file"][number % 3], day if number % 3 < 2 else f"f{number}")
            case 6:
                stage.publish("old")
            case 7:
                stage.file(f"in/f{number}.csv")
            case 8:
                stage.call(["stop", "go"][number % 2], id=str(number))
            case 9:
                stage.fail("base", partition=day)
            case 10:
                stage.measure("base", "rows", number, day)
            case 11:
                stage.add("files", f"new{next(names)}")
            case 12:
                (stage.pause if number < 4 else stage.resume)(["fresh", "by_file", "old", "mend"][number % 4])
        if number == 7:
            stage.end_runs()
    return stage


def compare(seeds: range) -> None:
    """A process that ends before every input decides what one decides that goes on."""
    for seed in seeds:
        stays, restarts = run(seed, False), run(seed, True)
        assert restarts.decisions() == stays.decisions(), f"seed {seed}"
        stays.close()
        restarts.close()


def test_a_process_that_ends_before_every_input_decides_the_same() -> None:
    compare(range(60))


@pytest.mark.long
def test_many_processes_that_end() -> None:
    compare(range(60, 600))
