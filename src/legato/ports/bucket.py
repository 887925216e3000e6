"""What Legato asks of a bucket of objects."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class ObjectFound(Struct, frozen=True):
    """An object: its name below the bucket, what tells its bytes from others, and its size."""

    name: str
    digest: str
    size: int


class Bucket(Protocol):
    """Lists the objects of one bucket. An object is there whole or not at all, so what is listed is complete.

    `Unreachable` (`bucket`) where the store behind it does not answer in time.
    """

    def list(self, prefix: str, after: str, most: int) -> list[ObjectFound]:
        """The objects whose names begin with `prefix`, in the order of their names, from behind `after` (empty: from the first),
        so many at most. Fewer than that means that there are no more."""
        ...
