"""What runs by itself: each trigger with what it waits for, the ticks to come, and what was decided of those that came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct

from legato.declare.moment import Timed, moments
from legato.declare.node import Node
from legato.declare.resolve import did_you_mean
from legato.ports.decisions import Decided
from legato.ports.store import Store
from legato.service.inbox import Inbox
from legato.service.planning import Planner
from legato.service.reporting import state_in_words
from legato.service.workspace import Workspace
from legato.terms.codec import unpack
from legato.terms.errors import NotFound
from legato.terms.instant import Instant, after, iso
from legato.triggers.events import Skipped, decode
from legato.triggers.form import Form
from legato.triggers.state import Kept
from legato.triggers.upcoming import Upcoming, next_of, next_of_project, next_ticks
from legato.triggers.words import describe, explain

Sees = Callable[[Node], bool]
"""Whether somebody may look at a node."""


class ComingTick(Struct, frozen=True, kw_only=True):
    """A tick to come. `local` is what the clock of the zone `tz` shows then, `offset` how far it is ahead of UTC; `mark` says
    that this clock is changed there (gap, first, second), `day_off` why the calendar skips it; `note` has it all in words."""

    at: Instant
    trigger: str
    moment: str
    tz: str
    local: str
    offset: str
    mark: str
    day_off: str
    note: str


class Coming(Struct, frozen=True, kw_only=True):
    """Ticks in order of time. `until` is how far was looked; with `more`, there are others before that. `untimed` are triggers
    without a clock, with what they wait for."""

    ticks: list[ComingTick]
    until: Instant
    more: bool
    untimed: dict[str, str]


class DecisionLine(Struct, frozen=True, kw_only=True):
    """What was decided of a tick, or of `ticks` of them from `first` to `at`. `sentence` says it, and `why` is the reason's word
    (empty: it fired). What fired became a `run`, whose `state` that is, or `waits` to become one, or never will: `note`."""

    number: int
    trigger: str
    key: str
    outcome: str
    why: str
    at: Instant
    on: Instant
    first: Instant
    ticks: int
    moments: tuple[str, ...]
    numbers: dict[str, Any]
    sentence: str
    run: str
    state: str
    waits: bool
    note: str


class DecisionPage(Struct, frozen=True, kw_only=True):
    """A page of decisions, newest first; `older` is the number to ask for the next page with, 0 if there is none."""

    trigger: str
    decisions: list[DecisionLine]
    older: int


class TriggerLine(Struct, frozen=True, kw_only=True):
    """One trigger. `due` is its first tick by time that is not decided; `overdue`, that it should be by now: nobody was there.

    `asked` is what somebody asked for that no service has heard yet: pause or unpause.
    """

    name: str
    kind: str
    trigger: str
    paused: bool
    asked: str
    due: ComingTick | None
    overdue: bool
    last: DecisionLine | None


def list_triggers(
    workspace: Workspace, store: Store | None, words: str, *, sees: Sees = lambda node: True, after: str = "",
    limit: int | None = None,
) -> list[TriggerLine]:  # fmt: skip
    """The triggers of what the words select, of the whole project without any; of those that somebody sees, by name, from behind
    one on."""
    found = sorted((each for each in _selected(workspace, store, words) if each.name > after and sees(each)), key=_name)
    nodes = found[:limit]
    kept, asked, now = read_kept(store), Inbox(workspace.inbox).pausings(), workspace.clock.now()
    reader = _Reader(workspace, store)
    lines = []
    for node in nodes:
        before = kept.get(node.name)
        due = _due(node, before, store, now)
        paused = before is not None and before.paused
        lines.append(
            TriggerLine(
                name=node.name, kind=node.kind, trigger=describe(node.trigger), paused=paused,
                asked=asked[node.name].word if node.name in asked else "",
                due=None if due is None else _coming(due, node, paused=paused), overdue=due is not None and due.at <= now,
                last=reader.newest(node.name),
            )
        )  # fmt: skip
    return lines


def list_coming(
    workspace: Workspace, store: Store | None, name: str = "", *, days: float = 7, limit: int = 50,
    sees: Sees = lambda node: True,
) -> Coming:  # fmt: skip
    """The ticks that the clock brings from now on, of one trigger or of all that somebody sees."""
    now = workspace.clock.now()
    until, nodes = after(now, days * 86_400), workspace.project.nodes
    kept = read_kept(store)
    if name:
        node = require_trigger(workspace, name)
        chosen, ticks = [node], next_ticks(node.trigger, now, until, node.name)
    else:
        chosen = [node for node in nodes.values() if node.trigger is not None and sees(node)]
        seen = {node.name for node in chosen}
        ticks = (each for each in next_of_project(workspace.project, now, until) if each.node in seen)
    paused = {each.trigger for each in kept.values() if each.paused}
    found = [_coming(each, nodes[each.node], paused=each.node in paused) for each in islice(ticks, limit + 1)]
    untimed = {node.name: describe(node.trigger) for node in chosen if not _is_timed(node)}
    return Coming(ticks=found[:limit], until=until, more=len(found) > limit, untimed=untimed)


def list_decisions(
    workspace: Workspace, store: Store | None, name: str = "", *, limit: int = 20, before: int = 0
) -> DecisionPage:
    """What was decided of one trigger's ticks, or of all, newest first; also of triggers that the project no longer has."""
    if store is None or (name and not store.decisions(name, limit=1)):
        name = require_trigger(workspace, name).name if name else ""
    found = store.decisions(name or None, limit=limit + 1, before=before) if store is not None else []
    reader = _Reader(workspace, store)
    lines = [reader.line(number, each) for number, each in found[:limit]]
    return DecisionPage(trigger=name, decisions=lines, older=lines[-1].number if len(found) > limit else 0)


def require_trigger(workspace: Workspace, name: str) -> Node:
    """The node of this name, which must have a trigger; `NotFound` (`trigger`) if it has none."""
    node = workspace.node(name)
    if node.trigger is None:
        others = [each.name for each in workspace.project.nodes.values() if each.trigger is not None]
        why = did_you_mean(name, others) if others else "nothing in the project has a trigger: on=lg.cron(...)"
        raise NotFound("trigger", f"{name} has no trigger: it runs when somebody asks for it", why=why, next="legato triggers")
    return node


def read_kept(store: Store | None) -> dict[str, Kept]:
    """What is kept of each trigger that a service had under it, by name."""
    found = store.kept_triggers() if store is not None else {}
    return {name: unpack(body, Kept) for name, body in found.items()}


def _name(node: Node) -> str:
    return node.name


def _selected(workspace: Workspace, store: Store | None, words: str) -> Iterator[Node]:
    """The nodes with triggers, also those that have no partitions yet."""
    names = set(workspace.project.nodes)
    if words:
        planner = Planner(workspace, store)
        try:
            names = set(planner.select(words, whole=True))
        except NotFound:
            if not planner.unpopulated:
                raise
            names = set()
        names.update(name for each in planner.unpopulated for name in each.nodes)
    return (node for node in workspace.project.nodes.values() if node.name in names and node.trigger is not None)


def _due(node: Node, kept: Kept | None, store: Store | None, now: Instant) -> Upcoming | None:
    """The first tick by time that is not decided yet. A trigger that no service had under it has no past."""
    until = now if kept is None else kept.until
    made = 0
    if store is not None and any(_form(node).ages_us):
        made = max((head.at for heads in store.heads(node.outputs).values() for head in heads.values()), default=0)
    stale_from = max(made, 0 if kept is None else kept.stale_from) or until
    return next_of(node, until, Instant(stale_from))


def _coming(tick: Upcoming, node: Node, *, paused: bool) -> ComingTick:
    rest = "" if _form(node).lone else "fires if the rest of its trigger holds"
    return ComingTick(
        at=tick.at, trigger=tick.node, moment=tick.moment, tz=tick.tz, local=tick.local, offset=tick.offset, mark=tick.mark,
        day_off=tick.day_off, note="; ".join(filter(None, (tick.note, "skipped: the trigger is paused" if paused else rest))),
    )  # fmt: skip


def _is_timed(node: Node) -> bool:
    form = _form(node)
    return any(schedule is not None and not negated for schedule, negated in zip(form.schedules, form.negated, strict=True))


def _form(node: Node) -> Form:
    assert node.trigger is not None
    return Form(node.trigger)


class _Reader:
    """Decisions for people. Their times are told on the clock of their trigger: of its first moment that has one."""

    def __init__(self, workspace: Workspace, store: Store | None) -> None:
        self._nodes, self._store = workspace.project.nodes, store
        self._holder = workspace.find_holder()
        self._newest = next((each.id for each in store.runs(limit=1)), "") if store is not None else ""

    def newest(self, trigger: str) -> DecisionLine | None:
        """The last decision of a trigger."""
        found = self._store.decisions(trigger, limit=1) if self._store is not None else []
        return self.line(*found[0]) if found else None

    def line(self, number: int, decided: Decided) -> DecisionLine:
        """One decision, with the run that it became."""
        made = decode(decided.body)
        skipped = made if isinstance(made, Skipped) else None
        return DecisionLine(
            number=number, trigger=decided.trigger, key=decided.key, outcome="skipped" if skipped else "fired",
            why=skipped.why if skipped else "", at=made.at, on=made.on, first=skipped.first if skipped else made.at,
            ticks=skipped.ticks if skipped else 1, moments=made.moments, numbers=_plain(made.numbers),
            sentence=explain(made, self._tz(decided.trigger)), run=decided.run, state=self._state(decided.run),
            waits=decided.waits, note=decided.note,
        )  # fmt: skip

    def _tz(self, trigger: str) -> str:
        node = self._nodes.get(trigger)
        leaves = moments(node.trigger) if node is not None and node.trigger is not None else ()
        return next((each.tz for each in leaves if isinstance(each, Timed)), "UTC")

    def _state(self, run_id: str) -> str:
        run = self._store.run(run_id) if run_id and self._store is not None else None
        return "" if run is None else state_in_words(run, self._holder, self._newest)


def _plain(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """A decision's numbers, with the instant among them as text."""
    return {name: iso(Instant(value)) if name == "stands" else value for name, value in numbers.items()}
