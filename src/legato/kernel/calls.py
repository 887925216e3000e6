"""Which steps of a run are which calls of its flows: in groups and columns, so that a mapped item costs numbers, not records."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from legato.terms.attempt import Argument, Call, Item, Wait, argument_of


class Group:
    """Calls that a flow made alike: steps of consecutive numbers from `first` on, with the call's keys in this order.

    `call` and `items` say what they are called with, for as long as somebody can ask: an item is dropped when its step is over,
    and all the rest with the last one; unless it is to be kept, so that what the steps did can be undone.
    """

    __slots__ = ("call", "first", "is_kept", "items", "keys", "left", "parent")

    def __init__(self, parent: int, first: int, call: Call, is_kept: bool) -> None:
        self.parent, self.first, self.keys, self.is_kept = parent, first, call.keys, is_kept
        self.call: Call | None = call
        self.items: list[Item | None] = list(call.items)
        self.left = len(call.keys)

    def arguments(self, index: int) -> tuple[Argument, ...]:
        """What the flow gave the step; the results that it passed on unseen are not among it."""
        call = self.call
        assert call is not None
        if not self.items:
            return call.arguments
        item = self.items[index - self.first]
        assert item is not None
        over = argument_of(call.over, item)
        return (*call.arguments, over) if call.arguments else (over,)


class Calls:
    """Which step is which call of which flow. `children` are a flow's calls by key; those in `replaced` are so no more."""

    __slots__ = ("_group_of", "_groups", "_start", "children", "replaced")

    def __init__(self, start: int) -> None:
        self._start = start
        self._groups: list[Group] = []
        self._group_of = array("I")
        self.children: dict[int, dict[bytes, int]] = {}
        self.replaced: set[int] = set()

    def add(self, parent: int, call: Call, *, is_kept: bool) -> tuple[range, dict[int, int]]:
        """Number the calls after all steps that there are; their steps, and which of these replace former ones."""
        count, first = len(call.keys), self._start + len(self._group_of)
        steps = range(first, first + count)
        self._group_of.extend([len(self._groups)] * count)
        self._groups.append(Group(parent, first, call, is_kept))
        known, formers = self.children.setdefault(parent, {}), {}
        if not known.keys().isdisjoint(call.keys):
            formers = {step: known[key] for step, key in zip(steps, call.keys, strict=True) if key in known}
            self.replaced.update(formers.values())
        known.update(zip(call.keys, steps, strict=True))
        return steps, formers

    def adopt(self, former: int, heir: int) -> None:
        """What one flow called counts as called by another, which takes its place."""
        if (children := self.children.pop(former, None)) is not None:
            self.children[heir] = children
            for index in children.values():
                self.group(index).parent = heir

    def renew(self, index: int, call: Call, *, is_kept: bool) -> None:
        """The step is called again, with what may have been dropped since."""
        again = Group(self.parent(index), index, call, is_kept)
        self._group_of[index - self._start] = len(self._groups)
        self._groups.append(again)

    def group(self, index: int) -> Group:
        """The calls that this step, which no plan has, was made with."""
        return self._groups[self._group_of[index - self._start]]

    def end(self, index: int) -> int:
        """The step is over: nobody will ask any more what it was called with. The flow that called it."""
        group = self._groups[self._group_of[index - self._start]]
        if not group.is_kept:
            group.left -= 1
            if group.left <= 0:
                group.call, group.items = None, []
            elif group.items:
                group.items[index - group.first] = None
        return group.parent

    def call(self, index: int) -> Call | None:
        """The call that made the step, and others like it; None for a step of the plan, and once nobody will ask any more."""
        return self.group(index).call if index >= self._start else None

    def wait(self, index: int) -> Wait | None:
        """What the step waits for, if that is all it does, and it is not over."""
        call = self.call(index)
        return None if call is None else call.wait

    def parent(self, index: int) -> int:
        """The flow that called the step."""
        return self.group(index).parent

    def above(self, index: int) -> Iterator[int]:
        """The step, the flow that called it, the flow that called that, and so on."""
        yield index
        while index >= self._start:
            index = self.parent(index)
            yield index

    def key(self, index: int) -> bytes:
        """The key that its flow knows the step by."""
        group = self.group(index)
        return group.keys[index - group.first]

    def of(self, flow: int) -> dict[bytes, int]:
        """The steps that a flow called, by their keys."""
        return self.children.get(flow, {})

    def below(self, flow: int) -> Iterator[int]:
        """Everything that a flow called, and that what it called did."""
        for child in self.of(flow).values():
            yield child
            yield from self.below(child)
