"""What the steps of a run told, step by step, read from the run's events: there is no other record of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from legato.kernel import events as ev
from legato.ports.store import Store
from legato.service.logbook import Logbook
from legato.service.readings import Readings
from legato.service.workspace import Workspace
from legato.terms.attempt import Fact, Image
from legato.terms.fact import Markdown, Metric, Progress, Table
from legato.terms.instant import Instant

Number = int | float


class Point(Struct, frozen=True):
    """One value of a series: the how manieth it was, and when it was told."""

    number: int
    value: Number
    at: Instant


class Series(Struct, frozen=True, kw_only=True):
    """The values that a step told under one name. `count` were told, of which `points` are kept; low and high are of these, and
    so is the mean, in which a value stands for those before it that were left out."""

    name: str
    unit: str
    count: int
    last: Number
    low: Number
    mean: float
    high: Number
    points: tuple[Point, ...]


class TableTold(Struct, frozen=True, kw_only=True):
    """The first rows of a table; `total` is how many it had."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    total: int


class ImageTold(Struct, frozen=True, kw_only=True):
    """A picture and its file; no file where that is gone, or its storage has none."""

    name: str
    kind: str
    size_bytes: int
    file: str


class StepFacts(Struct, frozen=True, kw_only=True):
    """What one step told: its newest try that told anything, or all passes through the body of a flow.

    Of tables, texts and images of one name the newest is there.
    """

    step: int
    name: str
    attempt: int
    progress: Progress | None
    metrics: tuple[Series, ...]
    tables: tuple[TableTold, ...]
    texts: tuple[Markdown, ...]
    images: tuple[ImageTold, ...]


class RunFacts(Struct, frozen=True, kw_only=True):
    """What the steps of a run told, in the order of the steps."""

    run: str
    steps: tuple[StepFacts, ...]


def read_facts(
    workspace: Workspace, store: Store, run_id: str, step: str = "", attempt: int = 0, readings: Readings | None = None
) -> RunFacts:  # fmt: skip
    """What the steps of a run told; of those that a text names alone, and of one try of each where it has a number."""
    with (readings or Readings()).of(store, Factbook, run_id) as (book,):
        wanted = book.steps_of(step) if step else None
        told = {
            index: facts
            for index in sorted(book.told) if (wanted is None or index in wanted) and (facts := book.of(index, attempt))
        }  # fmt: skip
        return RunFacts(run=run_id, steps=tuple(_shown(workspace, book, index, *found) for index, found in told.items()))


class Factbook(Logbook):
    """The attempts of a run, with the facts that they told: step -> token -> facts."""

    def __init__(self, store: Store, run_id: str) -> None:
        super().__init__(store, run_id)
        self.told: dict[int, dict[int, list[Fact]]] = {}

    def _take(self, event: ev.AnyEvent) -> Iterable[int]:
        if isinstance(event, ev.FactsNoted):
            self.told.setdefault(event.step, {}).setdefault(event.token, []).extend(event.facts)
            return ()
        return super()._take(event)

    def of(self, step: int, attempt: int) -> tuple[int, list[Fact]] | None:
        """The try whose facts are to be shown, and these; None if there is none."""
        by_token = {token: facts for token, facts in self.told[step].items() if attempt in (0, self._number(token))}
        if not by_token:
            return None
        newest = max(by_token)
        if self.plan.handling[self.plan.steps[step].node].flow:
            return self._number(newest), [fact for token in sorted(by_token) for fact in by_token[token]]
        return self._number(newest), by_token[newest]

    def _number(self, token: int) -> int:
        """Which try of its step it was. One that was taken back is none of its own: what it told belongs to the next."""
        record = self.attempts.get(token)
        return record.number if record is not None else 1


def _shown(workspace: Workspace, book: Factbook, index: int, attempt: int, facts: list[Fact]) -> StepFacts:
    tables = {fact.name: fact for fact in facts if isinstance(fact, Table)}
    images = {fact.name: fact for fact in facts if isinstance(fact, Image)}
    return StepFacts(
        step=index, name=book.name(index), attempt=attempt,
        progress=next((fact for fact in reversed(facts) if isinstance(fact, Progress)), None),
        metrics=tuple(_series(facts)),
        tables=tuple(
            TableTold(name=each.name, columns=each.columns, rows=msgspec.msgpack.decode(each.rows), total=each.total)
            for each in tables.values()
        ),
        texts=tuple({fact.name: fact for fact in facts if isinstance(fact, Markdown)}.values()),
        images=tuple(
            ImageTold(name=each.name, kind=each.kind, size_bytes=each.kept.size_bytes, file=workspace.file_of(each.kept))
            for each in images.values()
        ),
    )  # fmt: skip


def _series(facts: list[Fact]) -> Iterator[Series]:
    by_name: dict[str, list[Metric]] = {}
    for fact in facts:
        if isinstance(fact, Metric):
            by_name.setdefault(fact.name, []).append(fact)
    for name, told in by_name.items():
        values = [metric.value for metric in told]
        weights = [1, *(max(1, metric.number - former.number) for former, metric in pairwise(told))]
        mean = sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
        yield Series(
            name=name, unit=told[-1].unit, count=max(len(told), *(metric.number for metric in told)), last=values[-1],
            low=min(values), mean=mean, high=max(values),
            points=tuple(Point(metric.number, metric.value, metric.at) for metric in told),
        )  # fmt: skip
