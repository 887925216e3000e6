"""The way between a flow's body and the conductor, as the body's process offers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from legato.terms.attempt import Answers, Called, Order, Report

Taken = Answers | tuple[Order, Report]
"""What arrives while a flow waits: answers, or an attempt that was made beside it, with its end (which is reported already)."""


class Line(Protocol):
    """Takes a flow's calls to the conductor and brings back what comes of them. For the thread of the body alone."""

    def call(self, called: Called) -> None:
        """Send calls. They may wait for others until `take` is asked."""
        ...

    def take(self, timeout_s: float) -> Taken | None:
        """What arrives next, waited for no longer than this; None if nothing does. Orders that arrive are made here and now."""
        ...

    def abandon(self, end: Report) -> NoReturn:
        """Report the end of a body that does not come to one, and never come back to it."""
        ...

    def listen(self, ring: Callable[[], None] | None) -> bool:
        """Have `ring` called, from whatever thread, whenever something arrives that `take` gives at once; None ends that.

        False where that cannot be: there only `take` finds out.
        """
        ...
