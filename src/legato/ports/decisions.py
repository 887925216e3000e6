"""What the store keeps of triggers, besides the runs that they asked for. The records are the triggers' own, as bytes."""

from __future__ import annotations

from msgspec import Struct

from legato.ports.access import Audit


class Decided(Struct, frozen=True, kw_only=True):
    """One decision: of a trigger's tick (its `key`), that it fired or was skipped.

    One that fired `waits` until its run is accepted (`run`), or until `note` says why it cannot be.
    """

    trigger: str
    key: str
    body: bytes
    waits: bool = False
    run: str = ""
    note: str = ""


class Ticking(Struct, kw_only=True):
    """What one turn of the triggers writes, all or nothing: decisions, what is now kept of triggers (by name), up to which event
    of the runs they have heard, and who wanted it."""

    decided: list[Decided] = []
    kept: dict[str, bytes] = {}
    heard: int | None = None
    audit: list[Audit] = []
