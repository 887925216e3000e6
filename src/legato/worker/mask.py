"""Keeps secrets out of what is written down: errors and logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from legato.declare.resource import MASK, Secret
from legato.terms.errors import LegatoError
from legato.terms.fact import Error

_SHORTEST = 4
"""Shorter values are no secrets, and masking them would tear words apart."""


class Mask:
    """Hides the values of a project's secrets, read each time: a secret may be set or changed meanwhile."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._secrets = tuple(secrets)

    def hide_in_error(self, error: Error) -> Error:
        """The error with `***` where its text holds a secret."""
        message, trace = error.message, error.trace
        for value in self._values():
            message, trace = message.replace(value, MASK), trace.replace(value, MASK)
        return replace(error, message=message, trace=trace) if self._secrets else error

    def hide_in_file(self, path: Path, start: int, end: int) -> None:
        """Overwrite secrets between two positions of a file with asterisks; positions stay as they are."""
        values = self._values()
        if not values:
            return
        with open(path, "r+b") as file:
            file.seek(start)
            before = after = file.read(end - start)
            for value in values:
                secret = value.encode()
                after = after.replace(secret, b"*" * len(secret))
            if after != before:
                file.seek(start)
                file.write(after)

    def _values(self) -> list[str]:
        found = []
        for secret in self._secrets:
            try:
                value = secret.reveal()
            except LegatoError:  # not set here, so nothing could have printed it
                continue
            if len(value) >= _SHORTEST:
                found.append(value)
        return sorted(found, key=len, reverse=True)  # one may be part of another
