"""How much the doctor reads: what is there now, whatever the history; and all of it, if it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from legato.kernel import events as ev
from legato.plan.records import Handling, Plan, Reason, Step
from legato.ports.keeping import Removal, Waste
from legato.ports.store import Commit, Head, Holder, Version
from legato.service.checkup import Checkup, examine
from legato.service.premises import Premises
from legato.storages.files import FileStorage
from legato.stores.memory import MemoryStore
from legato.terms.codec import pack
from legato.terms.errors import InvalidProject
from legato.terms.instant import Instant
from legato.testing.store_records import make_head, make_ref, make_run, make_version

NOON = Instant(1_700_000_000_000_000)


class Watched(MemoryStore):
    """A store that counts the records that it gives, and says of itself what a store on disk says."""

    given = 0
    damaged: tuple[str, ...] = ()

    def _count(self, rows: list[Any]) -> list[Any]:
        self.given += len(rows)
        return rows

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "schema": 1, "journal_mode": "wal", "size_bytes": 7}

    def damage(self) -> list[str]:
        return list(self.damaged)

    def events(self, run_id: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        for each in super().events(run_id, after):
            self.given += 1
            yield each

    def last_heads(self, asset: str, limit: int) -> list[Head]:
        return self._count(super().last_heads(asset, limit))

    def versions(self, asset: str, *args: Any, **more: Any) -> list[tuple[int, Version]]:
        return self._count(super().versions(asset, *args, **more))

    def wastes(self, until: Instant, limit: int = 100) -> list[tuple[int, Waste]]:
        return self._count(super().wastes(until, limit))

    def removed_events(self, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
        return self._count(super().removed_events(limit))


class Doctor:
    """A doctor, and the store and the folder that he looks at."""

    def __init__(self, folder: Path) -> None:
        self.store = Watched()
        self.store.open_writer("test")
        self.data = FileStorage(folder / "data", durable=False)
        self.holder: Holder | None = None
        (folder / "state").mkdir(mode=0o700)
        self.premises = Premises(
            root=folder, state=folder / "state", storages={"files": self.data}, project=None, fault=InvalidProject([]),
            open_reader=self._open, open_writer=lambda name: self.store, find_holder=lambda: self.holder,
        )  # fmt: skip

    def _open(self) -> Watched:
        self.store.given = 0
        return self.store

    def run(self, name: str, steps: int, *, told: int | None = None, state: Any = "succeeded") -> None:
        """A run of so many steps that ended; as many are in its row, unless another number is."""
        plan = Plan(
            request="", project="p", handling={"task": Handling()},
            steps=[Step("task", f"k{number}", True, Reason("requested")) for number in range(steps)],
        )  # fmt: skip
        self.store.accept(make_run(name, steps=steps if told is None else told), pack(plan), [])
        events = []
        for step in range(steps):
            events += [ev.AttemptsStarted(NOON, (step,), step + 1), ev.StepSucceeded(NOON, step, step + 1, 0.1)]
        row = make_run(name, state, steps=steps if told is None else told)
        self.store.commit([Commit(run_id=name, events=[ev.encode(event) for event in events], run=row)])

    def look(self, **more: Any) -> Checkup:
        try:
            return examine(self.premises, **more)
        finally:
            self.store.open_writer("test")

    def found(self, subject: str, **more: Any) -> list[tuple[str, str]]:
        return [(each.level, each.what) for each in self.look(**more).findings if each.subject == subject]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def test_the_pages_of_the_store_are_read_by_a_deep_look_alone(doctor):
    doctor.store.damaged = ("page 7: never used",)
    ((level, what),) = doctor.found("store")
    assert (level, "its pages were not read: legato doctor --deep" in what) == ("ok", True)
    ((level, what),) = doctor.found("store", deep=True)
    assert (level, what.endswith("it is damaged: page 7: never used")) == ("fault", True)
    assert not doctor.look(deep=True).is_sound
    assert (doctor.look().deep, doctor.look(deep=True).deep) == (False, True)


def test_short_histories_are_read_and_long_ones_are_told(doctor):
    doctor.run("long", 1, told=10_001)
    doctor.run("short", 3)
    assert doctor.found("runs") == [
        ("ok", "none is interrupted; 1 of 2 are long, and their histories were not read: legato doctor --deep")
    ]
    assert doctor.store.given == 6
    doctor.store.commit([Commit(run_id="short", events=[b"\xc1"])])
    ((level, what), unread) = doctor.found("runs")
    assert (level, "history of run short" in what, unread[0]) == ("fault", True, "ok")
    assert [level for level, _ in doctor.found("runs", deep=True)] == ["fault"]


def test_a_history_that_turns_out_to_be_long_is_not_read_to_its_end(doctor):
    doctor.run("turns", 6_000, told=1)
    assert "1 of 1 are long" in doctor.found("runs")[0][1]
    assert doctor.store.given < 12_000
    assert doctor.found("runs", deep=True) == [("ok", "none is interrupted; all 1 can be read")]
    assert doctor.store.given == 12_000


def test_an_interrupted_run_is_told_though_its_history_is_long(doctor):
    doctor.run("open", 1, told=10_001, state="open")
    told = [level for level, _ in doctor.found("runs")]
    assert told == ["warning", "ok"]


def test_of_many_published_versions_the_last_are_looked_at(doctor):
    for asset, number in (("many", 2_000), ("few", 3)):
        heads = [make_head(asset, f"{each:04}", "v") for each in range(number)]
        doctor.store.commit([Commit(run_id="r", versions=[make_version(asset, "", "v")], heads=heads)])
    doctor.holder = Holder(1, "legato up", "now")
    found = doctor.found("published")
    assert (len(found), "and 493 more" in found[-1][1]) == (11, True)
    assert doctor.store.given == 501 + 3
    assert "and 1993 more" in doctor.found("published", deep=True)[-1][1]


def test_that_only_the_last_versions_were_looked_at_is_said(doctor):
    heads = [make_head("observed", f"{each:04}", "v") for each in range(1_001)]
    heads = [replace(head, ref=replace(head.ref, location="")) for head in heads]
    doctor.store.commit([Commit(run_id="r", versions=[make_version("observed", "", "v")], heads=heads)])
    assert "versions of many" in doctor.found("published")[0][1]
    assert "versions of many" not in doctor.found("published", deep=True)[0][1]


def test_among_many_files_and_records_leftovers_are_looked_for_on_request(doctor, monkeypatch):
    monkeypatch.setattr("legato.service.inventory._RECORDS", 200)
    folder = doctor.data.root / "a" / "_"
    folder.mkdir(parents=True)
    (folder / "stranger.txt").write_text("x")
    versions = [make_version("a", f"{number}", "v") for number in range(210)]
    doctor.store.commit([Commit(run_id="r", versions=versions[:190])])
    assert [level for level, _ in doctor.found("strangers")] == ["warning"]
    doctor.store.commit([Commit(run_id="r", versions=versions[190:])])
    assert doctor.found("strangers") == []
    assert doctor.found("leftovers") == [("ok", "not looked for among more than 200 files and records: legato doctor --deep")]
    assert doctor.store.given < 250 + 210
    for more in ({"deep": True}, {"leftovers": True}):
        assert [level for level, _ in doctor.found("strangers", **more)] == ["warning"]


def test_much_that_is_to_be_deleted_is_not_counted_to_its_end(doctor):
    wastes = [Waste(make_ref("a", f"{number}", "v"), NOON) for number in range(1_500)]
    doctor.store.remove(Removal(wasted=wastes))
    doctor.holder = Holder(1, "legato up", "now")
    assert "1,000 old values, 10.0 kB, and perhaps more, to be deleted" in doctor.found("waste")[0][1]
    assert "1,500 old values, 15.0 kB, to be deleted" in doctor.found("waste", deep=True)[0][1]
