"""Pools: what steps share. Slots bound how many attempts are under way at once, a rate how many start in a stretch of time."""

from __future__ import annotations

import re

from msgspec import Struct

from legato.terms.errors import LegatoError
from legato.terms.instant import parse_duration

DEFAULT_POOL = "default"
"""The pool of steps that name none, where the configuration gives it a size."""

_RATE = re.compile(r"\s*(?P<starts>\d+)\s*/\s*(?P<period>\S.*?)\s*\Z")


class Limit(Struct, frozen=True, array_like=True):
    """How much a pool allows: so many attempts at once, and so many starts within any `period_s` seconds. None: no limit."""

    slots: int | None = None
    starts: int | None = None
    period_s: float = 0.0

    def __str__(self) -> str:
        words = []
        if self.slots is not None:
            words.append(f"{self.slots} slot{'' if self.slots == 1 else 's'}")
        if self.starts is not None:
            words.append(f"{self.starts} in {self.period_s:g} s")
        return ", ".join(words) or "no limit"


class Use(Struct, frozen=True, array_like=True, omit_defaults=True):
    """That a node's steps share a pool: as a whole, or apart for each value of the parameter `key`."""

    pool: str
    key: str = ""


class Pool(Struct, frozen=True):
    """What steps share: `slots` (attempts at once), a `rate` of starts ("100/min"), or both; and how urgent its steps are.

    A pool with a name is shared by all that name it. Its size stands here or in the project's `[pools]`. Without a name it is the
    declared node's own. `key` names a parameter (or `partition`): then each value has a pool of this size of its own. A flow
    holds its slot from its first attempt to its outcome, also while it waits. The higher `priority` goes first: a level is worth
    a minute of waiting, so that nothing waits for ever.
    """

    name: str = ""
    priority: int = 0
    slots: int | None = None
    rate: str = ""
    key: str = ""

    def limit(self) -> Limit | None:
        """The size that is given here, if one is; `LegatoError` (`rate`) if the rate is not one."""
        if self.slots is None and not self.rate:
            return None
        starts, period_s = parse_rate(self.rate) if self.rate else (None, 0.0)
        return Limit(self.slots, starts, period_s)


def rate(text: str, *, key: str = "", name: str = "") -> Pool:
    """At most so many starts in any stretch of that length: "100/min", "10/s", "5/30s"; for `pool=`, alone or beside others.

    It holds over restarts. `key` names a parameter whose every value has this rate for itself; with a `name` it can be shared.
    """
    return Pool(name, rate=text, key=key)


def parse_rate(text: str) -> tuple[int, float]:
    """How many starts, in how many seconds, of `100/min`, `10/s`, `5/30s`."""
    found = _RATE.match(text) if isinstance(text, str) else None
    if found is not None and int(found["starts"]) > 0:
        period = found["period"]
        try:
            seconds = parse_duration(period if period[0].isdigit() else f"1{period}")
        except LegatoError:
            seconds = 0.0
        if seconds > 0:
            return int(found["starts"]), seconds
    raise LegatoError("rate", f"{text!r} is not a rate", next="write for example 100/min, 10/s or 5/30s")
