"""What can start a run, as plain records: moments, and how they are combined. `lg.trigger` makes them.

A *moment* is a leaf: the clock, an asset's new version, a file, a message. Combinations are trees of moments in which only a
moment is ever negated (`~(a & b)` is kept as `~a | ~b`). What users wrote stands in these records as it was written until the
project is frozen, which finds all faults and puts every record in its one spelling (`declare/on`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from msgspec import Struct
from msgspec.structs import replace

CatchUp = Literal["latest", "all", "none"]
Aspect = Literal["code", "contract"]
Signing = Literal["standard", "github", "stripe"]
"""How calls of a webhook are signed: as Standard Webhooks says, or as these senders do."""


class Trigger(Struct, frozen=True):
    """A rule from facts and time to run requests; `&`, `|` and `~` combine them."""

    def __and__(self, other: Trigger) -> AllOf:
        return AllOf(_parts(AllOf, self, other)) if isinstance(other, Trigger) else NotImplemented

    def __or__(self, other: Trigger) -> AnyOf:
        return AnyOf(_parts(AnyOf, self, other)) if isinstance(other, Trigger) else NotImplemented

    def __invert__(self) -> AnyTrigger:
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise TypeError("a trigger is neither true nor false: combine triggers with & | ~ instead of and, or, not")

    def given(self, **params: Any) -> AnyTrigger:
        """The same trigger, which starts its flow with these parameters: `lg.cron("@daily").given(min_volume=50)`."""
        raise NotImplementedError


class Moment(Trigger, frozen=True, kw_only=True):
    """A leaf. `params` are what a flow is given; `gives` those of its parameters that the event itself fills."""

    params: dict[str, Any] = {}
    gives: tuple[str, ...] = ()

    def __invert__(self) -> AnyTrigger:
        return Without(cast("AnyMoment", self))

    def given(self, **params: Any) -> AnyTrigger:
        """The same moment with these parameters beside those that it has."""
        return cast("AnyMoment", replace(self, params={**self.params, **params}))


class Timed(Moment, frozen=True, kw_only=True):
    """A moment that the clock makes. `start` and `end` (exclusive) are dates or times of the zone.

    `catch_up` says which of the ticks that came while nobody could act become runs. With a `calendar` only business days count.
    """

    tz: str = "UTC"
    catch_up: CatchUp = "latest"
    calendar: str = ""
    start: Any = None
    end: Any = None


class Cron(Timed, frozen=True, kw_only=True, tag="cron"):
    """Ticks when the zone's clock shows what the expression says; `business_day=3`: on the third of the month (-1: its last)."""

    expression: str
    business_day: int = 0


class Every(Timed, frozen=True, kw_only=True, tag="every"):
    """Ticks each `seconds` of real time, counted from `start`, or from 1970."""

    seconds: Any


class Updated(Moment, frozen=True, kw_only=True, tag="updated"):
    """A new version of an asset is published."""

    asset: str


class Inputs(Moment, frozen=True, kw_only=True, tag="inputs"):
    """Stands for the node's own inputs, all or any, until the project is frozen; `optional`: nothing, if it has none."""

    any: bool = False
    optional: bool = False


class File(Moment, frozen=True, kw_only=True, tag="file"):
    """A complete file is there that the pattern matches and that was not there before."""

    pattern: str


class Webhook(Moment, frozen=True, kw_only=True, tag="webhook"):
    """Somebody calls the service under this name. `secret` is the reference of what signs calls, `signed` how; `key` where the
    payload holds a partition's key: `order.id`."""

    name: str
    secret: str = ""
    key: str = ""
    signed: Signing = "standard"


class Message(Moment, frozen=True, kw_only=True, tag="message"):
    """A message arrives on a topic; `key` says where its payload holds a partition's key, else its own key is taken."""

    topic: str
    key: str = ""


class Missing(Moment, frozen=True, kw_only=True, tag="missing"):
    """A partition of the node's assets is there to be made, and never was."""


class Stale(Moment, frozen=True, kw_only=True, tag="stale"):
    """The node's assets were not published for so many seconds."""

    seconds: Any


class Changed(Moment, frozen=True, kw_only=True, tag="changed"):
    """The node's own code, or its contract and checks, are not what they were."""

    what: Aspect = "code"


class Failed(Moment, frozen=True, kw_only=True, tag="failed"):
    """A step of this asset, task or flow failed for good."""

    node: str


class Metric(Moment, frozen=True, kw_only=True, tag="metric"):
    """A metric of an asset or task is seen, and lies above or below a bound."""

    name: str
    of: str
    above: float | None = None
    below: float | None = None


class Without(Trigger, frozen=True, tag="without"):
    """The moment did not come since the trigger's tick before."""

    part: AnyMoment

    def __invert__(self) -> AnyTrigger:
        return self.part

    def given(self, **params: Any) -> AnyTrigger:
        """Itself: what did not happen gives nothing."""
        return self


class AtLeast(Trigger, frozen=True, tag="at_least"):
    """At least `count` of the parts hold."""

    count: Any
    parts: tuple[AnyTrigger, ...]

    def __invert__(self) -> AnyTrigger:
        return AtLeast(len(self.parts) - self.count + 1, tuple(~part for part in self.parts))

    def given(self, **params: Any) -> AnyTrigger:
        """The same with these parameters at each of its moments."""
        return replace(self, parts=tuple(part.given(**params) for part in self.parts))


class AllOf(Trigger, frozen=True, tag="all"):
    """All parts hold."""

    parts: tuple[AnyTrigger, ...]

    def __invert__(self) -> AnyTrigger:
        return AnyOf(tuple(~part for part in self.parts))

    def given(self, **params: Any) -> AnyTrigger:
        """The same with these parameters at each of its moments."""
        return AllOf(tuple(part.given(**params) for part in self.parts))


class AnyOf(Trigger, frozen=True, tag="any"):
    """One part holds, or several."""

    parts: tuple[AnyTrigger, ...]

    def __invert__(self) -> AnyTrigger:
        return AllOf(tuple(~part for part in self.parts))

    def given(self, **params: Any) -> AnyTrigger:
        """The same with these parameters at each of its moments."""
        return AnyOf(tuple(part.given(**params) for part in self.parts))


AnyMoment = Cron | Every | Updated | Inputs | File | Webhook | Message | Missing | Stale | Changed | Failed | Metric
AnyTrigger = AnyMoment | Without | AtLeast | AllOf | AnyOf


def moments(trigger: Trigger, *, negated: bool | None = None) -> Iterator[Moment]:
    """The leaves as they stand from left to right; only those that stand plain (False) or only those under `~` (True)."""
    match trigger:
        case Moment():
            if negated is not True:
                yield trigger
        case Without(part):
            if negated is not False:
                yield part
        case AllOf(parts) | AnyOf(parts) | AtLeast(_, parts):
            for each in parts:
                yield from moments(each, negated=negated)


def _parts(kind: type[AllOf | AnyOf], *sides: Any) -> tuple[Any, ...]:
    """The sides of an operator; a side that is the same operator gives its parts: `a & b & c` is one record of three."""
    return tuple(part for side in sides for part in (side.parts if type(side) is kind else (side,)))
