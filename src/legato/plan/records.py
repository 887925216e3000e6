"""A plan as plain records: what is printed is what is run."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from msgspec import Struct

from legato.declare.node import LOST_RETRIES, NO_RETRY, OnFailure, Retry
from legato.declare.pool import Use
from legato.terms.attempt import Argument, Ref

ReasonKind = Literal[
    "missing", "code", "input", "contract", "forced", "failed", "requested", "needed", "called", "fresh", "observed", "unneeded",
    "blocked", "reused",
]  # fmt: skip

PHRASES: dict[ReasonKind, str] = {
    "missing": "never made",
    "code": "code changed",
    "input": "input changed",
    "contract": "contract or checks changed",
    "forced": "forced",
    "failed": "failed before",
    "requested": "requested",
    "needed": "needed by",
    "fresh": "fresh",
    "observed": "observed",
    "unneeded": "nothing that runs needs it",
    "blocked": "input missing",
    "called": "called by a flow",
    "reused": "reused",
}


class Reason(Struct, frozen=True, array_like=True):
    """Why a step runs or is skipped; `detail` names the input, the asset or the value that decided it."""

    kind: ReasonKind
    detail: str = ""

    def __str__(self) -> str:
        phrase = PHRASES[self.kind]
        if not self.detail:
            return phrase
        return f"{phrase} {self.detail}" if self.kind == "needed" else f"{phrase}: {self.detail}"


class Step(Struct, frozen=True, array_like=True, gc=False):
    """One node at one partition. `deps` are the steps it waits for, as ranges of their numbers: (start, stop, start, stop …)."""

    node: str
    partition: str
    run: bool
    reason: Reason
    deps: tuple[int, ...] = ()


class Reused(Struct, frozen=True, array_like=True, omit_defaults=True):
    """A result that `run` recorded for its step `name`, taken over instead of being made.

    `step` is the step of this plan that it belongs to, and for a call that a flow makes there, `path` are the keys that lead to
    the call. A call that is `pinned` has no such step (-1): whichever call of the node has the key, or else this `number` among
    those of its partition, takes it. `actor` is who answered a wait; `changed` says what changed since: its code, or its inputs.
    """

    run: str
    name: str
    node: str
    partition: str = ""
    step: int = -1
    path: tuple[bytes, ...] = ()
    number: int = 0
    value: bytes | None = None
    kept: Ref | None = None
    actor: str = ""
    changed: Literal["", "code", "inputs"] = ""
    pinned: bool = False

    @property
    def reason(self) -> Reason:
        """Why the step is skipped."""
        said = (
            f"run {self.run}", "pinned" if self.pinned else "", f"answered by {self.actor}" if self.actor else "",
            f"its {self.changed} changed since" if self.changed else "",
        )  # fmt: skip
        return Reason("reused", ", ".join(filter(None, said)))


class Handling(Struct, frozen=True, kw_only=True):
    """How the kernel treats the steps of one node: copied from the declaration, so that a run does not change under way.

    `code` is the fingerprint of its code then; empty where it is not known. Results of earlier runs count where it is `cached`;
    where it is `keyed`, a function of its own says under what they are found. One call of it makes so many partitions `together`.
    """

    outputs: tuple[str, ...] = ()
    retry: Retry = NO_RETRY
    lost_retries: int = LOST_RETRIES
    timeout_s: float | None = None
    pools: tuple[Use, ...] = ()
    priority: int = 0
    on_failure: OnFailure = "skip"
    fallback: bool = False
    undo: bool = False
    flow: bool = False
    cached: bool = False
    keyed: bool = False
    code: str = ""
    together: int = 1


Order = Literal["oldest", "newest"]
"""Which partitions go first."""


class Backfill(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a plan works off many partitions.

    `turns` are its steps, all of them by number, in the `order` in which they are to start (empty: as they stand). No more than
    `at_once` are under way at a time (None: as many as there are workers). It yields to all other work, or is as `urgent`.
    """

    order: Order = "oldest"
    turns: tuple[int, ...] = ()
    at_once: int | None = None
    urgent: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """Ordered steps for one request: every step stands after the steps that it waits for.

    `observed` holds what sources said when the plan was made: asset -> partition -> version token. `arguments` are the parameters
    that its flows were given. A plan with a flow has the handling of all that a flow may call. `reused` are results of earlier
    runs, `repeats` is the request of the run that is repeated with them; `notes` is what else is to be said of that. With `force`
    nothing is taken from the cache. A `backfill` has an order of its own, and a place behind other work.
    """

    request: str
    project: str
    steps: list[Step]
    handling: dict[str, Handling]
    observed: dict[str, dict[str, str]] = {}
    arguments: dict[str, tuple[Argument, ...]] = {}
    reused: tuple[Reused, ...] = ()
    repeats: str = ""
    notes: tuple[str, ...] = ()
    force: bool = False
    backfill: Backfill | None = None

    @property
    def size(self) -> int:
        """How many steps run."""
        return sum(step.run for step in self.steps)

    @property
    def reasons(self) -> dict[str, int]:
        """How many steps there are for each reason."""
        return dict(Counter(step.reason.kind for step in self.steps))

    @property
    def has_work(self) -> bool:
        """Whether it makes a run: something is to be done, or stands still for a reason that has to be told."""
        return any(step.run or step.reason.kind == "blocked" for step in self.steps)
