"""What the kernel is told, besides the reports of attempts (`terms/attempt`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from legato.terms.attempt import Begun, Called, Declined, Done, Lost, Noted, Parked, Raised, Ref, Returned
from legato.terms.instant import Instant


class Offer(Struct, frozen=True):
    """A worker can take about `room_s` seconds of work, at most `most` attempts.

    `cost_s` is the expected time of one attempt by node; a node that is not there travels alone.
    """

    room_s: float
    most: int
    cost_s: Mapping[str, float]
    flows: bool = False
    """Whether the place is for flows, and not for anything else."""


class Reports(Struct, frozen=True):
    """What attempts of the run told, in this order: each is answered, and what follows of all of them is settled once."""

    told: Sequence[Done | Raised | Declined | Lost | Returned | Begun | Called | Noted | Parked]


class Tick(Struct, frozen=True):
    """Time has passed: what is due is done."""


class Cancel(Struct, frozen=True):
    """Somebody wants the run stopped."""

    actor: str
    reason: str = ""


class Pause(Struct, frozen=True):
    """Somebody wants the run to stand still."""

    actor: str
    reason: str = ""


class Resume(Struct, frozen=True):
    """Somebody wants a run to go on: a paused one where it stands, an ended one with the steps that did not succeed.

    With `failed_only` what was cancelled stays so.
    """

    actor: str
    failed_only: bool = False


class Resolve(Struct, frozen=True):
    """Somebody answered what a flow waits for: an approval, by true or false, or a signal, by its `value` (MessagePack).

    `at` is when they did, which may be long before anybody hears of it.
    """

    step: int
    value: bytes
    actor: str
    at: Instant
    reason: str = ""


class Signal(Struct, frozen=True):
    """Somebody sent a signal (`value` is MessagePack) to the run. `id` tells it from one that is sent again."""

    id: str
    name: str
    value: bytes
    actor: str
    at: Instant


class Found(Struct, frozen=True):
    """What an earlier run made of what this step is to make."""

    step: int
    run: str
    value: bytes | None = None
    kept: Ref | None = None


class Recall(Struct, frozen=True):
    """What earlier runs made counts as the results of steps that are ready."""

    found: Sequence[Found]


class TakeOver(Struct, frozen=True):
    """A new conductor owns the run: no attempt of the former one can report any more."""


Input = (
    Done | Raised | Declined | Lost | Returned | Begun | Called | Noted | Parked
    | Reports | Offer | Tick | Cancel | Pause | Resume | Resolve | Signal | Recall | TakeOver
)  # fmt: skip
