"""`legato logs`: what a run's attempts printed, also while they print it."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator

import click

from legato.service.finding import find_run
from legato.service.following import Tail, works_on
from legato.service.logbook import AttemptRecord, Logbook
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, count
from legato.surfaces.shape import as_plain
from legato.terms.instant import format_seconds

Pieces = Iterator[tuple[AttemptRecord, bytes]]

_MOST_NAMED = 5


@command
@click.argument("run")
@click.argument("step", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on while the run goes on.")
@click.option("--attempt", "number", type=click.IntRange(min=1), metavar="N", help="Only the Nth try of each step.")
def logs(call: Call, run: str, step: str | None, follow: bool, number: int | None) -> None:
    """Print what a run's steps printed, and the errors that they ended with.

    RUN is a run's name, the beginning of one, or `last`. STEP is an asset, a task or a flow, with @PARTITION for one of its
    steps, or #3 for the third call that a flow made of it. Each attempt gets a heading, unless there is only one. With --json
    every piece of output is a line of JSON.
    """
    workspace = call.workspace_in_force()
    store = call.history(workspace)
    book = Logbook(store, find_run(store, run).id)
    book.read(store)
    steps = book.steps_of(step) if step else None

    def wanted(attempt: AttemptRecord) -> bool:
        return (steps is None or attempt.step in steps) and number in (None, attempt.number)

    def is_alive() -> bool:
        return works_on(workspace, store, book.run_id)

    tail = Tail(workspace, store, book, wanted)
    pieces = tail.follow(is_alive) if follow else tail.read()
    if call.json:
        _stream(call, tail, pieces, steps)
        return
    alone = not follow and sum(map(wanted, book.attempts.values())) == 1
    paper = _Paper(call.screen, book, alone=alone, brief=step is None)
    for attempt, chunk in pieces:
        paper.put(attempt, chunk)
    _close(call.aside, tail, paper, steps, alive=is_alive())


class _Paper:
    """Where pieces are printed, each attempt under its heading. `brief` only counts attempts without a word to say."""

    def __init__(self, screen: Screen, book: Logbook, *, alone: bool, brief: bool) -> None:
        self._screen, self._book, self._alone, self._brief = screen, book, alone, brief
        self._written: dict[int, bool] = {}
        self._current = 0
        self._ends_line = True
        self.silent = 0

    @property
    def is_blank(self) -> bool:
        """Whether no attempt was seen at all."""
        return not self._written

    def put(self, attempt: AttemptRecord, chunk: bytes) -> None:
        """Print a piece; an empty one ends the attempt."""
        if chunk:
            self._head(attempt)
            self._raw(chunk)
            self._written[attempt.token] = True
            return
        wrote = self._written.setdefault(attempt.token, False)
        if attempt.error is not None and not (self._brief and attempt.is_expected):
            self._head(attempt)
            self._line(self._screen.paint(attempt.error.trace or attempt.error.message, "red"))
        elif not wrote and self._brief and not self._alone:
            self.silent += 1
        elif not wrote:
            self._head(attempt)
            told = f"{self._book.title(attempt)} wrote nothing" if self._alone else "nothing written"
            self._line(self._screen.paint(told, "dim"))

    def _head(self, attempt: AttemptRecord) -> None:
        if attempt.token == self._current:
            return
        if not self._alone:
            took = f", {format_seconds(attempt.seconds)}" if attempt.seconds else ""
            outcome = f"  {self._screen.status(attempt.outcome)}{took}" if attempt.outcome else ""
            self._line(f"{self._screen.paint(f'── {self._book.title(attempt)}', 'bold')}{outcome}", apart=bool(self._current))
        self._current = attempt.token

    def _line(self, text: str, *, apart: bool = False) -> None:
        if not self._ends_line:
            self._screen.say()
        if apart:
            self._screen.say()
        self._screen.say(text)
        self._ends_line = True

    def _raw(self, chunk: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        self._ends_line = chunk.endswith(b"\n")


def _close(screen: Screen, tail: Tail, paper: _Paper, steps: frozenset[int] | None, *, alive: bool) -> None:
    """What is left to say beside the output: who was silent, what never ended, why there is nothing."""
    book, open_ones = tail.book, tail.unfinished()
    sys.stdout.flush()
    if paper.silent:
        screen.say(screen.paint(f"{count(paper.silent, 'attempt')} wrote nothing", "dim"))
    if open_ones:
        named = ", ".join(book.title(each) for each in open_ones[:_MOST_NAMED])
        more = f" and {len(open_ones) - _MOST_NAMED} more" if len(open_ones) > _MOST_NAMED else ""
        words = "still running" if alive else "unfinished, the process that made them is gone"
        screen.say(f"{words}: {named}{more}")
        screen.say(f"  next: legato {f'logs {book.run_id} --follow' if alive else f'resume {book.run_id}'}")
    elif paper.is_blank and not book.cached_by(steps):
        tried = {each.step for each in book.attempts.values()}
        told = sorted((steps or frozenset()) - tried)[:_MOST_NAMED]
        screen.say(f"run {book.run_id} made no such attempt" if steps else f"run {book.run_id} made no attempts")
        for step in told:
            screen.say(f"  {book.name(step)}: {book.why_not(step)}")
    for run, cached in list(book.cached_by(steps).items())[:_MOST_NAMED]:
        named = ", ".join(book.name(step) for step in cached[:_MOST_NAMED])
        more = f" and {len(cached) - _MOST_NAMED} more" if len(cached) > _MOST_NAMED else ""
        screen.say(screen.hang("from the cache: ", f"{named}{more}, made by run {run} (legato logs {run})"))


def _stream(call: Call, tail: Tail, pieces: Pieces, steps: frozenset[int] | None) -> None:
    """The pieces as events `output` and `ended`; `unfinished` for what has no end, `cached` for what made nothing; `end` last."""
    decoders: dict[int, codecs.IncrementalDecoder] = {}
    for attempt, chunk in pieces:
        decoder = decoders.setdefault(attempt.token, codecs.getincrementaldecoder("utf-8")("replace"))
        if text := decoder.decode(chunk, final=not chunk):
            call.event("output", attempt=attempt.token, step=tail.book.title(attempt), text=text)
        if not chunk:
            del decoders[attempt.token]
            call.event("ended", attempt=as_plain(attempt))
    for attempt in tail.unfinished():
        call.event("unfinished", attempt=as_plain(attempt))
    for run, cached in tail.book.cached_by(steps).items():
        for step in cached:
            call.event("cached", step=tail.book.name(step), run=run)
    call.event("end", run=tail.book.run_id, outcome=tail.book.outcome)
