"""What comes in from outside, on the conductor's side: kept, told to the triggers, and only then acknowledged."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.partition import MAX_KEY
from legato.ports.store import Store
from legato.service import asks
from legato.service.attending import Act
from legato.service.ticker import Ticker, decision_of
from legato.terms.codec import fingerprint
from legato.terms.errors import Unreachable
from legato.terms.instant import Instant
from legato.triggers.events import Fired, Skipped
from legato.triggers.inputs import Delivered, FileArrived
from legato.triggers.state import paths_asked, wants_payload


class Deliveries:
    """Takes calls, messages and objects in. A payload is a file named by what it is, of letters of ours alone: it is there before
    the decision that names it, and goes when no decision waits that does."""

    def __init__(self, folder: Path, store: Store, ticker: Callable[[], Ticker], now: Callable[[], Instant]) -> None:
        self._folder, self._store, self._ticker, self._now = folder, store, ticker, now

    @property
    def acts(self) -> dict[type[asks.Ask], Act]:
        """What an attendant does with these questions."""
        return {asks.Deliver: lambda at, ask: self.take(ask), asks.TellObjects: lambda at, ask: self.see(ask)}

    def take(self, ask: asks.Deliver) -> list[asks.Taken]:
        """Decide what came; when this returns, it is recorded. What came before under the same id changes nothing."""
        ticker = self._ticker()
        told = [self._read(ticker, ask, item) for item in ask.items]
        listeners = [self._listeners(ticker, each) for each in told]
        known = [self._is_known(each, names) for each, names in zip(told, listeners, strict=True)]
        new = [(each, item) for each, item, old in zip(told, ask.items, known, strict=True) if not old]
        self._keep({each.payload: item.body for each, item in new if each.payload})
        ticker.tell_all([each for each, _ in new], self._now())
        return [
            asks.Taken(tick=each.tick, heard=bool(names), new=bool(names) and not old, decided=tuple(self._verdicts(each, names)))
            for each, names, old in zip(told, listeners, known, strict=True)
        ]

    def see(self, ask: asks.TellObjects) -> asks.Done:
        """Decide about objects; those that were told before change nothing."""
        files = [FileArrived(each.path, each.digest, each.size) for each in ask.objects]
        self._ticker().tell_all(files, self._now())
        return asks.Done(count=len(files))

    def release(self, fired: Fired) -> None:
        """A decision has become a run, or never will: what it named may go."""
        if fired.request.payload:
            self.sweep({fired.request.payload})

    def sweep(self, payloads: Collection[str] | None = None) -> None:
        """Let go of these payloads, or of all, that no decision waits for any more. For between two turns."""
        names = payloads if payloads is not None else _names_in(self._folder)
        if not names:
            return
        needed = {fired.request.payload for fired in self._ticker().waiting()}
        for name in set(names) - needed:
            (self._folder / name).unlink(missing_ok=True)

    def _read(self, ticker: Ticker, ask: asks.Deliver, item: asks.Delivery) -> Delivered:
        kept = wants_payload(ticker.state, ask.kind, item.name)
        keys, wrong = _keys(item, paths_asked(ticker.state, ask.kind, item.name))
        return Delivered(
            kind=ask.kind, id=item.id, name=item.name, keys=keys, wrong=wrong,
            payload=fingerprint(ask.kind, item.name, item.id, item.body) if kept else "",
        )  # fmt: skip

    def _listeners(self, ticker: Ticker, told: Delivered) -> list[str]:
        found = ticker.state.listeners.get((told.kind, told.name), ())
        return list(dict.fromkeys(name for name, _ in found))

    def _is_known(self, told: Delivered, names: list[str]) -> bool:
        return bool(names) and all(self._store.was_decided(name, told.tick) for name in names)

    def _verdicts(self, told: Delivered, names: list[str]) -> Iterator[asks.Verdict]:
        for name in names:
            decided = self._store.decision(name, told.tick)
            if decided is not None:  # one that listens under ~ alone decides nothing
                made = decision_of(decided)
                skipped = made if isinstance(made, Skipped) else None
                yield asks.Verdict(trigger=name, outcome="skipped" if skipped else "fired", why=skipped.why if skipped else "")

    def _keep(self, payloads: dict[str, bytes]) -> None:
        """Write payloads whole, and durably: one is there under its name or not at all."""
        if not payloads:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for name, body in payloads.items():
                _write(self._folder / name, body)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unreachable(
                "payload-write", "what came in cannot be kept, so it is not acknowledged", where=str(self._folder),
                why=error.strerror or str(error), next="make the disk writable or free space on it (`df -h`)",
            ) from error  # fmt: skip


def _write(path: Path, body: bytes) -> None:
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(descriptor)
    partial.rename(path)


def _names_in(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(folder)
    return []


def _keys(item: asks.Delivery, paths: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The partitions' keys that a delivery holds, by where they were looked for; its own under the empty path. And why what
    stands there can be no key."""
    keys: dict[str, str] = {"": item.key} if item.key else {}
    wrong: dict[str, str] = {}
    if not paths:
        return keys, wrong
    try:
        payload = msgspec.json.decode(item.body)
    except (msgspec.DecodeError, RecursionError):
        return keys, wrong
    for path in paths:
        found = _at(payload, path)
        if found is _NOTHING:
            continue
        if fault := _fault_of(found):
            wrong[path] = f"what stands at {path} {fault}"
        else:
            keys[path] = str(found)
    return keys, wrong


_NOTHING = object()


def _at(payload: Any, path: str) -> Any:
    """What stands at a path of names and numbers, if anything does."""
    for name in path.split("."):
        if isinstance(payload, list):
            payload = payload[int(name)] if name.isdecimal() and len(name) < 6 and int(name) < len(payload) else _NOTHING
        else:
            payload = payload.get(name, _NOTHING) if isinstance(payload, dict) else _NOTHING
    return payload


def _fault_of(found: Any) -> str:
    """Why this can be no key, whatever the partitions are; empty if it can."""
    if isinstance(found, bool) or not isinstance(found, str | int):
        return f"is {_NO_KEYS.get(type(found), 'a number that is not whole')}, and no key"
    text = str(found)
    if not text:
        return "is empty, and no key"
    return f"has {len(text)} characters, and a key {MAX_KEY} at most" if len(text) > MAX_KEY else ""


_NO_KEYS = {type(None): "null", bool: "true or false", list: "a list", dict: "an object"}
