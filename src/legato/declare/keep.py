"""How long what is old is kept: the `[keep]` of a project's configuration."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from legato.terms.errors import LegatoError
from legato.terms.instant import parse_duration

DAY_S = 86_400.0
FOREVER = "forever"
LEAST_VERSIONS = 2
"""Where versions go by their age, so many stay however old: what is published, and what could be gone back to."""


class Keep(Struct, frozen=True, kw_only=True):
    """How long, in seconds (None: for ever), and how many.

    Runs that ended are kept with their events, what their tasks handed on, what they told and their cached results; so are the
    decisions of triggers. Of each asset partition the newest `versions` are kept (0: all), with `versions_s` also those that are
    younger; and as many of what was never published.
    """

    runs_s: float | None = 90 * DAY_S
    logs_s: float | None = 30 * DAY_S
    audit_s: float | None = 400 * DAY_S
    versions: int = 10
    versions_s: float | None = None


DEFAULT_KEEP = Keep()
KEEP_KEYS = ("runs", "logs", "audit", "versions")


def parse_keep(name: str, value: Any) -> dict[str, Any]:
    """What a line of `[keep]` sets; a `LegatoError` (`keep`) if it says nothing."""
    if name == "versions":
        if value == FOREVER:
            return {"versions": 0}
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return {"versions": value}
        if isinstance(value, str):
            return {"versions": LEAST_VERSIONS, "versions_s": _age(name, value)}
        raise _fault(name, value, 'write versions = 10, versions = "90d" or versions = "forever"')
    if value == FOREVER:
        return {f"{name}_s": None}
    return {f"{name}_s": _age(name, value)}


def _age(name: str, value: Any) -> float:
    hint = f'write {name} = "90d" or {name} = "forever"'
    if not isinstance(value, str):
        raise _fault(name, value, hint)
    try:
        seconds = parse_duration(value)
    except LegatoError:
        raise _fault(name, value, hint) from None
    if seconds <= 0:
        raise _fault(name, value, hint)
    return seconds


def _fault(name: str, value: Any, hint: str) -> LegatoError:
    return LegatoError("keep", f"{name} = {value!r} is no time for which something is kept", next=hint)
