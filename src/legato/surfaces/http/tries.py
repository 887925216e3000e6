"""Tries by who is not known: counted of all together, since an address costs an attacker nothing."""

from __future__ import annotations

import time
from threading import Lock

from legato.terms.errors import Unreachable

MOST, WITHIN_S = 10, 60.0
"""So many tries of a kind are answered within so long: nobody honest has to try more often."""


class Tries:
    """Counts tries of each kind within the last while. May be asked from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._at: dict[str, list[float]] = {}

    def count(self, kind: str) -> None:
        """Take up one more; `Unreachable` (`too-many`) if there were as many as are answered, and then it does not count."""
        now = time.monotonic()
        with self._lock:
            lately = [at for at in self._at.get(kind, ()) if at > now - WITHIN_S]
            if len(lately) >= MOST:
                raise Unreachable("too-many", f"too many {kind}", why=f"{MOST} within {WITHIN_S:g} s", next="wait")
            self._at[kind] = [*lately, now]
