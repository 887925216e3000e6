"""What was decided. `Fired` and `Skipped` are the decisions: each tick of each trigger is in exactly one of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from legato.terms.instant import Instant

SkipReason = Literal["paused", "calendar", "catch-up", "running", "condition", "partition", "same-run"]
"""Why a tick became no run: the trigger is paused; no business day; a later tick stands for it, or it came too late; the run
before is not over; the rest of the trigger does not hold; there is no such partition; the run that published makes it too."""


class Came(Struct, frozen=True, array_like=True):
    """For which partitions a moment came; with `rest`, for all but these."""

    moment: str
    keys: tuple[str, ...]
    rest: bool = False


class Later(Struct, frozen=True, array_like=True):
    """For which partitions a moment came only if this run, which published, ends without having made them itself. `versions` are
    the partitions that it published, where a flow may want to know them."""

    run: str
    moment: str
    keys: tuple[str, ...]
    versions: tuple[str, ...] = ()


class RunRequest(Struct, frozen=True, kw_only=True):
    """The run that a fired trigger asks for, once: whoever is asked twice under one `key` does it once.

    `partitions` are keys of the node ("" where it is not partitioned); with `everything`, all that there are. `adds` are keys
    that dynamic sets do not have yet. `params` are for a flow; the parameter `payload_to` takes what is kept at `payload`.
    """

    key: str
    node: str
    partitions: tuple[str, ...] = ()
    everything: bool = False
    adds: tuple[tuple[str, str], ...] = ()
    params: dict[str, Any] = {}
    payload_to: str = ""
    payload: str = ""


class Fired(Struct, frozen=True, kw_only=True, tag="fired"):
    """A tick became a run. `at` is the tick's instant, `on` when it was decided; `moments` are the words for what came."""

    trigger: str
    key: str
    at: Instant
    on: Instant
    moments: tuple[str, ...]
    numbers: dict[str, Any] = {}
    request: RunRequest
    came: tuple[Came, ...] = ()
    later: tuple[Later, ...] = ()
    timed: bool = False


class Skipped(Struct, frozen=True, kw_only=True, tag="skipped"):
    """A tick became no run, or several of one moment, from `first` to `at`, did not for the same reason."""

    trigger: str
    key: str
    at: Instant
    on: Instant
    why: SkipReason
    moments: tuple[str, ...]
    numbers: dict[str, Any] = {}
    ticks: int = 1
    first: Instant
    came: tuple[Came, ...] = ()
    later: tuple[Later, ...] = ()
    timed: bool = False


class Noted(Struct, frozen=True, kw_only=True, tag="noted"):
    """Something happened that is no tick: a moment that only counts under `~` came, or a state is over (`published`)."""

    trigger: str
    on: Instant
    key: str = ""
    came: tuple[Came, ...] = ()
    published: tuple[str, ...] | None = None
    timed: bool = False


class RunClosed(Struct, frozen=True, kw_only=True, tag="closed"):
    """A run that the trigger asked for is over."""

    trigger: str
    key: str
    on: Instant


class MadeByRun(Struct, frozen=True, kw_only=True, tag="made"):
    """The run that published has made a partition itself: nothing follows for it."""

    trigger: str
    run: str
    partition: str
    on: Instant


class RunLeft(Struct, frozen=True, kw_only=True, tag="left"):
    """The run that published is over; what it left unmade comes now."""

    trigger: str
    run: str
    on: Instant


class TriggerPaused(Struct, frozen=True, kw_only=True, tag="paused"):
    """The trigger stands still."""

    trigger: str
    on: Instant
    actor: str = ""


class TriggerResumed(Struct, frozen=True, kw_only=True, tag="resumed"):
    """The trigger goes on."""

    trigger: str
    on: Instant
    actor: str = ""


Decision = Fired | Skipped
AnyEvent = Fired | Skipped | Noted | RunClosed | MadeByRun | RunLeft | TriggerPaused | TriggerResumed


_decoder: msgspec.msgpack.Decoder[Decision] = msgspec.msgpack.Decoder(Fired | Skipped)


def decode(body: bytes) -> Decision:
    """The decision again that is stored as these bytes; ValueError if they are none."""
    return _decoder.decode(body)
