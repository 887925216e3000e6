"""What a function may ask for beside its inputs: resources by type, secrets by reference, the context of its attempt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from legato.declare.partitions import Partition
from legato.terms.errors import LegatoError

MASK = "***"
_FILE = "file:"


SEALED: dict[str, str] = {}
"""Secrets that were taken out of this process's environment, by name."""

_REVEALED: set[str] = set()


_watched: list[list[Secret]] = []


@contextmanager
def watch_secrets() -> Iterator[list[Secret]]:
    """All secrets that are named while the block runs, wherever they are kept."""
    named: list[Secret] = []
    _watched.append(named)
    try:
        yield named
    finally:
        _watched.pop()


def revealed() -> AbstractSet[str]:
    """Every value that `reveal` has given in this process: to be masked, also when it is no longer the secret's value."""
    return _REVEALED


class Secret:
    """A value that is read when it is asked for and never shown: `reveal()` gives it, everything else gives `***`.

    It is read from the environment, with a `file:` reference from that file without its last newline, or by `source`, which is
    given the reference.
    """

    __slots__ = ("_source", "reference")

    def __init__(self, reference: str, source: Callable[[str], str] | None = None) -> None:
        self.reference, self._source = reference, source
        for named in _watched:
            named.append(self)

    @property
    def is_asked_elsewhere(self) -> bool:
        """Whether a function of the user's gives it, which may ask far away."""
        return self._source is not None

    @property
    def is_variable(self) -> bool:
        """Whether it is read from the environment."""
        return self._source is None and not self.reference.startswith(_FILE)

    def reveal(self) -> str:
        """The secret itself."""
        value = self.read()
        _REVEALED.add(value)
        return value

    def read(self) -> str:
        """The secret itself, for whoever only masks it."""
        if self._source is not None:
            return self._ask(self._source)
        if self.reference.startswith(_FILE):
            return self._read(Path(self.reference.removeprefix(_FILE)))
        value = os.environ.get(self.reference, SEALED.get(self.reference))
        if value is None:
            raise LegatoError(
                "secret-missing",
                f"the secret {self.reference} is not set",
                why="secrets are read from the environment when a step starts",
                next=f"export {self.reference}=...",
            )
        return value

    def _ask(self, source: Callable[[str], str]) -> str:
        value = source(self.reference)
        if not isinstance(value, str):
            raise LegatoError(
                "secret-missing", f"the source of the secret {self.reference} gave {type(value).__name__}, and no text",
                next="let it return the secret as a str",
            )  # fmt: skip
        return value

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            raise LegatoError(
                "secret-missing",
                f"the secret {self.reference} cannot be read",
                where=str(path),
                why=error.strerror or str(error),
                next="write the secret to that file, or name another one",
            ) from None

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the secret {self.reference} cannot be pickled: pass its reference instead")


def secret(reference: str, *, source: Callable[[str], str] | None = None) -> Secret:
    """The secret under this name of the environment, or in a file (`file:/run/secrets/token`); for a parameter's default.

    A `source` is a function that is given the reference and returns the secret, from wherever: it is called when a step asks.
    """
    return Secret(reference, source)


@dataclass(frozen=True, slots=True)
class Context:
    """What an attempt knows of itself.

    `idempotency_key` stays the same over all attempts of one step, its undo among them; what is made again after that was undone
    has another one.
    """

    run: str
    node: str
    attempt: int = 1
    partition: Partition | None = None
    idempotency_key: str = ""
