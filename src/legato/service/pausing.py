"""Pausing triggers: the wish is left for the service, which alone decides on ticks."""

from __future__ import annotations

from msgspec import Struct

from legato.ports.store import Store
from legato.service.inbox import Inbox, Pausing
from legato.service.running import actor
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


def is_paused(store: Store | None, trigger: str) -> bool:
    """Whether it is recorded that the trigger stands still."""
    kept = read_kept(store).get(trigger)
    return kept is not None and kept.paused
