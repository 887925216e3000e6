"""All triggers of a project as they stand: what is decided of each, what has come, and when the clock is next about one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Protocol

from msgspec import Struct

from legato.declare.keyed import Dynamic, DynamicKeys
from legato.declare.moment import Changed, Failed, File, Message, Metric, Updated, Webhook
from legato.declare.node import Node, Project
from legato.declare.partitions import dimensions
from legato.declare.pattern import folder_of
from legato.declare.project import contract_fingerprint
from legato.terms.codec import pack
from legato.terms.instant import Instant
from legato.triggers.events import Came, Later
from legato.triggers.form import Form
from legato.triggers.inputs import Changes
from legato.triggers.keys import NONE, Keys, both, minus, of, union
from legato.triggers.reach import ended_windows, next_end

Topic = tuple[str, ...]
"""What a moment listens to: `("asset", "flights")`, `("webhook", "orders")`."""


class Known(Protocol):
    """Which ticks of events were decided before, however long ago; answered from what is stored."""

    def __contains__(self, tick: object) -> bool:
        """Whether this trigger decided an event under this key: `(trigger, key)`."""
        ...

    def add(self, tick: tuple[str, str]) -> None:
        """It is decided now. What is not committed later, with the decision, is forgotten with the whole state."""
        ...


class Premises(Protocol):
    """What is published, as far as triggers have to know it when they are loaded."""

    def last_published(self, node: Node) -> Instant | None:
        """When a version of the node's assets was published last; None if never. Asked for triggers with `stale`."""
        ...

    def missing(self, node: Node) -> Iterable[str]:
        """The partitions of the node that are there to be made and were never published. Asked for triggers with `missing`."""
        ...


class Kept(Struct, frozen=True, kw_only=True, array_like=True):
    """What must be stored of a trigger with each of its events, so that a new process goes on where this one stopped."""

    trigger: str
    until: Instant
    stale_from: Instant
    paused: bool = False
    came: tuple[Came, ...] = ()
    open: tuple[tuple[str, Came], ...] = ()
    held: tuple[Later, ...] = ()


class Held:
    """What of a moment is held back while a run goes on, each once and in the order of its coming (`Later`)."""

    __slots__ = ("keys", "versions")

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.versions: dict[str, None] = {}


class TriggerState:
    """One trigger. All its ticks up to `until` are decided; `open` are the partitions of its runs that are not over; `held` is
    what comes, by moment, if a run that published ends without having made it."""

    __slots__ = ("came", "due", "form", "fresh", "held", "node", "open", "paused", "stale_from", "until")

    def __init__(self, node: Node, form: Form, until: Instant) -> None:
        self.node, self.form, self.until = node, form, until
        self.paused = False
        self.stale_from = Instant(0)
        self.came: dict[int, Keys] | None = None
        self.open: dict[str, Keys] | None = None
        self.held: dict[str, dict[int, Held]] | None = None
        self.fresh: Keys = NONE
        """Missing partitions that no tick was about yet: found when the trigger was loaded."""
        self.due: Instant | None = None

    def next_due(self) -> Instant | None:
        """When the clock is next about this trigger."""
        if self.fresh:
            return self.until
        form, found = self.form, []
        for number, schedule in enumerate(form.schedules):
            if schedule is not None:
                found.append(schedule.next(self.until))
            elif form.ages_us[number]:
                found.append(Instant(self.stale_from + form.ages_us[number]))
        if form.missing:
            found.append(next_end(self.node.partitions, self.until))
        return min((each for each in found if each is not None), default=None)


class State:
    """The triggers of a project. `heap` has when each is due; an entry that its trigger no longer names is passed over."""

    def __init__(self, project: Project, dynamic: DynamicKeys, known: Known) -> None:
        self.project, self.dynamic, self.known = project, dynamic, known
        self.triggers: dict[str, TriggerState] = {}
        self.listeners: dict[Topic, list[tuple[str, int]]] = {}
        """By what they listen to: triggers, with the number of the moment."""
        self.holding: dict[str, set[str]] = {}
        """Triggers that hold something back, by the run that they hold it for."""
        self.heap: list[tuple[Instant, str]] = []
        self.born: list[str] = []
        """Triggers that were not there before: what is kept of them is to be stored at once, since their ticks count from now."""

    def arm(self, trigger: TriggerState) -> None:
        """Works out when the trigger is due, and remembers it."""
        due = trigger.next_due()
        if due != trigger.due:
            trigger.due = due
            if due is not None:
                heappush(self.heap, (due, trigger.node.name))

    def hold(self, trigger: TriggerState, later: Iterable[Later]) -> None:
        """Remembers what comes only if a run ends without having made it."""
        for each in later:
            number = trigger.form.number_of(each.moment)
            if number is not None:
                trigger.held = trigger.held or {}
                held = trigger.held.setdefault(each.run, {}).setdefault(number, Held())
                held.keys.update(dict.fromkeys(each.keys))
                held.versions.update(dict.fromkeys(each.versions))
                self.holding.setdefault(each.run, set()).add(trigger.node.name)

    def release(self, trigger: TriggerState, run: str) -> None:
        """Forgets all that was held back for a run."""
        if trigger.held is not None and trigger.held.pop(run, None) is not None:
            trigger.held = trigger.held or None
            self.holding[run].discard(trigger.node.name)
            if not self.holding[run]:
                del self.holding[run]

    def next_due(self) -> Instant | None:
        """When `TimePassed` will next find something to decide; None if nothing waits for the clock."""
        while self.heap and self.triggers[self.heap[0][1]].due != self.heap[0][0]:
            heappop(self.heap)
        return self.heap[0][0] if self.heap else None


def load(
    project: Project, kept: Iterable[Kept], now: Instant, *, dynamic: DynamicKeys, known: Known, premises: Premises
) -> State:
    """The triggers of a project, those that were there before as they were; one that is new has no past (`State.born`)."""
    state = State(project, dynamic, known)
    before = {each.trigger: each for each in kept}
    forms: dict[bytes, Form] = {}
    for node in project.nodes.values():
        if node.trigger is None:
            continue
        name = pack(node.trigger)
        form = forms.get(name) or forms.setdefault(name, Form(node.trigger))
        trigger = state.triggers[node.name] = TriggerState(node, form, now)
        if node.name in before:
            _restore(trigger, before[node.name])
            state.hold(trigger, before[node.name].held)
        else:
            state.born.append(node.name)
        _ask_premises(trigger, premises, now, dynamic)
        for number in range(len(form.leaves)):
            for topic in _topics(node, form, number):
                state.listeners.setdefault(topic, []).append((node.name, number))
        trigger.due = trigger.next_due()
        if trigger.due is not None:
            state.heap.append((trigger.due, node.name))
    heapify(state.heap)
    return state


def keep(trigger: TriggerState) -> Kept:
    """What is to be stored of a trigger."""
    ids = trigger.form.ids
    return Kept(
        trigger=trigger.node.name, until=trigger.until, stale_from=trigger.stale_from, paused=trigger.paused,
        came=tuple(as_came(ids[number], keys) for number, keys in sorted((trigger.came or {}).items())),
        open=tuple((key, as_came("", keys)) for key, keys in (trigger.open or {}).items()),
        held=tuple(
            Later(run, ids[number], tuple(each.keys), tuple(each.versions))
            for run, moments in (trigger.held or {}).items() for number, each in moments.items()
        ),
    )  # fmt: skip


def as_came(moment: str, keys: Keys) -> Came:
    """The keys as they are stored."""
    return Came(moment, tuple(sorted(keys.named)), keys.rest)


def as_keys(came: Came) -> Keys:
    """The keys that are stored."""
    return Keys(frozenset(came.keys), came.rest)


def paths_asked(state: State, kind: str, name: str) -> list[str]:
    """Where a webhook's or topic's payloads hold partitions' keys, for whoever hands them in (`Delivered.keys`)."""
    found = []
    for trigger, number in state.listeners.get((kind, name), ()):
        leaf = state.triggers[trigger].form.leaves[number]
        if isinstance(leaf, Webhook | Message) and leaf.key:
            found.append(leaf.key)
    return sorted(set(found))


def wants_payload(state: State, kind: str, name: str) -> bool:
    """Whether a flow takes the payload of this webhook or topic: else nobody has to keep it."""
    listeners = state.listeners.get((kind, name), ())
    return any("payload" in state.triggers[each].form.leaves[number].gives for each, number in listeners)


def changes(before: Project, after: Project) -> Iterator[Changes]:
    """What `lg.trigger.changed` asks about, between two versions of a project."""

    def judged(node: Node) -> str:
        return " ".join(contract_fingerprint(node, asset) for asset in node.outputs)

    for name, node in after.nodes.items():
        old = before.nodes.get(name)
        if old is None or node.trigger is None:
            continue
        asked = {leaf.what for leaf in Form(node.trigger).leaves if isinstance(leaf, Changed)}
        if "code" in asked and old.code != node.code:
            yield Changes(name, "code", node.code)
        if "contract" in asked and judged(old) != judged(node):
            yield Changes(name, "contract", judged(node))


def _restore(trigger: TriggerState, kept: Kept) -> None:
    trigger.until, trigger.paused, trigger.stale_from = kept.until, kept.paused, kept.stale_from
    numbers = {each: number for number, each in enumerate(trigger.form.ids)}
    came = {numbers[each.moment]: as_keys(each) for each in kept.came if each.moment in numbers}
    trigger.came = came or None
    trigger.open = {key: as_keys(each) for key, each in kept.open} or None


def _ask_premises(trigger: TriggerState, premises: Premises, now: Instant, dynamic: DynamicKeys) -> None:
    """Takes the states of the node from what is published: it may have been made by others meanwhile."""
    form, parts = trigger.form, trigger.node.partitions
    if any(form.ages_us):
        published = premises.last_published(trigger.node) or 0
        trigger.stale_from = Instant(max(trigger.stale_from, published) or trigger.until)
    for number in form.missing:
        missing = of(premises.missing(trigger.node))
        before = (trigger.came or {}).get(number, NONE)
        # The next tick is about windows that ended since the last one; where a clock was set back, some ended all the same.
        coming, back = ended_windows(parts, trigger.until, now, dynamic), ended_windows(parts, now, trigger.until, dynamic)
        trigger.fresh = minus(minus(missing, before), coming)
        trigger.came = {**(trigger.came or {}), number: both(before, union(missing, back))}


def _topics(node: Node, form: Form, number: int) -> Iterator[Topic]:
    """What a moment listens to."""
    match form.leaves[number]:
        case Updated(asset=asset):
            yield ("asset", asset)
        case Webhook(name=name):
            yield ("webhook", name)
        case Message(topic=topic):
            yield ("message", topic)
        case File(pattern=pattern):
            yield ("folder", folder_of(pattern))
        case Failed(node=name):
            yield ("failed", name)
        case Metric(name=name, of=name_of):
            yield ("metric", name_of, name)
        case Changed(what=what):
            yield ("changed", node.name, what)
    if form.is_state(number):
        for asset in node.outputs:
            yield ("own", asset)
    if number in form.missing:
        for _, part in dimensions(node.partitions):
            if isinstance(part, Dynamic):
                yield ("keys", part.name)
