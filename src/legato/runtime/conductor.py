"""The conductor: load, decide, commit, then perform. One thread, one loop, one transaction a turn of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from legato.kernel import events as ev
from legato.kernel.board import Board
from legato.kernel.commands import Command
from legato.kernel.decide import decide
from legato.kernel.inputs import Cancel, Input, Recall, Resume, TakeOver, Tick
from legato.kernel.rules.timing import next_due
from legato.kernel.standing import standing_before
from legato.kernel.state import HELD, RunState
from legato.plan.graph import Graph
from legato.plan.records import Plan
from legato.plan.spread import Extents
from legato.ports.access import Audit
from legato.ports.clock import Clock
from legato.ports.executor import Executor
from legato.ports.storage import Storage
from legato.ports.store import Commit, Run, Start, Store
from legato.runtime.book import Book
from legato.runtime.cache import ResultCache
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import Pace, Question
from legato.runtime.edition import RECALL_EVERY_S, Edition, Observe, poll
from legato.runtime.hearing import Ears
from legato.runtime.inquiry import Inquiries, Then
from legato.runtime.offering import Offers, Started
from legato.runtime.performing import Hands
from legato.runtime.replay import read_state
from legato.runtime.runs import Live, ask_again, not_beyond, stuck
from legato.terms.attempt import Report
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant, after
from legato.terms.key import run_id

Listener = Callable[[RunState, list[ev.AnyEvent]], None]
"""Told of every run's events, after they are committed."""

_PATIENCE_S = 0.25
"""How long the loop waits at most before it looks at requests from outside."""


class Conductor:
    """Runs plans. Nothing is acknowledged, handed out or published before the events that say so are committed.

    When a commit fails, whether its durability is known or not, the conductor stops its workers and raises: what is in
    memory may be ahead of what is stored, so it is thrown away (a new conductor reads it again).
    """

    def __init__(  # noqa: PLR0913 - each is a port, or what it works on
        self, store: Store, executor: Executor, clock: Clock, graph: Graph, extents: Extents, *,
        storages: Mapping[str, Storage] | None = None, listener: Listener | None = None,
        observe: Observe | None = lambda source, key: None,
    ) -> None:  # fmt: skip
        self.store, self.clock = store, clock
        self.storages = dict(storages or {})
        self.listener = listener
        self.keeps_ended = True
        """Whether runs that have ended stay in `runs`; a service lets them go."""
        self.spares_a_worker = False
        """Whether runs that yield to others leave a worker free, of several: a service does not know what comes next."""
        self.retire: Callable[[Executor], None] = lambda executor: executor.close()
        """Ends the workers of an edition that nobody needs any more; a service does so aside."""
        self.runs: dict[str, Live] = {}
        self.requests: Callable[[], Iterable[tuple[str, Input]]] = tuple
        self.on_turn: Callable[[], None] = lambda: None
        """Called at least every quarter of a second, before anything new is taken up: what it raises ends `drive`."""
        self._board = Board(graph.project.pools, not_beyond(store.starts(), clock.now()), keep=True)
        self._catalogue = Catalogue(store)
        self.editions = [Edition(graph, extents, executor, self._catalogue, self._board.track, observe)]
        self.inquiries, pace = Inquiries(clock), Pace(store.timings())
        self._ears = Ears(self.runs, self._catalogue, pace, self.inquiries, self._tell)
        self._offers = Offers(self._board, pace, self.runs, self._decide)
        self._hands = Hands(self.storages, clock, pace, self.inquiries, self._tell)
        self._draining = False
        self._open: dict[str, Live] = {}
        self._changed: dict[str, Live] = {}
        self._rolling: dict[str, Live] = {}
        self._joining: dict[str, Live] = {}
        self._ended: list[Live] = []
        self._dues: list[tuple[Instant, str]] = []

    # -- editions --

    @property
    def edition(self) -> Edition:
        """The newest version of the project: new runs take it."""
        return self.editions[-1]

    @property
    def executor(self) -> Executor:
        """The workers of the newest edition."""
        return self.edition.executor

    def open_edition(
        self, graph: Graph, extents: Extents, executor: Executor, observe: Observe | None = None, *,
        storages: Mapping[str, Storage] | None = None,
    ) -> Edition:  # fmt: skip
        """Let this version of the project be the newest. Runs of former ones go on as they are."""
        self.storages.update(storages or {})
        self._board.allow(graph.project.pools)
        self.editions.append(Edition(graph, extents, executor, self._catalogue, self._board.open_track(), observe))
        self.close_editions()
        return self.edition

    def open_former(
        self, graph: Graph, extents: Extents, executor: Executor, *, storages: Mapping[str, Storage] | None = None
    ) -> Edition:
        """Let a version of before be at work beside the newest, for runs of its own; it ends with the last of them."""
        self.storages.update({name: each for name, each in (storages or {}).items() if name not in self.storages})
        self._board.admit(graph.project.pools)
        former = Edition(graph, extents, executor, self._catalogue, self._board.open_track(), None)
        self.editions.insert(-1, former)
        return former

    def edition_of(self, fingerprint: str) -> Edition | None:
        """The newest edition of this version that is at work."""
        return next((each for each in reversed(self.editions) if each.fingerprint == fingerprint), None)

    def abandon(self, edition: Edition) -> None:
        """An edition's workers are gone for good, and its code with them: its runs go on with the code of now."""
        self.editions.remove(edition)
        for run in list(edition.runs):
            self.move(run, self.edition)
        self._board.close_track(edition.track)
        self.retire(edition.executor)

    def renew(self, edition: Edition, executor: Executor) -> None:
        """An edition has other workers from now on, with the same code; what those before had under way is handed out again."""
        former, edition.executor = edition.executor, executor
        edition.beside.clear()
        for run in edition.runs:
            self._tell(self.runs[run], TakeOver(), self.clock.now())
        self.retire(former)

    def move(self, run: str, edition: Edition) -> None:
        """Let a run go on with the code of another edition. What it has under way is void."""
        live, now = self.runs[run], self.clock.now()
        live.edition.runs.discard(run)
        live.state.later = edition.handling
        self._tell(live, TakeOver(), now)
        live.state.move(edition.track, now)
        live.edition, live.dispatch = edition, edition.dispatch
        live.cache = ResultCache(self.store, live.dispatch, self.storages)
        live.book.dispatch, live.book.cache = live.dispatch, live.cache
        live.book.assign(edition.fingerprint)
        if live.state.ended is None:
            edition.runs.add(run)
        self._catalogue.learn(live.dispatch.assets_of(live.state))

    def has_work(self, edition: Edition) -> bool:
        """Whether an edition's workers have something to do, or would have if there were any."""
        track, now = edition.track, self.clock.now()
        if track.attempts or edition.asking or any(live.edition is edition for live in self._rolling.values()):
            return True
        return any(self._board.first(lanes, now) is not None for lanes in (track.steps, track.flows))

    def ask(self, questions: Iterable[Question], then: Then, edition: Edition | None = None) -> None:
        """Ask sources of an edition (of the newest), through its workers; `then` is called in some turn to come."""
        self.inquiries.ask(edition or self.edition, questions, then)

    def close_editions(self) -> None:
        """End the workers of editions whose last run has ended."""
        for edition in [each for each in self.editions[:-1] if each.is_idle]:
            self.editions.remove(edition)
            self._board.close_track(edition.track)
            self.retire(edition.executor)

    # -- taking runs on --

    def accept(
        self, plan: Plan, *, actor: str, key: str = "", audit: Sequence[Audit] = (), extents: Extents | None = None
    ) -> str:
        """Record a plan as a run and own it; its id. From here on the run cannot be lost.

        `key` names the request, of which there can be one run only. `extents` are the partitions that it was planned with, if
        there are others by now than when its edition was opened.
        """
        edition = self.edition_of(plan.project)
        if edition is None:
            raise LegatoError("project-changed", "the project changed after this was planned", next="plan it again")
        if extents is not None:
            edition.dispatch = edition.dispatch.at(extents)
        now = self.clock.now()
        run = Run(
            id=self._new_id(now), request=plan.request, actor=actor, project=plan.project, at=now,
            steps=plan.size, key=key, domains=_domains_of(plan, edition),
            backfill=None if plan.backfill is None else standing_before(plan),
        )  # fmt: skip
        self.store.accept(run, pack(plan), [], audit)
        live = self._own(run, RunState(run.id, plan, self._board, at=now, track=edition.track))
        live.sightings = live.book.sightings(plan, now)
        self._tell(live, Tick(), now)
        return run.id

    def _new_id(self, now: Instant) -> str:
        """A name that no run has: of those that begin in one second, two in a million would be alike."""
        while self.store.run(name := run_id(now // 1_000_000, self.clock.noise(20))) is not None:
            pass
        return name

    def adopt(self, run_id: str, edition: Edition | None = None) -> RunState:
        """Own a run that another conductor left: fold its events, void its attempts, go on where it stood, with the code that it
        worked with last, if that is at work; or with that of an `edition`."""
        run = self.store.run(run_id)
        if run is None:
            raise NotFound("run", f"there is no run {run_id}", next="legato runs")
        state = read_state(self.store, run_id)
        live = self._own(run, state, edition)
        self._tell(live, TakeOver(), self.clock.now())
        state.join(
            self._board, self.clock.now(), live.edition.track
        )  # only now: what the run once held must not touch what others hold today
        return state

    def resume(self, run_id: str, *, actor: str, failed_only: bool = False) -> RunState:
        """Own a run and let it go on where it stands still, or with what did not succeed (`failed_only`: was not cancelled)."""
        owned = self.runs.get(run_id)
        state = owned.state if owned is not None else self.adopt(run_id)
        self._tell(self.runs[run_id], Resume(actor, failed_only), self.clock.now())
        return state

    def cancel(self, run_id: str, *, actor: str, reason: str = "") -> None:
        """Stop a run that this conductor owns."""
        self._tell(self.runs[run_id], Cancel(actor, reason), self.clock.now())

    def tell(self, run_id: str, input: Input, audit: Sequence[Audit] = ()) -> None:
        """Tell an owned run what somebody wants of it; it is recorded, with who wanted it, when the next turn is over."""
        live = self.runs[run_id]
        live.audit.extend(audit)
        self._tell(live, input, self.clock.now())

    def open_states(self) -> list[RunState]:
        """The states of all runs that are open."""
        return [live.state for live in self._open.values()]

    def relearn(self, assets: Iterable[str]) -> None:
        """Read anew what is published of these assets: somebody else has published between two turns."""
        self._catalogue.relearn(assets)

    def drain(self) -> None:
        """Start nothing new; `drive` returns when what runs has ended. The runs stay open and can be resumed."""
        self._draining = True
        self.wake()

    def wake(self) -> None:
        """Make a turn that waits go on; may be called from anywhere."""
        for edition in self.editions:
            edition.executor.wake()

    def _own(self, run: Run, state: RunState, edition: Edition | None = None) -> Live:
        edition = edition or self.edition_of(run.project) or self.edition
        dispatch = edition.dispatch
        state.later = edition.handling
        self._catalogue.learn(dispatch.assets_of(state))
        cache = ResultCache(self.store, dispatch, self.storages)
        book = Book(self.store, self._catalogue, dispatch, cache, run, state)
        book.assign(edition.fingerprint)
        live = self.runs[run.id] = Live(state, book, edition, dispatch, cache)
        if state.joins:
            live.places = {(step.node, step.partition): index for index, step in enumerate(state.plan.steps) if step.run}
        edition.runs.add(run.id)
        self._open[run.id] = self._changed[run.id] = live
        return live

    # -- the loop --

    def drive(self) -> None:
        """Work until every owned run has ended or is paused, or, when draining, until nothing runs any more."""
        self._turn([])
        while self._busy():
            self.turn()
            self._refuse_to_wait_for_nothing()

    def turn(self, most_s: float = _PATIENCE_S) -> None:
        """One turn of the loop: wait for reports (so long at most), take up what was asked, decide, commit, perform."""
        reports = poll(self.editions, min(most_s, self._patience()))
        self.on_turn()
        self._turn(reports)

    def _busy(self) -> bool:
        rests = self._draining or all(live.state.paused for live in self._open.values())
        return bool(self._changed or (self._board.attempts if rests else self._open))

    def _refuse_to_wait_for_nothing(self) -> None:
        """Say so, loudly, if no event could ever move the open runs: flows wait for each other's slots, or Legato has a fault."""
        board = self._board
        if self._draining or not self._open or self._changed or board.attempts or board.next_due() or not self.executor.load():
            return
        live = list(self._open.values())
        if any(each.state.paused or each.state.counts[HELD] or next_due(each.state) is not None for each in live):
            return
        raise stuck(live[0].state, self.clock.now())

    def _patience(self) -> float:
        if self._changed:
            return 0.0
        longest = RECALL_EVERY_S if any(edition.is_uneven for edition in self.editions) else _PATIENCE_S
        dues = [*(due for due, _ in self._dues[:1]), *filter(None, [self._board.next_due()])]
        return max(0.0, min(longest, (min(dues) - self.clock.now()) / 1e6)) if dues else longest

    def _turn(self, reports: list[Report]) -> None:
        """One turn: everything that was waiting is decided, committed together, and only then performed."""
        now = self.clock.now()
        self._hear(reports, now)
        self._pass_time(now)
        self.inquiries.go_on(now)
        offers = [] if self._draining else self._offer(now)
        self._commit()
        self._perform(offers)
        if not self.keeps_ended:
            self._forget_ended()

    def _hear(self, reports: list[Report], now: Instant) -> None:
        """Take up what workers told, and what was asked from outside."""
        self._ears.hear(reports, now, draining=self._draining)
        for run, request in self.requests():
            if run in self.runs:
                self._tell(self.runs[run], request, now)
        self._ears.record_begun(now)

    def _offer(self, now: Instant) -> list[Started]:
        """Let steps start that are ready, but for those whose result is there; what starts, and where."""
        self._reuse(now)
        return self._offers.make(self.editions, self._rolling.values(), now, spare=self.spares_a_worker)

    def _reuse(self, now: Instant) -> None:
        """Let what earlier runs made be the result of steps that became ready, and so of what becomes ready then."""
        for live in [*self._changed.values(), *self._joining.values()]:
            while asked := live.state.asked:
                live.state.asked = []
                if self._moves_heads():  # else what was published a moment ago would be found under its former version
                    self._commit()
                if found := live.cache.find(live.state, asked, now):
                    self._tell(live, Recall(found), now)

    def _moves_heads(self) -> bool:
        """Whether something is decided, but not committed yet, that changes what readers see."""
        events = (event for live in self._changed.values() for event in live.events)
        return any(type(each) is ev.StepUndone or (type(each) is ev.StepSucceeded and each.outputs) for each in events)

    def _pass_time(self, now: Instant) -> None:
        """Do what is due in each run; what the heap says is only where to look."""
        self._board.pass_time(now)
        while self._dues and self._dues[0][0] <= now:
            due, run = heappop(self._dues)
            live = self.runs.get(run)
            if live is not None and due == live.due:
                live.due = None
                self._tell(live, Tick(), now)

    def _tell(self, live: Live, input: Input, now: Instant) -> None:
        live.commands.extend(self._decide(live, input, now))

    def _decide(self, live: Live, input: Input, now: Instant) -> list[Command]:
        """What is to be done about an input; what happened is noted for the next commit."""
        decision = decide(live.state, input, now)
        live.events.extend(decision.events)
        if self._joining:
            ask_again(live, decision.events, self._joining.values())
        self._changed[live.state.run_id] = live
        if live.state.ended is None:
            self._open[live.state.run_id] = live
            if live.places:
                self._joining[live.state.run_id] = live
            live.edition.runs.add(live.state.run_id)
        if live.state.rolling:
            self._rolling[live.state.run_id] = live
        due = next_due(live.state)
        if due is not None and due != live.due:
            live.due = due
            heappush(self._dues, (due, live.state.run_id))
        return decision.commands

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
            for edition in self.editions:
                edition.executor.close()
            raise
        for live, commit in zip(changed, commits, strict=True):
            self._catalogue.follow(commit)
            events, live.events, live.sightings, live.audit = live.events, [], [], []
            if live.state.ended is not None:
                self._open.pop(live.state.run_id, None)
                self._rolling.pop(live.state.run_id, None)
                self._joining.pop(live.state.run_id, None)
                live.edition.runs.discard(live.state.run_id)
                self._ended.append(live)
            if self.listener is not None:
                self.listener(live.state, events)

    def _starts(self) -> list[Start]:
        limits = self._board.limits
        return [Start(pool, key, at, after(at, limits[pool].period_s)) for (pool, key), at in self._board.fresh]

    def _perform(self, offers: list[Started]) -> None:
        changed, self._changed = self._changed, {}  # what is decided from here on is committed by the next turn
        for live, start, worker in offers:
            self._hands.start(live, start, worker)
        for live in changed.values():
            commands, live.commands = live.commands, []
            self._hands.do(live, commands)

    def _forget_ended(self) -> None:
        """Let go of runs whose end is recorded, and of editions that nobody needs any more."""
        ended = [live for live in self._ended if live.state.ended is not None and live.state.run_id not in self._changed]
        self._ended = [live for live in self._ended if live.state.run_id in self._changed]
        for live in ended:
            run = live.state.run_id
            self.runs.pop(run, None)
            live.dispatch.forget_run(run)
        if ended:
            self.close_editions()


def _domains_of(plan: Plan, edition: Edition) -> tuple[str, ...]:
    nodes = edition.graph.project.nodes
    return tuple(sorted({nodes[step.node].domain for step in plan.steps if step.run and step.node in nodes}))
