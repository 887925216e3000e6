"""Pausing: a trigger, of whose ticks the service alone decides, or a run, which its conductor lets stand still."""

from __future__ import annotations

from msgspec import Struct

from legato.kernel.inputs import Pause
from legato.kernel.standing import Standing, standing_of
from legato.ports.access import Audit
from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.actor import actor
from legato.service.asks import Heard, PauseRun
from legato.service.finding import require_open
from legato.service.guest import ask
from legato.service.inbox import Inbox, Pausing, Standstill
from legato.service.planning import Planner
from legato.service.running import session
from legato.service.ticks import read_kept, require_trigger
from legato.service.workspace import Workspace
from legato.triggers.words import describe


class Paused(Struct, frozen=True, kw_only=True):
    """What became of the wish that a trigger is `paused`, or not. `heard`: it is recorded that it is so; else the `request`
    (empty if somebody left one before) waits for a service."""

    name: str
    trigger: str
    paused: bool
    heard: bool
    request: str
    actor: str


def ask_to_pause(workspace: Workspace, store: Store | None, name: str, *, paused: bool) -> Paused:
    """Leave word that a trigger is to stand still, or to go on; nothing, where it does so or was asked to. `NotFound` (`trigger`)
    if there is no such trigger."""
    node = require_trigger(workspace, name)
    inbox, who = Inbox(workspace.inbox), actor()
    asked = inbox.pausings().get(node.name)
    heard = asked is None and is_paused(store, node.name) == paused
    request = ""
    if not heard and (asked is None or asked.paused != paused):
        request = inbox.leave(Pausing(node.name, who, paused), workspace.clock)
    return Paused(name=node.name, trigger=describe(node.trigger), paused=paused, heard=heard, request=request, actor=who)


class RunStandsStill(Struct, frozen=True, kw_only=True):
    """A run that starts nothing any more until it is resumed; `running` attempts are still under way."""

    run: str
    request: str
    running: int
    standing: Standing


def pause_run(workspace: Workspace, store: Store, run: Run, reason: str = "") -> None:
    """Let a run stand still; `UsageError` (`run-ended`) if there is nothing to pause.

    It is asked at the service's desk, or left for the conductor that is at work; where nobody is, it is recorded from here.
    """
    require_open(run)
    if run.paused:
        return
    if workspace.is_served:
        ask(workspace.state, PauseRun(actor=actor(), run=run.id, reason=reason), Heard)
    elif workspace.find_holder() is not None:
        Inbox(workspace.inbox).leave(Standstill(run.id, actor(), reason), workspace.clock)
    else:
        with session(workspace, f"legato pause {run.id}") as opened:
            conductor = opened.conductor(Planner(workspace, opened.store))
            conductor.adopt(run.id)
            who = Audit(at=workspace.clock.now(), actor=actor(), action="pause", object=run.id, detail=reason)
            conductor.tell(run.id, Pause(actor(), reason), [who])
            conductor.drive()


def standstill(store: Store, run: Run) -> RunStandsStill:
    """How a paused run stands."""
    state = read_state(store, run.id)
    return RunStandsStill(run=run.id, request=run.request, running=len(state.running), standing=standing_of(state))


def is_paused(store: Store | None, trigger: str) -> bool:
    """Whether it is recorded that the trigger stands still."""
    kept = read_kept(store).get(trigger)
    return kept is not None and kept.paused
