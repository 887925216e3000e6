"""What happens: new versions, failures, files, calls, messages, metrics, changes of code, new keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from legato.declare.moment import File, Metric, Updated
from legato.declare.pattern import key_of_file, matches
from legato.terms.codec import fingerprint
from legato.terms.instant import iso
from legato.triggers.events import MadeByRun, Noted, RunClosed, RunLeft, TriggerPaused, TriggerResumed
from legato.triggers.inputs import (
    Changes,
    Delivered,
    FileArrived,
    KeysAdded,
    MetricSeen,
    Pause,
    Published,
    Resume,
    RunEnded,
    RunMade,
    RunOver,
    StepFailed,
)
from legato.triggers.keys import ALL, NONE, WHOLE, Keys, of, union
from legato.triggers.reach import about_event, about_key, about_version, set_apart
from legato.triggers.state import Held, Topic, TriggerState, as_came
from legato.triggers.turn import Hit, TickAt, Turn
from legato.triggers.verdict import judge, skip

Find = Callable[[TriggerState, int], Hit | None]
"""What an event means for a moment of a trigger; None: nothing."""


def take_published(turn: Turn, published: Published) -> None:
    """New versions: ticks of who waits for the assets; and their own node is neither stale nor missing any more."""
    listeners, triggers = turn.state.listeners, turn.state.triggers
    for name in dict.fromkeys(name for asset in published.assets for name, _ in listeners.get(("own", asset), ())):
        turn.emit(Noted(trigger=name, on=turn.now, published=published.partitions))
    told: dict[str, dict[str, Hit]] = {}
    for asset in published.assets:
        for name, number in listeners.get(("asset", asset), ()):
            told.setdefault(name, {})[asset] = _hit_of_version(turn, triggers[name], number, asset, published)
    for name, hits in told.items():
        asset = next(iter(hits))
        tick = TickAt(
            key=f"version:{published.id}", at=turn.now, numbers={"asset": asset, "versions": len(published.partitions)},
            gives={"asset": asset, "partitions": list(published.partitions)}, run=published.run,
        )  # fmt: skip
        _hear(turn, triggers[name], list(hits.values()), tick)


def _hit_of_version(turn: Turn, trigger: TriggerState, number: int, asset: str, published: Published) -> Hit:
    about, later = about_version(trigger.node, turn.state.project, asset, published.partitions, turn.extents), NONE
    ahead = published.ahead.get(trigger.node.name)
    if ahead and not trigger.form.negated[number]:
        about, later = set_apart(trigger.node, about, ahead, turn.extents)
    return Hit(number, about, about, later=later)


def take_failed(turn: Turn, failed: StepFailed) -> None:
    """A step failed for good: a tick of who waits for any of its names."""

    def find(trigger: TriggerState, number: int) -> Hit:
        about = _of_partition(turn, trigger, failed.names, failed.partition)
        return Hit(number, about, about)

    node = failed.names[0]
    tick = TickAt(
        key=f"failure:{failed.id}", at=turn.now, numbers={"node": node, "partition": failed.partition, "run": failed.run},
        gives={"node": node, "partition": failed.partition, "run": failed.run, "error": failed.error},
    )  # fmt: skip
    _tell(turn, [("failed", name) for name in failed.names], find, tick)


def take_file(turn: Turn, file: FileArrived) -> None:
    """A complete file: a tick of every trigger with a pattern that matches it."""

    def key_of(leaf: Any) -> Given | None:
        is_meant = isinstance(leaf, File) and matches(leaf.pattern, file.path)
        return Given(key_of_file(leaf.pattern, file.path)) if is_meant else None

    tick = TickAt(
        key=f"file:{fingerprint(file.path, file.digest)}", at=turn.now, numbers={"path": file.path, "size_bytes": file.size},
        gives={"path": file.path, "size": file.size, "digest": file.digest},
    )  # fmt: skip
    _tell_keyed(turn, [("folder", folder) for folder in _folders(file.path)], key_of, tick)


def take_delivered(turn: Turn, delivered: Delivered) -> None:
    """A call or a message: a tick of every trigger that listens to it."""

    def key_of(leaf: Any) -> Given:
        return Given(delivered.keys.get(leaf.key, ""), delivered.wrong.get(leaf.key, ""))

    tick = TickAt(
        key=delivered.tick, at=turn.now, numbers={"id": delivered.id},
        gives={"id": delivered.id}, payload=delivered.payload,
    )  # fmt: skip
    _tell_keyed(turn, [(delivered.kind, delivered.name)], key_of, tick)


def take_metric(turn: Turn, seen: MetricSeen) -> None:
    """A metric: a tick of every trigger that watches it; where it lies within all bounds, one that is skipped."""

    def find(trigger: TriggerState, number: int) -> Hit:
        leaf = trigger.form.leaves[number]
        if not isinstance(leaf, Metric) or not _is_beyond(leaf, seen.value):
            return Hit(number, NONE, NONE, within=True)
        about = _of_partition(turn, trigger, (seen.of,), seen.partition)
        return Hit(number, about, about)

    tick = TickAt(
        key=f"metric:{seen.id}", at=turn.now, numbers={"metric": seen.name, "value": seen.value},
        gives={"value": seen.value, "partition": seen.partition},
    )  # fmt: skip
    _tell(turn, [("metric", seen.of, seen.name)], find, tick)


def take_changes(turn: Turn, changes: Changes) -> None:
    """A node's code or contract is not what it was: a tick about all that there is."""

    def find(trigger: TriggerState, number: int) -> Hit:
        about = WHOLE if trigger.node.partitions is None else ALL
        return Hit(number, about, about)

    # What is changed back is changed: the fingerprint alone would be known from before.
    tick = TickAt(key=f"{changes.what}:{changes.now}:{iso(turn.now)}", at=turn.now, numbers={"what": changes.what})
    _tell(turn, [("changed", changes.node, changes.what)], find, tick)


def take_keys(turn: Turn, added: KeysAdded) -> None:
    """A dynamic set has new keys: partitions that are missing now."""

    def find(trigger: TriggerState, number: int) -> Hit:
        found = NONE
        for key in added.keys:
            found = union(found, about_key(trigger.node.partitions, key, turn.now, turn.state.dynamic)[0])
        return Hit(number, found, found)

    tick = TickAt(key=f"keys:{added.id}", at=turn.now, numbers={"keys": len(added.keys)})
    _tell(turn, [("keys", added.name)], find, tick)


# -- what people and runs say of a trigger itself --


def take_ended(turn: Turn, ended: RunEnded) -> None:
    """A run that the trigger asked for is over."""
    trigger = turn.state.triggers.get(ended.trigger)
    if trigger is not None and ended.key in (trigger.open or {}):
        turn.emit(RunClosed(trigger=ended.trigger, key=ended.key, on=turn.now))


def take_made(turn: Turn, made: RunMade) -> None:
    """A run has made itself what a trigger holds back for it."""
    trigger = turn.state.triggers.get(made.node)
    held = (trigger.held or {}).get(made.run, {}) if trigger is not None else {}
    if any(made.partition in each.keys for each in held.values()):
        turn.emit(MadeByRun(trigger=made.node, run=made.run, partition=made.partition, on=turn.now))


def take_over(turn: Turn, over: RunOver) -> None:
    """A run that published is over: what it has not made is a tick of every trigger that held it back."""
    for name in sorted(turn.state.holding.get(over.run, ())):
        trigger = turn.state.triggers[name]
        held = (trigger.held or {})[over.run]
        turn.emit(RunLeft(trigger=name, run=over.run, on=turn.now))
        hits = [Hit(number, keys, keys) for number, each in held.items() if (keys := of(each.keys))]
        # A flow may be told of one asset at a time.
        alone = trigger.node.kind == "flow" and trigger.form.lone
        for group in [[hit] for hit in hits] if alone else [hits]:
            tick = _tick_of_rest(turn, trigger, over, group, held)
            if over.undone and trigger.form.lone:  # else others' versions may have come with it
                skip(turn, trigger, group, tick, "same-run")
            else:
                _hear(turn, trigger, group, tick)


def _tick_of_rest(turn: Turn, trigger: TriggerState, over: RunOver, hits: list[Hit], held: Mapping[int, Held]) -> TickAt:
    gives: dict[str, Any] = {}
    for hit in reversed(hits):
        if isinstance(leaf := trigger.form.leaves[hit.number], Updated):
            gives = {"asset": leaf.asset, "partitions": list(held[hit.number].versions)}
    key = f"left:{over.id}#{trigger.form.ids[hits[0].number]}"
    return TickAt(key=key, at=turn.now, numbers={"left": over.run}, gives=gives)


def pause(turn: Turn, wanted: Pause) -> None:
    """The trigger stands still; what stands still already, stays so."""
    trigger = turn.state.triggers.get(wanted.trigger)
    if trigger is not None and not trigger.paused:
        turn.emit(TriggerPaused(trigger=wanted.trigger, on=turn.now, actor=wanted.actor))


def resume(turn: Turn, wanted: Resume) -> None:
    """The trigger goes on with what comes from now on."""
    trigger = turn.state.triggers.get(wanted.trigger)
    if trigger is not None and trigger.paused:
        turn.emit(TriggerResumed(trigger=wanted.trigger, on=turn.now, actor=wanted.actor))


# -- telling --


def _tell(turn: Turn, topics: Iterable[Topic], find: Find, tick: TickAt) -> None:
    """Tells every trigger that listens, once, with all its moments that the event means."""
    found: dict[str, list[Hit]] = {}
    for topic in topics:
        for name, number in turn.state.listeners.get(topic, ()):
            hits = found.setdefault(name, [])
            hit = find(turn.state.triggers[name], number) if all(each.number != number for each in hits) else None
            if hit is not None:
                hits.append(hit)
    for name, hits in found.items():
        _hear(turn, turn.state.triggers[name], hits, tick)


class Given(NamedTuple):
    """The key that came with an event, if one did; or why what came as one can be none."""

    key: str
    wrong: str = ""


def _tell_keyed(turn: Turn, topics: Iterable[Topic], key_of: Callable[[Any], Given | None], tick: TickAt) -> None:
    """Tells every trigger that listens, with the partition that the event's key names for it."""
    state = turn.state
    told: dict[str, tuple[list[Hit], dict[str, str]]] = {}
    for topic in topics:
        for name, number in state.listeners.get(topic, ()):
            trigger = state.triggers[name]
            given = key_of(trigger.form.leaves[number])
            if given is not None:
                hits, more = told.setdefault(name, ([], {}))
                hits.append(_keyed_hit(turn, trigger, number, given, more))
    for name, (hits, more) in told.items():
        own = replace(tick, numbers={**tick.numbers, **more}, gives={**tick.gives, "key": more.get("key", "")})
        _hear(turn, state.triggers[name], hits, own)


def _keyed_hit(turn: Turn, trigger: TriggerState, number: int, given: Given, more: dict[str, str]) -> Hit:
    """What an event with this key is about; `more` gets the key, and why there is no such partition."""
    parts, dynamic = trigger.node.partitions, turn.state.dynamic
    key, wrong = given
    if key:
        more["key"] = key
    if parts is None:
        return Hit(number, WHOLE, WHOLE)
    if not key and not wrong:
        return Hit(number, ALL, about_event(parts, turn.now, dynamic))
    about, wrong = (NONE, wrong) if wrong else about_key(parts, key, turn.now, dynamic)
    if wrong:
        more["wrong"] = wrong
    return Hit(number, about, about)


def _hear(turn: Turn, trigger: TriggerState, hits: list[Hit], tick: TickAt) -> None:
    """A trigger hears of an event, once: what came under `~` is noted, all else is a tick."""
    if not hits or (trigger.node.name, tick.key) in turn.state.known:
        return
    negated = [hit for hit in hits if trigger.form.negated[hit.number] and not hit.within]
    plain = [hit for hit in hits if not trigger.form.negated[hit.number]]
    if negated:
        came = tuple(as_came(trigger.form.ids[hit.number], hit.counts) for hit in negated)
        turn.emit(Noted(trigger=trigger.node.name, key=tick.key, on=turn.now, came=came))
    beyond = [hit for hit in plain if not hit.within]
    if beyond:
        judge(turn, trigger, beyond, tick)
    elif plain:
        skip(turn, trigger, plain, tick, "paused" if trigger.paused else "condition")


def _of_partition(turn: Turn, trigger: TriggerState, names: tuple[str, ...], partition: str) -> Keys:
    """What something that happened to one partition of another node is about."""
    if trigger.node.partitions is None:
        return WHOLE
    made = next((name for name in names if name in turn.state.project.makers), None)
    return ALL if made is None else about_version(trigger.node, turn.state.project, made, (partition,), turn.extents)


def _folders(path: str) -> list[str]:
    """All folders that a pattern may begin with which matches this path."""
    parts = path.split("/")[:-1]
    below = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return list(dict.fromkeys(["", *(each or "/" for each in below)]))


def _is_beyond(leaf: Metric, value: float) -> bool:
    return (leaf.above is not None and value > leaf.above) or (leaf.below is not None and value < leaf.below)
