"""Facts: typed observations that an attempt makes about what it produced."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from legato.terms.instant import Instant

Severity = Literal["block", "warn"]


TIMEOUT_TYPES = ("builtins.TimeoutError", "builtins.OSError", "builtins.Exception", "builtins.BaseException")
"""The `types` of an error that is raised as a TimeoutError."""


class Column(Struct, frozen=True):
    """One column as it was found in a table: its name, its Legato type (`quality/schema`), whether it holds nulls."""

    name: str
    type: str
    nulls: bool = False


class Verdict(Struct, frozen=True):
    """What one check said of one version.

    `failed` counts offending rows (0 where the check speaks of the whole), `total` the rows judged; `where` is a SQL
    predicate that finds the offending rows, `sample` up to five of them as plain values.
    """

    check: str
    passed: bool
    severity: Severity = "block"
    message: str = ""
    failed: int = 0
    total: int = 0
    where: str = ""
    sample: list[dict[str, Any]] = []

    @property
    def blocks(self) -> bool:
        """Whether this verdict closes the gate."""
        return not self.passed and self.severity == "block"


class Error(Struct, frozen=True):
    """How an attempt failed.

    `kind` is one of raised, timeout, lost, gate, value, input, undo, pending (the result is not there yet), and flow (a body that
    calls without end, or does not give its process back); `types` lists the exception's class and its bases (qualified names),
    most derived first; `where` is the user's file and line; `trace` the user's part of the traceback.
    """

    kind: str
    message: str
    types: tuple[str, ...] = ()
    where: str = ""
    trace: str = ""
    retry_after_s: float | None = None


class Metric(Struct, frozen=True, array_like=True, omit_defaults=True, tag="metric"):
    """A number that a step told. Several of one name are a series; `number` counts what the attempt told under that name, also
    what was not kept of a long one."""

    name: str
    value: int | float
    unit: str = ""
    number: int = 1
    at: Instant = Instant(0)


class Progress(Struct, frozen=True, array_like=True, omit_defaults=True, tag="progress"):
    """How far a step is: so much is `done`, of a `total` where that is known. Only the newest counts."""

    done: int | float
    total: int | float | None = None
    message: str = ""
    at: Instant = Instant(0)


class Table(Struct, frozen=True, array_like=True, tag="table"):
    """The first rows of a table that a step told: `rows` is a MessagePack array of so many as are `kept`, each an array of plain
    cells. `total` counts all rows that there were."""

    name: str
    columns: tuple[str, ...]
    rows: bytes
    kept: int
    total: int


class Markdown(Struct, frozen=True, array_like=True, tag="markdown"):
    """A text that a step told."""

    name: str
    text: str
