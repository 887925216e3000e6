"""When a node runs by itself: `@lg.asset(on=lg.cron("0 6 * * *", tz="America/New_York"))`, or any combination.

`a & b` fires when both have come since the last firing, partition by partition; `a | b` for each; `~a` holds while `a` has not
come since the trigger's tick before; `at_least(2, a, b, c)` when two of them have. Nothing here raises for what it is
given: a trigger that makes no sense is a fault of the project, told with all the others.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, cast

from legato.declare import moment
from legato.declare.moment import AnyTrigger, Aspect, CatchUp, Inputs, Signing, Trigger

Duration = str | float | timedelta
Day = str | date | datetime


def cron(
    expression: str, *, tz: str = "UTC", catch_up: CatchUp = "latest", calendar: str = "", business_day: int = 0,
    start: Day | None = None, end: Day | None = None,
) -> Trigger:  # fmt: skip
    """Ticks by a cron expression of five fields, or `@hourly @daily @weekly @monthly @yearly`, on the clock of a time zone.

    In a gap of that clock (spring) a job runs once, at the gap's end; what comes twice (autumn) runs once, at the first pass.
    A cron of every hour (`*/15 * * * *`) ticks with real time instead. `calendar` is a country ("US", "DE-BY"), a market
    ("NYSE") or "weekdays": ticks on other days are skipped; `business_day=3` is the third business day of a month, -1 its
    last. `catch_up` says which ticks that nobody could act on become runs later: the `latest`, `all` or `none`.
    """
    return moment.Cron(
        expression=expression, tz=tz, catch_up=catch_up, calendar=calendar, business_day=business_day, start=start, end=end
    )


def every(
    period: Duration, *, tz: str = "UTC", catch_up: CatchUp = "latest", calendar: str = "", start: Day | None = None,
    end: Day | None = None,
) -> Trigger:  # fmt: skip
    """Ticks each period of real time ("15m", "1h30m"), counted from `start`, or from 1970-01-01 UTC."""
    return moment.Every(seconds=period, tz=tz, catch_up=catch_up, calendar=calendar, start=start, end=end)


def updated(*assets: Any, any: bool = False) -> Trigger:
    """All of these assets have a new version, or with `any` one of them; of the node's own inputs, where none is named.

    An asset is named by itself or by its name. What is asked for are the partitions that need the new ones.
    """
    if not assets:
        return Inputs(any=any)
    each = tuple(moment.Updated(asset=name) for asset in assets for name in _names(asset))
    if len(each) == 1:
        return each[0]
    return moment.AnyOf(each) if any else moment.AllOf(each)


def file(pattern: str) -> Trigger:
    """A complete new file: `"inbox/*.csv"` below the project's folder, `"/data/inbox/**/*.csv"`, `"s3://bucket/inbox/*"`.

    Each file counts once. Its key, for partitions, is what the wildcards of its name stand for: `a-17` of `inbox/a-17.csv`.
    A flow takes what it wants of `path`, `key`, `size` and `digest` by parameters of these names.
    """
    return moment.File(pattern=pattern)


def webhook(name: str, *, secret: Any = "", key: str = "", signed: Signing = "standard") -> Trigger:
    """Somebody calls the service under this name, each call once. `secret` signs calls; without one they need a token.

    `signed` says how: `"standard"` (standardwebhooks.com), or as `"github"` or `"stripe"` do. `key` is where the payload
    holds the partition's key: `"order.id"`. A flow takes what it wants of `payload`, `key` and `id`.
    """
    return moment.Webhook(name=name, secret=getattr(secret, "reference", secret), key=key, signed=signed)


def message(topic: str, *, key: str = "") -> Trigger:
    """A message on a topic of the configured broker, each once; `key` as of a webhook, else the message's own key."""
    return moment.Message(topic=topic, key=key)


def missing() -> Trigger:
    """A partition is there to be made, and never was: its window is over, its key was added."""
    return moment.Missing()


def stale(age: Duration) -> Trigger:
    """The node's assets were not published for so long."""
    return moment.Stale(seconds=age)


def changed(what: Aspect = "code") -> Trigger:
    """The node's code (or `"contract"`: its contract and checks) is not what it was; asks for all partitions."""
    return moment.Changed(what=what)


def failed(node: Any) -> Trigger:
    """A step of this asset, task or flow failed for good: for flows that mend. They take `node`, `partition`, `run`, `error`."""
    found = tuple(moment.Failed(node=name) for name in _names(node))
    return found[0] if len(found) == 1 else moment.AnyOf(found)


def metric(name: str, of: Any, *, above: float | None = None, below: float | None = None) -> Trigger:
    """A metric of an asset or task, when it is told, lies above a bound or below one. A flow takes `value` and `partition`."""
    found = tuple(moment.Metric(name=name, of=each, above=above, below=below) for each in _names(of))
    return found[0] if len(found) == 1 else moment.AnyOf(found)


def at_least(count: int, *triggers: Trigger) -> Trigger:
    """So many of these hold."""
    return moment.AtLeast(count, cast("tuple[AnyTrigger, ...]", triggers))


def keep_fresh(age: Duration) -> Trigger:
    """Made when an input is new, when it was never made, and when it is older than this: `on=lg.keep_fresh("2h")`."""
    return moment.AnyOf((Inputs(any=True, optional=True), moment.Missing(), moment.Stale(seconds=age)))


def _names(node: Any) -> tuple[Any, ...]:
    """What a declared function makes, or the name itself; the node's own name where it makes nothing."""
    return tuple(getattr(node, "names", (node,)))
