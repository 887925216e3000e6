"""Listening: a message is acknowledged when the conductor has it, and not before; so nothing is lost and nothing doubled."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

import legato as lg
from legato.brokers.memory import MemoryBroker, Topics
from legato.declare.draft import Site
from legato.declare.project import collect, freeze
from legato.ports.bucket import ObjectFound
from legato.service import asks, listening
from legato.service.listening import Listener, topics_of
from legato.service.objects import BucketWatch, watch_bucket
from legato.terms.errors import LegatoError, Unreachable


def project_of(**triggers: Any) -> Any:
    faces = {name: lg.flow(name=name, on=on)(lambda: 1) for name, on in triggers.items()}
    return freeze(collect([faces]), Site(name="p"), code_of=lambda fn: "")[0]


class World:
    """A broker, a conductor that counts under ids, and a listener between them."""

    def __init__(self) -> None:
        self.topics, self.stop, self.told = Topics(), Event(), list[str]()
        self.project = project_of(
            mail=lg.message("mail") | lg.message("orders"), also=lg.message("mail"), other=lg.cron("@daily")
        )
        self.recorded: dict[str, bytes] = {}
        self.asked: list[list[str]] = []
        self.fails: list[LegatoError] = []
        self.deaf: set[str] = set()
        self.listener = Listener(self.open, lambda: SimpleNamespace(project=self.project), self.ask, self.told.append, self.stop)
        self.broker = self.open()
        self.listener.step(self.broker)

    def open(self) -> MemoryBroker:
        return MemoryBroker(self.topics, "p")

    def ask(self, ask: Any, kind: Any) -> Any:
        self.asked.append([each.id for each in ask.items])
        if self.fails:
            raise self.fails.pop(0)
        assert ask.kind == "message"
        self.recorded.update((f"{each.name} {each.id} {each.key}", each.body) for each in ask.items)
        return [asks.Taken(tick=each.id, heard=each.name not in self.deaf, new=True, decided=()) for each in ask.items]

    def left(self) -> list[bytes]:
        """What a listener that starts now would be given."""
        broker = self.open()
        broker.listen(["mail", "orders"])
        return [each.body for each in broker.take(1_000, 0)]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "WAIT_S", 0.0)


@pytest.fixture
def world() -> World:
    return World()


def test_the_topics_are_those_of_the_project() -> None:
    assert topics_of(World().project) == ("mail", "orders")
    assert topics_of(project_of(mine=lg.cron("@daily"))) == ()


def test_what_comes_is_told_and_then_acknowledged(world: World) -> None:
    world.topics.publish("mail", b"1", "k")
    world.topics.publish("orders", b"2")
    world.listener.step(world.broker)
    assert world.recorded == {"mail 1 k": b"1", "orders 1 ": b"2"}
    assert world.left() == []


def test_what_the_conductor_has_not_recorded_is_not_acknowledged(world: World) -> None:
    world.topics.publish("mail", b"1")
    world.fails = [Unreachable("service-silent", "the service does not answer")]
    with pytest.raises(Unreachable):
        world.listener.step(world.broker)
    assert world.left() == [b"1"]


def test_a_death_between_record_and_acknowledgement_gives_it_again_under_its_id(world: World) -> None:
    world.topics.publish("mail", b"1")
    world.topics.is_down = False
    broker = world.open()
    broker.listen(["mail"])
    taken = broker.take(10, 0)
    world.ask(asks.Deliver(kind="message", items=tuple(asks.Delivery(name=m.topic, id=m.id, body=m.body) for m in taken)), list)
    world.listener.step(world.broker)
    assert world.recorded == {"mail 1 ": b"1"}
    assert world.asked == [["1"], ["1"]]
    assert world.left() == []


def test_what_nobody_listens_to_any_more_is_left_in_the_broker(world: World) -> None:
    world.deaf = {"orders"}
    world.topics.publish("orders", b"2")
    world.topics.publish("mail", b"1")
    world.listener.step(world.broker)
    assert world.left() == [b"2"]


def test_many_travel_in_frames_in_their_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FRAME_BYTES", 1_000)
    for number in range(10):
        world.topics.publish("mail", bytes([number]) * 300)
    world.listener.step(world.broker)
    assert [each for part in world.asked for each in part] == [str(number) for number in range(1, 11)]
    assert max(map(len, world.asked)) == 2
    assert world.left() == []


def test_a_message_that_is_too_large_is_said_and_holds_nothing_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST_BYTES", 10)
    world.topics.publish("mail", b"x" * 11)
    world.topics.publish("mail", b"x" * 10)
    world.listener.step(world.broker)
    assert list(world.recorded) == ["mail 2 "]
    assert "message 1 on mail has 11 bytes" in world.told[0]
    assert world.left() == []


def test_topics_follow_the_project(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 0.0)
    world.listener._due = 0.0
    world.project = project_of(mine=lg.message("news"))
    world.listener.step(world.broker)
    world.topics.publish("news", b"1")
    world.topics.publish("mail", b"2")
    world.listener.step(world.broker)
    assert world.recorded == {"news 1 ": b"1"}


def test_a_broker_that_is_gone_is_tried_again_and_told_of_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        if len(waits) == 8:
            world.topics.is_down = False
        if len(waits) > 8:
            world.stop.set()
        return world.stop.is_set()

    monkeypatch.setattr(world.stop, "wait", wait)
    world.topics.is_down = True
    real = world.ask
    world.listener._ask = lambda ask, kind: (real(ask, kind), world.stop.set())[0]
    world.topics.publish("mail", b"1")
    world.listener.run()
    assert waits[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert world.told == ["the broker does not answer; it is tried again", "messages come again"]
    assert world.recorded == {"mail 1 ": b"1"}


def test_a_conductor_that_is_away_is_no_trouble_to_tell_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fails = [Unreachable("service-none", "no service"), Unreachable("service-silent", "it ended")]
    world.topics.publish("mail", b"1")
    monkeypatch.setattr(world.stop, "wait", lambda timeout=None: False)
    real = world.ask
    world.listener._ask = lambda ask, kind: (real(ask, kind), world.stop.set())[0]
    world.listener.run()
    assert (world.told, world.left()) == ([], [])


# -- objects --


class Shelf:
    """A bucket: names and digests."""

    def __init__(self, *names: str) -> None:
        self.there = dict.fromkeys(names, "e1")
        self.lists = 0
        self.is_down = False

    def list(self, prefix: str, after: str, most: int) -> list[ObjectFound]:
        self.lists += 1
        if self.is_down:
            raise Unreachable("bucket", "s3://b cannot be listed")
        names = sorted(name for name in self.there if name.startswith(prefix) and name > after)
        return [ObjectFound(name, self.there[name], 1) for name in names[:most]]


PATTERNS = ["s3://b/in/*.csv", "s3://b/in/**/x.json", "s3://b/*.txt"]


def test_an_object_is_told_when_a_pattern_means_it_and_again_when_it_is_another() -> None:
    told: list[str] = []
    shelf = Shelf(
        "in/a.csv", "in/a.txt", "in/.hid.csv", "in/deep/x.json", "in/deep/a.csv", "top.txt", "other/a.csv", "in/\x07.csv"
    )
    watch = BucketWatch("s3://b", shelf, lambda seen: told.extend(f"{each.path} {each.digest}" for each in seen))
    assert watch.look(PATTERNS) is False
    assert sorted(told) == ["s3://b/in/a.csv e1", "s3://b/in/deep/x.json e1", "s3://b/top.txt e1"]
    told.clear()
    watch.look(PATTERNS)
    assert told == []
    shelf.there["in/a.csv"] = "e2"
    shelf.there["in/b.csv"] = "e1"
    watch.look(PATTERNS)
    assert told == ["s3://b/in/a.csv e2", "s3://b/in/b.csv e1"]


def test_what_could_not_be_told_is_told_with_the_next_look() -> None:
    told: list[str] = []
    fails = [Unreachable("service-none", "no service")]

    def tell(seen: Any) -> None:
        if fails:
            raise fails.pop()
        told.extend(each.path for each in seen)

    watch = BucketWatch("s3://b", Shelf("in/a.csv"), tell)
    with pytest.raises(Unreachable):
        watch.look(PATTERNS)
    watch.look(PATTERNS)
    assert told == ["s3://b/in/a.csv"]


def test_a_long_listing_goes_on_with_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legato.service.objects.PAGE", 10)
    monkeypatch.setattr("legato.service.objects.MOST_PAGES", 2)
    monkeypatch.setattr("legato.service.objects.MOST_KNOWN", 30)
    told: list[str] = []
    shelf = Shelf(*(f"in/{number:03}.csv" for number in range(45)))
    watch = BucketWatch("s3://b", shelf, lambda seen: told.extend(each.path for each in seen))
    assert [watch.look(PATTERNS[:1]) for _ in range(3)] == [True, True, False]
    assert told == [f"s3://b/in/{number:03}.csv" for number in range(45)]
    assert shelf.lists == 5
    assert len(watch._known) == 30


def test_a_bucket_is_looked_into_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, waits, told, seen = Event(), list[float | None](), list[str](), list[str]()
    shelf = Shelf("in/a.csv")
    shelf.is_down = True
    project = project_of(mine=lg.file("s3://b/in/*.csv") | lg.file("inbox/*.csv") | lg.file("s3://c/in/*.csv"))

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        shelf.is_down = False
        if len(waits) == 4:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", wait)
    ask = lambda ask, kind: seen.extend(each.path for each in ask.objects)  # noqa: E731
    watch_bucket("s3://b", 10.0, lambda: shelf, lambda: SimpleNamespace(project=project), ask, told.append, stop)  # type: ignore[arg-type]
    assert seen == ["s3://b/in/a.csv"]
    assert told == ["s3://b cannot be listed; it is tried again", "s3://b is looked into again"]
    assert waits[0] == 0.5
    assert 9 < (waits[3] or 0) <= 10
