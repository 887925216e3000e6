"""Routes of runs: what they are, what their steps did and wrote, what they wait for; and submitting, stopping, answering."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any

from litestar import post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from legato.service import asks
from legato.service.excerpts import MOST_BYTES, Excerpt, Matches, read_excerpt, search
from legato.service.facts import RunFacts, read_facts
from legato.service.finding import find_run
from legato.service.former import Code
from legato.service.logbook import AttemptRecord, Logbook
from legato.service.planning import Planner
from legato.service.reporting import RunLine, RunReport, list_runs, report_run
from legato.service.request import Request as Wanted
from legato.service.resuming import Resumption, plan_resumption
from legato.service.steps import StepPage, list_steps
from legato.service.waiting import Waiting, list_waits
from legato.surfaces.http.looking import Asking, Flag, Limit, Number, PlanAsked, Words, looking, page_of
from legato.surfaces.http.paging import fill_page
from legato.surfaces.http.site import Inside, entered
from legato.terms.codec import pack

RunId = Annotated[str, PathParameter(max_length=64, pattern=r"^[0-9a-z-]+$")]
RunStep = Annotated[str, QueryParameter(max_length=80, pattern=r"^([0-9a-z-]+/[0-9]{1,10})?$")]
StepNumber = Annotated[int, PathParameter(ge=0, le=1 << 31)]
StepAfter = Annotated[int, QueryParameter(ge=-1, le=1 << 31)]
Most = Annotated[int, QueryParameter(ge=1, le=MOST_BYTES)]
CodeOf = Annotated[Code, QueryParameter()]
OfState = Annotated[str, QueryParameter(name="state", max_length=20)]


class RunPage(Struct, frozen=True, kw_only=True):
    """Runs, newest first; `older` is the run to ask for the next page with, empty if there is none. A page may be short, or
    empty, and have a next one: where what was looked through is not for the actor to see."""

    runs: list[RunLine]
    older: str


class RunAsked(PlanAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run, as it is planned. The same `key` again gives the same run. Where it starts from a run, `code` says whether
    with the code of now, as ever, or with that of `then`."""

    key: str = ""
    code: Code = ""


class Reason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept with the run."""

    reason: str = ""


class AnswerGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a flow that waits is answered: true or false for an approval, anything for a signal; and why."""

    value: Any
    reason: str = ""


class SignalSent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal for a run. The same `key` again is the same signal."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    value: Any = None
    key: Annotated[str, Meta(max_length=100)] = ""


@looking("/runs")
def runs(
    request: Asking, limit: Limit = 50, before: Words = "", of_state: OfState = ""
) -> RunPage:  # fmt: skip
    """Runs, newest first: of one state, or of all."""
    with entered(request) as inside:

        def read(size: int, behind: str | None) -> list[RunLine]:
            return list_runs(inside.workspace, inside.store, limit=size, state=of_state or None, before=behind)

        found, older = fill_page(read, inside.may_read, before=before, limit=limit)
        return RunPage(runs=found, older=older)


@looking("/runs/{run:str}")
def run(request: Asking, run: RunId) -> RunReport:
    """How a run is, or how it ended."""
    with entered(request) as inside:
        return report_run(inside.workspace, inside.store, inside.run(run), inside.readings)


@looking("/runs/{run:str}/steps")
def steps(
    request: Asking, run: RunId, limit: Limit = 200,
    after: StepAfter = -1, status: Words = "", of: Words = "",
) -> StepPage:  # fmt: skip
    """The steps of a run, in order: of one status or node, or of all."""
    with entered(request) as inside:
        found = inside.run(run)
        return list_steps(
            inside.store, found, after=after, limit=limit, status=status, node=of, readings=inside.readings
        )  # fmt: skip


@contextmanager
def _logbook(inside: Inside, run: str) -> Iterator[Logbook]:
    with inside.readings.of(inside.store, Logbook, inside.run(run).id) as (book,):
        yield book


@looking("/runs/{run:str}/attempts")
def attempts(request: Asking, run: RunId, limit: Limit = 200, after: Number = 0) -> list[AttemptRecord]:
    """The attempts of a run, by their tokens; `after` is the last token of the page before."""
    with entered(request) as inside, _logbook(inside, run) as book:
        return list(islice((each for token, each in book.attempts.items() if token > after), limit))  # tokens rise


@looking("/runs/{run:str}/log")
def log(
    request: Asking, run: RunId, attempt: Number, start: Number = 0, line: Number = 0,
    most: Most = 1 << 16,
) -> Excerpt:  # fmt: skip
    """What an attempt wrote, from a byte or a line on. To follow it, ask again from `end` until it has `ended`."""
    with entered(request) as inside, _logbook(inside, run) as book:
        return read_excerpt(inside.workspace, book, attempt, start=start, line=line, most=most)


@looking("/runs/{run:str}/log/search")
def log_search(request: Asking, run: RunId, words: Words, limit: Limit = 100) -> Matches:
    """The lines of a run's output that have these words."""
    with entered(request) as inside, _logbook(inside, run) as book:
        return search(inside.workspace, book, words, limit=limit)


@looking("/runs/{run:str}/facts")
def facts(request: Asking, run: RunId, step: Words = "", attempt: Number = 0) -> RunFacts:
    """What the steps of a run told: metrics, tables, texts, images."""
    with entered(request) as inside:
        return read_facts(inside.workspace, inside.store, inside.run(run).id, step, attempt, inside.readings)


@looking("/runs/{run:str}/resumption")
def resumption(request: Asking, run: RunId) -> Resumption:
    """What the run would do if it went on."""
    with entered(request) as inside:
        return plan_resumption(inside.workspace, inside.store, inside.run(run))


@looking("/waits")
def waits(request: Asking, of: Words = "", limit: Limit = 1_000, after: RunStep = "") -> list[Waiting]:
    """What the flows of open runs wait for, or those of one run; the oldest run first, from behind one `RUN/STEP` on."""
    run, _, step = after.partition("/")
    behind = (run, int(step)) if after else ()
    with entered(request) as inside:
        if of:
            found = list_waits(inside.workspace, inside.store, inside.run(of), inside.readings)
            return page_of(found, lambda each: (each.run, each.step), behind, limit)
        known = {each.id: each.domains for each in inside.store.runs(limit=1_000, state="open")}
        found = list_waits(inside.workspace, inside.store, readings=inside.readings)
        seen = (each for each in found if inside.may_read(*known.get(each.run, ())))
        return page_of(seen, lambda each: (each.run, each.step), behind, limit)


# -- changes --


@post("/runs", sync_to_thread=True, status_code=202, opt={"action": "submit"})
def submit(request: Asking, data: JSONBody[RunAsked]) -> asks.Submitted:
    """Run a selection, or a flow. The run is recorded when this is answered."""
    with entered(request) as inside:
        for run in (find_run(inside.store, name) for name in data.runs):
            inside.run(run.id, "submit")
        if data.selection or not data.start:
            for name in Planner(inside.workspace, inside.store).select(data.selection):
                inside.node(name, "submit")
        wanted = Wanted(data.selection, data.force, data.params, data.start, data.pins)
        question = asks.SubmitRun(request=wanted, key=data.key, actor=inside.actor.name, code=data.code)
        return inside.ask(question, asks.Submitted)


@post("/runs/{run:str}/cancel", sync_to_thread=True, status_code=200, opt={"action": "cancel"})
def cancel(request: Asking, run: RunId, data: JSONBody[Reason]) -> asks.Heard:
    """Stop a run."""
    with entered(request) as inside:
        found = inside.run(run, "cancel")
        return inside.ask(asks.CancelRun(run=found.id, reason=data.reason, actor=inside.actor.name), asks.Heard)


@post("/runs/{run:str}/pause", sync_to_thread=True, status_code=200, opt={"action": "pause"})
def pause(request: Asking, run: RunId, data: JSONBody[Reason]) -> asks.Heard:
    """Let a run stand still: nothing new starts, what is under way ends."""
    with entered(request) as inside:
        found = inside.run(run, "pause")
        return inside.ask(asks.PauseRun(run=found.id, reason=data.reason, actor=inside.actor.name), asks.Heard)


@post("/runs/{run:str}/resume", sync_to_thread=True, status_code=200, opt={"action": "resume"})
def resume(request: Asking, run: RunId, failed_only: Flag = False, code: CodeOf = "") -> asks.Heard:
    """Let a run go on: a paused one where it stands; else what did not succeed is tried again, or only what failed. With the code
    of now, or with that of `then`."""
    with entered(request) as inside:
        found = inside.run(run, "resume")
        question = asks.ResumeRun(run=found.id, failed_only=failed_only, actor=inside.actor.name, code=code)
        return inside.ask(question, asks.Heard)


@post("/runs/{run:str}/waits/{step:int}", sync_to_thread=True, status_code=200, opt={"action": "answer"})
def answer(request: Asking, run: RunId, step: StepNumber, data: JSONBody[AnswerGiven]) -> asks.Heard:
    """Answer what a flow waits for: an approval or a signal."""
    with entered(request) as inside:
        found = inside.run(run, "answer")
        question = asks.AnswerWait(
            run=found.id,
            step=step,
            value=pack(data.value),
            reason=data.reason,
            actor=inside.actor.name,
            groups=inside.actor.groups,
        )
        return inside.ask(question, asks.Heard)


@post("/runs/{run:str}/signals", sync_to_thread=True, status_code=200, opt={"action": "answer"})
def send_signal(request: Asking, run: RunId, data: JSONBody[SignalSent]) -> asks.Heard:
    """Send a run a signal: it ends what waits for it, or is kept until something does."""
    with entered(request) as inside:
        found = inside.run(run, "answer")
        id = data.key or f"{inside.site.clock.noise(128):032x}"
        question = asks.SendSignal(run=found.id, name=data.name, value=pack(data.value), id=id, actor=inside.actor.name)
        return inside.ask(question, asks.Heard)


ROUTES = [
    runs, run, steps, attempts, log, log_search, facts, resumption, waits, submit, cancel, pause, resume, answer, send_signal,
]  # fmt: skip
