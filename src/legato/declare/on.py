"""Reads what `on=` holds: every fault in it is told, and what is sound comes back in its one spelling."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, get_args

from msgspec.structs import replace

from legato.declare.business import load_calendar
from legato.declare.cron import Table, parse_cron
from legato.declare.moment import (
    AllOf,
    AnyOf,
    Aspect,
    AtLeast,
    CatchUp,
    Changed,
    Cron,
    Every,
    Failed,
    File,
    Inputs,
    Message,
    Metric,
    Missing,
    Moment,
    Signing,
    Stale,
    Timed,
    Trigger,
    Updated,
    Webhook,
    Without,
    moments,
)
from legato.declare.node import Node
from legato.declare.pattern import bucket_of, pattern_fault
from legato.declare.resolve import Names, did_you_mean
from legato.declare.windows import load_zone, read_moment
from legato.terms.codec import pack
from legato.terms.errors import LegatoError
from legato.terms.instant import parse_duration
from legato.terms.key import NAME_HINT, is_name

M = TypeVar("M", bound=Moment)
Trouble = tuple[str, str, str]
"""A fault's code, what is wrong, and what to write."""

OFFERS: dict[type[Moment], tuple[str, ...]] = {
    Cron: ("tick",), Every: ("tick",), Updated: ("asset", "partitions"), File: ("path", "key", "size", "digest"),
    Webhook: ("payload", "key", "id"), Message: ("payload", "key", "id"), Failed: ("node", "partition", "run", "error"),
    Metric: ("value", "partition"),
}  # fmt: skip
"""What an event fills of a flow's parameters, where they have these names."""

_MOST_BUSINESS_DAYS = 20
"""Every calendar has months with so many."""
_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")
_TOPIC = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}\Z")


class Subject:
    """The node that a trigger stands on, the assets that it is made from, and the parameters that it takes as a flow."""

    def __init__(self, node: Node, inputs: Sequence[str], takes: Collection[str]) -> None:
        self.node, self.inputs, self.takes = node, inputs, takes


def settle(trigger: Any, subject: Subject, names: Names, kind_of: Callable[[str], str]) -> tuple[Any, list[Trouble]]:
    """The trigger with its names resolved and its times read; None, and what is wrong with it, if it makes no sense.

    `kind_of` is the kind of the node that makes a name.
    """
    settler = _Settler(subject, names, kind_of)
    settled = settler.whole(trigger)
    return (None if settler.found else settled), settler.found


def started_by(node: Node) -> list[str]:
    """The assets whose new versions start a node."""
    trigger: Any = node.trigger
    found = moments(trigger, negated=False) if trigger is not None else ()
    return [each.asset for each in found if isinstance(each, Updated)]


def odd_hooks(nodes: Iterable[Node]) -> Iterator[tuple[Node, str]]:
    """Nodes that declare a webhook otherwise than another node did before, and its name: which calls of it are let in must be one
    thing."""
    first: dict[str, tuple[str, str]] = {}
    for node in nodes:
        trigger: Any = node.trigger
        for each in moments(trigger) if trigger is not None else ():
            if isinstance(each, Webhook) and first.setdefault(each.name, (each.secret, each.signed)) != (
                each.secret,
                each.signed,
            ):
                yield node, each.name


def judge_reach(node: Node, broker: bool, buckets: Collection[str] | None, complain: Callable[[str, str, str], None]) -> None:
    """Tell what a settled trigger waits for that cannot come: messages without a broker, files where nobody looks."""
    trigger: Any = node.trigger
    for each in moments(trigger) if trigger is not None else ():
        if isinstance(each, Message) and not broker:
            what = f"messages on {each.topic} would have to come from a broker, and none is configured"
            complain("trigger-broker", what, 'write [broker] in legato.toml, and below it kind = "nats" and url = "nats://..."')
        elif isinstance(each, File) and buckets is not None and (bucket := bucket_of(each.pattern)) and bucket not in buckets:
            complain("trigger-bucket", f"nobody looks into {bucket}", f'write [buckets."{bucket}"] in legato.toml')


class _Settler:
    """One trigger under way; a part that makes no sense is told and comes back as it was, so that the rest is read too."""

    def __init__(self, subject: Subject, names: Names, kind_of: Callable[[str], str]) -> None:
        self.subject, self.names, self.kind_of = subject, names, kind_of
        self.found: list[Trouble] = []
        self.read: dict[type[Moment], Callable[[Any], Trigger | None]] = {
            Cron: self._cron, Every: self._every, Updated: self._updated, Inputs: self._inputs, File: self._file,
            Webhook: self._webhook, Message: self._message, Missing: self._missing, Stale: self._stale, Changed: self._changed,
            Failed: self._failed, Metric: self._metric,
        }  # fmt: skip

    def whole(self, trigger: Any) -> Any:
        """The whole trigger, with what only shows in the whole."""
        settled = self._part(trigger)
        if self.found:
            return None
        if settled is None:
            self.complain(
                "trigger", "`on` names nothing that could happen", "write on=lg.cron(...), lg.updated(...), lg.file(...)"
            )
            return None
        if not any(True for _ in moments(settled, negated=False)):
            what = "`on` only says what must not have happened: it has no moment to run at"
            self.complain("trigger-moment", what, 'add one: lg.cron("0 8 * * *") & ~lg.updated(orders)')
        self._require_arguments(settled)
        return settled

    def complain(self, code: str, what: str, hint: str) -> None:
        """Adds to what is wrong."""
        self.found.append((code, what, hint))

    def _part(self, trigger: Any) -> Any:
        match trigger:
            case Without(part):
                inner = self._part(part)
                return None if inner is None else ~inner
            case AtLeast(count, parts):
                if not _is_whole(count) or not 1 <= count <= len(parts):
                    what = f"at_least({count!r}) of {len(parts)} parts can never be said"
                    self.complain("trigger", what, f"write a number from 1 to {len(parts)}")
                return AtLeast(count, self._parts(parts))
            case AllOf(parts) | AnyOf(parts):
                return _combined(type(trigger), self._parts(parts))
            case Moment():
                return self._filled(self.read[type(trigger)](trigger))
        self.complain("trigger", f"{trigger!r} is not a trigger", 'write for example on=lg.cron("0 6 * * *")')
        return None

    def _parts(self, parts: Iterable[Any]) -> Any:
        return tuple(part for part in map(self._part, parts) if part is not None)

    # -- the clock --

    def _cron(self, cron: Any) -> Any:
        if not isinstance(cron.expression, str):
            self.complain("cron", f"{cron.expression!r} is not a cron expression", 'write for example "0 6 * * *"')
            return cron
        try:
            table = parse_cron(cron.expression)
        except LegatoError as error:
            self.complain(error.code, f"cron {error.what}", error.next)
            return self._timed(cron)
        self._business_day(cron, table)
        settled = self._timed(cron)
        if not self.found and settled.start and settled.end and not _fires_between(table, settled.start, settled.end):
            what = f"cron {cron.expression!r}: it never fires between its start and its end"
            self.complain("cron", what, "widen the two, or mend the expression")
        return replace(settled, expression=" ".join(cron.expression.split()))

    def _business_day(self, cron: Cron, table: Table) -> None:
        nth = cron.business_day
        if nth == 0 and _is_whole(nth):
            return
        hint = 'write for example lg.cron("0 6 * * *", calendar="US", business_day=3)'
        if not _is_whole(nth) or abs(nth) > _MOST_BUSINESS_DAYS:
            self.complain("cron", f"business_day={nth!r} is no day of a month", hint)
        elif not cron.calendar:
            self.complain("cron", "business_day= needs a calendar, which says what a business day is", hint)
        elif len(table.days) < 31 or len(table.weekdays) < 7:
            self.complain("cron", "business_day= picks the day: the expression must leave it open", hint)

    def _every(self, every: Every) -> Any:
        return self._timed(replace(every, seconds=self._seconds(every.seconds)))

    def _timed(self, timed: Any) -> Any:
        """A moment of the clock with its zone, calendar and bounds read."""
        known = get_args(CatchUp)
        if timed.catch_up not in known:
            self.complain("trigger", f"catch_up={timed.catch_up!r} is unknown", f"write one of {', '.join(known)}")
        if timed.calendar:
            self._calendar(timed.calendar)
        try:
            load_zone(timed.tz)
        except LegatoError as error:
            self.complain("time-zone", error.what, error.next)
            return timed
        bounds = [self._bound(each, timed) for each in ("start", "end")]
        if bounds[0] and bounds[1] and datetime.fromisoformat(bounds[0]) >= datetime.fromisoformat(bounds[1]):
            self.complain(
                "trigger", f"it ends ({timed.end}) before it starts ({timed.start})", "the end is exclusive: swap the two"
            )
        return replace(timed, start=bounds[0], end=bounds[1])

    def _calendar(self, name: Any) -> None:
        if not isinstance(name, str):
            self.complain("calendar", f"calendar={name!r} is not text", 'write for example calendar="US"')
        elif name != "weekdays":
            try:
                load_calendar(name)
            except LegatoError as error:
                self.complain("calendar", error.what, error.next)

    def _bound(self, which: str, timed: Timed) -> str | None:
        value = getattr(timed, which)
        if value is None:
            return None
        if isinstance(value, str | date):
            text = value if isinstance(value, str) else value.isoformat()
            try:
                return read_moment(text, load_zone(timed.tz)).isoformat()
            except LegatoError as error:
                self.complain("trigger", f"{which}={error.what}", error.next)
                return None
        self.complain("trigger", f"{which}={value!r} is not a date or time", "write for example 2026-01-05 or 2026-01-05T07")
        return None

    def _seconds(self, value: Any) -> float:
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float | timedelta):
                raise LegatoError("duration", f"{value!r} is not a duration", next="write for example 30s, 1h30m or 2d")
            seconds = parse_duration(value)
        except LegatoError as error:
            self.complain("trigger", error.what, error.next)
            return 1.0
        if not 1 <= seconds < math.inf:
            self.complain("trigger", f"{value!r} is too short: a trigger ticks once a second at most", "write 1s or more")
        return seconds

    # -- what happens --

    def _updated(self, updated: Updated) -> Trigger | None:
        found = [name for name in self._named(updated.asset, "updated") if self._is_published(name)]
        each = [replace(updated, asset=name) for name in found]
        if self.subject.node.name in {self.names.makers[name] for name in found}:
            what = f"it would run for ever: each version of `{found[0]}` would start the next"
            self.complain("trigger-loop", what, "name the assets that it is made from, or none for all of them")
        return _combined(AllOf, each)

    def _is_published(self, name: str) -> bool:
        kind = self.kind_of(name)
        if kind == "asset":
            return True
        hint = "sources are looked at when a plan is made: name an asset, or look at it with lg.every(...)"
        self.complain("trigger-node", f"`{name}` is a {kind}, and has no versions that are published", hint)
        return False

    def _inputs(self, inputs: Inputs) -> Trigger | None:
        each = tuple(Updated(asset=name, params=inputs.params) for name in self.subject.inputs)
        if not each and not inputs.optional:
            what = "lg.updated() without names means its inputs, and it has none that are published"
            self.complain("trigger", what, "name the assets: lg.updated(flights)")
        return _combined(AnyOf if inputs.any else AllOf, each)

    def _file(self, file: File) -> Trigger:
        fault = pattern_fault(file.pattern)
        if fault:
            self.complain("file-pattern", f"the pattern {file.pattern!r} {fault}", 'write for example lg.file("inbox/*.csv")')
        return file

    def _webhook(self, webhook: Any) -> Any:
        if not isinstance(webhook.name, str) or not is_name(webhook.name):
            self.complain("trigger", f"{webhook.name!r} cannot name a webhook", NAME_HINT)
        if not isinstance(webhook.secret, str):
            self.complain("trigger", f"secret={webhook.secret!r} is no secret", 'write secret=lg.secret("ORDERS_SECRET")')
        known = get_args(Signing)
        if webhook.signed not in known:
            self.complain("trigger", f"signed={webhook.signed!r} is unknown", f"write one of {', '.join(known)}")
        self._key(webhook.key)
        return webhook

    def _message(self, message: Any) -> Any:
        if not isinstance(message.topic, str) or not _TOPIC.match(message.topic):
            hint = "a topic is text without blanks: orders.created"
            self.complain("trigger", f"{message.topic!r} cannot be a topic", hint)
        self._key(message.key)
        return message

    def _key(self, path: Any) -> None:
        if path != "" and (not isinstance(path, str) or not _PATH.match(path)):
            self.complain("trigger", f"key={path!r} leads nowhere in a payload", 'write for example key="order.id"')

    def _missing(self, missing: Missing) -> Trigger:
        self._require_asset("lg.trigger.missing()")
        return missing

    def _stale(self, stale: Stale) -> Trigger:
        self._require_asset("lg.trigger.stale()")
        return replace(stale, seconds=self._seconds(stale.seconds))

    def _changed(self, changed: Changed) -> Trigger:
        known = get_args(Aspect)
        if changed.what not in known:
            self.complain("trigger", f"changed({changed.what!r}) is unknown", f"write one of {', '.join(known)}")
        elif changed.what == "contract":
            self._require_asset('lg.trigger.changed("contract")')
        return changed

    def _require_asset(self, what: str) -> None:
        if self.subject.node.kind != "asset":
            hint = "put it on an asset, or start the flow with lg.updated(...)"
            self.complain("trigger-node", f"{what} is about assets, and a {self.subject.node.kind} makes none", hint)

    def _failed(self, failed: Failed) -> Trigger | None:
        found = self._named(failed.node, "failed")
        if self.subject.node.name in {self.names.makers[name] for name in found}:
            what = "it would run again and again: a failure of its own would start it"
            self.complain("trigger-loop", what, "use retries= for that")
        return _combined(AnyOf, [replace(failed, node=name) for name in found])

    def _metric(self, metric: Metric) -> Trigger | None:
        if not isinstance(metric.name, str) or not metric.name:
            self.complain(
                "trigger", f"{metric.name!r} cannot name a metric", 'write lg.trigger.metric("row_count", orders, below=1)'
            )
        bounds = [bound for bound in (metric.above, metric.below) if bound is not None]
        if not bounds or any(isinstance(b, bool) or not isinstance(b, int | float) or math.isnan(b) for b in bounds):
            self.complain("trigger", f"metric {metric.name!r} has no bound", "write above=0.05 or below=1000")
        found = self._named(metric.of, "metric")
        return _combined(AnyOf, [replace(metric, of=name) for name in found])

    def _named(self, target: Any, verb: str) -> tuple[str, ...]:
        """The names of the project that a name stands for; a fault, and none, if there are none."""
        found = self.names.expand(target) if isinstance(target, str) else ()
        if not found and isinstance(target, str):
            hint = self.names.suggest(target) or "name an asset of the project"
            self.complain("trigger-node", f"{verb}(`{target}`): the project has nothing of this name", hint)
        elif not found:
            self.complain("trigger-node", f"{verb}({target!r}) names nothing", f'write {verb}(flights), or {verb}("flights")')
        return found

    # -- what a flow is given --

    def _filled(self, trigger: Any) -> Any:
        """What was read, each of its moments with what it fills of the flow's parameters."""
        if isinstance(trigger, AllOf | AnyOf):
            return type(trigger)(tuple(self._filled(part) for part in trigger.parts))
        return None if trigger is None else self._with_params(trigger)

    def _with_params(self, moment: M) -> M:
        """The moment with what it fills of the flow's parameters."""
        node, params = self.subject.node, moment.params
        if params and node.kind != "flow":
            what = f"given({', '.join(params)}): only flows take parameters, and it is an {node.kind}"
            self.complain("trigger-params", what, "leave it out, or let a flow materialize the asset")
            return moment
        for name, value in params.items():
            if name not in self.subject.takes:
                known = f"its parameters are {', '.join(self.subject.takes)}" if self.subject.takes else "it has no parameters"
                hint = did_you_mean(name, self.subject.takes) or known
                self.complain("trigger-params", f"given({name}=...): the flow has no such parameter", hint)
            try:
                pack(value)
            except (TypeError, ValueError, OverflowError):
                hint = "give text, numbers, lists, dicts, dates"
                self.complain("trigger-params", f"given({name}=...): {value!r} is no plain data", hint)
        offers = OFFERS.get(type(moment), ()) if node.kind == "flow" else ()
        return replace(moment, gives=tuple(each for each in offers if each in self.subject.takes and each not in params))

    def _require_arguments(self, settled: Trigger) -> None:
        if self.subject.node.kind != "flow":
            for param in self.subject.node.arguments[:1]:
                what = f"only a flow can make it, since its `{param}` names no asset, task or resource"
                self.complain("trigger-params", what, "put the trigger on that flow")
            return
        absent = [each for each in self.subject.node.arguments if each not in _covered(settled)]
        if absent:
            what = f"the flow needs `{absent[0]}`, which its trigger does not give in every case"
            self.complain("trigger-params", what, f"write on=lg.cron(...).given({absent[0]}=...), or give it a default")


def _covered(trigger: Trigger) -> set[str]:
    """The parameters that are filled however the trigger comes to fire."""
    match trigger:
        case Moment():
            return {*trigger.params, *trigger.gives}
        case AllOf(parts):
            return set().union(*map(_covered, parts))
        case AnyOf(parts) | AtLeast(_, parts):
            return set.intersection(*map(_covered, parts)) if parts else set()
    return set()


def _fires_between(table: Table, start: str, end: str) -> bool:
    """Whether a zone's clock shows a time of the table in between."""
    begin, stop = (datetime.fromisoformat(each).replace(tzinfo=None) for each in (start, end))
    for day in table.dates(begin.date()):
        if day > stop.date():
            return False
        times = (datetime(day.year, day.month, day.day, hour, minute) for hour in table.hours for minute in table.minutes)
        if any(begin <= time < stop for time in times):
            return True
    return False


def _combined(kind: type[AllOf | AnyOf], parts: Sequence[Any]) -> Trigger | None:
    """A combination of several parts; a lone part is itself."""
    return kind(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
