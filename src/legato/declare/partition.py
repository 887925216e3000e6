"""One partition as a user's function receives it, and which texts may be partition keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from legato.terms.errors import LegatoError

MAX_KEY = 200
BETWEEN = "|"
"""Stands between the dimensions' keys in the key of a product."""

_ILLEGAL = re.compile(r"[|@,/\x00-\x1f\x7f-\x9f\ud800-\udfff]|\.\.")


def key_fault(key: object) -> str:
    """Empty if the text may be the key of a static or dynamic partition; else why it may not."""
    if not isinstance(key, str):
        return f"it is a {type(key).__name__}, not text"
    if not key:
        return "it is empty"
    if len(key) > MAX_KEY:
        return f"it has {len(key)} characters, {MAX_KEY} at most are allowed"
    if key == "*":
        return "* stands for every key"
    found = _ILLEGAL.search(key)
    return f"it contains {found.group()!r}" if found else ""


@dataclass(frozen=True, slots=True)
class Partition:
    """One slice of an asset: `days.partition("2013-01-05")` knows its window, `Partition("2013-01-05")` only its key.

    `keys` maps dimension to key, for products. `windows` maps each time dimension to its start and end as aware
    datetimes in the zone of the definition; the dimension is "" outside of products.
    """

    key: str
    keys: Mapping[str, str] = field(default_factory=dict, hash=False)
    windows: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict, hash=False)

    @property
    def start(self) -> datetime:
        """The first instant of the time window."""
        return self._window()[0]

    @property
    def end(self) -> datetime:
        """The first instant after the time window."""
        return self._window()[1]

    @property
    def date(self) -> date:
        """The local date on which the time window starts."""
        return self._window()[0].date()

    def __str__(self) -> str:
        return self.key

    def _window(self) -> tuple[datetime, datetime]:
        if len(self.windows) == 1:
            return next(iter(self.windows.values()))
        if self.windows:
            names = ", ".join(self.windows)
            raise LegatoError(
                "partition-window", f"partition {self.key} has several time windows: {names}",
                next=f"say which: partition.windows[{next(iter(self.windows))!r}]",
            )  # fmt: skip
        raise LegatoError(
            "partition-window", f"partition {self.key} has no time window",
            why="it is not cut by time, or it was made from a bare key",
            next=f"in a test, ask the definition for it: days.partition({self.key!r})",
        )  # fmt: skip
