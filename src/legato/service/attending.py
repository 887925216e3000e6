"""The conductor's side of the desk: each question is done, recorded, and only then answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from legato.kernel.inputs import Cancel, Input, Pause, Resolve, Signal
from legato.kernel.inputs import Resume as GoOn
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.access import Audit
from legato.ports.store import Run, Store
from legato.runtime.conductor import Conductor
from legato.runtime.edition import Edition
from legato.service import asks
from legato.service.access import change_access, log_in
from legato.service.desk import Asked, Desk
from legato.service.finding import find_run, require_open
from legato.service.former import not_kept
from legato.service.inbox import Inbox
from legato.service.keys import add_keys, judge_keys
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.publishing import moves_back, rollback
from legato.service.sources import plan_when_answered
from legato.service.waiting import require_answerer, require_size, run_of
from legato.service.workspace import Workspace
from legato.terms.errors import Fault, LegatoError, NotFound, UsageError
from legato.terms.instant import Instant, after
from legato.terms.key import show

Want = Callable[[str, Callable[[Edition, Workspace], None], Callable[[LegatoError], None]], None]
CODE_S = 20.0
"""How long a request waits for the code that it is to run with."""

Act = Callable[["Attendant", Any], object]
"""Does what was asked. What it returns is the answer, if it is recorded already; a function that is called when the conductor's
turn is committed, and gives the answer; or `Later`, an answer that takes several turns."""


class Later:
    """An answer to come: given, or refused, in a turn to come."""

    def __init__(self) -> None:
        self._asked: Asked | None = None
        self._outcome: Callable[[Asked], None] | None = None

    def give(self, act: Callable[[], object]) -> None:
        """Do it, and answer with what it gives, which is recorded already."""
        self.give_later(act, lambda asked, value: asked.answer(value))

    def give_later(self, act: Callable[[], object], answer: Callable[[Asked, Any], None]) -> None:
        """Do it, and let `answer` tell what it gives."""
        try:
            value = act()
        except LegatoError as error:
            self.refuse(error)
        else:
            self._end(lambda asked: answer(asked, value))

    def refuse(self, error: LegatoError) -> None:
        """There will be none, for this reason."""
        if error.code in _FATAL:
            raise error
        self._end(lambda asked: asked.refuse(error))

    def tell(self, asked: Asked) -> None:
        """Whom to tell."""
        self._asked = asked
        if self._outcome is not None:
            self._outcome(asked)

    def _end(self, outcome: Callable[[Asked], None]) -> None:
        self._outcome = outcome
        if self._asked is not None:
            outcome(self._asked)


class Attendant:
    """Answers what is asked at a desk, turn by turn: `attend` is the conductor's `on_turn`.

    What a run is told in one turn is answered at the beginning of the next: by then it is committed. What commits by itself is
    answered at once. `workspace` gives the project as it is now; `more` adds kinds of questions, or replaces what is done.
    """

    def __init__(
        self,
        desk: Desk,
        conductor: Conductor,
        workspace: Callable[[], Workspace],
        more: Mapping[type[asks.Ask], Act] | None = None,
    ) -> None:
        self.desk, self.conductor = desk, conductor
        self._workspace = workspace
        self._acts: dict[type[asks.Ask], Act] = {**_ACTS, **(more or {})}
        self._done: list[tuple[Asked, Callable[[], object]]] = []
        self._held: list[tuple[Asked, Instant]] = []
        self.since = workspace().clock.now()
        self.faults: Callable[[], Iterable[Fault]] = tuple
        """What is wrong with the project's files as they are now."""
        self.want: Want = self._want_newest
        """Has a version of the project at work, for whoever wants the code of then."""

    @property
    def workspace(self) -> Workspace:
        """The project as it is now."""
        return self._workspace()

    @property
    def store(self) -> Store:
        """The store, for writing."""
        return self.conductor.store

    def attend(self) -> None:
        """Answer what is recorded by now, and take up what was asked since."""
        done, self._done = self._done, []
        for asked, tell in done:
            asked.answer(tell())
        held, self._held = self._held, []
        for asked, until in held:
            self._take_up(asked, until)
        for asked in self.desk.waiting():
            self._take_up(asked, after(self.conductor.clock.now(), CODE_S))
        if self._done:
            self.conductor.executor.wake()

    def _take_up(self, asked: Asked, until: Instant) -> None:
        try:
            if isinstance(asked.ask, asks.SubmitRun | asks.ResumeRun) and not self._has_code(asked.ask.source, until):
                self._held.append((asked, until))
                return
            value = self._acts[type(asked.ask)](self, asked.ask)
        except LegatoError as error:
            if error.code in _FATAL:  # nothing is acknowledged any more, and the conductor says so itself
                raise
            asked.refuse(error)
            return
        if isinstance(value, Later):
            value.tell(asked)
        elif callable(value):
            self._done.append((asked, value))
        else:
            asked.answer(value)

    def answer_when_recorded(self, asked: Asked, tell: Callable[[], object]) -> None:
        """Answer when this turn is committed."""
        self._done.append((asked, tell))

    def _want_newest(
        self, fingerprint: str, ready: Callable[[Edition, Workspace], None], refused: Callable[[LegatoError], None]
    ) -> None:
        edition = self.conductor.edition_of(fingerprint)
        if edition is self.conductor.edition:
            ready(edition, self.workspace)
        else:
            refused(not_kept(fingerprint))

    def _has_code(self, source: str, until: Instant) -> bool:
        """Whether the project in force is of these files; refused if it is not in time."""
        if not source or source == self.workspace.snapshot.source:
            return True
        if self.conductor.clock.now() < until:
            return False
        raise LegatoError(
            "code-other", "the service works with other code than there is here", next="legato check, then the same again",
            why=f"it did not take over the files of now within {CODE_S:.0f} s: they do not load there, or still change",
        )  # fmt: skip

    def note(self, ask: asks.Ask, action: str, object: str, detail: str = "") -> Audit:
        """What is recorded of a question."""
        return Audit(at=self.conductor.clock.now(), actor=ask.actor, action=action, object=object, detail=detail)

    def tell(self, ask: asks.Ask, run: Run, input: Input, action: str, detail: str = "") -> Callable[[], asks.Heard]:
        """Tell a run, whose events are taken up first if nobody here has them; the answer says how it is then."""
        if run.id not in self.conductor.runs:
            self.conductor.adopt(run.id)
        self.conductor.tell(run.id, input, [self.note(ask, action, run.id, detail)])
        return lambda: asks.Heard(run=run.id, state=_state_of(self.store, run.id))


def _ping(at: Attendant, ask: asks.Ping) -> asks.Pong:
    open_runs = sum(live.state.ended is None for live in at.conductor.runs.values())
    return asks.Pong(pid=os.getpid(), since=at.since, open_runs=open_runs, workers=at.conductor.executor.workers())


def _give_snapshot(at: Attendant, ask: asks.GetSnapshot) -> asks.SnapshotGiven:
    from legato.declare.snapshot import encode

    snapshot = at.workspace.snapshot
    name = f"{snapshot.source} {snapshot.fingerprint}"
    return asks.SnapshotGiven(source=name, body=b"" if ask.known == name else encode(snapshot), faults=tuple(at.faults()))


def _submit(at: Attendant, ask: asks.SubmitRun) -> object:
    if (former := _former(at, ask)) is not None:
        return former
    later, request = Later(), ask.request

    def planned(planner: Planner, plan: Plan) -> None:
        later.give(lambda: _former(at, ask) or _accept(at, ask, planner, plan))

    def go_on(edition: Edition, workspace: Workspace) -> None:
        question = partial(at.conductor.ask, edition=edition)
        plan_when_answered(workspace, at.store, lambda planner: plan_request(planner, request), question, planned, later.refuse)

    if ask.code and request.start is None:
        raise UsageError("code-of-what", "code says with which code a run is repeated", next="say from which step of which run")
    if ask.code == "then" and request.start is not None:
        at.want(find_run(at.store, request.start[1]).project, go_on, later.refuse)
    else:
        go_on(at.conductor.edition, at.workspace)
    return later


def _former(at: Attendant, ask: asks.SubmitRun) -> asks.Submitted | None:
    """What became of the same question before; `LegatoError` (`request-other`) if the one with this key was another."""
    run = at.store.run_by_key(ask.key) if ask.key else None
    if run is not None and not ask.request.asked_for(run.request):
        raise LegatoError(
            "request-other", f"another request was made with the key {ask.key!r}: run {run.id} is not what is asked for now",
            why="a key names one request: give this one a key of its own", next=f"legato status {run.id}",
        )  # fmt: skip
    return None if run is None else asks.Submitted(run=run.id, new=False, request=run.request, steps=run.steps, skipped=0)


def _accept(at: Attendant, ask: asks.SubmitRun, planner: Planner, plan: Plan) -> asks.Submitted:
    run = ""
    if plan.has_work:
        audit = [at.note(ask, "submit", plan.request)]
        run = at.conductor.accept(plan, actor=ask.actor, key=ask.key, audit=audit, extents=planner.extents)
    return asks.Submitted(
        run=run, new=bool(run), request=plan.request, steps=plan.size, skipped=len(plan.steps) - plan.size, reasons=plan.reasons
    )


def _cancel(at: Attendant, ask: asks.CancelRun) -> object:
    run = find_run(at.store, ask.run)
    require_open(run)
    return at.tell(ask, run, Cancel(ask.actor, ask.reason), "cancel", ask.reason)


def _pause(at: Attendant, ask: asks.PauseRun) -> object:
    run = find_run(at.store, ask.run)
    require_open(run)
    return at.tell(ask, run, Pause(ask.actor, ask.reason), "pause", ask.reason)


def _resume(at: Attendant, ask: asks.ResumeRun) -> object:
    run = find_run(at.store, ask.run)
    if run.state == "succeeded":
        raise UsageError("run-succeeded", f"run {run.id} succeeded: nothing is left to resume", next="legato run")
    Inbox(at.workspace.inbox).forget(run.id)
    later, live = Later(), at.conductor.runs.get(run.id)

    def go_on(edition: Edition, _: Workspace) -> None:
        later.give_later(lambda: _resume_with(at, ask, run, edition), at.answer_when_recorded)

    if live is not None and not (ask.code == "now" and live.edition is not at.conductor.edition):
        return _resume_with(at, ask, run, live.edition)
    if ask.code != "then":
        return _resume_with(at, ask, run, at.conductor.edition)
    at.want(run.project, go_on, later.refuse)
    return later


def _resume_with(at: Attendant, ask: asks.ResumeRun, run: Run, edition: Edition) -> Callable[[], asks.Heard]:
    live = at.conductor.runs.get(run.id)
    if live is None:
        at.conductor.adopt(run.id, edition)
    elif live.edition is not edition and live.state.running:
        raise UsageError(
            "run-underway", f"run {run.id} is under way with the code that it began with", next=f"legato pause {run.id}",
            why="its code can be changed when nothing of it runs",
        )  # fmt: skip
    elif live.edition is not edition:
        at.conductor.move(run.id, edition)
    words = [*(["failed only"] if ask.failed_only else []), *([f"code of {ask.code}"] if ask.code else [])]
    return at.tell(ask, run, GoOn(ask.actor, ask.failed_only), "resume", ", ".join(words))


def _answer(at: Attendant, ask: asks.AnswerWait) -> object:
    run = find_run(at.store, ask.run)
    if run.id not in at.conductor.runs and run.state == "open":
        at.conductor.adopt(run.id)
    live = at.conductor.runs.get(run.id)
    wait = _wait_of(live.state, ask.step) if live is not None else None
    if wait is None:
        raise NotFound("wait-none", f"run {run.id} waits for nothing at step {ask.step}", next="legato waits")
    require_answerer(run.id, wait.name, wait.who, ask.actor, ask.groups)
    return at.tell(ask, run, Resolve(ask.step, ask.value, ask.actor, at.conductor.clock.now(), ask.reason), "answer", wait.name)


def _signal(at: Attendant, ask: asks.SendSignal) -> object:
    run = run_of(at.store, ask.run)
    require_size(ask.name, ask.value)
    sent = Signal(ask.id, ask.name, ask.value, ask.actor, at.conductor.clock.now())
    return at.tell(ask, run, sent, "signal", ask.name)


def _roll_back(at: Attendant, ask: asks.RollBack) -> asks.RolledBack:
    moves, left = moves_back(at.workspace, at.store, ask.what, ask.to or None)
    request = f"rollback {ask.what}" + (f" --to {ask.to}" if ask.to else "")
    run = rollback(at.workspace, at.store, moves, request, ask.actor, [at.note(ask, "rollback", ask.what, ask.to)])
    at.conductor.relearn({move.asset for move in moves})
    return asks.RolledBack(run=run, count=len(moves), left=tuple(show(moves[0].asset, partition) for partition in left))


def _add_keys(at: Attendant, ask: asks.AddKeys) -> object:
    sound = judge_keys(at.workspace, ask.name, ask.keys)
    return add_keys(at.workspace, at.store, ask.name, sound, [at.note(ask, "keys", ask.name, f"{len(sound)} keys")])


def _log_in(at: Attendant, ask: asks.LogIn) -> asks.Done:
    log_in(at.store, ask.link, ask.session, at.conductor.clock.now())
    return asks.Done(count=1)


def _change_access(at: Attendant, ask: asks.ChangeAccess) -> asks.Done:
    return asks.Done(count=change_access(at.store, ask, at.conductor.clock.now()))


def _wait_of(state: RunState, step: int) -> Any:
    return state.held().get(step) if state.ended is None else None


def _state_of(store: Store, run_id: str) -> str:
    run = store.run(run_id)
    return run.state if run is not None else ""


_FATAL = frozenset(("store-write", "store-fenced", "store-damaged", "store-closed"))

_ACTS: dict[type[asks.Ask], Act] = {
    asks.Ping: _ping, asks.GetSnapshot: _give_snapshot, asks.SubmitRun: _submit,
    asks.CancelRun: _cancel, asks.PauseRun: _pause, asks.ResumeRun: _resume, asks.AnswerWait: _answer, asks.SendSignal: _signal,
    asks.RollBack: _roll_back, asks.AddKeys: _add_keys, asks.LogIn: _log_in, asks.ChangeAccess: _change_access,
}  # fmt: skip
