"""The decorators: functions that stay functions and know what they declare. Nothing is registered anywhere.

A decorator never raises for what a keyword says: it keeps faults, so that `legato check` can report all of them at once.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from msgspec import Struct
from msgspec.structs import replace

from legato.declare import alone
from legato.declare.calling import CALLER, Future
from legato.declare.contract import Contract
from legato.declare.mapping import Mapping as PartitionMapping
from legato.declare.moment import Trigger
from legato.declare.node import Cache, Kind, OnFailure, Retry
from legato.declare.options import place_of, read_node
from legato.declare.partitions import Partition, Partitions
from legato.declare.pool import Pool
from legato.declare.rules import Rule
from legato.terms.errors import Fault, LegatoError, Place, UsageError
from legato.terms.fact import Severity

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Function = Callable[..., Any]
Pools = str | Pool | Sequence[str | Pool] | None
Caching = Cache | str | float | timedelta | None


class Declaration:
    """Something declared in a module: where it stands, and what is already known to be wrong with it."""

    place: Place | None
    faults: list[Fault]


class Called(Declaration, Generic[P, R]):
    """A declared function. Calling it calls the function and nothing else."""

    def __init__(self, fn: Callable[P, R]) -> None:
        self.fn = fn
        self.place = place_of(fn)
        self.faults = []
        if callable(fn):
            functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)


class Face(Called[P, R]):
    """A declared asset, task, source or flow. `node` is its record before names are resolved; `lg.check` fills `checks`.

    Called in the body of a flow that is under way, a task or flow becomes a durable step of its run; anywhere else it just runs.
    """

    def __init__(self, kind: Kind, fn: Callable[P, R], outputs: tuple[str, ...] | None, keywords: Mapping[str, Any]) -> None:
        super().__init__(fn)
        self.node = read_node(kind, fn, outputs, keywords, self.faults)
        self.deps = keywords.get("deps", ())
        self.fallback = keywords.get("fallback")
        self.undo: Function | None = keywords.get("undo") if self.node.undo else None
        self.when: Function | None = keywords.get("when") if self.node.when else None
        self.until: Function | None = keywords["retries"].until if self.node.retry.until else None
        self.cache_key: Function | None = keywords["cache"].key if self.node.cache and self.node.cache.key else None
        self.checks: list[CheckFace[..., Any] | CheckSet] = []

    @property
    def names(self) -> tuple[str, ...]:
        """What others may depend on: its assets, or the task itself."""
        return self.node.outputs or (self.node.name,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.node.kind not in _CALLED:
            return self.fn(*args, **kwargs)
        caller = CALLER.get()
        made: R = alone.call(self.fn, args, kwargs) if caller is None else caller.call(self, args, kwargs)
        return made

    @overload
    def submit(self: Face[..., Coroutine[Any, Any, T]], *args: Any, name: str | None = None, **kwargs: Any) -> Future[T]: ...
    @overload
    def submit(self: Face[..., R], *args: Any, name: str | None = None, **kwargs: Any) -> Future[R]: ...
    def submit(self, *args: Any, name: Any = None, **kwargs: Any) -> Future[Any]:
        """Begins a call and goes on; the future has its result, and may be given to another call as it is.

        `name` tells this call from all others of the flow (else its inputs do), unless the function has a parameter `name`.
        """
        self._require("submit", _CALLED)
        if name is not None and _takes_name(self.fn):
            kwargs["name"], name = name, None
        caller = CALLER.get()
        return alone.submit(self.fn, args, kwargs) if caller is None else caller.submit(self, args, kwargs, name=name)

    @overload
    def map(self: Face[..., Coroutine[Any, Any, T]], items: Iterable[Any], /, **shared: Any) -> Coroutine[Any, Any, list[T]]: ...
    @overload
    def map(self: Face[..., R], items: Iterable[Any], /, **shared: Any) -> list[R]: ...
    def map(self, items: Iterable[Any], /, **shared: Any) -> Any:
        """Calls it once for each item, as the first argument, beside each other; the results in order, as a list."""
        self._require("map", _CALLED)
        caller = CALLER.get()
        return alone.map_over(self.fn, items, shared) if caller is None else caller.map(self, items, shared)

    def materialize(self, partition: Partition | str | None = None, **arguments: Any) -> Any:
        """Makes and publishes the asset, or one partition of it, as a step of the flow that calls this.

        `arguments` are for the parameters that name no asset, task or resource; they may be futures.
        """
        self._require("materialize", ("asset",))
        caller = CALLER.get()
        if caller is None:
            raise LegatoError(
                "no-flow", f"{self.node.name} is materialized by a flow, and none is running here",
                why="its inputs are published versions, which only a run hands in",
                next="run the flow that asks for it (legato run FLOW), or call the asset's function with inputs of your own",
            )  # fmt: skip
        key = partition.key if isinstance(partition, Partition) else partition or ""
        return caller.materialize(self, key, arguments)

    def _require(self, verb: str, kinds: tuple[Kind, ...]) -> None:
        if self.node.kind not in kinds:
            what = f"{self.node.name} is {_WITH_ARTICLE[self.node.kind]}: it has no {verb}()"
            hint = f"{self.node.name}.materialize() makes it" if self.node.kind == "asset" else ""
            raise UsageError("call-kind", what, why=f"{' and '.join(kinds)}s have it", next=hint)

    def __repr__(self) -> str:
        return f"<{self.node.kind} {self.node.name}>"


_CALLED: tuple[Kind, ...] = ("task", "flow")
_WITH_ARTICLE: dict[Kind, str] = {"asset": "an asset", "task": "a task", "source": "a source", "flow": "a flow"}


def _takes_name(fn: Any) -> bool:
    return "name" in inspect.signature(fn).parameters


AnyFace = Face[..., Any]


class Input(Struct, frozen=True):
    """An input that a parameter's name alone does not say: which asset or task, and which of its partitions."""

    target: Any
    mapping: PartitionMapping | None = None


class Previous(Struct, frozen=True):
    """The version of an asset that is published when the asset is made anew."""

    def __repr__(self) -> str:
        return "lg.previous"


previous = Previous()
"""What an asset takes of itself: `deps={"before": lg.previous}` fills `before` with its published version, or None."""


Deps = Sequence[AnyFace | str | Input] | Mapping[str, AnyFace | str | PartitionMapping | Input | Previous]


class CheckFace(Called[P, R]):
    """A function that gives a verdict on each version of an asset; `target` is the asset's face or name."""

    def __init__(self, target: Any, fn: Callable[P, R], severity: Any, name: Any) -> None:
        super().__init__(fn)
        self.target, self.severity = target, severity
        self.name = name if isinstance(name, str) else str(getattr(fn, "__name__", ""))
        self.faults.extend(_severity_faults(severity, self.place))
        if name is not None and not isinstance(name, str):
            self.faults.append(Fault("check-name", f"name={name!r} is not text", self.place, 'write name="..."'))
        if not callable(fn) or isinstance(fn, type):
            hint = "put the decorator on a `def`"
            self.faults.append(Fault("declare-function", f"{fn!r} is not a function", self.place, hint))

    def __repr__(self) -> str:
        return f"<check {self.name}>"


class CheckSet(Declaration):
    """Built-in checks put on an asset; `target` is the asset's face or name."""

    def __init__(self, target: Any, rules: Sequence[Rule], place: Place) -> None:
        self.target, self.rules, self.place, self.faults = target, tuple(rules), place, []

    def __repr__(self) -> str:
        return f"<checks {', '.join(rule.name for rule in self.rules)}>"


class ResourceFace(Called[P, R]):
    """A function that makes what other functions ask for by its return type."""

    def __repr__(self) -> str:
        return f"<resource {getattr(self.fn, '__name__', '?')}>"


# Decorators ----------------------------------------------------------------------------------------------
# Each hands its own keywords on as they stand in `locals()`: one list of names, in the signature, where users read it.


@overload
def asset(fn: Callable[P, R], /) -> Face[P, R]: ...
@overload
def asset(
    *, name: str | None = None, deps: Deps = (), partitions: Partitions | None = None, on: Trigger | None = None,
    contract: Contract | Mapping[str, Contract] | None = None, storage: str = "", version: str = "", owner: str = "",
    tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0, timeout: str | float | timedelta | None = None,
    pool: Pools = None, on_failure: OnFailure = "skip", fallback: AnyFace | str | None = None,
    when: Function | None = None,
) -> Callable[[Callable[P, R]], Face[P, R]]: ...  # fmt: skip
def asset(  # noqa: PLR0913
    fn: Any = None, /, *, name: str | None = None, deps: Deps = (), partitions: Partitions | None = None,
    on: Trigger | None = None, contract: Contract | Mapping[str, Contract] | None = None, storage: str = "",
    version: str = "", owner: str = "", tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0,
    timeout: str | float | timedelta | None = None, pool: Pools = None, on_failure: OnFailure = "skip",
    fallback: AnyFace | str | None = None, when: Function | None = None,
) -> Any:  # fmt: skip
    """Declares an asset: what the function returns is kept, versioned, checked and published under its name.

    A parameter named like an asset or task is an input. `deps` adds inputs that no parameter names (only before it), or
    says which asset a parameter means (`{"x": prev}`), which partitions of it (`{"flights": lg.look_back(7)}`), or that it
    takes the asset's own version before (`{"before": lg.previous}`). With a parameter that names nothing, flows make it:
    `prices.materialize(found=...)`.
    `on` says when it runs by itself (`lg.cron("0 6 * * *")`); `contract` is what each version must satisfy; `version`
    replaces the code's fingerprint; `retries` is a number or a `Retry`, `timeout` a duration such as "30s"; `pool` is what its
    steps share (a name, `lg.rate(...)`, a `Pool`, or several);
    `on_failure` is skip, halt or rollback; `fallback` is a task with the same inputs; `when` a function of inputs that says
    whether to run at all.
    """
    return _declare("asset", fn, locals())


def assets(  # noqa: PLR0913
    *outputs: str, name: str | None = None, deps: Deps = (), partitions: Partitions | None = None, on: Trigger | None = None,
    contract: Mapping[str, Contract] | None = None, storage: str = "", version: str = "", owner: str = "",
    tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0, timeout: str | float | timedelta | None = None,
    pool: Pools = None, on_failure: OnFailure = "skip", fallback: AnyFace | str | None = None,
    when: Function | None = None,
) -> Callable[[Callable[P, R]], Face[P, R]]:  # fmt: skip
    """Declares several assets that one function makes: it returns a dict by name, or a tuple in this order.

    The keywords are those of `asset`; `contract` holds one for each asset that has one.
    """
    made: Callable[[Callable[P, R]], Face[P, R]] = _declare("asset", None, locals(), outputs)
    return made


@overload
def source(fn: Callable[P, R], /) -> Face[P, R]: ...
@overload
def source(
    *, name: str | None = None, partitions: Partitions | None = None, owner: str = "", tags: Iterable[str] = (),
    domain: str = "",
) -> Callable[[Callable[P, R]], Face[P, R]]: ...  # fmt: skip
def source(
    fn: Any = None, /, *, name: str | None = None, partitions: Partitions | None = None, owner: str = "",
    tags: Iterable[str] = (), domain: str = "",
) -> Any:  # fmt: skip
    """Declares an asset that others make: the function looks at it and returns its version (text, number, bytes or time).

    It is asked before each plan, with the partition if it takes one, and returns None for what is not there.
    """
    return _declare("source", fn, locals())


@overload
def task(fn: Callable[P, R], /) -> Face[P, R]: ...
@overload
def task(
    *, name: str | None = None, deps: Deps = (), partitions: Partitions | None = None, version: str = "",
    owner: str = "", tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0,
    timeout: str | float | timedelta | None = None, pool: Pools = None, on_failure: OnFailure = "skip",
    fallback: AnyFace | str | None = None, undo: Function | None = None, when: Function | None = None,
    cache: Caching = None,
) -> Callable[[Callable[P, R]], Face[P, R]]: ...  # fmt: skip
def task(  # noqa: PLR0913
    fn: Any = None, /, *, name: str | None = None, deps: Deps = (), partitions: Partitions | None = None,
    version: str = "", owner: str = "", tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0,
    timeout: str | float | timedelta | None = None, pool: Pools = None, on_failure: OnFailure = "skip",
    fallback: AnyFace | str | None = None, undo: Function | None = None, when: Function | None = None,
    cache: Caching = None,
) -> Any:  # fmt: skip
    """Declares a task: work whose value lives only in its run.

    The keywords are those of `asset`; `undo` is a function of the same inputs and `result` that takes it back when a run
    rolls back; `cache` lets later runs take its results over: how long they are good for, or a `Cache`.
    """
    return _declare("task", fn, locals())


@overload
def flow(fn: Callable[P, R], /) -> Face[P, R]: ...
@overload
def flow(
    *, name: str | None = None, on: Trigger | None = None, version: str = "", owner: str = "", tags: Iterable[str] = (),
    domain: str = "", retries: int | Retry = 0, timeout: str | float | timedelta | None = None,
    pool: Pools = None, on_failure: OnFailure = "skip", fallback: AnyFace | str | None = None,
    undo: Function | None = None, cache: Caching = None,
) -> Callable[[Callable[P, R]], Face[P, R]]: ...  # fmt: skip
def flow(  # noqa: PLR0913
    fn: Any = None, /, *, name: str | None = None, on: Trigger | None = None, version: str = "", owner: str = "",
    tags: Iterable[str] = (), domain: str = "", retries: int | Retry = 0, timeout: str | float | timedelta | None = None,
    pool: Pools = None, on_failure: OnFailure = "skip", fallback: AnyFace | str | None = None,
    undo: Function | None = None, cache: Caching = None,
) -> Any:  # fmt: skip
    """Declares a flow: plain Python that calls tasks, other flows and assets, each call a durable step of the run.

    Its parameters are those of a run (`legato run new_leads --min-volume 50`); `on` says when it runs by itself. The body is
    entered again after a crash or a wait, and finds what it called before with its results: so what it does itself, beside its
    calls, must do no harm twice.
    """
    return _declare("flow", fn, locals())


def _declare(kind: Kind, fn: Any, keywords: dict[str, Any], outputs: tuple[str, ...] | None = None) -> Any:
    def face(fn: Any) -> AnyFace:
        return Face(kind, fn, outputs, keywords)

    return face if fn is None else face(fn)


def resource(fn: Callable[P, R], /) -> ResourceFace[P, R]:
    """Declares how to make what the return annotation names: a parameter annotated with that type receives it.

    A generator function (annotated `Iterator[T]`) yields it once and cleans up after the `yield`.
    """
    return ResourceFace(fn)


# Checks --------------------------------------------------------------------------------------------------


@overload
def check(
    target: AnyFace | str, /, *, severity: Severity | None = None, name: str | None = None
) -> Callable[[Callable[P, R]], CheckFace[P, R]]: ...
@overload
def check(
    target: AnyFace | str, rule: Rule, /, *rules: Rule, severity: Severity | None = None, name: str | None = None
) -> CheckSet: ...
def check(target: Any, /, *rules: Any, severity: Any = None, name: Any = None) -> Any:
    """Puts checks on an asset: built-in rules (`lg.check(delays, lg.not_null("carrier"))`), or the function below it.

    The asset is named by its face or by its name. A face keeps its checks, so a bare statement is enough; with a name,
    bind the result to a variable of the module, where the project finds it.
    """

    def keep(declared: CheckFace[..., Any] | CheckSet) -> CheckFace[..., Any] | CheckSet:
        if isinstance(target, Face):
            target.checks.append(declared)
        return declared

    if not rules:
        return lambda fn: keep(CheckFace(target, fn, "block" if severity is None else severity, name))
    frame = sys._getframe(1)
    return keep(_check_set(target, rules, severity, name, Place(frame.f_code.co_filename, frame.f_lineno)))


def _check_set(target: Any, rules: Sequence[Any], severity: Any, name: Any, place: Place) -> CheckSet:
    sound = [rule for rule in rules if isinstance(rule, Rule)]
    declared = CheckSet(target, sound, place)
    if len(sound) < len(rules):
        bad = next(rule for rule in rules if not isinstance(rule, Rule))
        hint = 'write lg.check(delays, lg.not_null("carrier")), or put @lg.check(delays) on a function'
        declared.faults.append(Fault("check-rule", f"{bad!r} is not a check", place, hint))
    if name is not None and len(rules) > 1:
        hint = 'give each rule its own: lg.not_null("carrier", name="has_carrier")'
        declared.faults.append(Fault("check-name", f"name={name!r} is for one check, not {len(rules)}", place, hint))
    elif name is not None:
        declared.rules = tuple(replace(rule, name=name) for rule in declared.rules)
    if severity is not None:
        declared.faults.extend(_severity_faults(severity, place))
        declared.rules = tuple(replace(rule, severity=severity) for rule in declared.rules)
    return declared


def _severity_faults(severity: Any, place: Place | None) -> list[Fault]:
    if severity in ("block", "warn"):
        return []
    return [Fault("severity", f"severity={severity!r} is unknown", place, 'write severity="block" or severity="warn"')]


def is_async(fn: Any) -> bool:
    """Whether calling the function gives something to await."""
    return inspect.iscoroutinefunction(fn)
