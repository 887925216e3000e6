"""A stage for triggers: declarations, a clock that is set by hand, events by name, and what was decided as words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from legato.declare.draft import Site
from legato.declare.faces import AnyFace
from legato.declare.node import Node, Project
from legato.declare.partitions import extent, keys
from legato.declare.project import collect, freeze
from legato.terms.codec import pack, unpack
from legato.terms.instant import Instant, from_datetime, to_datetime
from legato.triggers import inputs
from legato.triggers.decide import decide
from legato.triggers.events import AnyEvent, Fired, Skipped
from legato.triggers.fold import fold
from legato.triggers.inputs import Input
from legato.triggers.state import Kept, State, keep, load


def instant(text: str) -> Instant:
    """`2026-03-01`, `2026-03-01T06:00`, with or without an offset (without: UTC)."""
    moment = datetime.fromisoformat(text)
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def frozen(*faces: AnyFace) -> Project:
    """The project of these declarations."""
    modules = [{f"own{number}": each for number, each in enumerate(faces)}]
    return freeze(collect(modules), Site(name="stage"), code_of=lambda fn: f"{fn.__code__.co_consts}")[0]


class Shelf:
    """What is published, as the store would know it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.published: dict[str, dict[str, Instant]] = {}

    def last_published(self, node: Node) -> Instant | None:
        found = [at for asset in node.outputs for at in self.published.get(asset, {}).values()]
        return max(found, default=None)

    def missing(self, node: Node) -> Iterable[str]:
        stage = self.stage
        there = keys(node.partitions, extent(node.partitions, stage.dynamic, stage.now), stage.dynamic)
        return [key for key in there if any(key not in self.published.get(asset, {}) for asset in node.outputs)]


class Stage:
    """Triggers under way. With `restarts`, the process ends before each input, and another goes on with what was stored."""

    def __init__(self, *faces: AnyFace, at: str = "2026-03-01", restarts: bool = False, dynamic: Any = None) -> None:
        self.project, self.now, self.restarts = frozen(*faces), instant(at), restarts
        self.dynamic: dict[str, list[str]] = dynamic or {}
        self.known: set[Any] = set()
        self.shelf = Shelf(self)
        self.stored: dict[str, Kept] = {}
        self.events: list[AnyEvent] = []
        self._told = 0
        self._ids = 0
        self.state = self.loaded()
        self.began = self.loaded(known=set())

    def loaded(self, known: set[Any] | None = None) -> State:
        """The state as a new process has it."""
        known = self.known if known is None else known
        state = load(self.project, self.stored.values(), self.now, dynamic=self.dynamic, known=known, premises=self.shelf)
        self.stored.update({name: keep(state.triggers[name]) for name in state.born})
        return state

    def tell(self, told: Input) -> Stage:
        """Decides one input, and commits."""
        if self.restarts:
            self.state = self.loaded()
        events = decide(self.state, told, self.now)
        self.events += events
        for event in events:
            if event.trigger in self.state.triggers:
                self.stored[event.trigger] = keep(self.state.triggers[event.trigger])
        return self

    # -- events by name --

    def until(self, at: str) -> Stage:
        """It is this time now, and the triggers are told so."""
        self.now = instant(at)
        return self.tell(inputs.TimePassed())

    def step(self, at: str, *others: str) -> Stage:
        """Lets time pass through all these instants."""
        for each in (at, *others):
            self.until(each)
        return self

    def id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def publish(self, asset: str, *partitions: str, id: str = "", run: str = "", ahead: Any = None) -> Stage:
        """New versions of an asset, or of several (`base+more`), by a run with this ahead of it."""
        names, assets = partitions or ("",), tuple(asset.split("+"))
        for each in assets:
            self.shelf.published.setdefault(each, {}).update(dict.fromkeys(names, self.now))
        return self.tell(inputs.Published(id or self.id(), assets, names, run, ahead or {}))

    def made(self, run: str, node: str, partition: str = "") -> Stage:
        """A run that published has made this itself."""
        return self.tell(inputs.RunMade(run, node, partition))

    def over(self, run: str, *, undone: bool = False) -> Stage:
        """A run that published is over."""
        return self.tell(inputs.RunOver(self.id(), run, undone))

    def add(self, name: str, *new: str) -> Stage:
        """New keys of a dynamic set."""
        self.dynamic.setdefault(name, []).extend(new)
        return self.tell(inputs.KeysAdded(self.id(), name, new))

    def call(self, name: str, kind: Any = "webhook", id: str = "", **keys: str) -> Stage:
        """A call of a webhook, or a message."""
        found = {"" if path == "own" else path.replace("__", "."): key for path, key in keys.items()}
        return self.tell(inputs.Delivered(kind, id or self.id(), name, "payload-7", found))

    def file(self, path: str, digest: str = "d1") -> Stage:
        """A complete file."""
        return self.tell(inputs.FileArrived(path, digest, 10))

    def fail(self, *names: str, partition: str = "") -> Stage:
        """A step that failed for good."""
        return self.tell(inputs.StepFailed(self.id(), names, partition, "5w2k8m-4zq1", "boom"))

    def measure(self, of: str, name: str, value: float, partition: str = "") -> Stage:
        """A metric that is told."""
        return self.tell(inputs.MetricSeen(self.id(), of, name, value, partition))

    def end_runs(self) -> Stage:
        """All runs that were asked for are over."""
        for event in [each for each in self.events if isinstance(each, Fired)]:
            self.tell(inputs.RunEnded(event.trigger, event.request.key))
        return self

    def pause(self, trigger: str) -> Stage:
        return self.tell(inputs.Pause(trigger, "ada"))

    def resume(self, trigger: str) -> Stage:
        return self.tell(inputs.Resume(trigger, "ada"))

    # -- what was decided --

    def decisions(self) -> list[Fired | Skipped]:
        """All decisions since one asked last."""
        new = self.events[self._told :]
        self._told = len(self.events)
        return [each for each in new if isinstance(each, Fired | Skipped)]

    def told(self) -> list[str]:
        """The decisions since one asked last, in words."""
        return [in_words(each) for each in self.decisions()]

    def close(self) -> None:
        """What holds whatever happened."""
        decided = [each for each in self.events if isinstance(each, Fired | Skipped)]
        names = [(each.trigger, each.key) for each in decided]
        assert len(names) == len(set(names)), "a tick was decided twice"
        for each in self.events:
            assert unpack(pack(each), type(each)) == each
        if not self.restarts:
            for each in self.events:
                fold(self.began, each)
            for name, trigger in self.state.triggers.items():
                assert keep(self.began.triggers[name]) == keep(trigger), "the events do not tell how it stands"


def in_words(decision: Fired | Skipped) -> str:
    """`06:00 own@2026-03-01`, `06:00 own skipped: paused`."""
    at = f"{to_datetime(decision.at):%m-%d %H:%M}"
    if isinstance(decision, Skipped):
        count = f" x{decision.ticks}" if decision.ticks > 1 else ""
        return f"{at} {decision.trigger} skipped{count}: {decision.why}"
    request = decision.request
    what = "@*" if request.everything else "" if request.partitions == ("",) else f"@{','.join(request.partitions)}"
    given = "".join(f" {name}={value}" for name, value in sorted(request.params.items()))
    return f"{at} {request.node}{what}{given}"
