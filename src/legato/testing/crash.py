"""Injected crashes: wrappers around ports that die before or after a call. Product code holds no hooks for them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from legato.ports.access import Audit
from legato.ports.executor import Executor
from legato.ports.keeping import Removal
from legato.ports.storage import Slot, Staged, Storage
from legato.ports.store import Commit, Run, Store
from legato.terms.attempt import Answers, Order, Ref
from legato.terms.errors import Unreachable


class Crash(BaseException):
    """The process dies here; nothing after this point is executed."""


class Fuse(Protocol):
    """Decides where a process dies: it is asked at every point, and raises `Crash` (or what else shall go wrong) at some."""

    def burn(self, point: str) -> None:
        """Pass the point, or die at it."""
        ...


class NoFuse:
    """Nothing goes wrong."""

    def burn(self, point: str) -> None:
        """Pass."""


class CountedFuse:
    """Dies at the points with these numbers, counted from 0; `passed` is how many there were."""

    def __init__(self, *deadly: int) -> None:
        self.deadly, self.passed, self.crashes = frozenset(deadly), 0, 0

    def burn(self, point: str) -> None:
        """Count the point; die if it is one of the deadly ones."""
        self.passed += 1
        if self.passed - 1 in self.deadly:
            self.crashes += 1
            raise Crash(f"at point {self.passed - 1}, {point}")


class RandomFuse:
    """Dies at a share of all points, at most so many times; some writes of the store fail instead, done or not done."""

    def __init__(self, random: Random, share: float, most: int) -> None:
        self._random, self._share, self._left = random, share, most
        self.crashes = 0

    def burn(self, point: str) -> None:
        """Die here, or not."""
        if self._left and self._random.random() < self._share:
            self._left -= 1
            self.crashes += 1
            if point.endswith("commit") and self._random.random() < 0.3:
                raise Unreachable("store-write", "the store cannot be written", why="the disk is full")
            raise Crash(point)


class CrashingStore:
    """A store whose process may die before or after each write."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store, self._fuse = store, fuse

    def accept(self, run: Run, plan: bytes, events: Sequence[bytes], audit: Sequence[Audit] = ()) -> None:
        """Record a run."""
        self._fuse.burn("before accept")
        self._store.accept(run, plan, events, audit)
        self._fuse.burn("after accept")

    def commit(self, commits: Sequence[Commit]) -> None:
        """Record what was decided."""
        self._fuse.burn("before commit")
        self._store.commit(commits)
        self._fuse.burn("after commit")

    def remove(self, removal: Removal) -> None:
        """Let something go."""
        self._fuse.burn("before remove")
        self._store.remove(removal)
        self._fuse.burn("after remove")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class CrashingStorage:
    """A storage whose process may die before or after each write."""

    def __init__(self, storage: Storage, fuse: Fuse) -> None:
        self._storage, self._fuse = storage, fuse

    def stage(self, slot: Slot, value: Any) -> Staged:
        """Keep a value."""
        self._fuse.burn("before stage")
        staged = self._storage.stage(slot, value)
        self._fuse.burn("after stage")
        return staged

    def discard(self, ref: Ref) -> None:
        """Forget a value."""
        self._fuse.burn("before discard")
        self._storage.discard(ref)
        self._fuse.burn("after discard")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class CrashingExecutor:
    """An executor whose conductor may die before or after each command."""

    def __init__(self, executor: Executor, fuse: Fuse) -> None:
        self._executor, self._fuse = executor, fuse

    def start(self, orders: Sequence[Order], worker: int, expected_s: float) -> None:
        """Hand orders out."""
        self._fuse.burn("before start")
        self._executor.start(orders, worker, expected_s)
        self._fuse.burn("after start")

    def answer(self, answers: Sequence[Answers]) -> None:
        """Tell flows."""
        self._fuse.burn("before answer")
        self._executor.answer(answers)
        self._fuse.burn("after answer")

    def kill(self, run: str, step: int, token: int) -> None:
        """Stop an attempt."""
        self._fuse.burn("before kill")
        self._executor.kill(run, step, token)
        self._fuse.burn("after kill")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)
