"""Keeps secrets out of what is written down: errors, logs and facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def cover(self) -> Callable[[str], str]:
        """What puts `***` in the place of secrets in a text. It reads them once: for a moment, not to be kept."""
        values = self._values()

        def hide(text: str) -> str:
            for value in values:
                text = text.replace(value, MASK)
            return text

        return hide

    def hide_in_error(self, error: Error) -> Error:
        """The error with `***` where its text holds a secret."""
        if not self._secrets:
            return error
        hide = self.cover()
        return replace(error, message=hide(error.message), trace=hide(error.trace))

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
            except (LegatoError, ValueError):  # not set here, or no text: so nothing could have printed it
                continue
            if len(value) >= _SHORTEST:
                found.append(value)
        return sorted(found, key=len, reverse=True)  # one may be part of another
