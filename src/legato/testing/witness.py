"""An outside witness: sees what is written, handed out and made, knows nothing of how it was decided, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from legato.declare.node import Project
from legato.declare.pool import Limit
from legato.kernel import events as ev
from legato.kernel.standing import standing_before
from legato.plan.records import Plan, Step
from legato.ports.access import Audit
from legato.ports.keeping import Removal
from legato.ports.storage import Storage
from legato.ports.store import Commit, Run, Store
from legato.terms.attempt import Answers, Order, Ref
from legato.terms.codec import unpack
from legato.terms.instant import Instant, after
from legato.terms.key import show

Key = tuple[str, int]
"""A run and a step."""


class Violation(AssertionError):
    """A guarantee was broken."""


class Witness:
    """Holds what it saw against the guarantees, at the moment at which one is broken.

    `values` is where stored values lie: nothing that is on record may be missing there.
    """

    def __init__(self, project: Project, values: Storage) -> None:
        self.pools, self.values = project.pools, values
        self.broken: list[str] = []
        self.plans: dict[str, Plan] = {}
        self.ended: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.paused: set[str] = set()
        self.handed_out: set[tuple[str, int, int]] = set()
        self.over: set[tuple[str, int, int]] = set()
        self.done: dict[str, dict[int, None]] = {}
        self.stuck: set[Key] = set()
        self.tries: Counter[Key] = Counter()
        self.started: dict[tuple[str, int, int], Instant] = {}
        self.first: dict[Key, Instant] = {}
        self.heads: dict[tuple[str, str], str] = {}
        self.published: dict[tuple[str, str, str], Ref] = {}
        self.quarantined: set[tuple[str, str, str]] = set()
        self.removed: set[tuple[str, str, str]] = set()
        self.removed_runs: set[str] = set()
        self.writing: dict[tuple[str, str], Key] = {}
        self.busy: Counter[tuple[str, str]] = Counter()
        self.starts: dict[tuple[str, str], list[Instant]] = {}
        self.began: dict[tuple[str, int, int], Instant] = {}
        self.made = self.recalled = 0
        self.ttls = {node.name: node.cache.ttl_s for node in project.nodes.values() if node.cache is not None}
        """By node: how old its results may be that are taken from the cache."""
        self.cached: dict[tuple[str, bytes | None, Ref | None], Instant] = {}
        self.keyed: set[Key] = set()

    def refuse(self, what: str) -> None:
        """Say that a guarantee is broken."""
        self.broken.append(what)
        raise Violation(what)

    def saw_conductor_begin(self, now: Instant) -> None:
        """From here on somebody does what is due; where the clock was set back, what was to come has been."""
        self._forget_starts(now)
        self.starts = {share: [min(at, now) for at in starts] for share, starts in self.starts.items()}

    def _forget_starts(self, now: Instant) -> None:
        """What no rate counts any more never counts again, however the clock is set."""
        for share, starts in self.starts.items():
            starts[:] = [at for at in starts if at > after(now, -self.pools[share[0]].period_s)]

    # -- what is written --

    def saw_accept(self, run: Run, plan: bytes) -> None:
        """A run is accepted."""
        self.plans[run.id] = unpack(plan, Plan)
        self.done[run.id] = {}

    def saw_commit(self, commits: Sequence[Commit]) -> None:
        """Decisions are recorded."""
        for commit in commits:
            for each in commit.cached:
                self.cached[each.run, each.value, each.kept] = each.at
            for body in commit.events:
                self._saw_event(commit.run_id, ev.decode(body))
            self._saw_standing(commit)
            self._saw_versions(commit)
        for commit in commits:
            self._saw_heads(commit)

    def _saw_standing(self, commit: Commit) -> None:
        """How far a backfill is, is recorded with whatever happens to it, and always adds up to what was requested."""
        plan = self.plans[commit.run_id]
        if plan.backfill is None or not commit.events:
            return
        found, asked = commit.run.backfill if commit.run else None, standing_before(plan).requested
        if found is None or not asked == found.requested == found.done + found.failed + found.cancelled + found.pending:
            self.refuse(f"run {commit.run_id} was to make {asked} steps, but says of itself {found}")
        if found is not None and found.done < len(self.done[commit.run_id]):
            self.refuse(f"run {commit.run_id} says {found}, but {len(self.done[commit.run_id])} steps succeeded")

    def _saw_event(self, run: str, event: ev.AnyEvent) -> None:
        done = self.done[run]
        match event:
            case ev.AttemptsStarted():
                self._saw_start(run, event)
            case ev.AttemptBegun():
                self.first.setdefault((run, event.step), event.at)
            case ev.StepSucceeded():
                self._note_success(run, event)
            case ev.AttemptFailed():
                self._saw_failure(run, event)
            case ev.StepUndone():
                if event.step != next(step for step in reversed(done) if (run, step) not in self.stuck):
                    self.refuse(f"{self._name(run, event.step)} is undone before what came after it")
                done.pop(event.step)
            case ev.AttemptStopping(why="timeout"):
                began = self.began.get((run, event.step, event.token))
                if began is not None and event.at < after(began, self._handling(run, event.step).timeout_s):
                    self.refuse(f"{self._name(run, event.step)} is stopped before its time was over")
            case ev.CancelRequested():
                self.cancelled.add(run)
            case ev.RunPaused() | ev.RunUnpaused():
                self.paused ^= {run}
            case ev.RunHalted(rollback=True):
                self.cached = {key: at for key, at in self.cached.items() if key[0] != run}
            case ev.RunResumed():
                self.cancelled.discard(run)
                self.ended.pop(run, None)
                self.stuck = {key for key in self.stuck if key[0] != run}
                self.tries = Counter({key: count for key, count in self.tries.items() if key[0] != run})
                self.first = {key: at for key, at in self.first.items() if key[0] != run}
            case ev.RunEnded():
                self._saw_end(run, event)

    def _note_success(self, run: str, event: ev.StepSucceeded) -> None:
        if event.cached:
            self._saw_recall(run, event)
        else:
            self._saw_word(run, event.step, event.token)
        if event.step in self.done[run]:
            self.refuse(f"{self._name(run, event.step)} succeeded twice")
        self.done[run][event.step] = None
        self.first.pop((run, event.step), None)

    def _saw_start(self, run: str, event: ev.AttemptsStarted) -> None:
        for token, step in enumerate(event.steps, event.token):
            if (run, step, token) in self.handed_out:
                self.refuse(f"token {token} of run {run} is used twice")
            self.handed_out.add((run, step, token))
            self.started[run, step, token] = event.at
            if event.mode != "key":
                self._count_starts(run, step, event.at)
            if event.mode != "undo" and step in self.done[run]:
                self.refuse(f"{self._name(run, step)} is started, but its success is on record")
            if run in self.paused:
                self.refuse(f"{self._name(run, step)} is started in a paused run")
            if run in self.cancelled:
                self.refuse(f"{self._name(run, step)} is started in a cancelled run")

    def _saw_recall(self, run: str, event: ev.StepSucceeded) -> None:
        """A result of an earlier run counts: of one that has not taken it back, and no older than it may be."""
        name, ttl_s = self._name(run, event.step), self.ttls.get(self._step(run, event.step).node)
        self.recalled += 1
        if outputs := self._handling(run, event.step).outputs:
            partition = self._step(run, event.step).partition
            seen = [self.published.get((asset, partition, self.heads.get((asset, partition), ""))) for asset in outputs]
            if None in seen or not self.plans[run].backfill:
                self.refuse(f"{name} takes what nobody has published as made")
            return
        made = self.cached.get((event.cached, event.value, event.kept))
        if made is None:
            self.refuse(f"{name} has a result of run {event.cached} that is not in the cache")
        elif ttl_s is not None and event.at > after(made, ttl_s):
            self.refuse(f"{name} has a result of run {event.cached} that is too old")

    def _count_starts(self, run: str, step: int, at: Instant) -> None:
        """No more than so many attempts start within a rate's period, whoever conducts."""
        for share in self._shares(run, step):
            limit = self.pools.get(share[0], Limit())
            if limit.starts is None:
                continue
            starts = self.starts.setdefault(share, [])
            starts.append(at)
            within = [each for each in starts if after(at, -limit.period_s) < each <= at]
            if len(within) > limit.starts:
                self.refuse(f"pool {share} allows {limit}, but {len(within)} attempts start in that time")

    def _saw_word(self, run: str, step: int, token: int) -> None:
        """An attempt's word counts: it was handed out, and has not had its last word yet."""
        if (run, step, token) not in self.handed_out or (run, step, token) in self.over:
            self.refuse(f"a stale word counts for {self._name(run, step)}")
        self.over.add((run, step, token))

    def _saw_failure(self, run: str, event: ev.AttemptFailed) -> None:
        self._saw_word(run, event.step, event.token)
        if event.then == "stuck":
            self.stuck.add((run, event.step))
        key = run, event.step
        first = self.first.setdefault(key, self.started[run, event.step, event.token])
        if event.then == "retry" and self._costs_a_try(key, event.error.kind):
            self.tries[key] += 1
            limit_s = self._handling(*key).retry.max_time_s
            if limit_s is not None and event.due > after(first, limit_s):
                self.refuse(f"{self._name(*key)} is tried again after its max_time")
            times = self._handling(run, event.step).retry.times
            if times is not None and self.tries[key] > 2 * times:
                self.refuse(f"{self._name(run, event.step)} is tried again and again")

    def _costs_a_try(self, key: Key, kind: str) -> bool:
        return True

    def _saw_end(self, run: str, event: ev.RunEnded) -> None:
        if run in self.ended:
            self.refuse(f"run {run} ended twice")
        self.ended[run] = event.outcome
        self.paused.discard(run)
        left = [step for step in self.done[run] if (run, step) not in self.stuck]
        if event.outcome in ("rolled_back", "partly_undone") and left:
            self.refuse(f"run {run} is {event.outcome}, but steps {left} are not undone")

    def _saw_versions(self, commit: Commit) -> None:
        for version in commit.versions:
            ref = version.ref
            name = (ref.asset, ref.partition, ref.version)
            if version.step < 0:
                continue  # of a source: it was only seen
            if name in self.published or name in self.quarantined:
                self.refuse(f"version {ref.version} of {show(ref.asset, ref.partition)} is recorded twice")
            if version.state == "published":
                self.published[name] = ref
                if any(verdict.blocks for verdict in version.verdicts):
                    self.refuse(f"version {ref.version} of {show(ref.asset, ref.partition)} is published past its gate")
            else:
                self.quarantined.add(name)
            if self.values.check(ref):
                self.refuse(f"version {ref.version} of {show(ref.asset, ref.partition)} is recorded, but not stored")

    def _saw_heads(self, commit: Commit) -> None:
        for head in commit.heads:
            name = (head.asset, head.partition, head.version)
            if name in self.quarantined:
                self.refuse(f"readers see the quarantined version {head.version} of {show(head.asset, head.partition)}")
            if name not in self.published and head.ref.format != "observed":
                self.refuse(f"readers see version {head.version} of {show(head.asset, head.partition)}, which nobody published")
            self.heads[head.asset, head.partition] = head.version
        for key in commit.unpublished:
            self.heads.pop(key, None)

    # -- what is made --

    def saw_begin(self, order: Order, now: Instant) -> None:
        """User code of an attempt is entered."""
        self.made += 1
        self.began[order.run, order.step, order.token] = now
        key, step, plan = (order.run, order.step), self._step(order.run, order.step), self.plans[order.run]
        if (order.run, order.step, order.token) not in self.handed_out:
            self.refuse(f"{self._name(*key)} begins, but that it was handed out is not on record")
        if order.mode != "undo":
            if order.step in self.done[order.run]:
                self.refuse(f"{self._name(*key)} begins, but its success is on record")
            for at in range(0, len(step.deps), 2):
                for above in range(step.deps[at], step.deps[at + 1]):
                    if plan.steps[above].run and above not in self.done[order.run]:
                        self.refuse(f"{self._name(*key)} begins before {self._name(order.run, above)} is done")
        for argument in order.arguments:
            for ref in argument.refs:
                self._saw_input(order, ref)
        for asset in self._handling(*key).outputs:
            other = self.writing.setdefault((asset, step.partition), key)
            if other != key:
                self.refuse(f"{self._name(*key)} and {self._name(*other)} write {show(asset, step.partition)} at once")

    def _saw_input(self, order: Order, ref: Ref) -> None:
        name = (ref.asset, ref.partition, ref.version)
        plan = self.plans[order.run]
        if ref.asset in plan.handling and not plan.handling[ref.asset].outputs:
            return  # a task's stored value
        if name in self.quarantined:
            self.refuse(f"{order.node} reads the quarantined version {ref.version} of {show(ref.asset, ref.partition)}")
        if name not in self.published:
            self.refuse(f"{order.node} reads version {ref.version} of {show(ref.asset, ref.partition)} before it is published")

    def saw_end(self, order: Order) -> None:
        """An attempt is over, however it ended: its process group can write no more."""
        for asset in self._handling(order.run, order.step).outputs:
            self.writing.pop((asset, order.partition), None)

    def saw_hand_out(self, orders: Sequence[Order]) -> None:
        """Orders leave for a worker: each holds a slot of its pools until its report is taken."""
        for order in orders:
            if order.mode == "key":
                self.keyed.add((order.run, order.step))
            else:
                self._take_slots(order.run, order.step)

    def _take_slots(self, run: str, step: int) -> None:
        for share in self._shares(run, step):
            self.busy[share] += 1
            own = self.plans[run].backfill
            slots = own.at_once if own and not share[0] else self.pools[share[0]].slots if share[0] in self.pools else None
            if slots is not None and self.busy[share] > slots:
                self.refuse(f"pool {share} has {slots} slots, but {self.busy[share]} attempts are out")

    def _shares(self, run: str, step: int) -> list[tuple[str, str]]:
        """The pools that the step shares, each with the value of its key: of the run's own, which has no name, the run."""
        return [(use.pool, self._key_value(run, step, use.key) if use.pool else run) for use in self._handling(run, step).pools]

    def _key_value(self, run: str, step: int, param: str) -> str:
        return self._step(run, step).partition if param == "partition" else ""

    def saw_answers(self, answers: Sequence[Answers]) -> None:
        """Outcomes leave for the flows that asked for them."""

    def saw_report(self, run: str, step: int) -> None:
        """The end of an attempt is about to be heard."""
        if (run, step) in self.keyed:
            self.keyed.discard((run, step))
            return
        for share in self._shares(run, step):
            self.busy[share] -= 1

    def saw_conductor_die(self, now: Instant) -> None:
        """All process groups are gone with their conductor."""
        self._forget_starts(now)
        self.writing.clear()
        self.busy.clear()
        self.keyed.clear()

    def saw_removal(self, removal: Removal) -> None:
        """Records went: of runs that ended, of versions that nobody reads."""
        for run in removal.runs:
            if run not in self.ended:
                self.refuse(f"run {run} is removed, but it is open")
        for asset, partition, version in removal.versions:
            if self.heads.get((asset, partition)) == version:
                self.refuse(f"version {version} of {show(asset, partition)} is removed, but it is published")
        self.removed_runs.update(removal.runs)
        self.removed.update(removal.versions)
        if removal.runs:
            self.cached = {entry: at for entry, at in self.cached.items() if entry[0] not in removal.runs}

    def saw_discard(self, ref: Ref) -> None:
        """A stored value is to be forgotten."""
        name = (ref.asset, ref.partition, ref.version)
        on_record = name not in self.removed and (name in self.published or name in self.quarantined)
        if on_record or any(kept == ref for _, _, kept in self.cached):
            self.refuse(f"version {ref.version} of {show(ref.asset, ref.partition)} is discarded, but it is on record")

    # -- at the end --

    def check_end(self, store: Store) -> None:
        """All runs ended, and what readers see is whole, published and what was last written."""
        if self.broken:
            raise Violation("; ".join(self.broken))
        for run in self.plans.keys() - self.removed_runs:
            row = store.run(run)
            if run not in self.ended or row is None or row.state != self.ended[run]:
                self.refuse(f"run {run} is {row.state if row else 'lost'}, but was seen to be {self.ended.get(run, 'open')}")
        assets = {asset for asset, _ in self.heads}
        seen = {(asset, key): head for asset, heads in store.heads(assets).items() for key, head in heads.items()}
        if {key: head.version for key, head in seen.items()} != self.heads:
            self.refuse("readers see other versions than those that were last published")
        for (asset, key), head in seen.items():
            if head.ref.format != "observed" and (fault := self.values.check(head.ref)):
                self.refuse(f"the published version of {show(asset, key)} cannot be read: {fault}")

    def _step(self, run: str, step: int) -> Step:
        return self.plans[run].steps[step]

    def _handling(self, run: str, step: int) -> Any:
        return self.plans[run].handling[self._step(run, step).node]

    def _name(self, run: str, step: int) -> str:
        there = self._step(run, step)
        return f"{show(there.node, there.partition)} (run {run})"


class WitnessedStore:
    """A store whose every write is seen by the witness, once it is done."""

    def __init__(self, store: Store, witness: Witness) -> None:
        self._store, self._witness = store, witness

    def accept(self, run: Run, plan: bytes, events: Sequence[bytes], audit: Sequence[Audit] = ()) -> None:
        """Record a run."""
        self._store.accept(run, plan, events, audit)
        self._witness.saw_accept(run, plan)

    def commit(self, commits: Sequence[Commit]) -> None:
        """Record what was decided."""
        self._store.commit(commits)
        self._witness.saw_commit(commits)

    def remove(self, removal: Removal) -> None:
        """Let something go."""
        self._store.remove(removal)
        self._witness.saw_removal(removal)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class WitnessedStorage:
    """A storage whose discards are seen by the witness."""

    def __init__(self, storage: Storage, witness: Witness) -> None:
        self._storage, self._witness = storage, witness

    def discard(self, ref: Ref) -> None:
        """Forget a value."""
        self._witness.saw_discard(ref)
        self._storage.discard(ref)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
