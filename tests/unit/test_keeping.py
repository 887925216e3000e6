"""What goes when it is old, what stays however old it is, and that no crash between two steps of it matters."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from legato.declare.keep import DAY_S, Keep, parse_keep
from legato.declare.manuscript import Manuscript
from legato.kernel import events as ev
from legato.kernel.state import Swap
from legato.ports.access import AccessChange
from legato.ports.decisions import Decided, Ticking
from legato.ports.keeping import Removal
from legato.ports.storage import Slot
from legato.ports.store import Commit, ProjectVersion, Start
from legato.service.keeping import Keeper, Part, Rounds, make_room
from legato.storages.memory import MemoryStorage
from legato.stores.memory import MemoryStore
from legato.terms.attempt import Image
from legato.terms.codec import pack
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant, after
from legato.testing.crash import CountedFuse, Crash, CrashingStorage, CrashingStore, NoFuse
from legato.testing.store_records import make_audit, make_cached, make_run, make_token, make_trouble, make_version
from legato.triggers.events import Fired, RunRequest, Skipped
from legato.worker.config import read_config

NOW = Instant(400 * 86_400_000_000)
END = Instant((1 << 63) - 1)


def days_ago(days):
    return after(NOW, -days * DAY_S)


class Place:
    """A store and a storage with something in them, and their keeper."""

    def __init__(self, keep=None, fuse=None, logs=Path("/nonexistent"), newest=1):
        self.store, self.values = MemoryStore(), MemoryStorage()
        self.store.open_writer("a test")
        self.keep, self.logs, self.newest, self.states = keep or Keep(), logs, newest, []
        self.fuse = fuse or NoFuse()

    @property
    def storages(self):
        return {self.values.name: CrashingStorage(self.values, self.fuse)}

    def tidy(self, now=NOW):
        store = CrashingStore(self.store, self.fuse)
        keeper = Keeper(store, lambda: self, lambda: self.states, newest=self.newest)
        for part in keeper.round(now):
            keeper.do(part)

    def run(self, name, age, state="succeeded", events=(), **more):
        ended = {} if state == "open" else {"ended": days_ago(age)}
        self.store.accept(make_run(name, state, at=days_ago(age), **ended, **more), b"plan", [ev.encode(each) for each in events])

    def value(self, name, version, value=1):
        return self.values.stage(Slot(name, "", version), value).ref

    def publish(self, asset, version, age, state="published", head=True):
        ref = self.value(asset, version)
        made = replace(make_version(asset, "", version, state), ref=ref, at=days_ago(age))
        self.store.commit([Commit(run_id=self.store.runs()[0].id, versions=[made], heads=[])])
        if head and state == "published":
            self.point(asset, version)

    def point(self, asset, version):
        from legato.runtime.book import head_of

        self.store.commit([Commit(run_id=self.store.runs()[0].id, heads=[head_of(self.store.version(asset, "", version))])])

    def versions(self, asset):
        return [each.ref.version for _, each in self.store.versions(asset)]

    def kept_values(self):
        return {version for _, _, version in self.values.values}


def succeeded(kept, cached=""):
    return ev.StepSucceeded(NOW, 0, 1, 0.1, kept=kept, cached=cached)


def test_runs_that_ended_long_ago_go_with_what_they_made_for_themselves():
    place = Place()
    own, others = place.value("t", "old-1"), place.value("t", "older-1")
    picture, given = place.value("picture", "old-1-0"), place.value("t", "old-2-i0")
    foreign = place.value("t", "young-1")
    events = [
        succeeded(own), succeeded(others, cached="older"), succeeded(foreign),
        ev.FactsNoted(NOW, 0, 1, (Image("map", "png", picture),)),
    ]  # fmt: skip
    place.run("old", 91, events=events)
    place.run("young", 89)
    place.run("open", 91, state="open")
    place.run("failing", 95, state="failed")
    place.run("newest", 1, events=[ev.RunHalted(NOW, False)])
    place.store.commit(
        [Commit(run_id="old", cached=[make_cached("c", "old")], troubles=[replace(make_trouble("a", ""), run="failing")])]
    )
    place.store.commit([Commit(run_id="open", run=make_run("open", "failed", at=days_ago(1)))])  # so that nothing is open
    place.store.commit([Commit(run_id="open", run=make_run("open", "open", at=days_ago(1)))])
    place.tidy()
    assert [run.id for run in place.store.runs()] == ["newest", "failing", "open", "young"]
    assert place.store.cached("c") is None
    assert place.store.removed_events() == []
    assert place.kept_values() == {"old-1", "older-1", "old-1-0", "old-2-i0", "young-1"}, "somebody may be reading them"
    place.tidy(after(NOW, 3601))
    assert place.kept_values() == {"old-1", "older-1", "old-1-0", "old-2-i0", "young-1"}, "a run is open that began before"
    place.store.commit([Commit(run_id="open", run=make_run("open", "failed", at=days_ago(1)))])
    place.tidy(after(NOW, 3601))
    assert place.kept_values() == {"older-1", "old-2-i0", "young-1"}, "what others made stays, and what no event speaks of"
    assert given.version in place.kept_values()


def test_the_newest_runs_stay_however_old():
    place = Place(newest=3)
    for number in range(6):
        place.run(f"r{number}", 300)
    place.tidy()
    assert [run.id for run in place.store.runs()] == ["r5", "r4", "r3"]


@pytest.mark.parametrize("jump_s", [3600.0, DAY_S, 3650 * DAY_S])
def test_a_clock_that_jumps_ahead_empties_nothing(jump_s):
    """However old everything is then: what is published stays, and the newest of each kind."""
    place = Place(newest=100)
    for number in range(150):
        place.run(f"r{number}", 1, events=[succeeded(place.value("t", f"r{number}-1"))])
    for number in range(15):
        place.publish("a", f"v{number}", 1)
    place.tidy(after(NOW, jump_s))
    assert len(place.store.runs(limit=1000)) == (150 if jump_s <= DAY_S else 100)
    assert place.versions("a") == [f"v{number}" for number in range(14, 4, -1)]
    assert place.values.check(place.store.head("a", "").ref) == ""


@pytest.mark.parametrize("jump_s", [-3600.0, -DAY_S, -3650 * DAY_S])
def test_a_clock_that_was_set_back_lets_nothing_go_too_early(jump_s):
    place = Place(Keep(versions=0))
    for number in range(5):
        place.run(f"r{number}", 1, events=[succeeded(place.value("t", f"r{number}-1"))])
    place.tidy(after(NOW, jump_s))
    assert len(place.store.runs()) == 5
    place.run("before", 95)  # begun when the clock was wrong: old at once, and the runs around it are not
    place.run("newest", 0)
    place.tidy(NOW)
    assert [run.id for run in place.store.runs()] == ["newest", "r4", "r3", "r2", "r1", "r0"]


def test_a_version_that_a_run_made_and_handed_on_is_no_value_of_the_run():
    place = Place()
    place.run("old", 91)
    place.publish("a", "old-1", 91)
    ref = place.store.head("a", "").ref
    place.store.commit([Commit(run_id="old", events=[ev.encode(succeeded(ref))])])
    place.run("newest", 1, events=[ev.RunHalted(NOW, False)])
    place.tidy()
    place.tidy(after(NOW, 3601))
    assert place.store.run("old") is None
    assert place.kept_values() == {"old-1"}
    assert place.values.check(place.store.head("a", "").ref) == ""


def test_the_newest_versions_stay_and_whatever_is_published():
    place = Place(Keep(versions=2))
    place.run("r", 1)
    for number in range(1, 6):
        place.publish("a", f"v{number}", 50 - number)
    for number in range(1, 5):
        place.publish("a", f"q{number}", 20, state="quarantined")
    place.point("a", "v1")
    place.tidy()
    assert place.versions("a") == ["q4", "q3", "v5", "v4", "v1"], "those that failed do not crowd out the others"
    place.tidy(after(NOW, 3601))
    assert place.kept_values() == {"q4", "q3", "v5", "v4", "v1"}


def test_versions_go_by_age_but_for_two():
    place = Place(Keep(**parse_keep("versions", "30d")))
    place.run("r", 1)
    for number, age in enumerate((50, 40, 31, 29, 28, 1), 1):
        place.publish("a", f"v{number}", age)
    for number in (1, 2, 3):
        place.publish("b", f"w{number}", 99)
    place.tidy()
    assert place.versions("a") == ["v6", "v5", "v4"]
    assert place.versions("b") == ["w3", "w2"]


def test_versions_that_an_open_run_replaced_stay():
    place = Place(Keep(versions=1))
    place.run("r", 1)
    for number in (1, 2, 3):
        place.publish("a", f"v{number}", 50 - number)
    steps = [SimpleNamespace(partition="")]
    place.states = [SimpleNamespace(plan=SimpleNamespace(steps=steps), swaps={0: (Swap("a", "v3", "v1"),)})]
    place.tidy()
    assert place.versions("a") == ["v3", "v1"]


def test_a_long_history_is_looked_at_bit_by_bit_and_goes_on_where_it_stopped():
    place = Place(Keep(versions=1))
    place.run("r", 1)
    for number in range(250):
        place.publish("a", f"v{number}", 50)
    parts = Keeper(place.store, lambda: place, tuple).spare_versions(NOW)
    first = next(parts)
    assert (len(first.removal.versions), first.is_work) == (100, True)
    place.store.remove(first.removal)
    assert place.store.looked() == 100
    place.tidy()
    assert (place.versions("a"), place.store.looked()) == (["v249"], 0)


def test_of_what_was_decided_stays_that_a_file_arrived():
    place = Place()
    asked = RunRequest(key="k", node="n")
    fired = [
        Fired(trigger="daily", key="t", at=days_ago(95), on=days_ago(95), moments=(), request=asked, timed=True),
        Fired(trigger="inbox", key="file:1", at=days_ago(95), on=days_ago(95), moments=(), request=asked),
        Skipped(trigger="inbox", key="file:2", at=days_ago(95), on=days_ago(95), first=days_ago(95), why="running", moments=()),
        Fired(trigger="inbox", key="file:3", at=days_ago(95), on=days_ago(95), moments=(), request=asked),
        Fired(trigger="inbox", key="file:4", at=days_ago(95), on=days_ago(95), moments=(), request=asked),
        Fired(trigger="daily", key="late", at=days_ago(1), on=days_ago(1), moments=(), request=asked, timed=True),
    ]  # fmt: skip
    place.run("open", 95, state="open")
    place.run("newest", 1)
    runs = {"file:4": "open"}
    place.store.tick(
        Ticking(
            decided=[
                Decided(
                    trigger=each.trigger, key=each.key, body=pack(each), waits=each.key == "file:3", run=runs.get(each.key, "")
                )
                for each in fired
            ]
        )
    )
    place.tidy()
    assert [each.key for _, each in place.store.oldest_decisions()] == ["file:3", "file:4", "late"]
    known = [place.store.was_decided(each.trigger, each.key) for each in fired]
    assert known == [False, True, True, True, True, True]


def test_records_go_too():
    place = Place(newest=2)
    place.run("old", 500)
    place.run("r", 100, events=[ev.RunHalted(NOW, False)])
    place.run("newest", 1)
    place.store.commit([Commit(run_id="r", audit=[replace(make_audit(f"a{n}"), at=days_ago(500 - 40 * n)) for n in range(5)])])
    for number, age in enumerate((300, 200, 95, 50)):
        place.store.keep_project(ProjectVersion(f"f{number}", days_ago(age)), b"")
    dead, quiet = (replace(make_token(name, "ada"), expires=days_ago(age)) for name, age in (("d", 31), ("q", 29)))
    place.store.change_access(AccessChange(tokens=[dead, quiet]))
    place.store.commit(
        [Commit(run_id="r", starts=[Start("api", "", days_ago(2), days_ago(1)), Start("api", "", NOW, days_ago(-1))])]
    )
    place.tidy()
    assert [audit.action for _, audit in place.store.audits()] == ["a4", "a3"]
    assert [each.fingerprint for each in place.store.projects()] == ["f3", "f2", "f1"], "a run of 100 days ago was of f1"
    assert [token.digest for token in place.store.tokens()] == ["q"]
    assert [start.until for start in place.store.starts()] == [days_ago(-1)]


def test_a_version_that_an_open_run_is_of_stays():
    place = Place(newest=1)
    place.run("r", 20)
    place.run("repeated", 1, "open", project="f0")
    place.run("newest", 1)
    for number, age in enumerate((300, 200, 95, 50)):
        place.store.keep_project(ProjectVersion(f"f{number}", days_ago(age)), b"", Manuscript(b"1", {"a": b"A"}))
    place.tidy()
    assert [each.fingerprint for each in place.store.projects()] == ["f3", "f2", "f0"]
    assert place.store.manuscript("f0") is not None


def test_for_ever_is_for_ever():
    place = Place(Keep(runs_s=None, logs_s=None, audit_s=None, versions=0))
    place.run("old", 399)
    place.store.commit([Commit(run_id="old", audit=[replace(make_audit(f"a{n}"), at=days_ago(399)) for n in range(3)])])
    for number in range(30):
        place.publish("a", f"v{number}", 399)
    place.run("newest", 1)
    place.tidy()
    assert (len(place.store.runs()), len(place.versions("a")), len(place.store.audits())) == (2, 30, 3)


def test_old_logs_go_and_what_may_still_be_written_to_stays(tmp_path):
    place = Place(logs=tmp_path)
    place.run("newest", 1)
    for session in ("1", "2", "3", "4"):
        (tmp_path / session).mkdir()
        for name, age in (("1.log", 31), ("2.log", 29), ("host.log", 31)):
            path = tmp_path / session / name
            path.write_text("output")
            os.utime(path, ns=(0, days_ago(age) * 1000))
    (tmp_path / "1" / "2.log").unlink()
    (tmp_path / "stranger").write_text("not in a session")
    place.tidy()
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["2/2.log", "2/host.log", "3/2.log", "3/host.log", "4/2.log", "4/host.log", "stranger"]
    assert not (tmp_path / "1").exists()
    place.run("open", 40, state="open")
    os.utime(tmp_path / "2" / "2.log", ns=(0, days_ago(39) * 1000))
    place.tidy()
    assert (tmp_path / "2" / "2.log").exists(), "it may be the log of a run that is open"


def test_a_value_that_cannot_be_deleted_now_does_not_keep_others_from_it():
    place = Place(Keep(versions=1))
    place.run("r", 1)
    for number in range(50):
        place.publish("a", f"v{number}", 50)

    class Stubborn(MemoryStorage):
        def discard(self, ref):
            if ref.version in ("v3", "v7"):
                raise LegatoError("storage-write", "busy")
            super().discard(ref)

    stubborn = Stubborn()
    stubborn.values = place.values.values
    place.values = stubborn
    place.tidy()
    place.tidy(after(NOW, 3601))
    assert place.kept_values() == {"v3", "v7", "v49"}
    assert [waste.ref.version for _, waste in place.store.wastes(END)] == ["v3", "v7"]


def test_no_crash_matters():
    """The process dies before and after each write; the next one goes on, and nothing is left of what went."""

    def play(fuse):
        place = Place(Keep(versions=1), fuse)
        for number in range(3):
            name = f"r{number}"
            place.run(name, 100, events=[succeeded(place.value("t", f"{name}-9"))])
            place.publish("a", f"{name}-1", 100)
        place.run("newest", 1, events=[ev.RunHalted(NOW, False)])
        for later in (NOW, after(NOW, 4000), after(NOW, 8000)):
            try:
                place.tidy(later)
            except Crash:
                place.store = MemoryStore(place.store.disk)
                place.store.open_writer("the next")
        assert [run.id for run in place.store.runs()] == ["newest"]
        assert (place.versions("a"), place.kept_values()) == (["r2-1"], {"r2-1"})
        assert (place.store.wastes(END), place.store.removed_events()) == ([], [])

    calm = CountedFuse()
    play(calm)
    assert calm.passed > 10
    for point in range(calm.passed):
        play(CountedFuse(point))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("runs", "90d", {"runs_s": 90 * DAY_S}), ("logs", "forever", {"logs_s": None}), ("audit", "1h", {"audit_s": 3600.0}),
        ("versions", 3, {"versions": 3}), ("versions", "forever", {"versions": 0}),
        ("versions", "2d", {"versions": 2, "versions_s": 2 * DAY_S}),
    ],
)  # fmt: skip
def test_what_is_kept_is_said_in_the_configuration(name, value, expected):
    assert parse_keep(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"), [("runs", 90), ("runs", "soon"), ("logs", "0s"), ("versions", 0), ("versions", True), ("audit", None)]
)
def test_what_says_nothing_is_refused(name, value):
    with pytest.raises(LegatoError) as raised:
        parse_keep(name, value)
    assert raised.value.code == "keep"
    assert raised.value.next


def test_faults_of_the_configuration_are_told_all_at_once(tmp_path):
    (tmp_path / "legato.toml").write_text('modules = ["m"]\n[keep]\nruns = "1w"\nlogs = 3\nrunz = "1d"\n')
    config, faults = read_config(tmp_path)
    assert config.keep == Keep(runs_s=7 * DAY_S)
    assert [(fault.code, fault.place.line) for fault in faults] == [("keep", 4), ("config-key", 5)]
    assert "runs" in faults[1].hint


class Hand:
    """A clock in seconds that is moved by hand, and by what is done."""

    def __init__(self, monkeypatch):
        self.now_s, self.cost_s = 0.0, 0.01
        monkeypatch.setattr("legato.service.keeping.perf_counter", self.read)

    def read(self):
        return self.now_s


class Parts:
    """A keeper whose rounds have these parts, each of which costs a hundredth of a second."""

    def __init__(self, hand, *parts):
        self.hand, self.parts, self.done, self.rounds = hand, parts, [], 0

    def round(self, now):
        self.rounds += 1
        for part in self.parts:
            self.hand.now_s += self.hand.cost_s
            yield part

    def do(self, part):
        self.done.append(part)


def test_rounds_take_a_small_share_of_the_time(monkeypatch):
    hand = Hand(monkeypatch)
    nothing, something = Part(Removal()), Part(Removal(runs=["r"]))
    keeper = Parts(hand, nothing, nothing, something, something)
    rounds = Rounds(keeper, first_after_s=60.0, pause_s=600.0)
    due = []
    while keeper.rounds < 3:
        before = len(keeper.done), keeper.rounds
        rounds.go_on(NOW)
        if (len(keeper.done), keeper.rounds) != before:
            due.append(round(hand.now_s, 2))
        hand.now_s += 0.01
        assert hand.now_s < 3000
    assert 60.0 <= due[0] < 60.1, "not while the service begins"
    gaps = [round(later - earlier, 1) for earlier, later in pairwise(due[:4])]
    assert gaps == [3.3, 3.3, 0.1], "looking is slow; where there is something to do, it is done"
    assert due[4] - due[3] > 600, "then there is a pause"
    assert [part.is_work for part in keeper.done[:4]] == [False, False, True, True]


def test_looking_at_a_long_history_writes_seldom():
    place = Place(Keep(versions=3000))
    place.run("r", 1)
    for number in range(2_500):
        place.publish("a", f"v{number}", 50, head=False)
    written = []
    remove = place.store.remove
    place.store.remove = lambda removal: (written.append(removal.looked), remove(removal))
    place.tidy()
    assert written == [2_000, 0]


def test_a_run_makes_room_only_for_a_moment(monkeypatch):
    hand = Hand(monkeypatch)
    keeper = Parts(hand, *[Part(Removal())] * 50)
    make_room(keeper, NOW, most_s=0.05)
    assert len(keeper.done) == 5


def test_short_moments_add_up():
    """Where nothing but runs makes room, each goes on looking where the one before stopped."""
    place = Place(Keep(versions=1))
    place.run("r", 1)
    for number in range(550):
        place.publish(f"a{number}", "v1", 50)
    for number in range(3):
        place.publish("last", f"v{number}", 50)
    looked = []
    for _ in range(12):
        parts = Keeper(place.store, lambda: place, tuple, noted=1).spare_versions(NOW)
        for _, part in zip(range(2), parts, strict=False):
            if part.removal:
                place.store.remove(part.removal)
        looked.append(place.store.looked())
        if len(place.versions("last")) == 1:
            break
    assert looked == [200, 400, 553]
