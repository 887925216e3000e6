"""How much of a run is done, and how long the rest takes."""

from __future__ import annotations

from legato.kernel.state import FRESH, SUCCEEDED, RunState
from legato.service.estimating import Timings, seconds_a_step
from legato.terms.instant import Instant


class Pace:
    """How much is done, and how long the rest takes."""

    def __init__(self, state: RunState, slots: int, timings: Timings, started: Instant) -> None:
        self._state, self._slots, self._started = state, max(1, slots), started
        self._cost_s = seconds_a_step(timings)
        self.total = sum(step.run for step in state.plan.steps)
        self.left: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.unmade: dict[str, int] = {}
        for index, step in enumerate(state.plan.steps):
            if step.run:
                self.size[step.node] = self.size.get(step.node, 0) + 1
                if state.status[index] < FRESH:
                    self.left[step.node] = self.left.get(step.node, 0) + 1
                elif state.status[index] != SUCCEEDED:
                    self.unmade[step.node] = self.unmade.get(step.node, 0) + 1
        self._made: dict[str, tuple[int, float]] = {}

    def join(self, node: str, count: int, *, again: bool = False) -> None:
        """A flow calls so many steps of this node: there is more to do (unless they were there before, and are tried again)."""
        self.left[node] = self.left.get(node, 0) + count
        if not again:
            self.total += count
            self.size[node] = self.size.get(node, 0) + count

    @property
    def done(self) -> int:
        """How many steps have their outcome."""
        return self.total - sum(self.left.values())

    def see(self, node: str, seconds: float | None) -> bool:
        """One step of this node has its outcome (after so many seconds, if it succeeded); whether it was the node's last."""
        self.left[node] = self.left.get(node, 0) - 1
        if seconds is None:
            self.unmade[node] = self.unmade.get(node, 0) + 1
        else:
            made, before = self._made.get(node, (0, 0.0))
            self._made[node] = (made + 1, before + seconds)
            self._cost_s[node] = (before + seconds) / (made + 1)
        return self.left[node] == 0

    def see_cached(self, node: str) -> bool:
        """One step of this node has an earlier run's result, which does not say how long it takes; whether it was the last."""
        self.left[node] = self.left.get(node, 0) - 1
        return self.left[node] == 0

    def seconds_of(self, node: str) -> float:
        """How many seconds the node's steps took in this run, together."""
        return self._made.get(node, (0, 0.0))[1]

    def remaining_s(self, now: Instant) -> tuple[float, bool]:
        """Seconds until the end at the present pace, and whether nodes that were never made before are missing in it."""
        todo = [(node, left) for node, left in self.left.items() if left > 0]
        unknown = any(node not in self._cost_s for node, _ in todo)
        work_s = sum(self._cost_s.get(node, 0.0) * left for node, left in todo)
        elapsed_s, made_s = self.elapsed_s(now), sum(seconds for _, seconds in self._made.values())
        lanes = min(self._slots, made_s / elapsed_s) if elapsed_s > 2 and made_s > 0 else self._slots
        return work_s / max(lanes, 0.05), unknown

    def elapsed_s(self, now: Instant) -> float:
        """Seconds since the run (or this part of it) began."""
        return max(1e-6, (now - self._started) / 1e6)
