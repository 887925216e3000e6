"""The conductor: load, decide, commit, then perform. One thread, one loop, one transaction a turn of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby
from typing import Literal

from msgspec.structs import replace

from legato.declare.body import cache_key
from legato.declare.node import qualified
from legato.kernel import events as ev
from legato.kernel.blocked import blocked_by
from legato.kernel.board import Board
from legato.kernel.commands import Command, Deliver, DiscardStaged, KillAttempt, StartAttempts, StartBeside
from legato.kernel.decide import decide
from legato.kernel.inputs import Cancel, Input, Offer, Recall, Reports, Resume, TakeOver, Tick
from legato.kernel.invariants import violations
from legato.kernel.rules.timing import next_due
from legato.kernel.state import CANCELLED, FAILED, FRESH, HELD, READY, SKIPPED, SUCCEEDED, UNDONE, RunState
from legato.plan.build import handling_of
from legato.plan.graph import Graph
from legato.plan.records import Plan
from legato.plan.spread import Extents
from legato.ports.access import Audit
from legato.ports.clock import Clock
from legato.ports.executor import Executor
from legato.ports.storage import Storage
from legato.ports.store import Commit, Run, Start, Store, Version
from legato.runtime.book import Book
from legato.runtime.cache import ResultCache
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import MOST_AT_ONCE, Dispatch, Observe, Pace
from legato.runtime.replay import read_state
from legato.terms.attempt import Answer, Answers, Begun, Called, Done, Noted, Order, Raised, Ref, Report, Returned
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, NotFound
from legato.terms.fact import Error
from legato.terms.instant import Instant, after
from legato.terms.key import run_id

Listener = Callable[[RunState, list[ev.AnyEvent]], None]
"""Told of every run's events, after they are committed."""

_PATIENCE_S = 0.25
"""How long the loop waits at most before it looks at requests from outside."""
_RECALL_EVERY_S = 0.05
"""How often busy workers are asked for orders that an idle one could make."""
_BEGUN_AFTER_S = 0.15
"""Attempts that last this long are recorded as begun, so that others can follow their output."""


_OUTCOMES: dict[int, Literal["succeeded", "failed", "skipped", "cancelled", "undone", "waiting"]] = {
    HELD: "waiting",
    FRESH: "succeeded", SUCCEEDED: "succeeded", FAILED: "failed", SKIPPED: "skipped", CANCELLED: "cancelled", UNDONE: "undone",
}  # fmt: skip


@dataclass(slots=True)
class Live:
    """A run that this conductor owns: its state, its books, and what was decided but not yet committed."""

    state: RunState
    book: Book
    events: list[ev.AnyEvent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    sightings: list[Version] = field(default_factory=list)
    audit: list[Audit] = field(default_factory=list)
    due: Instant | None = None
    """When it next has something to do, as the conductor has noted it."""


class Conductor:
    """Runs plans. Nothing is acknowledged, handed out or published before the events that say so are committed.

    When a commit fails, whether its durability is known or not, the conductor stops its workers and raises: what is in
    memory may be ahead of what is stored, so it is thrown away (a new conductor reads it again).
    """

    def __init__(  # noqa: PLR0913 - each is a port, or what it works on
        self, store: Store, executor: Executor, clock: Clock, graph: Graph, extents: Extents, *,
        storages: Mapping[str, Storage] | None = None, listener: Listener | None = None,
        observe: Observe = lambda source, key: None,
    ) -> None:  # fmt: skip
        self.store, self.executor, self.clock = store, executor, clock
        self.storages = storages or {}
        self._project = graph.project
        self.listener = listener
        self.runs: dict[str, Live] = {}
        self.requests: Callable[[], Iterable[tuple[str, Input]]] = tuple
        self.on_turn: Callable[[], None] = lambda: None
        """Called at least every quarter of a second, before anything new is taken up: what it raises ends `drive`."""
        self._board = Board(graph.project.pools, _not_beyond(store.starts(), clock.now()), keep=True)
        self._catalogue = Catalogue(store)
        self._dispatch = Dispatch(graph, extents, self._catalogue, observe)
        self._cache = ResultCache(store, self._dispatch, self.storages)
        self._pace = Pace(store.timings())
        self._begun: dict[tuple[str, int, int], tuple[Begun, Instant]] = {}
        self._draining = self._uneven = False
        self._beside: set[tuple[str, int]] = set()
        nodes = graph.project.nodes.values()
        self._handling = {node.name: handling_of(node) for node in nodes} if any(node.kind == "flow" for node in nodes) else {}
        self._recalled = Instant(0)
        self._open: dict[str, Live] = {}
        self._changed: dict[str, Live] = {}
        self._rolling: dict[str, Live] = {}
        self._dues: list[tuple[Instant, str]] = []

    # -- taking runs on --

    def accept(self, plan: Plan, *, actor: str, key: str = "", audit: Sequence[Audit] = ()) -> str:
        """Record a plan as a run and own it; its id. From here on the run cannot be lost.

        `key` names the request, of which there can be one run only.
        """
        now = self.clock.now()
        run = Run(
            id=run_id(now // 1_000_000, self.clock.noise(20)), request=plan.request, actor=actor, project=plan.project, at=now,
            steps=plan.size, key=key, domains=self._domains_of(plan),
        )  # fmt: skip
        self.store.accept(run, pack(plan), [], audit)
        live = self._own(run, RunState(run.id, plan, self._board, at=now))
        live.sightings = live.book.sightings(plan, now)
        self._tell(live, Tick(), now)
        return run.id

    def adopt(self, run_id: str) -> RunState:
        """Own a run that another conductor left: fold its events, void its attempts, go on where it stood."""
        run = self.store.run(run_id)
        if run is None:
            raise NotFound("run", f"there is no run {run_id}", next="legato runs")
        state = read_state(self.store, run_id)
        live = self._own(run, state)
        self._tell(live, TakeOver(), self.clock.now())
        state.join(self._board, self.clock.now())  # only now: what the run once held must not touch what others hold today
        return state

    def resume(self, run_id: str, *, actor: str) -> RunState:
        """Own a run and let what failed, was skipped or was cancelled be tried again."""
        owned = self.runs.get(run_id)
        state = owned.state if owned is not None else self.adopt(run_id)
        self._tell(self.runs[run_id], Resume(actor), self.clock.now())
        return state

    def cancel(self, run_id: str, *, actor: str, reason: str = "") -> None:
        """Stop a run that this conductor owns."""
        self._tell(self.runs[run_id], Cancel(actor, reason), self.clock.now())

    def tell(self, run_id: str, input: Input, audit: Sequence[Audit] = ()) -> None:
        """Tell an owned run what somebody wants of it; it is recorded, with who wanted it, when the next turn is over."""
        live = self.runs[run_id]
        live.audit.extend(audit)
        self._tell(live, input, self.clock.now())

    def relearn(self, assets: Iterable[str]) -> None:
        """Read anew what is published of these assets: somebody else has published between two turns."""
        self._catalogue.relearn(assets)

    def drain(self) -> None:
        """Start nothing new; `drive` returns when what runs has ended. The runs stay open and can be resumed."""
        self._draining = True
        self.executor.wake()

    def _own(self, run: Run, state: RunState) -> Live:
        state.later = self._handling
        self._catalogue.learn(self._dispatch.assets_of(state))
        live = self.runs[run.id] = Live(state, Book(self.store, self._catalogue, self._dispatch, self._cache, run, state))
        self._open[run.id] = self._changed[run.id] = live
        return live

    def _domains_of(self, plan: Plan) -> tuple[str, ...]:
        nodes = self._project.nodes
        return tuple(sorted({nodes[step.node].domain for step in plan.steps if step.run and step.node in nodes}))

    # -- the loop --

    def drive(self) -> None:
        """Work until every owned run has ended, or, when draining, until nothing runs any more."""
        self._turn([])
        while self._busy():
            self.turn()

    def turn(self) -> None:
        """One turn of the loop: wait a moment for reports, take up what was asked, decide, commit, perform."""
        reports = self.executor.poll(self._patience())
        self.on_turn()
        self._turn(reports)
        self._refuse_to_wait_for_nothing()

    def _busy(self) -> bool:
        return bool(self._changed or (self._board.attempts if self._draining else self._open))

    def _refuse_to_wait_for_nothing(self) -> None:
        """Say so, loudly, if no event could ever move the open runs: flows wait for each other's slots, or Legato has a fault."""
        board = self._board
        if self._draining or not self._open or self._changed or board.attempts or board.next_due() or not self.executor.load():
            return
        live = list(self._open.values())
        if any(each.state.counts[HELD] or next_due(each.state) is not None for each in live):
            return
        raise _stuck(live[0].state, self.clock.now())

    def _patience(self) -> float:
        if self._changed:
            return 0.0
        longest = _RECALL_EVERY_S if self._uneven else _PATIENCE_S
        dues = [*(due for due, _ in self._dues[:1]), *filter(None, [self._board.next_due()])]
        return max(0.0, min(longest, (min(dues) - self.clock.now()) / 1e6)) if dues else longest

    def _turn(self, reports: list[Report]) -> None:
        """One turn: everything that was waiting is decided, committed together, and only then performed."""
        now = self.clock.now()
        self._hear(reports, now)
        for run, request in self.requests():
            if run in self.runs:
                self._tell(self.runs[run], request, now)
        self._record_begun(now)
        self._pass_time(now)
        if not self._draining:
            self._reuse(now)
        offers = [] if self._draining else self._offer(now)
        self._commit()
        self._perform(offers)

    def _reuse(self, now: Instant) -> None:
        """Let what earlier runs made be the result of steps that became ready, and so of what becomes ready then."""
        for live in list(self._changed.values()):
            while asked := live.state.asked:
                live.state.asked = []
                if found := self._cache.find(live.state, asked, now):
                    self._tell(live, Recall(found), now)

    def _pass_time(self, now: Instant) -> None:
        """Do what is due in each run; what the heap says is only where to look."""
        self._board.pass_time(now)
        while self._dues and self._dues[0][0] <= now:
            due, run = heappop(self._dues)
            live = self.runs[run]
            if due == live.due:
                live.due = None
                self._tell(live, Tick(), now)

    def _hear(self, reports: list[Report], now: Instant) -> None:
        """Take up what workers told; to a run all of it is one input."""
        heard: dict[str, list[Report]] = {}
        for report in reports:
            live = self.runs.get(report.run)
            if live is None:
                continue
            if type(report) is Begun:
                self._begun[report.run, report.step, report.token] = (report, now)
                continue
            heard.setdefault(report.run, []).append(self._take_note(live, report))
        for run, told in heard.items():
            live = self.runs[run]
            known = len(live.state.plan.handling)
            self._tell(live, Reports(told), now)
            if len(live.state.plan.handling) > known:  # nodes were called that the plan did not know
                self._catalogue.learn(self._dispatch.assets_of(live.state))

    def _take_note(self, live: Live, report: Report) -> Report:
        """Keep what the conductor itself has to know; what the run is told."""
        if type(report) is Noted:
            return report
        if type(report) is Called:
            if self._draining:  # then nothing starts, beside a flow or elsewhere: the flow gives its process back
                return replace(report, calls=tuple(replace(call, beside=False) for call in report.calls))
            return report
        self._begun.pop((report.run, report.step, report.token), None)
        self._beside.discard((report.run, report.step))
        if type(report) is Done:
            self._pace.see(_paced_as(live.state, report.step), report.seconds)
            return self._with_replaced(report) if report.outputs else report
        return report

    def _with_replaced(self, done: Done) -> Done:
        heads = [self._catalogue.head(output.ref.asset, output.ref.partition) for output in done.outputs]
        former = tuple("" if head is None else head.version for head in heads)
        return Done(
            done.run, done.step, done.token, done.seconds, done.value, done.kept, done.outputs, done.log, former
        )  # fmt: skip

    def _record_begun(self, now: Instant) -> None:
        for key, (begun, since) in list(self._begun.items()):
            state = self.runs[begun.run].state
            limit_s = state.handling(begun.step).timeout_s
            attempt = state.running.get(begun.step)
            overdue = attempt is not None and attempt.deadline is not None and attempt.deadline <= now
            if overdue or now - since >= min(_BEGUN_AFTER_S, limit_s or _BEGUN_AFTER_S) * 0.5e6:
                del self._begun[key]
                self._tell(self.runs[begun.run], begun, since)

    def _tell(self, live: Live, input: Input, now: Instant) -> None:
        live.commands.extend(self._decide(live, input, now))

    def _decide(self, live: Live, input: Input, now: Instant) -> list[Command]:
        """What is to be done about an input; what happened is noted for the next commit."""
        decision = decide(live.state, input, now)
        live.events.extend(decision.events)
        self._changed[live.state.run_id] = live
        if live.state.ended is None:
            self._open[live.state.run_id] = live
        if live.state.rolling:
            self._rolling[live.state.run_id] = live
        due = next_due(live.state)
        if due is not None and due != live.due:
            live.due = due
            heappush(self._dues, (due, live.state.run_id))
        return decision.commands

    def _offer(self, now: Instant) -> list[tuple[Live, StartAttempts, int]]:
        """Offer each worker's room to whoever has the first of all ready steps; who takes it, and which worker."""
        taken: list[tuple[Live, StartAttempts, int]] = []
        loads = self.executor.load()
        for worker, load_s in sorted(enumerate(loads), key=lambda each: each[1]):  # idle ones first: they begin at once
            room_s = self._pace.room(load_s)
            for live in list(self._rolling.values()) if room_s > 0 else ():
                taken += self._offer_to(live, Offer(room_s, MOST_AT_ONCE, self._pace.cost_s), worker, now)
            while room_s > 0 and (first := self._board.first(self._board.steps, now)) is not None:
                live = self.runs[first[0].run_id]
                started = self._offer_to(live, Offer(room_s, MOST_AT_ONCE, self._pace.cost_s), worker, now)
                room_s -= sum(self._expected_s(live.state, start) for _, start, _ in started)
                taken += started
        self._share_out(loads, {worker for _, _, worker in taken}, now)
        return [*taken, *self._offer_flows(now)]

    def _offer_flows(self, now: Instant) -> list[tuple[Live, StartAttempts, int]]:
        """Let flows begin, or go on, one at each place that is free for them."""
        taken: list[tuple[Live, StartAttempts, int]] = []
        for place in self.executor.free_for_flows() if self._board.flows else ():
            first = self._board.first(self._board.flows, now)
            if first is None:
                break
            taken += self._offer_to(self.runs[first[0].run_id], Offer(1.0, 1, {}, flows=True), place, now)
        return taken

    def _offer_to(self, live: Live, offer: Offer, place: int, now: Instant) -> list[tuple[Live, StartAttempts, int]]:
        started = []
        for command in self._decide(live, offer, now):
            if isinstance(command, StartAttempts):
                started.append((live, command, place))
            else:
                live.commands.append(command)
        return started

    def _share_out(self, loads: Sequence[float], given: set[int], now: Instant) -> None:
        """Where a worker is idle while others hold more than they work on, ask for what they have not begun."""
        idle = any(load_s == 0 and worker not in given for worker, load_s in enumerate(loads))
        busy = sum(load_s > 0 or worker in given for worker, load_s in enumerate(loads))
        held = self._board.attempts - self._board.flow_attempts - len(self._beside)
        self._uneven = idle and held > busy
        if self._uneven and now - self._recalled >= _RECALL_EVERY_S * 1e6:
            self._recalled = now
            self.executor.recall()

    def _expected_s(self, state: RunState, command: StartAttempts) -> float:
        """Seconds of work in these attempts; what is not known fills a worker."""
        steps, cost_s = state.plan.steps, self._pace.cost_s
        named = cache_key if command.mode == "key" else str
        return sum(cost_s.get(named(steps[index].node), 1.0) for index in command.steps)

    def _commit(self) -> None:
        """Write everything that was decided, in one transaction, then tell who listens."""
        changed = [live for live in self._changed.values() if live.events or live.sightings or live.audit]
        if not changed:
            return
        commits: list[Commit] = [live.book.write(live.events, live.sightings, live.audit) for live in changed]
        commits[0].starts, self._board.fresh = self._starts(), []
        try:
            self.store.commit(commits)
        except BaseException:
            self.executor.close()
            raise
        for live, commit in zip(changed, commits, strict=True):
            self._catalogue.follow(commit)
            events, live.events, live.sightings, live.audit = live.events, [], [], []
            if live.state.ended is not None:
                self._open.pop(live.state.run_id, None)
                self._rolling.pop(live.state.run_id, None)
            if self.listener is not None:
                self.listener(live.state, events)

    def _starts(self) -> list[Start]:
        limits = self._board.limits
        return [Start(pool, key, at, after(at, limits[pool].period_s)) for (pool, key), at in self._board.fresh]

    def _perform(self, offers: list[tuple[Live, StartAttempts, int]]) -> None:
        changed, self._changed = self._changed, {}  # what is decided from here on is committed by the next turn
        for live, start, worker in offers:
            orders = self._orders(live, start)
            if orders:
                self.executor.start(orders, worker, self._expected_s(live.state, start))
        answers: list[Answers] = []
        for live in changed.values():
            commands, live.commands = live.commands, []
            for command in commands:
                if isinstance(command, KillAttempt):
                    self.executor.kill(live.state.run_id, command.step, command.token)
                elif isinstance(command, DiscardStaged):
                    self._discard(command.refs)
                elif isinstance(command, StartBeside):
                    self._start_beside(live, command)
                elif isinstance(command, Deliver):
                    answers.append(_answers(live.state, command))
        if answers:
            self.executor.answer(answers)

    def _start_beside(self, live: Live, start: StartBeside) -> None:
        """Hand a call out to where its flow is; if that is gone already, the attempt comes back like any that never began."""
        state = live.state
        place = self.executor.place_of(state.run_id, start.parent, start.parent_token)
        orders = self._orders(live, StartAttempts((start.step,), start.token))
        if place is None:
            self._tell(live, Returned(state.run_id, start.step, start.token), self.clock.now())
        elif orders:
            self._beside.add((state.run_id, start.step))
            self.executor.start(orders, place, 0.0)

    def _discard(self, refs: Iterable[Ref]) -> None:
        for ref in refs:
            if (storage := self.storages.get(ref.storage)) is not None:
                storage.discard(ref)

    def _orders(self, live: Live, start: StartAttempts) -> list[Order]:
        """The orders of these attempts; one whose inputs cannot be resolved fails at once, like one that was made."""
        orders: list[Order] = []
        for token, index in enumerate(start.steps, start.token):
            try:
                order = self._dispatch.order(live.state, index, token, start.mode)
                if start.mode == "key" and not self._cache.has_key(order.node):
                    self._tell(live, Done(order.run, index, token, 0.0, b""), self.clock.now())
                    continue
                orders.append(self._cache.prepare(live.state, order) if live.state.handling(index).cached else order)
            except LegatoError as error:
                told = Error("input", str(error), tuple(map(qualified, type(error).__mro__)))
                self._tell(live, Raised(live.state.run_id, index, token, 0.0, told), self.clock.now())
        return orders


def _paced_as(state: RunState, step: int) -> str:
    """Under which name the attempt's time is known: saying a key takes another time than the work itself."""
    node, attempt = state.plan.steps[step].node, state.running.get(step)
    return cache_key(node) if attempt is not None and attempt.mode == "key" else node


def _answers(state: RunState, told: Deliver) -> Answers:
    values, kept, status, errors = state.values, state.kept, state.status, state.errors
    answers = [
        Answer(group.keys[step - group.first], values.get(step), kept.get(step), _OUTCOMES[status[step]], errors.get(step))
        for group, steps in groupby(told.steps, state.calls.group) for step in steps
    ]  # fmt: skip
    return Answers(state.run_id, told.parent, told.parent_token, answers)


def _not_beyond(starts: Iterable[Start], now: Instant) -> Iterable[tuple[tuple[str, str], Instant]]:
    """Stored starts that still count; those after now, before which the clock was set back, count as of now."""
    return (((start.pool, start.key), min(start.at, now)) for start in starts if start.until > now)


def _stuck(state: RunState, now: Instant) -> LegatoError:
    """That nothing can move this run, and what its ready steps wait for."""
    ready = (index for index, code in enumerate(state.status) if code == READY)
    blocks = {state.plan.steps[index].node: each for index in ready if (each := blocked_by(state, index, now)) is not None}
    waits = [f"{node} waits for a slot of {each.on}" for node, each in blocks.items() if each.kind == "slot"]
    why = "; ".join([*violations(state), *(waits and [*waits, "flows hold theirs until they end"])])
    return LegatoError(
        "stuck", f"run {state.run_id} has {state.open} open steps, but nothing to wait for", why=why,
        next=f"legato cancel {state.run_id}",
    )  # fmt: skip
