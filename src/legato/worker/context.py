"""The attempt that this process makes now, for user code that asks or tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from legato.declare.node import Node
from legato.declare.partitions import partition_of
from legato.declare.resource import Context
from legato.terms.attempt import Order
from legato.terms.errors import LegatoError

if TYPE_CHECKING:
    from legato.worker.teller import Teller

Now = tuple[Node, Order, "Teller | None"] | None
# A process makes one attempt at a time, so a plain variable is right where a context variable would be
# empty: in threads that the user's function starts. A flow that waits is set aside while others are made.
_now: Now = None


def enter(node: Node, order: Order, teller: Teller | None = None) -> None:
    """Make this order the process's current attempt; what it tells goes to the teller, if anybody listens."""
    global _now
    _now = node, order, teller


def leave() -> None:
    """End the process's current attempt."""
    global _now
    _now = None


def set_aside() -> Now:
    """End the process's current attempt for now; what `resume` needs to go on with it."""
    now = _now
    leave()
    return now


def resume(now: Now) -> None:
    """Go on with an attempt that was set aside."""
    global _now
    _now = now


def current() -> Context:
    """What the attempt that runs in this process knows of itself; `LegatoError` (`no-attempt`) outside of one."""
    if _now is None:
        raise LegatoError(
            "no-attempt", "no attempt runs here", why="it is known only while Legato runs an asset, task or check",
            next="pass what you need as arguments when you call the function yourself",
        )  # fmt: skip
    node, order, _ = _now
    return context_of(node, order)


def teller() -> Teller | None:
    """Who takes what user code tells here. None where no attempt runs, also in a process that one has forked."""
    return None if _now is None else _now[2]


def _forget_teller() -> None:
    """In a child process: what it told would never be sent, and a lock may be held for ever."""
    global _now
    if _now is not None:
        _now = _now[0], _now[1], None


os.register_at_fork(after_in_child=_forget_teller)


def context_of(node: Node, order: Order) -> Context:
    """What an order's attempt knows of itself."""
    return Context(
        run=order.run,
        node=order.node,
        attempt=order.attempt,
        partition=partition_of(node.partitions, order.partition) if order.partition else None,
        idempotency_key=f"{order.run}:{order.step}" + (f":{order.undone}" if order.undone else ""),
    )
