"""The records of a project: nodes, their inputs, their checks. Data only; the functions live in the faces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct

from legato.declare.contract import Contract
from legato.declare.moment import AnyTrigger
from legato.declare.partitions import Mapping, Partitions
from legato.declare.pool import Limit, Use
from legato.terms.errors import Place
from legato.terms.fact import Severity
from legato.terms.instant import parse_duration

Kind = Literal["asset", "task", "source", "flow"]
Backoff = Literal["fixed", "linear", "exponential"]
OnFailure = Literal["skip", "halt", "rollback"]

LOST_RETRIES = 2
"""How often a step is tried again after its worker died, on the platform's own account."""


class Retry(Struct, frozen=True):
    """How often and when a failed step is tried again: `times` more tries (None: as often as `max_time` allows), `delay_s` before
    the first of them.

    `backoff` lets the delay stay (`fixed`), grow by itself (`linear`) or double (`exponential`), up to `max_delay_s`; `jitter`
    moves each delay to a point between half of it and all of it. `on` limits retries to exception classes and their subclasses.
    `until` is a function of the result: while it says no, another try follows as after a failure. `max_time` is for all tries
    together, counted from the beginning of the first: a retry that would start later is not made.
    """

    times: int | None = None
    backoff: Backoff = "exponential"
    delay_s: float = 1.0
    max_delay_s: float = 300.0
    jitter: bool = True
    on: tuple[Any, ...] = ()
    until: Any = None
    """The function; True in a node's record, where the function is with the others of the project."""
    max_time: Any = None
    """"2h", a number of seconds or a timedelta."""

    def __post_init__(self) -> None:
        names = tuple(kind if isinstance(kind, str) else qualified(kind) for kind in self.on)
        msgspec.structs.force_setattr(self, "on", names)
        if isinstance(self.max_time, timedelta):
            msgspec.structs.force_setattr(self, "max_time", self.max_time.total_seconds())

    @property
    def max_time_s(self) -> float | None:
        """`max_time` in seconds; None where there is no limit."""
        return None if self.max_time is None else parse_duration(self.max_time)


NO_RETRY = Retry(0)


class Cache(Struct, frozen=True):
    """That later runs take a result over instead of making it again: while code and inputs are the same, and for `ttl` at most.

    `key` is a function of the inputs, whose value stands for all of them; `version` stands for the code.
    """

    ttl: Any = None
    """"1d", a number of seconds or a timedelta; None: for good."""
    key: Any = None
    """The function; True in a node's record, where the function is with the others of the project."""
    version: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.ttl, timedelta):
            msgspec.structs.force_setattr(self, "ttl", self.ttl.total_seconds())

    @property
    def ttl_s(self) -> float | None:
        """`ttl` in seconds; None where results are never too old."""
        return None if self.ttl is None else parse_duration(self.ttl)


def qualified(kind: type) -> str:
    """A class's name as errors carry it: `builtins.TimeoutError`."""
    return f"{kind.__module__}.{kind.__qualname__}"


class Dep(Struct, frozen=True):
    """An edge: this node needs `node` (an asset or a task), as parameter `param` or, where that is empty, only before it."""

    node: str
    param: str = ""
    mapping: Mapping | None = None


class Check(Struct, frozen=True):
    """A verdict to be given on each version of `asset`: built in (`kind` and `args`), or a function with inputs of its own."""

    name: str
    asset: str
    severity: Severity = "block"
    kind: str = "function"
    args: dict[str, Any] = {}
    deps: tuple[Dep, ...] = ()
    code: str = ""
    place: Place | None = None


class Node(Struct, frozen=True, kw_only=True):
    """One declared unit: what it makes, from what, and how it is tried.

    `outputs` are the assets it makes (an asset's own name; several for a multi-asset; none for a task). `arguments` are the
    required parameters of a flow, and those of a task or asset that name nothing: only a flow can call that task, or have that
    asset made. `previous` maps parameters to those of its own assets whose published version they take. `limits` are the sizes of
    pools that its declaration gives. One call makes at most so many partitions `together`. `code` is the fingerprint of its
    function and all project code that it uses, or of `version` where that is given.
    """

    name: str
    kind: Kind
    outputs: tuple[str, ...] = ()
    deps: tuple[Dep, ...] = ()
    arguments: tuple[str, ...] = ()
    previous: dict[str, str] = {}
    checks: tuple[Check, ...] = ()
    contracts: dict[str, Contract] = {}
    partitions: Partitions | None = None
    retry: Retry = NO_RETRY
    lost_retries: int = LOST_RETRIES
    timeout_s: float | None = None
    pools: tuple[Use, ...] = ()
    limits: dict[str, Limit] = {}
    priority: int = 0
    together: int = 1
    on_failure: OnFailure = "skip"
    fallback: str = ""
    undo: bool = False
    when: bool = False
    cache: Cache | None = None
    trigger: AnyTrigger | None = None
    owner: str = ""
    tags: tuple[str, ...] = ()
    domain: str = ""
    storage: str = ""
    version: str = ""
    description: str = ""
    code: str = ""
    place: Place | None = None

    @property
    def called(self) -> bool:
        """Whether no plan makes it unasked: a flow, a task that only a flow can call, or an asset that only flows make."""
        return self.kind == "flow" or bool(self.arguments)

    @property
    def is_input(self) -> bool:
        """Whether others can depend on it: it has a value when a plan runs. What flows make was published before."""
        return self.kind == "asset" or not self.called


class Project(Struct, frozen=True, kw_only=True):
    """The closed, validated, fingerprinted set of a code location's declarations, in topological order."""

    name: str
    nodes: dict[str, Node]
    makers: dict[str, str]
    """Asset or task name -> the node that makes it."""
    pools: dict[str, Limit] = {}
    fingerprint: str = ""

    def maker(self, name: str) -> Node:
        """The node that makes an asset (or is the task) of this name; KeyError if none does."""
        return self.nodes[self.makers[name]]
