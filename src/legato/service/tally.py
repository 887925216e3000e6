"""The newest that the steps of a run told, while it goes."""

from __future__ import annotations

from legato.kernel import events as ev
from legato.terms.attempt import Fact
from legato.terms.fact import Metric, Progress

_MOST_METRICS = 1_000


class Tally:
    """The newest that the steps of a run told, from its events: how far those under way are, and the last metrics."""

    def __init__(self) -> None:
        self.progress: dict[int, Progress] = {}
        self.metrics: dict[tuple[int, str], Metric] = {}
        self.count = 0

    def hear(self, event: ev.AnyEvent) -> None:
        """Take up one event."""
        if isinstance(event, ev.FactsNoted):
            for fact in event.facts:
                self._take(event.step, fact)
        elif self.progress and isinstance(event, ev.StepSucceeded | ev.AttemptFailed):
            self.progress.pop(event.step, None)

    def _take(self, step: int, fact: Fact) -> None:
        if isinstance(fact, Progress):
            self.progress[step] = fact
            return
        self.count += 1
        if isinstance(fact, Metric):
            self.metrics.pop((step, fact.name), None)
            self.metrics[step, fact.name] = fact
            if len(self.metrics) > _MOST_METRICS:
                del self.metrics[next(iter(self.metrics))]
