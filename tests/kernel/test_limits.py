"""Pools with slots, rates and keys, and the order in which steps start."""

from __future__ import annotations

from collections import Counter

import pytest
from scene import MORNING, Scene, asset, how

from legato.declare.node import Retry
from legato.declare.pool import Limit, Use
from legato.kernel import commands as cmd
from legato.kernel import events as ev
from legato.kernel.blocked import blocked_by
from legato.kernel.board import Board
from legato.kernel.decide import decide
from legato.kernel.fold import fold
from legato.kernel.inputs import Offer, Resolve, TakeOver
from legato.kernel.state import RunState
from legato.plan.records import Handling, Plan, Reason, Step
from legato.terms.attempt import Argument, Call, Called, Done, Parked, Wait
from legato.terms.codec import pack
from legato.terms.instant import after

API = {"pools": (Use("api"),)}


def test_a_rate_bounds_the_starts_in_any_stretch_of_its_length(play):
    """A burst up to the rate goes at once; each further start waits until one of the burst has left the stretch."""
    scene = play("a*7", a=how(**API), board=Board({"api": Limit(None, 3, 60.0)}))
    assert scene.start() == ["a@0", "a@1", "a@2"]
    scene.done("a@0", "a@1", "a@2")
    scene.wait(59.0)
    assert scene.start() == []
    scene.wait(1.0)
    assert scene.start() == ["a@3", "a@4", "a@5"]
    scene.done("a@3", "a@4", "a@5")
    assert scene.start() == [], "that they are done gives no start back"
    scene.wait(60.0)
    assert scene.start() == ["a@6"]


def test_steps_under_a_rate_travel_alone(play):
    """What is handed out starts now: a rate is kept where the work is done, not where it was decided."""
    scene = play("a*3", a=how(**API), board=Board({"api": Limit(None, 9, 60.0)}))
    assert scene.offer(room_s=1.0, a=1e-5) == ["a@0"]


def test_every_try_counts(play):
    """Retries are starts like all others."""
    retry = Retry(5, "fixed", 1.0, jitter=False)
    scene = play("a", a=how(retry=retry, **API), board=Board({"api": Limit(None, 2, 60.0)}))
    for _ in range(2):
        assert scene.start() == ["a"]
        scene.raises("a")
        scene.wait(1.0)
    assert scene.start() == []
    scene.wait(58.0)
    assert scene.start() == ["a"]


def test_a_rate_holds_over_a_restart(play):
    """The starts that still count are given to the next board; nothing is started too early because nobody remembers."""
    limits = {"api": Limit(None, 2, 60.0)}
    first = Board(limits, keep=True)
    scene = play("a*2", a=how(**API), board=first)
    scene.start()
    assert first.fresh == [(("api", ""), MORNING)] * 2
    later = Board(limits, first.fresh, keep=True)
    other = play("a", a=how(**API), board=later, run_id="later")
    assert other.start() == []
    assert later.fresh == []
    other.wait(60.0)
    assert other.start() == ["a"]


def test_a_step_needs_room_in_all_its_pools(play):
    """Slots of one pool and a rate of another bind together, and neither holds up who needs only the other."""
    board = Board({"db": Limit(1), "api": Limit(None, 1, 10.0)})
    both, rate = {"pools": (Use("db"), Use("api"))}, {"pools": (Use("api"),)}
    scene = play("a*2, b, c", a=how(**both), b=how(pool="db"), c=how(**rate), board=board)
    assert scene.start() == ["a@0"]
    scene.done("a@0")
    assert scene.start() == ["b"]
    scene.wait(10.0)
    assert scene.start() == ["c"], "a@1 waits for a slot, and does not keep the rate from c"
    scene.done("b")
    assert scene.start() == []
    scene.wait(10.0)
    assert scene.start() == ["a@1"]


def test_priority_is_worth_minutes_of_waiting(play):
    """More urgent work goes first, but what has waited longer than its priority is behind goes before what comes now."""
    board = Board({"one": Limit(1)})
    scene = play("low", low=how(pool="one"), board=board, run_id="low")
    busy = play("x", x=how(pool="one"), board=board, run_id="busy")
    assert scene.start() == ["low"]
    assert busy.start() == []
    scene.done("low")
    first = play("a", a=how(pool="one", priority=5), board=board, run_id="urgent")
    assert busy.start() == []
    assert first.start() == ["a"]
    first.done("a")
    later = Scene("a", board=board, run_id="later", a=how(pool="one", priority=5), at=after(MORNING, 6 * 60.0))
    assert later.start() == []
    assert busy.start() == ["x"], "it has waited six minutes, one more than five levels of priority are worth"
    later.close()


def test_nothing_starves(play):
    """However much urgent work keeps coming, a step starts at the latest when it has waited a minute for each level."""
    board = Board({"one": Limit(1)})
    low = play("low", low=how(pool="one"), board=board, run_id="low")
    low.now = after(MORNING, 1.0)
    started_after = None
    for minute in range(30):
        urgent = Scene("u", board=board, run_id=f"u{minute}", u=how(pool="one", priority=9), at=after(MORNING, minute * 60.0))
        if low.start():
            started_after = minute
            low.done("low")
            break
        assert urgent.start() == ["u"]
        urgent.done("u")
    assert started_after == 9


def test_a_thousand_blocked_lanes_cost_nothing():
    """A slot that becomes free looks at who is next, not at all who wait: ten thousand tenants behind one full pool."""
    calls = Counter()

    class Counting(Board):
        def shut(self, lane, *args, **options):
            calls["shut"] += 1
            return super().shut(lane, *args, **options)

    board = Counting({"crm": Limit(2), "own(tenant)": Limit(1)})
    stage = Keyed(board, uses=(Use("own(tenant)", "tenant"), Use("crm")))
    stage.call(*[str(number) for number in range(10_000)])
    assert stage.start() == ["0", "1"]
    calls.clear()
    for number in range(50):
        stage.done(str(number))
        assert stage.start() == [str(number + 2)]
    assert calls["shut"] < 50 * 8


def test_each_value_of_a_key_has_a_limit_of_its_own():
    """Two calls for one customer follow each other; those for others go beside them."""
    stage = Keyed(Board({"own(tenant)": Limit(1)}), uses=(Use("own(tenant)", "tenant"),))
    stage.call("acme", "acme", "bolt")
    assert stage.start() == ["acme", "bolt"]
    assert stage.blocked(2).on == "own(tenant)[acme]"
    stage.done("acme")
    assert stage.start() == ["acme"]
    assert stage.state.board.used == {("own(tenant)", "acme"): 1, ("own(tenant)", "bolt"): 1}


def test_a_flow_holds_its_slot_while_it_waits_and_gives_it_back_at_the_end():
    """At most one onboarding at a time means: also while the first waits for an approval, and over a restart."""
    board = Board({"one": Limit(1)})

    def plan():
        steps = [Step("f", str(number), True, Reason("requested")) for number in range(2)]
        return Plan(request="f", project="p", steps=steps, handling={"f": Handling(flow=True, pools=(Use("one"),))})

    state = RunState("r", plan(), board, at=MORNING)
    seen: list[ev.AnyEvent] = []

    def tell(state, given):
        decision = decide(state, given, MORNING)
        seen.extend(decision.events)
        return [step for each in decision.commands if isinstance(each, cmd.StartAttempts) for step in each.steps]

    assert tell(state, Offer(1.0, 1, {}, flows=True)) == [0]
    tell(state, Called("r", 0, 1, (Call((b"ask",), wait=Wait("approval", "go?")),)))
    tell(state, Parked("r", 0, 1, 0.1, (b"ask",)))
    assert tell(state, Offer(1.0, 1, {}, flows=True)) == []
    assert blocked_by(state, 1, MORNING).holders == (("r", 0),)
    again = RunState("r", plan(), at=MORNING)
    for event in seen:
        fold(again, event)
    tell(again, TakeOver())
    board = Board({"one": Limit(1)})
    again.join(board, MORNING)
    assert board.used["one", ""] == 1
    tell(again, Resolve(2, pack(True), "ann", MORNING))
    assert tell(again, Offer(1.0, 1, {}, flows=True)) == [0], "it goes on in the slot that it has"
    tell(again, Done("r", 0, again.running[0].token, 0.1))
    assert tell(again, Offer(1.0, 1, {}, flows=True)) == [1]


def test_what_a_step_waits_for_has_a_name(play):
    """Another step, a slot and who has it, a rate and when, a partition and who writes it, a try, a turn."""
    board = Board({"db": Limit(1), "api": Limit(None, 1, 60.0)})
    scene = play(
        "a -> z, b*2, c*2, d", a=how(), b=how(pool="db"), c=how(**API), d=asset("x"), board=board, run_id="r",
    )  # fmt: skip
    other = play("d", d=asset("x"), board=board, run_id="other")
    scene.start()
    assert other.start() == []
    told = {name: blocked_by(scene.state, scene.names.index(name), scene.now) for name in ("z", "b@1", "c@1", "a")}
    assert (told["z"].kind, told["z"].on) == ("step", "a")
    assert (told["b@1"].kind, told["b@1"].on, told["b@1"].holders) == ("slot", "db", (("r", scene.names.index("b@0")),))
    assert (told["c@1"].kind, told["c@1"].until) == ("rate", after(MORNING, 60.0))
    assert told["a"] is None
    blocked = blocked_by(other.state, 0, scene.now)
    assert (blocked.kind, blocked.on, blocked.holders) == ("partition", "x", (("r", scene.names.index("d")),))


def test_a_board_shows_what_runs_hold_now_and_not_what_they_held(play):
    """Runs are read one by one, each on a board of its own: then one sees who holds what, whatever was free or taken before."""
    board = Board({"db": Limit(1), "api": Limit(None, 2, 60.0)})
    first = play("a, b, c", a=asset("x", pool="db"), b=how(**API), board=board, run_id="first")
    assert first.start() == ["a", "b", "c"]
    first.done("a", "b")
    second = play("a, b", a=asset("x", pool="db"), b=how(**API), board=board, run_id="second")
    assert second.start() == ["a", "b"]
    waits = play("a, c, d", a=asset("x"), c=how(pool="db"), d=how(**API), board=board, run_id="waits")
    assert waits.start() == []
    states = [scene.replay() for scene in (second, first, waits)]
    shown = Board(board.limits, [(("api", ""), MORNING), (("api", ""), MORNING)])
    for state in states:
        shown.behold(state)
    asked = [blocked_by(states[-1], step, MORNING, shown) for step in range(3)]
    assert [each.holders for each in asked[:2]] == [(("second", 0),), (("second", 0),)]
    assert (asked[2].kind, asked[2].until) == ("rate", after(MORNING, 60.0))
    shown = Board(board.limits, [(("api", ""), MORNING)])
    for state in states:
        shown.behold(state)
    assert blocked_by(states[-1], 2, MORNING, shown).kind == "turn", "a start is counted once"


@pytest.mark.parametrize("seed", range(30))
def test_random_pools_never_overflow_and_never_idle(seed):
    """Whatever ends when: no pool holds more than it has, and no step waits while all its pools have room."""
    from random import Random

    random = Random(seed)
    limits = {"p": Limit(2), "q": Limit(3), "r": Limit(None, 4, 30.0), "s": Limit(1, 5, 20.0)}
    board = Board(limits)
    uses = [tuple(Use(name) for name in random.sample("pqrs", random.randint(0, 3))) for _ in range(5)]
    handling = {f"n{at}": how(pools=use, priority=random.randint(-1, 1)) for at, use in enumerate(uses)}
    text = ", ".join(f"n{at}*{random.randint(1, 6)}" for at in range(5))
    scenes = [Scene(text, board=board, run_id=run, **handling) for run in "xy"]
    for _ in range(300):
        for scene in scenes:
            scene.now = max(each.now for each in scenes)
            scene.state.board.pass_time(scene.now)
        while any(scene.start() for scene in scenes):
            pass
        for scene in scenes:
            for name in scene.where("ready"):
                assert board.shut(scene.state.lane(scene.names.index(name)), now=scene.now), f"{name} could start"
        if all(scene.outcome for scene in scenes):
            break
        scene = random.choice([each for each in scenes if not each.outcome])
        running = sorted(scene.state.running)
        if running and random.random() < 0.8:
            scene.done(scene.names[random.choice(running)])
        else:
            scene.wait(random.choice((0.5, 5.0, 20.0)))
    assert all(scene.outcome == "succeeded" for scene in scenes)


class Keyed:
    """A flow under way that calls one task, with a tenant each."""

    def __init__(self, board: Board, *, uses: tuple[Use, ...]) -> None:
        plan = Plan(
            request="f", project="p", steps=[Step("f", "", True, Reason("requested"))],
            handling={"f": Handling(flow=True), "task": Handling(pools=uses)},
        )  # fmt: skip
        self.state = RunState("r", plan, board, at=MORNING)
        self.tenants = [""]
        self._tell(Offer(1.0, 1, {}, flows=True))

    def call(self, *tenants: str) -> None:
        """The flow calls the task for each of these."""
        calls = [
            Call((str(number).encode(),), "task", arguments=(Argument("tenant", value=pack(tenant)),))
            for number, tenant in enumerate(tenants, len(self.tenants))
        ]
        self.tenants += tenants
        self._tell(Called("r", 0, 1, tuple(calls)))

    def start(self) -> list[str]:
        """Offers until nobody takes one; whose calls started."""
        started: list[str] = []
        while got := self._tell(Offer(1.0, 256, {})):
            started += [self.tenants[step] for step in got]
        return started

    def done(self, tenant: str) -> None:
        """The running call of this tenant returns."""
        step = next(step for step in self.state.running if self.tenants[step] == tenant)
        self._tell(Done("r", step, self.state.running[step].token, 0.1))

    def blocked(self, step: int):
        """What a call waits for."""
        return blocked_by(self.state, step, MORNING)

    def _tell(self, given) -> list[int]:
        commands = decide(self.state, given, MORNING).commands
        return [step for each in commands if isinstance(each, cmd.StartAttempts) for step in each.steps]
