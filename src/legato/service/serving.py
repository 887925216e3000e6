"""The service's conductor: takes up open runs, lets triggers fire, and answers what others ask, until it is told to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from legato.kernel import events as ev
from legato.kernel.state import RunState
from legato.runtime.conductor import Conductor
from legato.runtime.replay import read_state
from legato.service.arrivals import Watch, patterns_of
from legato.service.asks import ASKS
from legato.service.attending import Attendant
from legato.service.desk import Desk
from legato.service.planning import Planner
from legato.service.running import Session
from legato.service.ticker import Ticker, add_keys, plan_request
from legato.terms.instant import Instant
from legato.triggers.events import Fired

Tell = Callable[[str], None]
"""Told of each thing that matters, in a line."""

PAYLOADS = "payloads"
"""The folder of what webhooks and messages brought, below the project's state."""
_PAGE = 500


class Service:
    """One project's conductor for as long as it takes. It has the writer's place; whoever dies before it loses nothing."""

    def __init__(self, opened: Session, tell: Tell) -> None:
        self._opened, self._tell, self.workspace = opened, tell, opened.workspace
        self.store, self.clock = opened.store, opened.workspace.clock
        self.conductor: Conductor = opened.conductor(Planner(self.workspace, self.store))
        self.conductor.listener = self._hear
        self.conductor.keeps_ended = False
        self.ticker = Ticker(self.store, self.workspace.project, self.clock.now())
        self._patterns = patterns_of(self.workspace.project)
        self._watch = Watch(self.workspace.root, self._patterns)
        self.desk = Desk(self.workspace.state, self.conductor.wake, ASKS)
        self.conductor.on_turn = Attendant(self.desk, self.conductor, lambda: self.workspace).attend

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until told to end; then let what runs end, and leave the rest to the next service."""
        try:
            self._take_up()
            while not is_over():
                self.conductor.turn()
                self._tick(self.clock.now())
            self.desk.close()
            self.conductor.on_turn = lambda: None
            self.conductor.drain()
            self.conductor.drive()
            self._opened.inbox.settle()
        finally:
            self.desk.close()

    def _take_up(self) -> None:
        """Own every open run: those that another service left, or that somebody interrupted."""
        count, before = 0, None
        while page := self.store.runs(limit=_PAGE, before=before, state="open"):
            for run in page:
                self.conductor.adopt(run.id)
            count, before = count + len(page), page[-1].id
        if count:
            self._tell(f"{count} open run{'' if count == 1 else 's'} taken up")

    def _tick(self, now: Instant) -> None:
        """What the triggers are about, once a turn."""
        for asked in self._opened.inbox.read_pausings():
            self.ticker.tell(asked, now)
        self._opened.inbox.settle_pausings()
        for arrived in self._watch.look(now) if self._patterns else ():
            self.ticker.tell(arrived, now)
        self.ticker.look_for_keys(now)
        self.ticker.hear(now, self._state_of)
        self.ticker.pass_time(now)
        for fired in self.ticker.waiting():
            self._submit(fired, now)

    def _submit(self, fired: Fired, now: Instant) -> None:
        """Make the run that a trigger asks for, or record why there is none."""
        add_keys(self.store, fired.request)
        self.ticker.look_for_keys(now)
        planner = Planner(self.workspace, self.store)
        planned = plan_request(planner, fired, Path(self.workspace.state) / PAYLOADS)
        if planned.asked is None:
            self.ticker.give_up(fired, planned.why, now)
            self._tell(f"trigger {fired.trigger} fired, and there is no run: {planned.why.partition(chr(10))[0]}")
            return
        asked = planned.asked
        run = self.conductor.accept(asked.plan, actor=asked.actor, key=asked.key, extents=planner.extents)
        self._tell(f"trigger {fired.trigger} fired: run {run}, {asked.plan.request}")

    def _state_of(self, run: str) -> RunState:
        live = self.conductor.runs.get(run)
        return read_state(self.store, run) if live is None else live.state

    def _hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        for event in events:
            if isinstance(event, ev.RunEnded):
                self._tell(f"run {state.run_id} {event.outcome.replace('_', ' ')}")
