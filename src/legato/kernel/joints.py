"""Who waits for whom. A joint is one range of steps that somebody waits for; steps that wait for the same range share it, so
"all of A before any of B" costs |A| + |B|, not |A| x |B|."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from legato.plan.records import Step


class Joints:
    """What steps still wait for, by counters: `left` are the joints that a step waits for, `pending` the steps that a joint does.

    `waiters` are the steps that wait for each joint. `done` says of the plan's steps which are so from the beginning; steps that
    do not run wait for nothing.
    """

    __slots__ = ("_of", "_wanted", "left", "pending", "waiters")

    def __init__(self, steps: Sequence[Step], done: bytearray) -> None:
        self.left = array("I", bytes(4 * len(steps)))
        self._wanted = bytearray(len(steps))
        self.pending = array("I")
        self._of: dict[int, int | tuple[int, ...]] = {}
        self.waiters: list[array[int]] = []
        known: dict[tuple[int, int], int] = {}
        for index, step in enumerate(steps):
            deps = step.deps
            if not (deps and step.run):
                continue
            for at in range(0, len(deps), 2):
                span = (deps[at], deps[at + 1])
                joint = known.get(span)
                if joint is None:
                    joint = known[span] = len(self.waiters)
                    self.waiters.append(array("I"))
                self.waiters[joint].append(index)
                self.left[index] += 1
        for joint, span in enumerate(known):
            self._close(joint, range(*span), done)

    def _close(self, joint: int, span: range, done: bytearray) -> None:
        """Let a joint wait for what is not done yet; if all of it is, it opens at once."""
        pending = 0
        for index in span:
            self._wanted[index] = 1
            if not done[index]:
                pending += 1
                known = self._of.get(index)
                if known is None:
                    self._of[index] = joint
                else:
                    self._of[index] = (known, joint) if isinstance(known, int) else (*known, joint)
        self.pending.append(pending)
        if not pending:
            for waiter in self.waiters[joint]:
                self.left[waiter] -= 1

    def is_free(self, index: int) -> bool:
        """Whether the step waits for no other one."""
        return not self.left[index]

    def is_wanted(self, index: int) -> bool:
        """Whether somebody waits for the step, or did."""
        return bool(self._wanted[index])

    def of(self, index: int) -> tuple[int, ...]:
        """The joints that this step is part of."""
        found = self._of.get(index)
        if found is None:
            return ()
        return (found,) if isinstance(found, int) else found

    def grow(self, count: int) -> None:
        """So many steps join that a flow waits for, and that wait for nothing."""
        self.left.frombytes(bytes(self.left.itemsize * count))
        self._wanted.extend(b"\x01" * count)

    def tie(self, need: int, waiters: Sequence[int], *, is_done: bool) -> None:
        """Let steps wait for another one; where it is done, only once that is taken back."""
        self._of[need] = (*self.of(need), len(self.waiters))
        self.waiters.append(array("I", waiters))
        self.pending.append(not is_done)
        if not is_done:
            for waiter in waiters:
                self.left[waiter] += 1

    def release(self, index: int) -> Sequence[int]:
        """The step is done; those that wait for nothing more."""
        if index not in self._of:
            return ()
        free: list[int] = []
        left, pending = self.left, self.pending
        for joint in self.of(index):
            if pending[joint] == 0:
                continue
            pending[joint] -= 1
            if pending[joint] == 0:
                for waiter in self.waiters[joint]:
                    left[waiter] -= 1
                    if left[waiter] == 0:
                        free.append(waiter)
        return free

    def unrelease(self, index: int) -> None:
        """Take back a release: what waits for this step waits again."""
        for joint in self.of(index):
            if self.pending[joint] == 0:
                for waiter in self.waiters[joint]:
                    self.left[waiter] += 1
            self.pending[joint] += 1
