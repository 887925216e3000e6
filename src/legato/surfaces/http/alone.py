"""Routes of what runs by itself: triggers, the ticks to come, what was decided, and pausing."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import post
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from legato.declare.node import Node
from legato.service import asks
from legato.service.ticks import Coming, DecisionLine, DecisionPage, TriggerLine, list_coming, list_decisions, list_triggers
from legato.surfaces.http.looking import Asking, Limit, Number, Words, looking
from legato.surfaces.http.site import Inside, entered

MOST_DAYS = 3_660
Days = Annotated[float, QueryParameter(gt=0, le=MOST_DAYS)]
_MOST_PAGES = 20


class TriggerPage(Struct, frozen=True, kw_only=True):
    """Triggers by name; `next` is the name to ask for the next page with, empty if there is none."""

    triggers: list[TriggerLine]
    next: str


class TriggerNamed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The asset or flow that the trigger stands on."""

    trigger: str


@looking("/triggers")
def triggers(request: Asking, select: Words = "", limit: Limit = 200, after: Words = "") -> TriggerPage:
    """What runs by itself, when it is next due, and what was decided last."""
    with entered(request) as inside:
        found = list_triggers(inside.workspace, inside.store, select, sees=_sees(inside), after=after, limit=limit + 1)
        more = len(found) > limit
        return TriggerPage(triggers=found[:limit], next=found[limit - 1].name if more else "")


@looking("/next")
def coming(request: Asking, trigger: Words = "", days: Days = 7.0, limit: Limit = 50) -> Coming:
    """The ticks that the clock will bring, of one trigger or of all."""
    with entered(request) as inside:
        if trigger:
            inside.node(trigger)
        return list_coming(inside.workspace, inside.store, trigger, days=days, limit=limit, sees=_sees(inside))


@looking("/decisions")
def decisions(request: Asking, trigger: Words = "", limit: Limit = 50, before: Number = 0) -> DecisionPage:
    """What fired, what was skipped, and why: of one trigger or of all, newest first."""
    with entered(request) as inside:
        if trigger:
            inside.require_node(trigger)
        found: list[DecisionLine] = []
        for _ in range(_MOST_PAGES):  # a page may have triggers that the actor may not see: it is filled from the next
            page = list_decisions(inside.workspace, inside.store, trigger, limit=limit, before=before)
            found += [line for line in page.decisions if inside.may_read_node(line.trigger)]
            before = page.older
            if not before or len(found) >= limit:
                break
        rest = len(found) > limit or before
        return DecisionPage(trigger=trigger, decisions=found[:limit], older=_older(found[:limit], before) if rest else 0)


@post("/triggers/pause", sync_to_thread=True, status_code=200, opt={"action": "pause"})
def pause(request: Asking, data: JSONBody[TriggerNamed]) -> asks.PausedNow:
    """Let a trigger stand still: what comes meanwhile is skipped for good."""
    return _ask(request, data.trigger, paused=True)


@post("/triggers/unpause", sync_to_thread=True, status_code=200, opt={"action": "pause"})
def unpause(request: Asking, data: JSONBody[TriggerNamed]) -> asks.PausedNow:
    """Let a paused trigger go on, with what comes from now on."""
    return _ask(request, data.trigger, paused=False)


def _ask(request: Asking, trigger: str, *, paused: bool) -> asks.PausedNow:
    with entered(request) as inside:
        node = inside.node(trigger, "pause")
        return inside.ask(asks.PauseTrigger(trigger=node.name, paused=paused, actor=inside.actor.name), asks.PausedNow)


def _sees(inside: Inside) -> Any:
    def sees(node: Node) -> bool:
        return inside.may_read(node.domain)

    return sees


def _older(shown: list[DecisionLine], before: int) -> int:
    """Where the next page begins: behind the last line that is shown, or where the looking ended if none is."""
    return shown[-1].number if shown else before


ROUTES: list[Any] = [triggers, coming, decisions, pause, unpause]
