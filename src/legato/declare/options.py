"""Reads a decorator's keywords into a node; what is wrong with them is kept as faults, all of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, get_args

from msgspec.structs import replace

from legato.declare.contract import Contract
from legato.declare.moment import Trigger
from legato.declare.node import NO_RETRY, Cache, Kind, Node, OnFailure, Retry
from legato.declare.partitions import Partitions
from legato.declare.pool import Limit, Pool, Use
from legato.declare.retrying import faults_of_retry
from legato.terms.errors import Fault, LegatoError, Place
from legato.terms.instant import parse_duration
from legato.terms.key import NAME_HINT, is_name

MOST_PRIORITY = 1_000
"""A level of priority is worth a minute of waiting; this many are most of a day."""


def place_of(fn: Any) -> Place | None:
    """The file and line where a function is written; None for what was not written in Python."""
    inner = inspect.unwrap(fn) if hasattr(fn, "__wrapped__") else fn
    code = getattr(inner, "__code__", None)
    return None if code is None else Place(code.co_filename, code.co_firstlineno)


def read_node(kind: Kind, fn: Any, outputs: tuple[str, ...] | None, keywords: Mapping[str, Any], faults: list[Fault]) -> Node:
    """The node that these keywords describe, its inputs not yet resolved; faults are added to the list.

    `outputs` are the names of a multi-asset's assets; None for all else.
    """
    reader = _Reader(place_of(fn), faults)
    name = reader.name(fn, keywords["name"])
    made: tuple[str, ...] = () if kind in ("task", "flow") else (name,)
    if outputs is not None:
        made = reader.outputs(outputs)
    uses, limits, priority = reader.pools(name, keywords.get("pool"))
    return Node(
        name=name,
        kind=kind,
        outputs=made,
        contracts=reader.contracts(made, keywords.get("contract")),
        partitions=reader.partitions(keywords.get("partitions")),
        retry=reader.retries(keywords.get("retries", 0), kind),
        timeout_s=reader.timeout(keywords.get("timeout")),
        pools=uses,
        limits=limits,
        priority=priority,
        on_failure=reader.on_failure(keywords.get("on_failure", "skip")),
        undo=reader.function("undo", keywords.get("undo")),
        when=reader.function("when", keywords.get("when")),
        cache=reader.cache(keywords.get("cache")),
        trigger=reader.trigger(keywords.get("on")),
        owner=reader.text("owner", keywords["owner"]),
        tags=reader.tags(keywords["tags"]),
        domain=reader.domain(keywords["domain"]),
        storage=reader.text("storage", keywords.get("storage", "")),
        version=reader.text("version", keywords.get("version", "")),
        description=inspect.cleandoc(getattr(fn, "__doc__", None) or ""),
        place=reader.place,
    )


def wrong_durations(keyword: str, value: Any) -> list[tuple[str, str]]:
    """What is wrong with a duration, and a hint."""
    hint = "write for example 30s, 1h30m or 2d"
    if isinstance(value, bool) or not isinstance(value, str | int | float | timedelta):
        return [(f"{keyword}={value!r} is not a duration", hint)]
    try:
        seconds = parse_duration(value)
    except LegatoError as error:
        return [(f"{keyword}={error.what}", error.next)]
    return [] if 0 < seconds < float("inf") else [(f"{keyword}={value!r} leaves no time", hint)]


class _Reader:
    """Checks one keyword a method: a sound value comes back as its record, anything else as the default and a fault."""

    def __init__(self, place: Place | None, faults: list[Fault]) -> None:
        self.place, self._faults, self._subject = place, faults, "?"

    def _fault(self, code: str, what: str, hint: str) -> None:
        self._faults.append(Fault(code, f"{self._subject}: {what}", self.place, hint))

    def name(self, fn: Any, given: Any) -> str:
        plain = callable(fn) and not isinstance(fn, type)
        name = given if isinstance(given, str) else str(getattr(fn, "__name__", type(fn).__name__))
        self._subject = name
        if not plain:
            self._fault("declare-function", "only a function can be declared", "put the decorator on a `def`")
        if given is not None and not isinstance(given, str):
            self._fault("name", f"name={given!r} is not text", 'write name="flights"')
        elif not is_name(name):
            self._fault("name", f"{name!r} cannot be a name", 'give name="..."' if name == "<lambda>" else NAME_HINT)
        return name

    def outputs(self, outputs: tuple[str, ...]) -> tuple[str, ...]:
        hint = 'write @lg.assets("flights", "weather")'
        if not outputs:
            self._fault("assets", "names no asset", hint)
        sound = tuple(dict.fromkeys(o for o in outputs if isinstance(o, str)))
        if len(sound) < len(outputs):
            self._fault("assets", "asset names must be text, each named once", hint)
        for output in sound:
            if not is_name(output):
                self._fault("name", f"{output!r} cannot be a name", NAME_HINT)
        return sound

    def contracts(self, outputs: tuple[str, ...], value: Any) -> dict[str, Contract]:
        if value is None:
            return {}
        if isinstance(value, Contract) and len(outputs) == 1:
            return {outputs[0]: value}
        if not isinstance(value, Mapping) or not all(isinstance(c, Contract) for c in value.values()):
            several = len(outputs) > 1
            hint = f"contract={{{outputs[0]!r}: lg.contract(...)}}" if several else "contract=lg.contract({...})"
            self._fault("contract", "contract= must hold contracts, by asset where there are several", f"write {hint}")
            return {}
        for unknown in [key for key in value if key not in outputs]:
            known = ", ".join(outputs)
            self._fault("contract-output", f"the contract on {unknown!r} is on no asset of it", f"it makes {known}")
        return {key: value[key] for key in value if key in outputs}

    def partitions(self, value: Any) -> Partitions | None:
        if value is None or isinstance(value, Partitions):
            return value
        self._fault("partitions", f"partitions={value!r} is not a set of partitions", "write partitions=lg.daily(...)")
        return None

    def retries(self, value: Any, kind: Kind) -> Retry:
        retry = Retry(value) if type(value) is int else value
        if not isinstance(retry, Retry):
            self._fault("retries", f"retries={value!r} is not a number of tries", "write retries=3 or lg.Retry(3, ...)")
            return NO_RETRY
        wrong = list(faults_of_retry(retry, kind))
        if retry.max_time is not None:
            wrong += wrong_durations("max_time", retry.max_time)
        for what, hint in wrong:
            self._fault("retries", what, hint)
        if wrong:
            return NO_RETRY
        return retry if retry.until is None else replace(retry, until=True)

    def cache(self, value: Any) -> Cache | None:
        if value is None:
            return None
        cache = value if isinstance(value, Cache) else Cache(value)
        wrong = [] if cache.ttl is None else wrong_durations("cache: ttl", cache.ttl)
        if cache.key is not None and (not callable(cache.key) or isinstance(cache.key, type)):
            wrong.append((f"cache: key={cache.key!r} is not a function", "write key=a function of inputs, or a lambda"))
        version: Any = cache.version
        if not isinstance(version, str):
            wrong.append((f"cache: version={version!r} is not text", 'write version="2"'))
        for what, hint in wrong:
            self._fault("cache", what, hint)
        if wrong:
            return None
        return cache if cache.key is None else replace(cache, key=True)

    def timeout(self, value: Any) -> float | None:
        if value is None:
            return None
        wrong = wrong_durations("timeout", value)
        for what, hint in wrong:
            self._fault("timeout", what, hint)
        return None if wrong else parse_duration(value)

    def pools(self, owner: str, value: Any) -> tuple[tuple[Use, ...], dict[str, Limit], int]:
        """Which pools its steps share, the sizes that are given here by pool, and its priority: the highest of them."""
        given = () if value is None else value if isinstance(value, tuple | list) else (value,)
        sound = [pool for each in given if (pool := self._pool(each)) is not None]
        limits: dict[str, Limit] = {}
        for pool in sound:
            name = _pool_name(owner, pool)
            limit = self._limit(name, pool)
            if limit is None:
                continue
            known = limits.get(name)
            limits[name] = limit if known is None else _together(known, limit)
        uses = tuple(dict.fromkeys(Use(_pool_name(owner, pool), pool.key) for pool in sound))
        return uses, limits, max((pool.priority for pool in sound), default=0)

    def _pool(self, value: Any) -> Pool | None:
        pool = Pool(value) if isinstance(value, str) and value else value
        sound = isinstance(pool, Pool) and isinstance(pool.priority, int) and abs(pool.priority) <= MOST_PRIORITY
        sound = sound and (not pool.name or is_name(pool.name)) and (not pool.key or pool.key.isidentifier())
        if sound and (pool.name or pool.slots is not None or pool.rate or pool.priority):
            return pool
        self._fault("pool", f"pool={value!r} is not a pool", 'write pool="crm", lg.rate("100/min") or lg.Pool("crm", priority=5)')
        return None

    def _limit(self, name: str, pool: Pool) -> Limit | None:
        if pool.slots is not None and (not isinstance(pool.slots, int) or isinstance(pool.slots, bool) or pool.slots < 1):
            self._fault("pool-size", f"pool `{name}` has {pool.slots!r} slots", "write slots=1 or more")
            return None
        try:
            return pool.limit() or (None if pool.name else Limit())
        except LegatoError as error:
            self._fault("rate", f"pool `{name}`: {error.what}", error.next)
            return None

    def on_failure(self, value: Any) -> OnFailure:
        known = get_args(OnFailure)
        if value in known:
            choice: OnFailure = value
            return choice
        self._fault("on-failure", f"on_failure={value!r} is unknown", f"write one of {', '.join(known)}")
        return "skip"

    def function(self, keyword: str, value: Any) -> bool:
        if value is None:
            return False
        if callable(value) and not isinstance(value, type):
            return True
        self._fault(keyword, f"{keyword}={value!r} is not a function", f"write {keyword}=a function or a lambda")
        return False

    def trigger(self, value: Any) -> Any:
        if value is None or isinstance(value, Trigger):
            return value
        self._fault("trigger", f"on={value!r} is not a trigger", 'write on=lg.cron("0 6 * * *"), or combine several with & | ~')
        return None

    def text(self, keyword: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        self._fault(keyword, f"{keyword}={value!r} is not text", f'write {keyword}="..."')
        return ""

    def tags(self, value: Any) -> tuple[str, ...]:
        listed = (value,) if isinstance(value, str) else value
        tags = tuple(listed) if isinstance(listed, Iterable) else (listed,)
        bad = [tag for tag in tags if not isinstance(tag, str) or not is_name(tag)]
        if bad:
            self._fault("tags", f"{bad[0]!r} cannot be a tag", NAME_HINT)
        return tuple(sorted({tag for tag in tags if tag not in bad}))

    def domain(self, value: Any) -> str:
        domain = self.text("domain", value)
        if domain and not is_name(domain):
            self._fault("domain", f"{domain!r} cannot be a domain", NAME_HINT)
            return ""
        return domain


def _pool_name(owner: str, pool: Pool) -> str:
    """The pool's own name, or one that no other pool can have: `enrich()`, or `enrich(tenant)` for one with a key."""
    return pool.name or f"{owner}({pool.key})"


def _together(one: Limit, other: Limit) -> Limit:
    """Two sizes given for one pool: its slots by one, its rate by the other."""
    slots = other.slots if one.slots is None else one.slots
    return Limit(slots, one.starts, one.period_s) if one.starts is not None else Limit(slots, other.starts, other.period_s)
