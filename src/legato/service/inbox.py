"""The inbox: how another process asks the conductor for something. A request is a file, and stays until it is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from legato.kernel.inputs import Cancel, Input
from legato.ports.clock import Clock


class Cancellation(Struct, frozen=True):
    """Somebody wants this run stopped."""

    run: str
    actor: str
    reason: str = ""


class Inbox:
    """The requests in a folder. A file is removed only when the conductor comes back for more: by then its turn is committed.

    A crash in between leaves the file, and the next conductor takes the request up again: asking twice changes nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: list[Path] = []

    def leave(self, asked: Cancellation, clock: Clock) -> None:
        """Leave word for the conductor that owns the run."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{clock.now()}-{clock.noise(32):08x}"
        partial = self._folder / f".{name}"
        partial.write_bytes(msgspec.json.encode(asked))
        partial.rename(self._folder / f"{name}.json")

    def read(self) -> Iterator[tuple[str, Input]]:
        """What was asked since the last call, oldest first. What is no request is removed like one."""
        self.settle()
        for path in self._waiting():
            self._taken.append(path)
            asked = _read(path)
            if asked is not None:
                yield asked.run, Cancel(asked.actor, asked.reason)

    def settle(self) -> None:
        """What was taken up is recorded now."""
        for path in self._taken:
            path.unlink(missing_ok=True)
        self._taken = []

    def forget(self, run: str) -> None:
        """Drop what was asked of a run before: somebody wants it to go on."""
        for path in self._waiting():
            asked = _read(path)
            if asked is not None and asked.run == run:
                path.unlink(missing_ok=True)

    def _waiting(self) -> list[Path]:
        try:
            return [self._folder / name for name in sorted(os.listdir(self._folder)) if name.endswith(".json")]
        except FileNotFoundError:
            return []


def _read(path: Path) -> Cancellation | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Cancellation)
    except (msgspec.MsgspecError, OSError):
        return None
