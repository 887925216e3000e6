"""Proves that a store keeps the port's promises: subclass `StoreContract` in a test module and give it a `site`.

class TestMyStore(StoreContract):
    @pytest.fixture
    def site(self, tmp_path):
        site = MySite(tmp_path)
        yield site
        site.close()
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from legato.kernel.standing import Standing
from legato.ports.access import AccessChange
from legato.ports.decisions import Decided, Ticking
from legato.ports.store import Commit, ProjectVersion, RunState, Start, Store
from legato.terms.errors import LegatoError, NotFound, Unreachable
from legato.terms.instant import Instant
from legato.testing.store_records import (
    StoreSite,
    make_audit,
    make_cached,
    make_head,
    make_ref,
    make_run,
    make_token,
    make_trouble,
    make_user,
    make_version,
    publish,
)  # fmt: skip


class StoreContract:
    """What holds for every store."""

    @pytest.fixture
    def site(self) -> StoreSite:
        raise NotImplementedError("give a fixture `site` that yields a StoreSite")

    @pytest.fixture
    def store(self, site: StoreSite) -> Store:
        """A writer on an empty store in which run `r1` was accepted."""
        store = site.open()
        store.open_writer("a test")
        store.accept(make_run("r1"), b"plan", [])
        return store

    # accepting and recording

    def test_an_accepted_run_is_there_with_its_plan_and_events(self, site: StoreSite, store: Store) -> None:
        run = make_run("r2", steps=3, counts={"succeeded": 1})
        store.accept(run, b"plan of r2" * 1000, [b"one", b"two"])
        for handle in (store, site.open()):
            assert handle.run("r2") == run
            assert handle.plan("r2") == b"plan of r2" * 1000
            assert [body for _, body in handle.events("r2")] == [b"one", b"two"]

    def test_what_is_not_there_is_none_or_not_found(self, store: Store) -> None:
        assert store.run("nobody") is None
        assert store.head("a", "") is None
        assert store.version("a", "", "v1") is None
        assert store.versions("a") == []
        assert store.assets() == []
        assert store.dynamic_keys("a") == []
        for ask in (store.plan, lambda run_id: list(store.events(run_id)), lambda run_id: store.runs(before=run_id)):
            with pytest.raises(NotFound) as raised:
                ask("nobody")
            assert raised.value.code == "run"

    def test_a_run_is_accepted_once(self, store: Store) -> None:
        with pytest.raises(LegatoError) as raised:
            store.accept(make_run("r1", actor="eve"), b"other plan", [b"event"])
        assert raised.value.code == "run-taken"
        assert store.plan("r1") == b"plan"
        assert list(store.events("r1")) == []
        store.commit([Commit(run_id="r1", events=[b"goes on"])])
        assert [body for _, body in store.events("r1")] == [b"goes on"]

    def test_a_commit_of_an_unknown_run_is_refused_whole(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.commit([publish("v1", "p"), Commit(run_id="nobody", events=[b"event"])])
        assert store.head("a", "p") is None

    def test_a_run_row_is_replaced(self, store: Store) -> None:
        ended = make_run("r1", "failed", ended=Instant(9), counts={"failed": 1})
        store.commit([Commit(run_id="r1", run=ended)])
        assert store.run("r1") == ended
        assert store.runs() == [ended]
        assert store.runs(state="open") == []

    def test_events_are_numbered_in_one_rising_sequence(self, store: Store) -> None:
        store.accept(make_run("r2"), b"", [b"r2-1"])
        store.commit([Commit(run_id="r1", events=[b"r1-1", b"r1-2"]), Commit(run_id="r2", events=[b"r2-2"])])
        store.commit([Commit(run_id="r1", events=[b"r1-3"])])
        first, second = list(store.events("r1")), list(store.events("r2"))
        assert [body for _, body in first] == [b"r1-1", b"r1-2", b"r1-3"]
        assert [body for _, body in second] == [b"r2-1", b"r2-2"]
        numbers = [number for number, _ in first + second]
        assert len(set(numbers)) == 5
        assert min(numbers) > 0
        assert second[0][0] < first[0][0] < first[1][0] < second[1][0] < first[2][0]
        assert list(store.events("r1", after=first[0][0])) == first[1:]
        assert list(store.events("r1", after=first[-1][0])) == []

    def test_many_events_are_read_without_gap_or_duplicate(self, store: Store) -> None:
        store.commit([Commit(run_id="r1", events=[b"%d" % n for n in range(2_500)])])
        assert [body for _, body in store.events("r1")] == [b"%d" % n for n in range(2_500)]

    def test_changes_are_the_events_of_all_runs_page_by_page(self, site: StoreSite, store: Store) -> None:
        assert (store.newest_change(), store.changes(0)) == (0, [])
        store.accept(make_run("r2"), b"", [b"r2-1"])
        store.commit([Commit(run_id="r1", events=[b"r1-1", b"r1-2"]), Commit(run_id="r2", events=[b"r2-2"])])
        reader = site.open()
        found = reader.changes(0)
        assert [(run, body) for _, run, body in found] == [("r2", b"r2-1"), ("r1", b"r1-1"), ("r1", b"r1-2"), ("r2", b"r2-2")]
        numbers = [number for number, _, _ in found]
        assert numbers == sorted(set(numbers))
        assert reader.newest_change() == numbers[-1]
        assert reader.changes(0, 3) + reader.changes(numbers[2], 3) == found
        assert reader.changes(numbers[-1]) == []

    def test_a_request_makes_one_run(self, site: StoreSite, store: Store) -> None:
        keyed = make_run("r2", key="k", domains=("sales",))
        store.accept(keyed, b"", [])
        with pytest.raises(LegatoError) as raised:
            store.accept(make_run("r3", key="k"), b"", [b"event"])
        assert raised.value.code == "request-taken"
        assert "r2" in raised.value.what
        assert (store.run("r3"), store.newest_change()) == (None, 0)
        store.accept(make_run("r4"), b"", [])
        assert site.open().run_by_key("k") == keyed
        assert store.run_by_key("other") is None
        assert store.run_by_key("") is None

    # access

    def test_users_and_tokens_are_changed_with_their_record(self, site: StoreSite, store: Store) -> None:
        ada, eve = make_user("ada"), make_user("eve", closed=True)
        key, link = make_token("d1", "ada"), make_token("d2", "ada", kind="link", scope={"": "viewer"})
        store.change_access(AccessChange(users=[eve, ada], tokens=[link, key], audit=[make_audit("first")]))
        store.change_access(AccessChange(revoked=["d2", "unknown"], users=[make_user("eve")], audit=[make_audit("second")]))
        reader = site.open()
        assert reader.users() == [ada, make_user("eve")]
        assert (reader.user("ada"), reader.user("bob")) == (ada, None)
        assert reader.tokens() == [key]
        assert (reader.token("d1"), reader.token("d2")) == (key, None)
        assert [each.action for _, each in reader.audits()] == ["second", "first"]

    def test_what_was_done_is_recorded_with_what_it_did(self, site: StoreSite, store: Store) -> None:
        store.accept(make_run("r2"), b"", [], [make_audit("submit")])
        store.commit([Commit(run_id="r2", audit=[make_audit("cancel"), make_audit("resume")])])
        store.add_dynamic_keys("customers", ["acme"], [make_audit("keys")])
        with pytest.raises(LegatoError):
            store.accept(make_run("r2"), b"", [], [make_audit("refused")])
        reader = site.open()
        found = reader.audits()
        assert [each.action for _, each in found] == ["keys", "resume", "cancel", "submit"]
        assert found[0][1] == make_audit("keys")
        first = reader.audits(limit=3)
        assert first + reader.audits(limit=3, before=first[-1][0]) == found

    # heads, versions, troubles

    def test_heads_move_only_by_commit(self, site: StoreSite, store: Store) -> None:
        reader = site.open()
        store.commit([Commit(run_id="r1", versions=[make_version("a", "p", "v1", "quarantined")])])
        assert reader.heads(["a", "b"]) == {"a": {}, "b": {}}
        store.commit([publish("v2", "p", "q")])
        assert reader.heads(["a"]) == {"a": {"p": make_head("a", "p", "v2"), "q": make_head("a", "q", "v2")}}
        store.commit([Commit(run_id="r1", heads=[make_head("a", "p", "v1")], unpublished=[("a", "q")])])
        assert reader.head("a", "p") == make_head("a", "p", "v1")
        assert reader.head("a", "q") is None
        assert reader.heads(["a"]) == {"a": {"p": make_head("a", "p", "v1")}}

    def test_the_heads_of_the_last_partitions_are_found_alone(self, store: Store) -> None:
        store.commit([publish("v1", "p", "r", "q"), publish("v2", "z", asset="b")])
        assert store.last_heads("a", 2) == [make_head("a", "r", "v1"), make_head("a", "q", "v1")]
        assert [head.partition for head in store.last_heads("a", 9)] == ["r", "q", "p"]
        assert store.last_heads("none", 2) == []

    def test_within_a_group_the_last_word_on_a_key_wins(self, store: Store) -> None:
        gone = Commit(run_id="r1", unpublished=[("a", "p")], settled=[("a", "p")])
        broken = Commit(run_id="r1", troubles=[make_trouble("a", "p")])
        store.commit([publish("v1", "p"), broken, gone])
        assert store.head("a", "p") is None
        assert store.troubles() == []
        store.commit([gone, publish("v2", "p"), broken])
        assert store.head("a", "p") == make_head("a", "p", "v2")
        assert store.troubles() == [make_trouble("a", "p")]

    def test_a_version_named_again_is_replaced_in_place(self, store: Store) -> None:
        store.commit([publish("v1", "p"), publish("v2", "p")])
        (newest, _), (number, _) = store.versions("a", "p")
        store.commit([Commit(run_id="r1", versions=[make_version("a", "p", "v1", "discarded")])])
        assert store.version("a", "p", "v1") == make_version("a", "p", "v1", "discarded")
        assert store.versions("a", "p") == [
            (newest, make_version("a", "p", "v2")),
            (number, make_version("a", "p", "v1", "discarded")),
        ]

    def test_troubles_replace_one_another_until_they_are_settled(self, store: Store) -> None:
        first, second, other = make_trouble("a", "p"), make_trouble("a", "p", "again"), make_trouble("b", "")
        store.commit([Commit(run_id="r1", troubles=[first, other])])
        assert store.troubles() == [first, other]
        store.commit([Commit(run_id="r1", troubles=[second])])
        assert store.troubles(["a", "c"]) == [second]
        store.commit([Commit(run_id="r1", settled=[("a", "p"), ("c", "")])])
        assert store.troubles() == [other]
        assert store.troubles([]) == []

    def test_timings_add_up(self, store: Store) -> None:
        store.commit([Commit(run_id="r1", timings={"a": (1, 0.5), "b": (2, 1.0)}), Commit(run_id="r1", timings={"a": (1, 0.25)})])
        store.commit([Commit(run_id="r1", timings={"a": (2, 0.25)})])
        assert store.timings() == {"a": (4, 1.0), "b": (2, 1.0)}

    def test_starts_are_kept_while_they_count(self, store: Store) -> None:
        early = [Start("api", "", Instant(at), Instant(at + 10)) for at in (1, 2)]
        store.commit(
            [Commit(run_id="r1", starts=early), Commit(run_id="r1", starts=[Start("crm", "acme", Instant(3), Instant(5))])]
        )
        assert sorted(store.starts(), key=lambda each: each.at) == [*early, Start("crm", "acme", Instant(3), Instant(5))]
        store.commit([Commit(run_id="r1", starts=[Start("api", "", Instant(11), Instant(21))])])
        assert [(each.pool, each.at) for each in store.starts()] == [("api", 2), ("api", 11)]
        store.commit([Commit(run_id="r1")])
        assert len(store.starts()) == 2

    def test_versions_of_the_project_are_kept_in_the_order_in_which_they_came_into_force(
        self, site: StoreSite, store: Store
    ) -> None:
        one, two = ProjectVersion("f1", Instant(1)), ProjectVersion("f2", Instant(2))
        assert (store.projects(), store.project("f1")) == ([], None)
        store.keep_project(one, b"first")
        store.keep_project(two, b"second" * 10_000)
        assert site.open().projects() == [two, one]
        assert site.open().project("f2") == b"second" * 10_000
        again = ProjectVersion("f1", Instant(3))
        store.keep_project(again, b"first, with another comment")
        assert (store.projects(), store.projects(limit=1)) == ([again, two], [again])
        assert (store.projects(before=again.fingerprint), store.projects(before=two.fingerprint)) == ([two], [])
        with pytest.raises(NotFound):
            store.projects(before="none")
        assert (store.project("f1"), store.project("f3")) == (b"first, with another comment", None)

    def test_the_newest_result_of_a_key_is_cached(self, site: StoreSite, store: Store) -> None:
        store.accept(make_run("r2"), b"", [])
        assert store.cached("k1") is None
        kept = make_cached("k2", kept=make_ref("a", "", "r1-1"))
        store.commit([Commit(run_id="r1", cached=[make_cached("k1"), kept])])
        assert (store.cached("k1"), store.cached("k2"), store.cached("k3")) == (make_cached("k1"), kept, None)
        newer = make_cached("k1", "r2", b"newer")
        store.commit([Commit(run_id="r2", cached=[newer])])
        assert site.open().cached("k1") == newer

    def test_all_results_of_a_run_leave_the_cache_at_once(self, site: StoreSite, store: Store) -> None:
        store.accept(make_run("r2"), b"", [])
        mine = [make_cached(key) for key in ("k1", "k2", "k3")]
        others = make_cached("k3", "r2", b"others")
        store.commit([Commit(run_id="r1", cached=mine), Commit(run_id="r2", cached=[others])])
        store.commit([Commit(run_id="r1", uncached=True)])
        assert [site.open().cached(key) for key in ("k1", "k2", "k3")] == [None, None, others]
        store.commit([Commit(run_id="r1", cached=[make_cached("k1")], uncached=True)])
        assert store.cached("k1") is None, "what a commit takes out is not what it puts in"

    def test_what_triggers_decide_is_kept_once(self, store: Store) -> None:
        fired, late = (Decided(trigger="daily", key=key, body=b"f", waits=True) for key in ("t1", "t2"))
        skipped = Decided(trigger="hourly", key="t1", body=b"s")
        store.tick(Ticking(decided=[fired, skipped], kept={"daily": b"1", "hourly": b"1"}, heard=7))
        store.tick(Ticking(decided=[replace(fired, body=b"another"), late], kept={"daily": b"2"}))
        assert (store.kept_triggers(), store.heard()) == ({"daily": b"2", "hourly": b"1"}, 7)
        assert store.decision("daily", "t1") == fired
        assert store.decision("daily", "t9") is None
        assert [each.key for each in store.waiting_decisions()] == ["t1", "t2"]
        ((number, newest), *_) = store.decisions()
        assert newest == late
        assert [each for _, each in store.decisions(before=number)] == [skipped, fired]
        assert [each for _, each in store.decisions("daily", limit=1)] == [late]

    def test_a_decision_has_its_run_with_the_commit_that_accepts_it(self, store: Store) -> None:
        store.tick(Ticking(decided=[Decided(trigger="a/b", key=key, body=b"f", waits=True) for key in ("t1", "t2")]))
        store.accept(make_run("r9", key="a/b/t1"), b"plan", [])
        store.give_up("a/b", "t2", "it selects nothing")
        store.give_up("a/b", "t1", "too late")
        assert store.waiting_decisions() == []
        assert [(each.run, each.note) for _, each in store.decisions()] == [("", "it selects nothing"), ("r9", "")]

    def test_dynamic_keys_stay_in_the_order_of_their_coming(self, store: Store) -> None:
        store.add_dynamic_keys("customers", ["z", "m"])
        store.add_dynamic_keys("customers", ["m", "a", "z"])
        store.add_dynamic_keys("others", ["a"])
        assert store.dynamic_keys("customers") == ["z", "m", "a"]
        assert store.dynamic_keys("others") == ["a"]
        assert (store.dynamic_keys("customers", 1), store.dynamic_keys("customers", 1, 1)) == (["m", "a"], ["m"])
        assert store.dynamic_keys("customers", 3) == []
        assert [store.count_keys(name) for name in ("customers", "others", "none")] == [3, 1, 0]
        found = list(store.new_keys())
        assert [(name, key) for _, name, key in found] == [
            ("customers", "z"),
            ("customers", "m"),
            ("customers", "a"),
            ("others", "a"),
        ]
        assert list(store.new_keys(found[1][0])) == found[2:]
        assert list(store.new_keys(found[-1][0])) == []

    def test_what_was_written_cannot_be_changed_from_outside(self, store: Store) -> None:
        counts = {"succeeded": 1}
        store.commit([Commit(run_id="r1", run=make_run("r1", counts=counts))])
        counts["succeeded"] = 99
        read = store.run("r1")
        assert read is not None
        read.counts["succeeded"] = 77
        assert store.run("r1") == make_run("r1", counts={"succeeded": 1})

    # paging

    def test_runs_are_paged_newest_first_without_gap_or_duplicate(self, store: Store) -> None:
        for number in range(2, 12):
            state: RunState = "failed" if number % 3 == 0 else "succeeded"
            store.accept(make_run(f"r{number}", state), b"", [])
        assert [run.id for run in store.runs(limit=3)] == ["r11", "r10", "r9"]
        assert _paged_runs(store, 4, None) == [f"r{number}" for number in range(11, 0, -1)]
        assert _paged_runs(store, 2, "failed") == ["r9", "r6", "r3"]
        assert store.runs(limit=0) == []

    def test_backfills_are_paged_apart_from_other_runs(self, store: Store) -> None:
        for number in range(2, 12):
            standing = Standing(4, 1, 0, 0, 3) if number % 2 else None
            store.accept(make_run(f"r{number}", backfill=standing), b"", [])
        first = store.backfills(limit=2)
        assert [run.id for run in first] == ["r11", "r9"]
        assert [run.id for run in store.backfills(limit=9, before="r9")] == ["r7", "r5", "r3"]
        moved = make_run("r11", backfill=Standing(4, 2, 0, 0, 2), paused=True)
        store.commit([Commit(run_id="r11", run=moved)])
        assert store.backfills(limit=1) == [moved]

    def test_versions_are_paged_newest_first_without_gap_or_duplicate(self, store: Store) -> None:
        for number in range(7):
            store.commit([publish(f"v{number}", "p", "q"), publish(f"v{number}", "p", asset="other")])
        assert _paged_versions(store, 3, "p") == [("p", f"v{number}") for number in range(6, -1, -1)]
        everything = _paged_versions(store, 5, None)
        assert sorted(everything) == sorted((p, f"v{number}") for number in range(7) for p in "pq")
        assert [version for _, version in everything] == sorted((version for _, version in everything), reverse=True)

    # all or nothing

    @pytest.mark.parametrize("fault", ["event", "record"])
    def test_a_commit_that_fails_leaves_nothing_and_the_writer_stops(self, site: StoreSite, store: Store, fault: str) -> None:
        store.commit([publish("v1", "p")])
        bad: Any = {"event": {"events": [b"whole", None]}, "record": {"troubles": [make_trouble("a", "p", object())]}}  # type: ignore[arg-type]
        with pytest.raises(Exception, match=r".+"):
            store.commit([publish("v2", "p"), Commit(run_id="r1", **bad[fault])])
        with pytest.raises(Unreachable) as raised:
            store.commit([publish("v3", "p")])
        assert raised.value.code == "store-write"
        with pytest.raises(Unreachable):
            store.accept(make_run("r2"), b"", [])
        for handle in (store, site.open()):
            assert handle.head("a", "p") == make_head("a", "p", "v1")
            assert [version for _, version in _named(handle)] == ["v1"]
            assert [body for _, body in handle.events("r1")] == [b"v1"]
            assert handle.run("r2") is None
        store.open_writer("again")
        store.commit([publish("v4", "p")])
        assert store.head("a", "p") == make_head("a", "p", "v4")

    def test_a_run_that_cannot_be_accepted_whole_is_not_accepted(self, site: StoreSite, store: Store) -> None:
        with pytest.raises(Exception, match=r".+"):
            store.accept(make_run("r2"), b"plan", [b"whole", None])  # type: ignore[list-item]
        for handle in (store, site.open()):
            assert handle.run("r2") is None
            assert [run.id for run in handle.runs()] == ["r1"]

    def test_readers_see_a_commit_whole_or_not_at_all(self, site: StoreSite, store: Store) -> None:
        partitions = [str(number) for number in range(20)]
        store.commit([publish("v0", *partitions)])
        torn: list[set[str]] = []
        seen: list[str] = []
        ready, done = threading.Event(), threading.Event()

        def read() -> None:
            reader = site.open()
            while not done.is_set():
                versions = {head.version for head in reader.heads(["a"])["a"].values()}
                if len(versions) != 1:
                    torn.append(versions)
                seen.extend(versions)
                ready.set()
            reader.close()

        thread = threading.Thread(target=read)
        thread.start()
        assert ready.wait(60)
        for number in range(1, 60):
            store.commit([publish(f"v{number}", *partitions)])
        done.set()
        thread.join()
        assert not torn
        assert all(int(a[1:]) <= int(b[1:]) for a, b in pairwise(seen))

    # one writer

    def test_each_opening_gives_a_higher_epoch(self, site: StoreSite, store: Store) -> None:
        epochs = [store.open_writer("a test") for _ in range(3)]
        store.close()
        epochs.append(site.open().open_writer("another"))
        assert epochs == sorted(set(epochs))

    def test_a_writer_that_lost_its_place_is_refused(self, site: StoreSite, store: Store) -> None:
        site.vacate()
        younger = site.open()
        younger.open_writer("a younger one")
        younger.commit([publish("v1", "p")])
        _refuses_to_write(store, "store-fenced")
        assert younger.head("a", "p") == make_head("a", "p", "v1")
        assert younger.run("late") is None
        assert younger.dynamic_keys("customers") == []

    def test_nobody_writes_without_the_writers_place(self, site: StoreSite, store: Store) -> None:
        reader = site.open()
        store.close()
        _refuses_to_write(reader, "store-closed")
        _refuses_to_write(store, "store-closed")

    def test_closing_twice_is_closing_once_and_what_was_written_stays(self, site: StoreSite, store: Store) -> None:
        store.commit([publish("v1", "p")])
        store.close()
        store.close()
        again = site.open()
        again.open_writer("again")
        assert again.head("a", "p") == make_head("a", "p", "v1")
        assert store.head("a", "p") == make_head("a", "p", "v1")

    def test_facts_name_the_store(self, store: Store) -> None:
        assert {"kind", "path", "epoch"} <= store.facts().keys()
        assert store.damage() == []


def _refuses_to_write(store: Store, code: str) -> None:
    writes: list[Callable[[], None]] = [
        lambda: store.commit([publish("late", "p")]),
        lambda: store.accept(make_run("late"), b"", []),
        lambda: store.add_dynamic_keys("customers", ["late"]),
    ]
    for write in writes:
        with pytest.raises(Unreachable) as raised:
            write()
        assert raised.value.code == code


def _paged_runs(store: Store, limit: int, state: RunState | None) -> list[str]:
    found: list[str] = []
    while page := store.runs(limit=limit, state=state, before=found[-1] if found else None):
        found += [run.id for run in page]
        assert len(found) == len(set(found)), "a page repeats a run"
    return found


def _paged_versions(store: Store, limit: int, partition: str | None) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    before = 0
    while page := store.versions("a", partition, limit=limit, before=before):
        found += [(version.ref.partition, version.ref.version) for _, version in page]
        before = page[-1][0]
        assert len(found) == len(set(found)), "a page repeats a version"
    return found


def _named(store: Store) -> list[tuple[str, str]]:
    return _paged_versions(store, 50, None)
