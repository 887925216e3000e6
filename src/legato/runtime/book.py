"""What a run's events write besides themselves: versions, heads, troubles, timings, the run's own row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from legato.declare.project import contract_fingerprint
from legato.kernel import events as ev
from legato.kernel.standing import standing_of
from legato.kernel.state import RunState
from legato.plan.records import Plan
from legato.ports.access import Audit
from legato.ports.store import Cached, Commit, Head, Run, Store, Trouble, Version
from legato.runtime.cache import ResultCache
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import Dispatch
from legato.terms.attempt import Output, Ref
from legato.terms.fact import Metric
from legato.terms.instant import Instant
from legato.terms.key import show


class Book:
    """Keeps the books of one run: turns events, once decided, into the rows that the same commit writes."""

    def __init__(
        self, store: Store, catalogue: Catalogue, dispatch: Dispatch, cache: ResultCache, run: Run, state: RunState
    ) -> None:
        self._store, self._catalogue, self.dispatch, self.cache = store, catalogue, dispatch, cache
        self.run, self.state = run, state
        self._told: dict[int, tuple[int, dict[str, int | float]]] = {}
        """Of steps under way that make versions: the attempt that told metrics, and these."""
        self._is_moved = False

    def assign(self, version: str) -> None:
        """From here on the run is of this version of the project: the next commit says so."""
        if self.run.project != version:
            self.run, self._is_moved = replace(self.run, project=version), True

    def sightings(self, plan: Plan, now: Instant) -> list[Version]:
        """What the plan saw of sources, where it is new: versions that somebody else made, kept for their history alone."""
        found = []
        for asset, tokens in plan.observed.items():
            self._catalogue.learn([asset])
            known = self._catalogue.heads(asset)
            for partition, token in tokens.items():
                if partition not in known or known[partition].digest != token:
                    ref = Ref(asset, partition, self.run.id, "", "", "observed", digest=token)
                    found.append(Version(ref=ref, state="published", run=self.run.id, step=-1, token=0, at=now))
        return found

    def write(self, events: Iterable[ev.AnyEvent], sightings: list[Version], audit: list[Audit]) -> Commit:
        """The commit for these events, which are folded into the state already, what was seen of sources, who asked for it."""
        commit = Commit(run_id=self.run.id, versions=list(sightings), audit=list(audit))
        for version in sightings:
            self._publish(commit, version)
        for event in events:
            commit.events.append(ev.encode(event))
            kind = type(event)
            if kind is ev.StepSucceeded:
                self._succeeded(commit, event)  # type: ignore[arg-type]
            elif kind in _WRITERS:
                _WRITERS[kind](self, commit, event)
        if self.run.backfill is not None and commit.events:
            self.run = commit.run = replace(self.run, backfill=standing_of(self.state))
        if self._is_moved:
            commit.run, self._is_moved = self.run, False
        return commit

    def _succeeded(self, commit: Commit, event: ev.StepSucceeded) -> None:
        step = self.state.plan.steps[event.step]
        handling = self.state.plan.handling[step.node]
        if not event.cached:
            count, seconds = commit.timings.get(step.node, (0, 0.0))
            commit.timings[step.node] = (count + 1, seconds + event.seconds)
        if handling.cached:
            self._cached(commit, event, step.node)
        if event.outputs:
            for output in event.outputs:
                version = self._version(event.step, event.token, event.at, output, "published")
                commit.versions.append(version)
                self._publish(commit, version)
            self.dispatch.forget(self.run.id, event.step)
            self._told.pop(event.step, None)
        if self._catalogue.has_troubles:
            names = handling.outputs or (step.node,)
            commit.settled.extend((name, step.partition) for name in names if self._catalogue.troubled(name, step.partition))

    def _cached(self, commit: Commit, event: ev.StepSucceeded, node: str) -> None:
        """Let later runs find the result. In a rollback nothing counts any more."""
        key = self.cache.take_key(self.run.id, event.step)
        if key and not self.state.rolling:
            commit.cached.append(
                Cached(
                    key=key, node=node, run=self.run.id, step=event.step, at=event.at, value=event.value, kept=event.kept
                )
            )  # fmt: skip

    def _noted(self, commit: Commit, event: ev.FactsNoted) -> None:
        """Keep the metrics for the version that the attempt is going to make."""
        if not self.state.handling(event.step).outputs:
            return
        token, metrics = self._told.get(event.step, (0, {}))
        known = metrics if token == event.token else {}
        self._told[event.step] = event.token, known | {fact.name: fact.value for fact in event.facts if isinstance(fact, Metric)}

    def _halted(self, commit: Commit, event: ev.RunHalted) -> None:
        commit.uncached = commit.uncached or event.rollback

    def _failed(self, commit: Commit, event: ev.AttemptFailed) -> None:
        for output in event.outputs:
            commit.versions.append(self._version(event.step, event.token, event.at, output, "quarantined", event.error.message))
        if event.then == "fail":
            kept = {output.ref.asset: output.ref.version for output in event.outputs}
            self._trouble(commit, event.step, event.at, event.error.kind, event.error.message, kept)

    def _skipped(self, commit: Commit, event: ev.StepsSkipped) -> None:
        for index in event.steps:
            if event.kind == "upstream":
                root = self.state.plan.steps[event.root]
                if event.root in self.state.errors:
                    words = f"{show(root.node, root.partition)} failed: {self.state.errors[event.root].message}"
                    self._trouble(commit, index, event.at, "upstream", words, {})
            else:
                self._trouble(commit, index, event.at, event.kind, "the run was halted before it", {})

    def _undone(self, commit: Commit, event: ev.StepUndone) -> None:
        """Publish again what the step's outputs had replaced, where nobody has replaced them since."""
        partition = self.state.plan.steps[event.step].partition
        for asset, own, former in self.state.swaps.get(event.step, ()):
            head = self._catalogue.head(asset, partition)
            if head is None or head.version != own:
                continue
            version = self._store.version(asset, partition, former) if former else None
            if version is None:
                commit.unpublished.append((asset, partition))
                self._catalogue.withdraw(asset, partition)
            else:
                self._publish(commit, version)

    def _publish(self, commit: Commit, version: Version) -> None:
        head = head_of(version)
        commit.heads.append(head)
        self._catalogue.publish(head)

    def _ended(self, commit: Commit, event: ev.RunEnded) -> None:
        self.cache.forget(self.run.id)
        counts, cached = self.counts(), len(self.state.cached)
        self.run = commit.run = replace(
            self.run, state=event.outcome, ended=event.at, counts=counts, cached=cached, paused=False
        )  # fmt: skip

    def _paused(self, commit: Commit, event: ev.RunPaused | ev.RunUnpaused) -> None:
        self.run = commit.run = replace(self.run, paused=type(event) is ev.RunPaused)

    def _resumed(self, commit: Commit, event: ev.RunResumed) -> None:
        self.run = commit.run = replace(self.run, state="open", ended=None)

    def counts(self) -> dict[str, int]:
        """Steps by status, in words; only those that occur."""
        return self.state.tally()

    def _version(self, step: int, token: int, at: Instant, output: Output, state: str, note: str = "") -> Version:
        node = self.dispatch.node(self.state.plan.steps[step].node)
        teller, metrics = self._told.get(step, (0, {}))
        return Version(
            ref=output.ref, state=state, run=self.run.id, step=step, token=token, at=at, code=node.code,  # type: ignore[arg-type]
            contract=contract_fingerprint(node, output.ref.asset), inputs=self.dispatch.inputs(self.run.id, step),
            columns=output.columns, verdicts=output.verdicts, note=note, metrics=metrics if teller == token else {},
        )  # fmt: skip

    def _trouble(self, commit: Commit, index: int, at: Instant, kind: str, message: str, kept: dict[str, str]) -> None:
        step = self.state.plan.steps[index]
        for name in self.state.plan.handling[step.node].outputs or (step.node,):
            commit.troubles.append(
                Trouble(
                    asset=name,
                    partition=step.partition,
                    run=self.run.id,
                    step=index,
                    kind=kind,
                    message=message,
                    at=at,
                    version=kept.get(name, ""),
                )
            )


_WRITERS: dict[type, Callable[[Book, Commit, Any], None]] = {
    ev.AttemptFailed: Book._failed,
    ev.FactsNoted: Book._noted,
    ev.RunHalted: Book._halted,
    ev.StepsSkipped: Book._skipped,
    ev.StepUndone: Book._undone,
    ev.RunEnded: Book._ended,
    ev.RunResumed: Book._resumed,
    ev.RunPaused: Book._paused,
    ev.RunUnpaused: Book._paused,
}


def head_of(version: Version) -> Head:
    """The head that publishes this version."""
    ref = version.ref
    return Head(
        ref.asset, ref.partition, ref.version, ref.digest, version.code, version.contract, version.inputs, version.at, ref
    )
