"""Where values are kept: staged under a name of their own, read many times, never changed."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from legato.terms.attempt import Ref
from legato.terms.fact import Column


class Slot(Struct, frozen=True):
    """The place an attempt may write to. No two attempts ever share one: `version` holds the run and the token."""

    asset: str
    partition: str
    version: str


class Staged(Struct, frozen=True):
    """A value that was stored, and its columns where it is a table."""

    ref: Ref
    columns: tuple[Column, ...] = ()


class Storage(Protocol):
    """A place for immutable values.

    Holds for every adapter (and is tested by `legato.testing.storage`):

    * `stage` returns only when the value is durable and whole under the slot's own name; a crash in between leaves
      nothing that `load` could read, and staging again under the same slot replaces the remains.
    * Values staged under different slots never touch each other.
    * `load` returns a value equal to what was staged, in the type asked for, or raises `LegatoError`
      (`storage-missing`, `storage-changed`, `storage-type`); it never returns part of a value.
    * `discard` is idempotent.
    * Names are never trusted: an asset or partition cannot reach outside the storage's root.
    """

    name: str

    def stage(self, slot: Slot, value: Any) -> Staged:
        """Keep the value under the slot and say where; `LegatoError` (`value-type`) if it cannot be stored."""
        ...

    def load(self, refs: tuple[Ref, ...], kind: Any, *, many: bool = False) -> Any:
        """The value of the refs as `kind` (an annotation; `Any` for the natural type).

        One ref gives its value. With `many` (or several refs) tables are concatenated in the order given; `dict[str, T]`
        asks for a value a partition, `list[T]` for a list of them; other natural types give such a dict.
        """
        ...

    def check(self, ref: Ref) -> str:
        """Empty if the stored bytes are as they were staged; else what is wrong with them, for people."""
        ...

    def discard(self, ref: Ref) -> None:
        """Forget the value. A value that is not there is already forgotten."""
        ...
