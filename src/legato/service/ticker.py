"""The ticker: tells the triggers of a project what happens, keeps what they decide, and says which runs they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import msgspec

from legato.declare.node import Node, Project
from legato.declare.partitions import coord_of, of_coords
from legato.declare.region import WHOLE
from legato.kernel import events as ev
from legato.plan.records import Plan
from legato.plan.select import Selection
from legato.plan.spread import Extents
from legato.ports.access import Audit
from legato.ports.decisions import Decided, Ticking
from legato.ports.store import Store
from legato.runtime.replay import read_state
from legato.service.ahead import Foresight, Read
from legato.service.params import arguments_of
from legato.service.planning import Planner
from legato.service.workspace import dynamic_names
from legato.terms.codec import pack, unpack
from legato.terms.errors import LegatoError
from legato.terms.fact import Metric
from legato.terms.instant import Instant
from legato.terms.key import show
from legato.triggers.decide import decide
from legato.triggers.events import AnyEvent, Decision, Fired, RunRequest, Skipped, TriggerPaused, TriggerResumed
from legato.triggers.inputs import Input, KeysAdded, MetricSeen, Published, RunEnded, RunMade, RunOver, StepFailed, TimePassed
from legato.triggers.state import Kept, State, keep, load

_PAGE, _FEW = 1_000, 20
MOST_PARTITIONS_NAMED = 3


class Ticker:
    """The triggers of one version of a project, beside the store that remembers them. For the thread that writes the store.

    What happened in runs is heard from their committed events, in order, from where the last ticker stopped: so nothing is
    lost if the service dies in between, or if runs were made without it. A decision is committed before anything is done about
    it; one that fired waits in the store until its run is accepted, under a key that makes it one run however often it is tried.
    """

    def __init__(self, store: Store, project: Project, now: Instant) -> None:
        self._store, self._project = store, project
        self._dynamic = {name: _Keys() for name in dynamic_names(project)}
        self._newest_key = 0
        self._read_keys()
        kept = [unpack(body, Kept) for body in store.kept_triggers().values()]
        self._heard = store.heard() if kept else store.newest_change()
        premises = _Premises(store, project, Extents(self._dynamic, now))
        self.state: State = load(project, kept, now, dynamic=self._dynamic, known=_Known(store), premises=premises)
        followers = {name for topic, each in self.state.listeners.items() if topic[0] == "asset" for name, _ in each}
        self._foresight = Foresight(store, {name: project.nodes[name].kind == "flow" for name in followers})
        self._keep(self.state.born)
        self._close_ended(now)

    def due(self) -> Instant | None:
        """When the clock is next about a trigger."""
        return self.state.next_due()

    def pass_time(self, now: Instant) -> None:
        """Decide what is due."""
        due = self.state.next_due()
        if due is not None and due <= now:
            self.tell(TimePassed(), now)

    def hear(self, now: Instant, read: Read) -> None:
        """Tell the triggers what the runs have recorded since the last time."""
        if not self.state.triggers:
            return
        while page := self._store.changes(self._heard, _PAGE):
            self._heard = page[-1][0]
            # One after the other: what an event means may depend on what was decided of those before.
            self.tell_all((each for number, run, body in page for each in self._inputs(number, run, ev.decode(body), read)), now)
            if len(page) < _PAGE:
                return

    def tell(self, input: Input, now: Instant) -> None:
        """Tell the triggers one thing, and keep what they decide."""
        self.tell_all([input], now)

    def tell_all(self, inputs: Iterable[Input], now: Instant) -> None:
        """Tell the triggers several things, and keep what they decide by one commit."""
        events = [event for each in inputs for event in decide(self.state, each, now)]
        if not events:
            return
        decided = [_decided(event) for event in events if isinstance(event, Fired | Skipped)]
        wanted = [_audit(event) for event in events if isinstance(event, TriggerPaused | TriggerResumed)]
        self._keep({event.trigger for event in events}, decided, wanted)

    def look_for_keys(self, now: Instant) -> None:
        """Tell the triggers of keys that dynamic sets have since the last time."""
        for name, new in self._read_keys().items():
            self.tell(KeysAdded(f"{name}:{new[0]}:{len(self._dynamic[name])}", name, tuple(new)), now)

    def _read_keys(self) -> dict[str, list[str]]:
        """Take up the keys that came since the last time: those that are new, by set."""
        new: dict[str, list[str]] = {}
        for number, name, key in self._store.new_keys(self._newest_key) if self._dynamic else ():
            self._newest_key = number
            if name in self._dynamic:
                new.setdefault(name, []).append(key)
        for name, keys in new.items():
            self._dynamic[name].add(keys)
        return new

    def waiting(self) -> list[Fired]:
        """Decisions that fired and have no run yet, oldest first."""
        found = (decision_of(each) for each in self._store.waiting_decisions())
        return [each for each in found if isinstance(each, Fired)]

    def give_up(self, fired: Fired, why: str, now: Instant) -> None:
        """A decision that fired will be no run, for this reason."""
        self._store.give_up(fired.trigger, fired.key, why)
        self.tell(RunEnded(fired.trigger, fired.request.key), now)

    def _close_ended(self, now: Instant) -> None:
        """Runs that ended, or never came to be, while nobody told the triggers."""
        for name, trigger in self.state.triggers.items():
            for request in list(trigger.open or ()):
                decided = self._store.decision(name, request.removeprefix(f"{name}/"))
                if decided is not None and decided.waits:
                    continue
                run = self._store.run(decided.run) if decided is not None and decided.run else None
                if run is None or run.state != "open":
                    self.tell(RunEnded(name, request), now)
        for each in list(self.state.holding):
            row = self._store.run(each)
            if row is None:
                self.tell(RunOver(f"{each}:{self._heard}", each), now)
            elif row.state != "open" and next(iter(self._store.events(each, self._heard)), None) is None:
                read = partial(read_state, self._store)
                self.tell_all(self._over(self._heard, each, read, undone=row.state == "rolled_back"), now)

    # -- in --

    def _inputs(self, number: int, run: str, event: ev.AnyEvent, read: Read) -> Iterator[Input]:
        listeners = self.state.listeners
        self._foresight.take(run, event)
        match event:
            case ev.StepSucceeded():
                yield from self._succeeded(number, run, event, read)
            case ev.AttemptFailed(then="fail") if any(topic[0] == "failed" for topic in listeners):
                state = read(run)
                step = state.plan.steps[event.step]
                names = (step.node, *state.plan.handling[step.node].outputs)
                yield StepFailed(f"{run}:{number}", names, step.partition, run, event.error.message)
            case ev.FactsNoted() if any(topic[0] == "metric" for topic in listeners):
                step = read(run).plan.steps[event.step]
                for place, fact in enumerate(event.facts):
                    if isinstance(fact, Metric):
                        yield MetricSeen(f"{run}:{number}:{place}", step.node, fact.name, float(fact.value), step.partition)
            case ev.RunEnded():
                yield from self._ended(run)
                yield from self._over(number, run, read, undone=event.outcome == "rolled_back")
                self._foresight.forget(run)

    def _succeeded(self, number: int, run: str, event: ev.StepSucceeded, read: Read) -> Iterator[Input]:
        assets = tuple(output.ref.asset for output in event.outputs)
        is_followed = any(("asset", asset) in self.state.listeners for asset in assets)
        found = self._foresight.at(number, run, read) if is_followed or run in self.state.holding else None
        if assets:
            above = {} if found is None else found.flows_above(event.step)
            ahead: Mapping[str, Collection[str]] = {} if found is None else {**found.keys, **above} if above else found.keys
            yield Published(f"{run}:{number}", assets, (event.outputs[0].ref.partition,), run, ahead)
        place = None if found is None else found.place(event.step)
        if place is not None:
            yield RunMade(run, *place)

    def _over(self, number: int, run: str, read: Read, *, undone: bool = False) -> Iterator[Input]:
        """What is told of a run's end: also what it made while its trigger was no part of the project."""
        if run in self.state.holding:
            found = self._foresight.at(number, run, read)
            for name in list(self.state.holding[run]):
                held = (self.state.triggers[name].held or {})[run].values()
                for key in sorted({key for each in held for key in each.keys}):
                    if found is not None and (name, key) in found.made:
                        yield RunMade(run, name, key)
            yield RunOver(f"{run}:{number}", run, undone)

    def _ended(self, run: str) -> Iterator[Input]:
        row = self._store.run(run)
        for name, trigger in self.state.triggers.items() if row is not None and row.key else ():
            if row is not None and trigger.open and row.key in trigger.open:
                yield RunEnded(name, row.key)

    def _keep(self, names: Iterable[str], decided: Sequence[Decided] = (), audit: Sequence[Audit] = ()) -> None:
        kept = {name: pack(keep(self.state.triggers[name])) for name in names}
        if kept or decided:
            self._store.tick(Ticking(decided=list(decided), kept=kept, heard=self._heard, audit=list(audit)))


def plan_fired(planner: Planner, fired: Fired, payloads: Path) -> Plan:
    """The plan that a fired trigger asks for. Its keys of dynamic sets must be there already (`add_keys`)."""
    request = fired.request
    selection = _selection(planner, request)
    params = dict(request.params)
    if request.payload_to:
        params[request.payload_to] = _payload(payloads, request.payload)
    arguments = arguments_of(planner.workspace, selection, params)
    return planner.make(selection, _words(request), True, arguments)  # it is its time, whether it is stale or not


def add_keys(store: Store, request: RunRequest) -> None:
    """Give dynamic sets the keys that a request brings."""
    for name, key in request.adds:
        store.add_dynamic_keys(name, [key])


def decision_of(decided: Decided) -> Decision:
    """The decision as the triggers made it."""
    decision: Decision = _decoder.decode(decided.body)
    return decision


_decoder: msgspec.msgpack.Decoder[Fired | Skipped] = msgspec.msgpack.Decoder(Fired | Skipped)


def _decided(decision: AnyEvent) -> Decided:
    assert isinstance(decision, Fired | Skipped)
    return Decided(trigger=decision.trigger, key=decision.key, body=pack(decision), waits=isinstance(decision, Fired))


def _audit(event: TriggerPaused | TriggerResumed) -> Audit:
    action = "pause" if isinstance(event, TriggerPaused) else "unpause"
    return Audit(at=event.on, actor=event.actor, action=action, object=f"trigger {event.trigger}")


def _selection(planner: Planner, request: RunRequest) -> Selection:
    node = planner.workspace.project.nodes.get(request.node)
    if node is None:
        raise LegatoError("node", f"{request.node} is no longer part of the project", next="legato triggers")
    if node.partitions is None:
        return {node.name: WHOLE}
    if request.everything:
        return {node.name: planner.extents.of(node.partitions)}
    parts = node.partitions
    return {node.name: of_coords(coord_of(parts, key, planner.extents.dynamic) for key in request.partitions)}


def _words(request: RunRequest) -> str:
    named = [show(request.node, key) for key in request.partitions[:MOST_PARTITIONS_NAMED]]
    more = len(request.partitions) - MOST_PARTITIONS_NAMED
    return (" ".join(named) or request.node) + (f" and {more} more" if more > 0 else "")


def _payload(folder: Path, name: str) -> Any:
    """What a webhook or message brought: as JSON where it is some, else as text."""
    try:
        body = (folder / name).read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise LegatoError("payload-gone", "what came with it is no longer kept", why=why, next="have it sent again") from error
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body.decode(errors="replace")


class _Keys(Sequence[str]):
    """The keys of a dynamic set, oldest first; whether one is there is asked often."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._listed: list[str] = []

    def add(self, keys: Sequence[str]) -> None:
        """Add keys that are new."""
        self._keys.update(keys)
        self._listed += keys

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        return self._listed[place]

    def __len__(self) -> int:
        return len(self._listed)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


class _Known:
    """Which events were decided before: what is stored, and what was decided since the last commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new: set[tuple[str, str]] = set()

    def __contains__(self, tick: object) -> bool:
        if not isinstance(tick, tuple):
            return False
        return tick in self._new or self._store.was_decided(*tick)

    def add(self, tick: tuple[str, str]) -> None:
        if len(self._new) >= _PAGE:  # what was decided a turn ago is stored
            self._new.clear()
        self._new.add(tick)


class _Premises:
    """What is published now."""

    def __init__(self, store: Store, project: Project, extents: Extents) -> None:
        self._store, self._project, self._extents = store, project, extents

    def last_published(self, node: Node) -> Instant | None:
        """When a version of the node's assets was published last."""
        return max(filter(None, map(self._newest, node.outputs)), default=None)

    def _newest(self, asset: str) -> Instant | None:
        """When the newest of the versions that readers see was published: one of the last, however many partitions there are."""
        before = 0
        while page := self._store.versions(asset, limit=_FEW, before=before):
            for _, version in page:
                head = self._store.head(asset, version.ref.partition)
                if head is not None and head.version == version.ref.version:
                    return version.at
            before = page[-1][0]
        return None

    def missing(self, node: Node) -> Iterable[str]:
        """The partitions of the node that were never published."""
        from legato.declare.partitions import keys

        heads: list[Mapping[str, object]] = list(self._store.heads(node.outputs).values())
        if node.partitions is None:
            return [] if all("" in by_key for by_key in heads) else [""]
        there = keys(node.partitions, self._extents.of(node.partitions), self._extents.dynamic)
        return [key for key in there if any(key not in by_key for by_key in heads)]
