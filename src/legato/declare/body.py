"""The callables of a project, and how each parameter of theirs is filled. They never leave the process that loaded them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from legato.declare.resource import Secret

Source = Literal["input", "result", "partition", "resource", "context", "default"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One parameter: `input` takes the argument of its name, `result` what the attempt returned, `partition` the attempt's
    Partition, `resource` an instance of `kind` made by the project's resource of that type, `default` is left to the function.
    `kind` is the resolved annotation."""

    param: str
    source: Source
    kind: Any = Any


@dataclass(frozen=True, slots=True)
class Body:
    """A function of the user's with its bindings, in order of its parameters."""

    fn: Callable[..., Any]
    bindings: tuple[Binding, ...] = ()
    is_async: bool = False
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """All bodies of a project.

    `bodies` has a node's function under the node's name, its undo under `name#undo`, its condition under `name#when`, what judges
    its result under `name#until`, what makes its cache keys under `name#key`, a function check under `asset#check:name`.
    `resources` maps a type to the factory that makes it: a function, or a generator function that yields it once and cleans up
    afterwards. `secrets` are the values to mask in logs and errors, read when asked for.
    """

    bodies: dict[str, Body] = field(default_factory=dict)
    resources: dict[Any, Body] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()

    def body(self, key: str) -> Body:
        """The body under this key; KeyError if the project has none."""
        return self.bodies[key]


def undo_key(node: str) -> str:
    """Where a node's undo stands in `Code.bodies`."""
    return f"{node}#undo"


def when_key(node: str) -> str:
    """Where a node's condition stands in `Code.bodies`."""
    return f"{node}#when"


def until_key(node: str) -> str:
    """Where the function that judges a node's result stands in `Code.bodies`."""
    return f"{node}#until"


def cache_key(node: str) -> str:
    """Where the function that makes a node's cache keys stands in `Code.bodies`."""
    return f"{node}#key"


def check_key(asset: str, check: str) -> str:
    """Where a function check stands in `Code.bodies`."""
    return f"{asset}#check:{check}"
