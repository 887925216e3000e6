"""What the triggers are told. Every event has an `id`: told twice under one id, it counts once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from legato.declare.moment import Aspect


class TimePassed(Struct, frozen=True):
    """It is now: what is due is decided. Told later than it was, or earlier than it was told before, it decides nothing twice."""


class Published(Struct, frozen=True):
    """New versions of these partitions ("" where there are none) of all assets that a node makes are published, by one commit
    of a run.

    `ahead` is what this run has yet to begin then, by node: partitions, or "" where there are none.
    """

    id: str
    assets: tuple[str, ...]
    partitions: tuple[str, ...] = ("",)
    run: str = ""
    ahead: Mapping[str, Collection[str]] = {}


class StepFailed(Struct, frozen=True):
    """A step failed for good; `names` are its node and the assets it would have made."""

    id: str
    names: tuple[str, ...]
    partition: str = ""
    run: str = ""
    error: str = ""


class FileArrived(Struct, frozen=True):
    """A complete file is there. Its path is written as patterns are: below the project's folder, from the root, or with a
    scheme. The same bytes under the same path are the same file."""

    path: str
    digest: str
    size: int = 0


class Delivered(Struct, frozen=True):
    """A webhook was called, or a message came. `payload` is where its payload is kept; `keys` has the partition's key by where
    it was looked for (`paths_asked`), under "" a message's own; `wrong` says why what stands there can be no key."""

    kind: Literal["webhook", "message"]
    id: str
    name: str
    payload: str = ""
    keys: Mapping[str, str] = {}
    wrong: Mapping[str, str] = {}

    @property
    def tick(self) -> str:
        """The key of its tick."""
        return f"{self.kind}:{self.name}:{self.id}"


class MetricSeen(Struct, frozen=True):
    """A metric of an asset or task was told."""

    id: str
    of: str
    name: str
    value: float
    partition: str = ""


class Changes(Struct, frozen=True):
    """A node is not what it was in the version of the project before; `now` is its new fingerprint. Told once for each change."""

    node: str
    what: Aspect
    now: str


class KeysAdded(Struct, frozen=True):
    """A dynamic set has new keys."""

    id: str
    name: str
    keys: tuple[str, ...]


class RunEnded(Struct, frozen=True):
    """A run that a trigger asked for is over, however it ended; `key` is its request's."""

    trigger: str
    key: str


class RunMade(Struct, frozen=True):
    """A run that published has now made a partition of a node itself, or has carried its flow to the end."""

    run: str
    node: str
    partition: str = ""


class RunOver(Struct, frozen=True):
    """A run that published is over, however it ended; what it has not made by now, it will not make. Where it is `undone`, no
    version of it is published any more."""

    id: str
    run: str
    undone: bool = False


class Pause(Struct, frozen=True):
    """Somebody wants a trigger to stand still: its ticks are skipped until it is resumed."""

    trigger: str
    actor: str = ""


class Resume(Struct, frozen=True):
    """Somebody wants a trigger to go on with the ticks that come from now on."""

    trigger: str
    actor: str = ""


Event = Published | StepFailed | FileArrived | Delivered | MetricSeen | Changes | KeysAdded
Input = TimePassed | Event | RunEnded | RunMade | RunOver | Pause | Resume
