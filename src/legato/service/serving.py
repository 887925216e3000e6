"""The service's conductor: loads the project elsewhere, takes up open runs, lets triggers fire, and answers what others ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from legato.kernel import events as ev
from legato.kernel.inputs import Cancel, Resolve, Signal
from legato.kernel.inputs import Pause as PauseRun
from legato.kernel.state import RunState
from legato.plan.diff import compare
from legato.plan.records import Plan
from legato.ports.access import Audit
from legato.ports.clock import Clock
from legato.ports.store import Run, Store
from legato.runtime.conductor import Conductor
from legato.runtime.replay import read_state
from legato.service import asks
from legato.service.arrivals import Watch, patterns_of
from legato.service.attending import Act, Attendant
from legato.service.deliveries import Deliveries
from legato.service.desk import Desk
from legato.service.formers import Formers
from legato.service.inbox import LOOK_EVERY_S, Inbox, RunInput
from legato.service.keeping import Keeper, Rounds
from legato.service.planning import Planner
from legato.service.projects import last_in_force
from legato.service.reloading import Reloader
from legato.service.sources import plan_when_answered
from legato.service.ticker import Ticker, add_keys, plan_fired
from legato.service.ticks import require_trigger
from legato.service.workspace import Workspace
from legato.terms.errors import Fault, InvalidProject, LegatoError
from legato.terms.instant import Instant
from legato.triggers.events import Fired
from legato.triggers.inputs import Pause, Resume

Tell = Callable[[str], None]
"""Told of each thing that matters, in a line."""

PAYLOADS = "payloads"
"""The folder of what webhooks and messages brought, below the project's state."""
PLANNING_S = 0.05
"""How long one turn may plan what triggers ask for; the rest is for the next."""
_PAGE = 500
_MOST_NAMED = 4
_NOTHING_RUNS = "nothing runs until it is mended"


class Service:
    """One project's conductor for as long as it takes. It has the writer's place; whoever dies before it loses nothing.

    Before the first sound version of the project there is nothing to conduct: who asks hears what is wrong with it. Where the
    files are broken and a version was in force before, that one comes back.
    """

    def __init__(self, reloader: Reloader, store: Store, state: Path, clock: Clock, tell: Tell) -> None:
        self.reloader, self.store, self.clock = reloader, store, clock
        reloader.kept = lambda: last_in_force(store)
        self._state, self._tell = state, tell
        self._bell = threading.Event()
        self._told: list[Fault] = []
        self._planning: set[tuple[str, str]] = set()
        self._is_behind = False
        self._inbox = Inbox(state / "inbox", look_every_s=LOOK_EVERY_S)
        self._conductor: Conductor | None = None
        self._deliveries = Deliveries(state / PAYLOADS, store, lambda: self.ticker, clock.now)
        self.desk = Desk(state, self.wake, (*asks.ASKS, *asks.ALIVE))

    @property
    def workspace(self) -> Workspace:
        """The project in force."""
        assert self.reloader.workspace is not None
        return self.reloader.workspace

    @property
    def conductor(self) -> Conductor:
        """The conductor, once there is a sound project."""
        assert self._conductor is not None
        return self._conductor

    def wake(self) -> None:
        """Make a turn that waits go on; may be called from anywhere."""
        self._bell.set()
        if self._conductor is not None:
            self._conductor.wake()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until told to end; then let what runs end, and leave the rest to the next service."""
        try:
            while self.reloader.workspace is None and not is_over():
                self._wait_for_code()
            if not is_over():
                self._begin()
                self._conduct(is_over)
        finally:
            self.desk.close()
            self.reloader.close(self._conductor)

    # -- before there is a project --

    def _wait_for_code(self) -> None:
        self._bell.wait(self.reloader.patience_s)
        self._bell.clear()
        self.reloader.step()
        self._tell_faults()
        for asked in self.desk.waiting() if self.reloader.faults and not self.reloader.is_standing_in else ():
            if isinstance(asked.ask, asks.Ping):
                asked.answer(asks.Pong(pid=os.getpid(), since=self.clock.now(), open_runs=0, workers=0))
            else:
                asked.refuse(InvalidProject(self.reloader.faults))

    def _begin(self) -> None:
        """Own every open run: those that another service left, or that somebody interrupted."""
        conductor = self._conductor = self.reloader.conductor(self.store, self._hear)
        conductor.spares_a_worker = True
        more: dict[type[asks.Ask], Act] = {**self._deliveries.acts, asks.PauseTrigger: self._pause}
        formers = Formers(conductor, self.reloader, lambda: self.workspace, self._tell)
        attendant = Attendant(self.desk, conductor, lambda: self.workspace, more)
        attendant.faults = lambda: self.reloader.faults
        attendant.want = formers.want

        def attend() -> None:
            attendant.attend()
            self._take_in()
            formers.step()

        conductor.on_turn = attend
        self._watch, self._patterns = Watch(self.workspace.root, ()), frozenset[str]()
        self._follow(self.workspace)
        self._deliveries.sweep()
        self.reloader.on_change = self._change
        self._rounds = Rounds(Keeper(self.store, lambda: self.workspace, conductor.open_states))
        found: list[Run] = []
        while page := self.store.runs(limit=_PAGE, before=found[-1].id if found else None, state="open"):
            found += page
        found.reverse()  # the older one has its turn first, as before
        formers.restore(found)
        for run in found:
            conductor.adopt(run.id)
        if found:
            self._tell(f"{len(found)} open run{'' if len(found) == 1 else 's'} taken up")

    # -- from then on --

    def _conduct(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            self.conductor.turn(self._patience_s())
            self.reloader.step(self.conductor)
            self._tell_faults()
            self._tick(self.clock.now())
            self._rounds.go_on(self.clock.now())
        self.desk.close()
        self.conductor.on_turn = lambda: None
        self.conductor.drain()
        self.conductor.drive()
        self._inbox.settle()

    def _patience_s(self) -> float:
        """How long a turn may wait: not beyond the next tick."""
        due, longest = self.ticker.due(), 0.0 if self._is_behind else self.reloader.patience_s
        return longest if due is None else max(0.0, min(longest, (due - self.clock.now()) / 1e6))

    def _take_in(self) -> None:
        """What was left for runs in the inbox; what was taken in before is recorded by now."""
        for run, wanted in self._inbox.read(self.conductor.runs):
            if run in self.conductor.runs:
                self.conductor.tell(run, wanted, [_audit_of(run, wanted, self.clock.now())])

    def _change(self, workspace: Workspace) -> None:
        """Another version of the project is in force."""
        if workspace.project.fingerprint == self._former.project.fingerprint:
            self._tell("the project's code is loaded again")
            self._follow(workspace)
            return
        changes = compare(self._former, workspace.snapshot).changes
        named = [f"{each.name} {each.what}" for each in changes[:_MOST_NAMED]]
        more = [f"{len(changes) - _MOST_NAMED} more"] if len(changes) > _MOST_NAMED else []
        self._tell(f"version {workspace.project.fingerprint[:12]} is in force: {', '.join([*named, *more]) or 'nothing changed'}")
        self._follow(workspace)

    def _follow(self, workspace: Workspace) -> None:
        """Tick by the triggers of this version; files that were told stay told, where it looks for the same ones."""
        self._former = workspace.snapshot
        self.ticker = Ticker(self.store, workspace.project, self.clock.now())
        if (patterns := frozenset(patterns_of(workspace.project))) != self._patterns:
            self._watch, self._patterns = Watch(workspace.root, sorted(patterns)), patterns

    def _tell_faults(self) -> None:
        faults = self.reloader.faults
        if faults == self._told:
            return
        self._told = faults
        if not faults:
            return
        if self._conductor is not None:
            then = "the version before stays in force"
        else:
            then = "the version that was in force last is loaded" if self.reloader.is_standing_in else _NOTHING_RUNS
        self._tell(f"the project has {len(faults)} fault{'' if len(faults) == 1 else 's'}; {then}")
        for fault in faults:
            self._tell(f"  {fault}")

    def _tick(self, now: Instant) -> None:
        """What the triggers are about, once a turn."""
        for asked in self._inbox.read_pausings():
            self.ticker.tell(asked, now)
        self._inbox.settle_pausings()
        for arrived in self._watch.look(now) if self._patterns else ():
            self.ticker.tell(arrived, now)
        self.ticker.look_for_keys(now)
        self.ticker.hear(now, self._state_of)
        self.ticker.pass_time(now)
        self._plan_waiting(now)

    def _plan_waiting(self, now: Instant) -> None:
        """Plan what fired, as far as that takes little time: whoever asks meanwhile is answered in between."""
        until, self._is_behind = perf_counter() + PLANNING_S, False
        for fired in self.ticker.waiting():
            if (fired.trigger, fired.key) in self._planning:
                continue
            if perf_counter() > until:
                self._is_behind = True
                return
            self._plan(fired, now)

    def _plan(self, fired: Fired, now: Instant) -> None:
        """Make the run that a trigger asks for, or record why there is none; what it has to ask sources is awaited."""
        tick = fired.trigger, fired.key
        self._planning.add(tick)
        add_keys(self.store, fired.request)
        self.ticker.look_for_keys(now)

        def planned(planner: Planner, plan: Plan) -> None:
            self._planning.discard(tick)
            if plan.has_work:
                self._accept(fired, planner, plan)
            else:
                self._give_up(fired, "nothing to run: what it asks for is fresh")

        def refused(error: LegatoError) -> None:
            self._planning.discard(tick)
            self._give_up(fired, error.sentence)

        payloads = self._state / PAYLOADS
        plan_when_answered(
            self.workspace, self.store, lambda planner: plan_fired(planner, fired, payloads), self.conductor.ask, planned, refused
        )

    def _pause(self, at: Attendant, ask: asks.PauseTrigger) -> asks.PausedNow:
        name = require_trigger(self.workspace, ask.trigger).name
        self.ticker.tell((Pause if ask.paused else Resume)(name, ask.actor), self.clock.now())
        return asks.PausedNow(trigger=name, paused=ask.paused)

    def _accept(self, fired: Fired, planner: Planner, plan: Plan) -> None:
        actor, key = f"trigger {fired.trigger}", fired.request.key
        try:
            run = self.conductor.accept(plan, actor=actor, key=key, extents=planner.extents)
        except LegatoError as error:
            if error.code != "project-changed":
                raise
            return  # it still waits, and is planned again with the version of now
        self._deliveries.release(fired)
        self._tell(f"trigger {fired.trigger} fired: run {run}, {plan.request}")

    def _give_up(self, fired: Fired, why: str) -> None:
        self.ticker.give_up(fired, why, self.clock.now())
        self._deliveries.release(fired)
        self._tell(f"trigger {fired.trigger} fired, and there is no run: {why}")

    def _state_of(self, run: str) -> RunState:
        live = self.conductor.runs.get(run)
        return read_state(self.store, run) if live is None else live.state

    def _hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        for event in events:
            if isinstance(event, ev.RunEnded):
                self._tell(f"run {state.run_id} {event.outcome.replace('_', ' ')}")
            elif isinstance(event, ev.RunPaused):
                self._tell(f"run {state.run_id} paused by {event.actor}{f': {event.reason}' if event.reason else ''}")
            elif isinstance(event, ev.RunUnpaused):
                self._tell(f"run {state.run_id} goes on, asked by {event.actor}")


def _audit_of(run: str, wanted: RunInput, now: Instant) -> Audit:
    match wanted:
        case PauseRun():
            return Audit(at=now, actor=wanted.actor, action="pause", object=run, detail=wanted.reason)
        case Cancel():
            return Audit(at=now, actor=wanted.actor, action="cancel", object=run, detail=wanted.reason)
        case Resolve():
            return Audit(at=now, actor=wanted.actor, action="answer", object=run, detail=f"step {wanted.step}")
        case Signal():
            return Audit(at=now, actor=wanted.actor, action="signal", object=run, detail=wanted.name)
