"""The inbox: how another process asks the conductor for something. A request is a file, and stays until it is recorded."""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterator
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec import Struct

from legato.kernel.inputs import Cancel, Resolve, Signal
from legato.kernel.inputs import Pause as PauseRun
from legato.ports.clock import Clock
from legato.storages.disk import sync
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.triggers.inputs import Pause
from legato.triggers.inputs import Resume as Unpause

log = logging.getLogger("legato.inbox")

_UNREAD = ".unread"
"""What the name of a request ends in that no conductor could read."""
LOOK_EVERY_S = 0.02
"""How often a conductor looks into its inbox."""


class Cancellation(Struct, frozen=True, tag="cancel"):
    """Somebody wants this run stopped."""

    run: str
    actor: str
    reason: str = ""


class Resolution(Struct, frozen=True, tag="resolve"):
    """Somebody answered what a flow of this run waits for at a step: with a value (MessagePack), and with why."""

    run: str
    step: int
    value: bytes
    actor: str
    at: Instant
    reason: str = ""


class Signalling(Struct, frozen=True, tag="signal"):
    """Somebody sent this run a signal with a value (MessagePack)."""

    run: str
    name: str
    value: bytes
    actor: str
    at: Instant


class Standstill(Struct, frozen=True, tag="stand-still"):
    """Somebody wants this run to stand still."""

    run: str
    actor: str
    reason: str = ""


class Pausing(Struct, frozen=True, tag="pause"):
    """Somebody wants a trigger to stand still, or (`paused` is False) to go on. It is for the service, which has the triggers."""

    trigger: str
    actor: str
    paused: bool

    @property
    def word(self) -> str:
        """What is asked for."""
        return "pause" if self.paused else "unpause"


RunRequest = Cancellation | Standstill | Resolution | Signalling
RunInput = Cancel | PauseRun | Resolve | Signal
Request = RunRequest | Pausing
_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class Inbox:
    """The requests in a folder. A file is removed only when the conductor comes back for more: by then its turn is committed.

    A crash in between leaves the file, and the next conductor takes the request up again: asking twice changes nothing.
    """

    def __init__(self, folder: Path, *, look_every_s: float = 0.0) -> None:
        self._folder, self._look_every_s = folder, look_every_s
        self._due_s = 0.0
        self._taken: list[Path] = []
        self._kept: set[Path] = set()
        self._taken_pausings: list[Path] = []

    def leave(self, asked: Request, clock: Clock) -> str:
        """Leave word for the conductor that owns the run, durably; the name of the request."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{clock.now()}-{clock.noise(32):08x}"
        partial = self._folder / f".{name}"
        partial.write_bytes(msgspec.json.encode(asked))
        sync(partial)
        partial.rename(self._folder / f"{name}.json")
        sync(self._folder)
        return name

    def is_heard(self, name: str) -> bool:
        """Whether it is recorded what a conductor did about the request of this name. A `LegatoError` (`request-unread`) if it
        could not read it."""
        unread = self._folder / f"{name}{_UNREAD}"
        if unread.exists():
            raise LegatoError(
                "request-unread", "the process that runs steps could not read what was asked", where=str(unread),
                why="it is perhaps of another version of Legato than this command", next="start it again, then ask again",
            )  # fmt: skip
        return not (self._folder / f"{name}.json").exists()

    def read(self, owned: Container[str] | None = None) -> Iterator[tuple[str, RunInput]]:
        """What was asked since the last call, oldest first; of these runs alone, if they are said.

        An answer for another run stays until that is resumed, and what is about a trigger for `read_pausings`. What cannot be
        read is set aside, and told in the log. With `look_every_s` it looks no more often: a turn of a quick flow costs little
        more than a look.
        """
        if self._look_every_s and perf_counter() < self._due_s:
            return
        self._due_s = perf_counter() + self._look_every_s
        self.settle()
        for path in self._waiting():
            if path in self._kept:
                continue
            asked = self._read(path)
            if asked is None:
                continue
            if isinstance(asked, Pausing) or (
                isinstance(asked, Resolution | Signalling) and owned is not None and asked.run not in owned
            ):
                self._kept.add(path)
                continue
            self._taken.append(path)
            yield asked.run, _as_input(asked, path.stem)

    def _read(self, path: Path) -> Request | None:
        """The request; None if there is none any more, or none that can be read."""
        try:
            return _decode(path)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, OSError) as error:
            log.warning("a request that cannot be read is set aside: %s%s (%s)", path.with_suffix(""), _UNREAD, error)
        try:
            path.rename(path.with_suffix(_UNREAD))
        except OSError:
            self._kept.add(path)  # it stays where it is, and was told once
        return None

    def settle(self) -> None:
        """What was taken up is recorded now."""
        for path in self._taken:
            path.unlink(missing_ok=True)
        self._taken = []

    def read_pausings(self) -> Iterator[Pause | Unpause]:
        """What was asked of triggers since the last call, oldest first. By then what was decided on the last ones is recorded."""
        self.settle_pausings()
        for path, asked in self._pausings():
            self._taken_pausings.append(path)
            yield (Pause if asked.paused else Unpause)(asked.trigger, asked.actor)

    def settle_pausings(self) -> None:
        """What `read_pausings` gave is recorded now."""
        for path in self._taken_pausings:
            path.unlink(missing_ok=True)
        self._taken_pausings = []

    def pausings(self) -> dict[str, Pausing]:
        """By trigger, what was asked for last and no service has heard of yet."""
        return {asked.trigger: asked for _, asked in self._pausings()}

    def forget(self, run: str) -> None:
        """Drop the wish to stop a run, or to pause it: somebody wants it to go on."""
        for path in self._waiting():
            asked = _peek(path)
            if isinstance(asked, Cancellation | Standstill) and asked.run == run:
                path.unlink(missing_ok=True)

    def answered(self) -> dict[tuple[str, int | str], str]:
        """The waits that somebody has answered and no conductor has heard of yet: run, and step or signal; and who it was."""
        found: dict[tuple[str, int | str], str] = {}
        for each in map(_peek, self._waiting()):
            if isinstance(each, Resolution):
                found[each.run, each.step] = each.actor
            elif isinstance(each, Signalling):
                found[each.run, each.name] = each.actor
        return found

    def _pausings(self) -> Iterator[tuple[Path, Pausing]]:
        for path in self._waiting():
            asked = _peek(path)
            if isinstance(asked, Pausing):
                yield path, asked

    def _waiting(self) -> list[Path]:
        try:
            return [self._folder / name for name in sorted(os.listdir(self._folder)) if name.endswith(".json")]
        except FileNotFoundError:
            return []


def _as_input(asked: RunRequest, name: str) -> RunInput:
    if isinstance(asked, Cancellation):
        return Cancel(asked.actor, asked.reason)
    if isinstance(asked, Standstill):
        return PauseRun(asked.actor, asked.reason)
    if isinstance(asked, Signalling):
        return Signal(name, asked.name, asked.value, asked.actor, asked.at)
    return Resolve(asked.step, asked.value, asked.actor, asked.at, asked.reason)


def find_unread(folder: Path) -> list[Path]:
    """The requests of an inbox that no conductor could read, oldest first."""
    return sorted(folder.glob(f"*{_UNREAD}"))


def _peek(path: Path) -> Request | None:
    """The request, for who only looks; None if it cannot be read, which the conductor tells."""
    try:
        return _decode(path)
    except (msgspec.MsgspecError, OSError):
        return None


def _decode(path: Path) -> Request:
    return _decoder.decode(path.read_bytes())
