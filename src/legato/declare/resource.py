"""What a function may ask for beside its inputs: resources by type, secrets by reference, the context of its attempt."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from legato.declare.partitions import Partition
from legato.terms.errors import LegatoError

MASK = "***"
_FILE = "file:"


class Secret:
    """A value that is read when it is asked for and never shown: `reveal()` gives it, everything else gives `***`."""

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def reveal(self) -> str:
        """The secret itself, from the environment or, with a `file:` reference, from that file without its last newline."""
        if self.reference.startswith(_FILE):
            return self._read(Path(self.reference.removeprefix(_FILE)))
        try:
            return os.environ[self.reference]
        except KeyError:
            raise LegatoError(
                "secret-missing",
                f"the secret {self.reference} is not set",
                why="secrets are read from the environment when a step starts",
                next=f"export {self.reference}=...",
            ) from None

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


def secret(reference: str) -> Secret:
    """The secret under this name of the environment, or in a file (`file:/run/secrets/token`); for a parameter's default."""
    return Secret(reference)


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
