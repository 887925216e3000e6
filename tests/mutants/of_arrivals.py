"""Broken variants of what takes in webhooks, messages, objects. The one that `MUTANT` names is in force where this is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from legato.service import deliveries, hooks, listening, objects, ticker

MUTANTS: dict[str, tuple[Callable[[], None], str]] = {}
"""By name: what breaks it, and the tests that catch it."""


def caught_by(tests: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """These tests catch the mutant."""

    def note(mutant: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[mutant.__name__] = mutant, tests
        return mutant

    return note


@caught_by("test_hooks")
def lets_anybody_in() -> None:
    """No signature is compared."""
    hooks._require_match = lambda made, given: None


@caught_by("test_hooks")
def takes_old_calls() -> None:
    """A call may be of any age."""
    hooks._require_fresh = lambda stamp, now: None


@caught_by("test_hooks")
def takes_an_unsigned_id() -> None:
    """A delivery is known by what anybody can write beside it."""
    hooks._READERS["github"] = lambda secret, call: hooks._github(secret, call) and call.headers.get("x-github-delivery", "")


@caught_by("test_deliveries")
def answers_before_it_decides() -> None:
    """A call is acknowledged, and nobody is told."""
    ticker.Ticker.tell_all = lambda self, inputs, now: None  # type: ignore[method-assign]


@caught_by("test_deliveries")
def keeps_no_payload() -> None:
    """What came is thrown away."""
    deliveries.Deliveries._keep = lambda self, payloads: None  # type: ignore[method-assign]


@caught_by("test_deliveries")
def throws_away_what_waits() -> None:
    """A payload goes although a decision waits for it."""
    take = deliveries.Deliveries.sweep

    def sweep(self: Any, payloads: Any = None) -> None:
        self._ticker = lambda: SimpleNamespace(waiting=tuple)
        take(self, payloads)

    deliveries.Deliveries.sweep = sweep  # type: ignore[method-assign]


@caught_by("test_deliveries")
def leaves_what_is_used() -> None:
    """No payload ever goes."""
    deliveries.Deliveries.sweep = lambda self, payloads=None: None  # type: ignore[method-assign]


@caught_by("test_deliveries")
def calls_all_new() -> None:
    """Who sends again hears that it is new."""
    deliveries.Deliveries._is_known = lambda self, told, names: False  # type: ignore[method-assign]


@caught_by("test_listening")
def acknowledges_first() -> None:
    """A message is gone before the conductor has it."""
    step = listening.Listener.step

    def hasty(self: Any, broker: Any) -> None:
        take = broker.take

        def taken(most: int, wait_s: float) -> Any:
            found = take(most, wait_s)
            broker.acknowledge(found)
            return found

        broker.take = taken
        try:
            step(self, broker)
        finally:
            broker.take = take

    listening.Listener.step = hasty  # type: ignore[method-assign]


@caught_by("test_listening")
def never_acknowledges() -> None:
    """Every message comes again for ever."""
    broker = listening.Listener.step

    def step(self: Any, opened: Any) -> None:
        opened.acknowledge = lambda messages: None
        broker(self, opened)

    listening.Listener.step = step  # type: ignore[method-assign]


@caught_by("test_listening")
def remembers_before_it_tells() -> None:
    """An object that could not be told is never told."""
    is_new = objects.BucketWatch._is_new

    def note(self: Any, seen: Any) -> bool:
        new = is_new(self, seen)
        self._remember([seen])
        return new

    objects.BucketWatch._is_new = note  # type: ignore[method-assign]


@caught_by("test_listening")
def begins_each_listing_anew() -> None:
    """Of a large bucket only the first objects are ever seen."""
    look = objects.BucketWatch.look

    def forgetful(self: Any, patterns: list[str]) -> bool:
        self._after.clear()
        return look(self, patterns)

    objects.BucketWatch.look = forgetful  # type: ignore[method-assign]


if name := os.environ.get("MUTANT"):
    MUTANTS[name][0]()
