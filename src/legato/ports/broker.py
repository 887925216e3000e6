"""What Legato asks of a broker of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Incoming(Struct, frozen=True, kw_only=True):
    """A message as it came. `id` tells it from all others of its topic, for ever, and is the same when it comes again; `key` is
    what its sender gave it, if anything. `receipt` is the broker's own, by which it is acknowledged."""

    topic: str
    id: str
    body: bytes
    key: str = ""
    receipt: str = ""


class Broker(Protocol):
    """Gives one group of listeners the messages of some topics, each until it is acknowledged.

    Holds for every adapter (and is tested by `legato.testing.broker`):

    * A group has no past: of a topic that is there it gets what is published after it listened for the first time; of one that
      is made later, all. From then on it misses nothing, also while nobody listens.
    * A message that was taken and never acknowledged is given again, at the latest when somebody listens anew and some time has
      passed; one that was acknowledged is not, unless the broker itself was killed and forgot it.
    * Messages of a topic are given in the order in which they were published, but for those that are given again.
    * Every call ends: `Unreachable` (`broker`) where the broker does not answer in time. What was taken is not lost by that, and
      after it the adapter is closed.
    """

    def listen(self, topics: Sequence[str]) -> None:
        """Listen to these topics from now on, and to no others."""
        ...

    def take(self, most: int, wait_s: float) -> list[Incoming]:
        """Messages, so many at most; waits so long at most for the first. None came: an empty list."""
        ...

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Never give these again. Doing it twice changes nothing."""
        ...

    def close(self) -> None:
        """Let go. What was not acknowledged will be given again. Idempotent."""
        ...
