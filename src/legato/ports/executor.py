"""Who makes attempts: takes orders, gives reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from legato.terms.attempt import Answers, Order, Report


class Executor(Protocol):
    """Makes attempts somewhere.

    Holds for every adapter (and is tested by `legato.testing.executor`):

    * Every order that `start` took ends in exactly one of Done, Raised, Declined, Lost, Returned, Parked, with its own token,
      even if the worker dies; `Begun`, `Called` and `Noted` may come before it, never after.
    * `Lost` is reported only after the attempt's whole process group is gone: what it started can write no more.
    * `Returned` is reported only for attempts whose user code was never entered.
    * `start`, `kill` and `poll` never wait for user code, except in an executor that is documented as inline.
    * The executor keeps no decisions: it does not retry, order or drop.
    """

    def workers(self) -> int:
        """How many attempts can be made at once."""
        ...

    def load(self) -> Sequence[float]:
        """Expected seconds of work now held by each worker that may take more, as told with `start`."""
        ...

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Hand orders to one worker (an index of `load`), to be made one after the other in this order."""
        ...

    def free_for_flows(self) -> Sequence[int]:
        """Places, beyond those of `load`, that can take the order of a flow now. A flow's body mostly waits, so it takes no
        worker's place; the executor makes as many as it can afford."""
        ...

    def place_of(self, run: str, step: int, token: int) -> int | None:
        """The place that holds this order; orders that are started there are made while the flow in it waits."""
        ...

    def answer(self, answers: Sequence[Answers]) -> None:
        """Tell flows the outcome of their calls. What is for an attempt that is not held any more is dropped."""
        ...

    def recall(self) -> None:
        """Ask busy workers for the orders they have not begun; each comes back as Returned."""
        ...

    def kill(self, run: str, step: int, token: int) -> None:
        """Stop this attempt and all it started, at once. Unless its end was reported already, it ends as Lost, or as Returned
        if it never began."""
        ...

    def poll(self, timeout_s: float) -> list[Report]:
        """Reports since the last call, waiting at most so long for the first. Returns early if `wake` is called."""
        ...

    def fileno(self) -> int:
        """A descriptor that can be read when `poll` would not wait, but for the passing of time; -1 if there is none."""
        ...

    def wake(self) -> None:
        """Make a `poll` that waits return now; safe from a signal handler."""
        ...

    def close(self) -> None:
        """Stop every worker and all it started. What was under way is not reported."""
        ...
