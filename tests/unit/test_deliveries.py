"""What comes in from outside: kept before it is acknowledged, once, also by the next process; and gone when it is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import legato as lg
from legato.declare.draft import Site as Place
from legato.declare.node import Project
from legato.declare.project import collect, freeze
from legato.service import asks
from legato.service.deliveries import Deliveries
from legato.service.ticker import Ticker, decision_of
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.errors import Unreachable
from legato.terms.instant import Instant
from legato.testing.store_records import make_run
from legato.triggers.events import Fired, Skipped
from legato.triggers.inputs import Pause

NOW = Instant(1_700_000_000_000_000)
files = lg.dynamic("files")


@lg.flow(on=lg.webhook("orders") | lg.message("mail"))
def take(payload: object = None, id: str = "") -> None: ...


@lg.asset(partitions=files, on=lg.webhook("orders", key="order.files.1") | lg.file("s3://bucket/in/*.csv"))
def own() -> int:
    return 1


@lg.flow(on=lg.cron("@daily") & ~lg.webhook("stop"))
def daily() -> None: ...


class Site:
    """A store and a folder that outlive their processes."""

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder, self.project, self.disk = folder / "payloads", project, MemoryDisk()
        self.start()

    def start(self) -> None:
        self.store = MemoryStore(self.disk)
        self.store.open_writer("test")
        self.ticker = Ticker(self.store, self.project, NOW)
        self.deliveries = Deliveries(self.folder, self.store, lambda: self.ticker, lambda: NOW)

    def call(self, name: str = "orders", id: str = "c1", body: bytes = b'{"order": {"files": ["a", "b"]}}') -> asks.Taken:
        ask = asks.Deliver(kind="webhook", items=(asks.Delivery(name=name, id=id, body=body),))
        (taken,) = self.deliveries.take(ask)
        return taken

    def kept(self) -> list[bytes]:
        return [(self.folder / name).read_bytes() for name in sorted(os.listdir(self.folder))] if self.folder.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        tmp_path, freeze(collect([{"take": take, "own": own, "daily": daily}]), Place(name="p"), code_of=lambda fn: "")[0]
    )


def test_a_call_is_decided_and_kept_when_it_is_answered(site: Site) -> None:
    taken = site.call()
    assert (taken.tick, taken.heard, taken.new) == ("webhook:orders:c1", True, True)
    assert {each.trigger: each.outcome for each in taken.decided} == {"take": "fired", "own": "fired"}
    site.start()
    fired = {each.trigger: each.request for each in site.ticker.waiting()}
    assert fired["own"].partitions == ("b",)
    assert (fired["take"].payload_to, fired["take"].params) == ("payload", {"id": "c1"})
    assert (site.folder / fired["take"].payload).read_bytes() == b'{"order": {"files": ["a", "b"]}}'
    assert (site.folder / fired["take"].payload).stat().st_mode & 0o777 == 0o600


def test_a_call_that_comes_again_counts_once_also_after_a_restart(site: Site) -> None:
    first, again = site.call(), site.call(body=b'{"other": 1}')
    site.start()
    later = site.call()
    assert (first.new, again.new, later.new) == (True, False, False)
    assert first.decided == again.decided == later.decided
    assert len(site.store.decisions("take")) == len(site.store.decisions("own")) == 1
    assert len(site.kept()) == 1


def test_several_at_once_count_once_each(site: Site) -> None:
    items = tuple(asks.Delivery(name="mail", id=id, body=b"{}") for id in ("1", "2", "1"))
    taken = site.deliveries.take(asks.Deliver(kind="message", items=items))
    assert [each.tick for each in taken] == ["message:mail:1", "message:mail:2", "message:mail:1"]
    assert len(site.store.decisions("take")) == 2


def test_a_call_to_a_paused_trigger_is_recorded_as_skipped(site: Site) -> None:
    site.ticker.tell(Pause("take", "ada"), NOW)
    verdicts = {each.trigger: (each.outcome, each.why) for each in site.call().decided}
    assert verdicts == {"take": ("skipped", "paused"), "own": ("fired", "")}


def test_nobody_hears_a_call_of_another_name_and_what_stands_under_not_decides_nothing(site: Site) -> None:
    unheard = site.call("nobody")
    assert (unheard.heard, unheard.new, unheard.decided) == (False, False, ())
    stopped = site.call("stop")
    assert (stopped.heard, stopped.decided) == (True, ())
    assert site.kept() == []


def made_of(site: Site, body: bytes) -> Fired | Skipped:
    """What `own` made of a call with this body."""
    site.call(body=body)
    decided = site.store.decision("own", "webhook:orders:c1")
    assert decided is not None
    return decision_of(decided)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"5", b"[" * 50_000, b'{"order": {"files": ["a"]}}', b'{"order": 5}', b'{"order": null}']
)
def test_a_payload_without_the_key_is_about_all_keys(site: Site, body: bytes) -> None:
    made = made_of(site, body)
    assert isinstance(made, Fired)
    assert (made.request.partitions, made.request.everything) == ((), True)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (b'""', "is empty, and no key"),
        (b"null", "is null, and no key"),
        (b"true", "is true or false, and no key"),
        (b'["a"]', "is a list, and no key"),
        (b"{}", "is an object, and no key"),
        (b"1.5", "is a number that is not whole, and no key"),
        (b'"%s"' % (b"x" * 201), "has 201 characters, and a key 200 at most"),
        (b"%d" % 10**250, "has 251 characters, and a key 200 at most"),
    ],
)
def test_what_stands_in_the_keys_place_and_can_be_none_is_skipped_and_why_is_said(site: Site, key: bytes, fault: str) -> None:
    made = made_of(site, b'{"order": {"files": ["a", %s]}}' % key)
    assert isinstance(made, Skipped)
    assert (made.why, made.numbers["wrong"]) == ("partition", f"what stands at order.files.1 {fault}")


def test_a_key_may_be_a_whole_number(site: Site) -> None:
    made = made_of(site, b'{"order": {"files": ["a", 47]}}')
    assert isinstance(made, Fired)
    assert made.request.partitions == ("47",)


def test_what_is_used_goes_and_what_waits_stays(site: Site) -> None:
    site.call()
    site.call(id="c2", body=b"2")
    site.deliveries.sweep()
    assert len(site.kept()) == 2
    first = next(each for each in site.ticker.waiting() if each.trigger == "take")
    site.store.accept(make_run("r1", key=first.request.key), b"", [])
    site.deliveries.sweep({first.request.payload})
    assert site.kept() == [b"2"]


def test_what_a_crash_left_without_a_decision_goes_with_the_next_start(site: Site) -> None:
    site.folder.mkdir()
    (site.folder / "0f.partial").write_bytes(b"half")
    (site.folder / "0f").write_bytes(b"whole, and nobody was told")
    site.deliveries.sweep()
    assert site.kept() == []


def test_what_cannot_be_kept_is_not_acknowledged(site: Site) -> None:
    site.folder.write_text("a file where the folder should be")
    with pytest.raises(Unreachable) as raised:
        site.call()
    assert raised.value.code == "payload-write"
    assert site.store.decisions("take") == []


def test_an_object_counts_once_as_long_as_it_is_the_same(site: Site) -> None:
    seen = asks.ObjectSeen(path="s3://bucket/in/x.csv", digest="e1", size=3)
    for digest in ("e1", "e1", "e2"):
        site.deliveries.see(asks.TellObjects(objects=(seen, asks.ObjectSeen(path=seen.path, digest=digest, size=3))))
        site.start()
    assert len(site.store.decisions("own")) == 2
    assert {key for each in site.ticker.waiting() for key in each.request.partitions} == {"x"}
