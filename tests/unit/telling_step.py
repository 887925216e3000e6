"""Attempts of one function, and what they told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from legato.declare.body import Body, Code, check_key
from legato.declare.node import Check, Node, Project
from legato.declare.resource import Secret
from legato.storages.memory import MemoryStorage
from legato.terms.attempt import Done, Noted, Order, Raised, Report
from legato.worker.harness import Harness
from legato.worker.preload import Kit

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 20
SVG = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'


class Step:
    """One attempt after the other of one function, and what they told."""

    def __init__(self) -> None:
        self.storage = MemoryStorage("files")
        self.sent: list[Noted] = []
        self.reports: list[Any] = []
        self.secrets = (Secret("TOLD_SECRET"),)

    def make(self, fn: Callable[[], Any], kind: Any = "task", *, token: int = 9, noted: tuple[int, ...] = ()) -> Report:
        code = Code(secrets=self.secrets)
        checks = ()
        code.bodies["fn"] = body(fn)
        if kind == "asset":
            code.bodies["fn"], code.bodies[check_key("fn", "judge")] = body(lambda: 1), body(fn)
            checks = (Check(asset="fn", name="judge", kind="function", severity="warn"),)
        node = Node(name="fn", kind=kind, outputs=("fn",) if kind == "asset" else (), checks=checks)
        project = Project(name="p", nodes={"fn": node}, makers={"fn": "fn"})
        kit = Kit(project, code, lambda: {"files": self.storage}, "files", Path.cwd())
        harness = Harness(kit)
        try:
            end = harness.make(Order("r1", 7, token, "fn", noted=noted), Nobody(), self._take)
        finally:
            harness.close()
        self.reports.append(end)
        return end

    def _take(self, noted: Noted) -> None:
        assert (noted.run, noted.step) == ("r1", 7)
        copy = msgspec.msgpack.decode(msgspec.msgpack.encode(noted), type=Noted)
        assert copy == noted
        self.sent.append(noted)
        self.reports.append(noted)

    @property
    def facts(self) -> list[Any]:
        return [fact for noted in self.sent for fact in noted.facts]

    def tell(self, fn: Callable[[], Any], kind: Any = "task") -> list[Any]:
        """The facts of an attempt that must succeed."""
        before = len(self.facts)
        end = self.make(fn, kind)
        assert isinstance(end, Done), end
        return self.facts[before:]

    def refused(self, fn: Callable[[], Any]) -> str:
        end = self.make(fn)
        assert isinstance(end, Raised), end
        return end.error.message


class Nobody:
    """A line to a conductor that never answers: for bodies of flows that call nothing."""

    def call(self, called: Any) -> None:
        raise AssertionError(called)

    def take(self, timeout_s: float) -> None:
        return None

    def listen(self, ring: Any) -> bool:
        return False


def body(fn: Callable[..., Any]) -> Body:
    return Body(fn, (), asyncio.iscoroutinefunction(fn), fn.__code__.co_filename, fn.__code__.co_firstlineno)
