"""What a flow can wait for without holding a process: time, somebody's approval, a signal."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

from legato.declare import alone
from legato.declare.calling import CALLER
from legato.terms.attempt import Wait
from legato.terms.errors import LegatoError, UsageError
from legato.terms.instant import parse_duration

Duration = str | float | timedelta


def sleep(duration: Duration) -> Any:
    """Waits: "30s", "3d", a number of seconds or a timedelta. In an `async def`: `await lg.sleep("3d")`.

    In a run the flow gives its process back meanwhile; elsewhere this sleeps.
    """
    seconds = _seconds(duration)
    caller = CALLER.get()
    if caller is not None:
        return caller.wait(Wait("sleep", seconds=seconds))
    if not alone.is_looping():
        return time.sleep(seconds)
    from asyncio import sleep as beside_others

    return beside_others(seconds)


def approval(question: str, *, who: str = "", timeout: Duration | None = None) -> Any:
    """Whether somebody approves: True, or False, as they say with `legato approve`. In an `async def`: `await lg.approval(...)`.

    `who` is the user, or the group of users, who may (empty: anybody). TimeoutError if nobody does in time.
    """
    return _ask(Wait("approval", _named(question, "question"), _limit(timeout), who))


def signal(name: str, *, timeout: Duration | None = None) -> Any:
    """What somebody sends under this name with `legato signal`: plain data, or None. In an `async def`: `await lg.signal(...)`.

    One that came before is there already; several that came before are given one by one.

    TimeoutError if nobody does in time.
    """
    return _ask(Wait("signal", _named(name, "name"), _limit(timeout)))


def _ask(wait: Wait) -> Any:
    caller = CALLER.get()
    if caller is None:
        raise LegatoError(
            "no-flow", f"lg.{wait.kind}({wait.name!r}) waits for somebody, and no flow is running here that could be told",
            why="the function was called as any other: there is no run that an answer could reach",
            next="run the flow that calls it: legato run FLOW",
        )  # fmt: skip
    return caller.wait(wait)


def _limit(timeout: Duration | None) -> float | None:
    return None if timeout is None else _seconds(timeout)


def _seconds(duration: Duration) -> float:
    seconds = parse_duration(duration)
    if not 0 <= seconds < math.inf:
        raise UsageError("duration", f"{duration!r} is no time to wait", next="write for example 30s, 1h30m or 2d")
    return seconds


def _named(text: str, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise UsageError("wait-name", f"{text!r} is no {what}", why="people answer to it by its name", next="write it as text")
    return text
