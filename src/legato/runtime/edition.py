"""Editions: versions of the project that are at work beside each other, each with its own workers."""

from __future__ import annotations

import select
from collections.abc import Callable, Container, Sequence

from legato.kernel.board import Track
from legato.plan.build import handling_of
from legato.plan.graph import Graph
from legato.plan.records import Handling
from legato.plan.spread import Extents
from legato.ports.executor import Executor
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import Dispatch, Question
from legato.terms.attempt import Report
from legato.terms.instant import Instant

Observe = Callable[[str, str], str | None]
"""Asks a source what version it has at a partition; None where it has none."""


RECALL_EVERY_S = 0.05
"""How often busy workers are asked for orders that an idle one could make."""
_GLANCE_S = 0.01
"""How long to wait for one of several executors, where they cannot be waited for together."""


class Edition:
    """One version of the project at work: its graph, its workers, and where its runs stand.

    `observe` asks its sources at once; without it they are asked through its workers. `runs` are open and pinned to it, `asking`
    are inquiries under way. `spare` is the worker that runs which yield to others leave free (-1: none).
    """

    def __init__(
        self, graph: Graph, extents: Extents, executor: Executor, catalogue: Catalogue, track: Track, observe: Observe | None
    ) -> None:
        self.graph, self.executor, self.track, self.observe = graph, executor, track, observe
        self.dispatch = Dispatch(graph, extents, catalogue)
        nodes = graph.project.nodes.values()
        has_flows = any(node.kind == "flow" for node in nodes)
        self.handling: dict[str, Handling] = {node.name: handling_of(node) for node in nodes} if has_flows else {}
        self.runs: set[str] = set()
        self.asking = 0
        self.beside: set[tuple[str, int]] = set()
        self.is_uneven = False
        self.spare = -1
        self.recalled = Instant(0)

    @property
    def fingerprint(self) -> str:
        """The project's version."""
        return self.graph.project.fingerprint

    @property
    def is_idle(self) -> bool:
        """Whether nothing needs it any more, but what is still to be planned."""
        return not (self.runs or self.asking)

    def share_out(self, loads: Sequence[float], given: Container[int], now: Instant) -> None:
        """Where a worker is idle while others hold more than they work on, ask for what they have not begun."""
        idle = any(load_s == 0 and worker != self.spare and worker not in given for worker, load_s in enumerate(loads))
        busy = sum(load_s > 0 or worker in given for worker, load_s in enumerate(loads))
        held = self.track.attempts - self.track.flow_attempts - len(self.beside)
        self.is_uneven = idle and held > busy
        if self.is_uneven and now - self.recalled >= RECALL_EVERY_S * 1e6:
            self.recalled = now
            self.executor.recall()

    def look(self, questions: Sequence[Question]) -> dict[Question, str | None]:
        """What its sources say, asked at once."""
        assert self.observe is not None
        return {question: self.observe(*question) for question in questions}


def poll(editions: Sequence[Edition], timeout_s: float) -> list[Report]:
    """What the workers of all editions told since the last call, waiting at most so long for the first."""
    if len(editions) == 1:
        return editions[0].executor.poll(timeout_s)
    reports = [report for edition in editions for report in edition.executor.poll(0.0)]
    if reports or timeout_s <= 0:
        return reports
    executors = [edition.executor for edition in editions]
    if any(executor.fileno() < 0 for executor in executors):
        reports = executors[0].poll(min(timeout_s, _GLANCE_S))
    else:
        _wait(executors, timeout_s)
    return reports + [report for executor in executors for report in executor.poll(0.0)]


def _wait(executors: Sequence[Executor], timeout_s: float) -> None:
    """Wait until one of them may have something to tell."""
    poller = select.poll()
    for executor in executors:
        poller.register(executor.fileno(), select.POLLIN)
    poller.poll(timeout_s * 1000)
