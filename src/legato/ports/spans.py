"""Spans: runs and attempts as systems that watch other systems know them; and who takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from legato.terms.instant import Instant


class Span(Struct, frozen=True, kw_only=True):
    """Something that took its time: a run (a whole trace), or an attempt of it (with the run above it).

    `trace` has 32 hexadecimal digits, `id` and `parent` 16; the same run gives the same ones again. `error` is empty where all
    went well.
    """

    trace: str
    id: str
    name: str
    began: Instant
    ended: Instant
    parent: str = ""
    attributes: dict[str, str | int | float | bool] = {}
    error: str = ""


class Collector(Protocol):
    """Takes spans. It is slow, or not there, as it likes: nobody but its own process waits for it."""

    def send(self, spans: Sequence[Span]) -> None:
        """Hand them over. `Unreachable` if it may go better later; another `LegatoError` if these are refused for good."""
        ...
