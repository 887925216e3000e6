"""Partitions that one call makes: what it gave for each, kept until each is staged by an attempt of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from legato.declare.node import Node
from legato.quality.schema import describe
from legato.terms.attempt import Order
from legato.terms.key import show
from legato.worker.failure import Refused


class Headless(Exception):
    """The call that an attempt belongs to was not made here: it is to be handed out again."""


class Gathering:
    """The newest call for several partitions: their values, or why there are none."""

    def __init__(self) -> None:
        self._head = ("", 0)
        self._values: dict[str, Any] = {}
        self._error: Exception | None = None

    def take(self, node: Node, order: Order, call: Callable[[], Any]) -> Any:
        """What the call gave for this order's partition.

        The order at its head makes the call, and the others raise what it raised; `Headless` if it was not made here.
        """
        if order.token == order.head:
            self._make(node, order, call)
        if self._head != (order.run, order.head):
            raise Headless
        try:
            return self._part(node, order)
        finally:
            if order.partition == order.together[-1]:
                self._head, self._values, self._error = ("", 0), {}, None

    def _part(self, node: Node, order: Order) -> Any:
        if self._error is not None:
            raise self._error
        if order.partition not in self._values:
            raise Refused("value", f"{node.name} returned nothing for {show(node.name, order.partition)}")
        value = self._values.pop(order.partition)
        if isinstance(value, Exception):
            raise value
        return value

    def _make(self, node: Node, order: Order, call: Callable[[], Any]) -> None:
        self._head, self._values, self._error = (order.run, order.head), {}, None
        try:
            made = call()
            if not isinstance(made, Mapping):
                raise Refused("value", f"{node.name} returned {describe(made)}, and no dict by partition")
            if odd := [key for key in made if key not in order.together]:
                raise Refused("value", f"{node.name} returned {odd[0]!r}, which is none of the partitions that it was asked for")
            self._values = dict(made)
        except Exception as error:
            self._error = error
