"""Proves that a store makes room as its port promises: subclass `KeepingContract`, with a `site` as for `StoreContract`."""

from __future__ import annotations

import pytest

from legato.declare.manuscript import Manuscript
from legato.ports.access import AccessChange
from legato.ports.decisions import Decided, Ticking
from legato.ports.keeping import Removal, Waste
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
    make_version,
    publish,
)  # fmt: skip


class KeepingContract:
    """What holds for every store that lets go of something."""

    @pytest.fixture
    def site(self) -> StoreSite:
        raise NotImplementedError("give a fixture `site` that yields a StoreSite")

    @pytest.fixture
    def store(self, site: StoreSite) -> Store:
        """A writer on a store with the ended runs `r1` and `r2`, the open `r3` and the ended `r4`, an event or two each."""
        store = site.open()
        store.open_writer("a test")
        states: list[RunState] = ["succeeded", "failed", "open", "succeeded"]
        for number, state in enumerate(states, 1):
            store.accept(make_run(f"r{number}", state, key=f"k{number}"), b"plan", [f"{number}a".encode()])
        store.commit([Commit(run_id=f"r{number}", events=[f"{number}b".encode()]) for number in (1, 2, 3, 4)])
        return store

    def test_nothing_said_removes_nothing(self, store: Store) -> None:
        assert not Removal()
        assert Removal(looked=0)
        before = store.changes(0)
        store.remove(Removal())
        assert store.changes(0) == before

    def test_a_removed_run_is_seen_by_nobody(self, site: StoreSite, store: Store) -> None:
        store.commit([Commit(run_id="r1", cached=[make_cached("c1")]), Commit(run_id="r2", cached=[make_cached("c2", "r2")])])
        assert store.plan("r1") == b"plan"
        store.remove(Removal(runs=["r1", "nobody"]))
        for handle in (store, site.open()):
            assert [run.id for run in handle.runs()] == ["r4", "r3", "r2"]
            assert [run.id for _, run in handle.oldest_runs()] == ["r2", "r3", "r4"]
            assert (handle.run("r1"), handle.run_by_key("k1")) == (None, None)
            assert {run for _, run, _ in handle.changes(0)} == {"r2", "r3", "r4"}
            assert (handle.cached("c1"), handle.cached("c2")) == (None, make_cached("c2", "r2"))
            for ask in (handle.plan, lambda run, at=handle: list(at.events(run)), lambda run, at=handle: at.runs(before=run)):
                with pytest.raises(NotFound):
                    ask("r1")
        with pytest.raises(NotFound):
            store.commit([Commit(run_id="r1", events=[b"late"])])

    def test_its_events_follow_a_part_at_a_time(self, site: StoreSite, store: Store) -> None:
        store.remove(Removal(runs=["r1", "r2"]))
        found = store.removed_events()
        assert [(run, body) for _, run, body in found] == [("r1", b"1a"), ("r1", b"1b"), ("r2", b"2a"), ("r2", b"2b")]
        assert store.removed_events(3) == found[:3]
        others = store.changes(0)
        store.remove(Removal(events=[number for number, _, _ in found[:3]]))
        assert site.open().removed_events() == found[3:]
        store.remove(Removal(events=[number for number, _, _ in [*found, *others]]))
        assert site.open().removed_events() == []
        assert site.open().changes(0) == others, "events of runs that are kept stay, whoever names them"

    def test_what_is_needed_stays_whatever_is_said(self, store: Store) -> None:
        waiting = Decided(trigger="daily", key="t1", body=b"f", waits=True)
        store.tick(Ticking(decided=[waiting, Decided(trigger="daily", key="t2", body=b"s")]))
        store.commit([publish("v1", "p", run_id="r3"), publish("v2", "p", run_id="r3"), publish("v1", "q", run_id="r3")])
        store.commit([Commit(run_id="r3", heads=[make_head("a", "p", "v1")])])
        names = [(version.ref.asset, version.ref.partition, version.ref.version) for _, version in store.oldest_versions()]
        numbers = [number for number, _ in store.oldest_decisions()]
        store.remove(Removal(runs=["r3", "r4"], versions=names, decisions=numbers))
        assert [run.id for run in store.runs()] == ["r4", "r3", "r2", "r1"], "one is open, one is the newest"
        assert [version.ref.version for _, version in store.versions("a", "p")] == ["v1"], "it is published, if not the newest"
        assert [version.ref.version for _, version in store.versions("a", "q")] == ["v1"]
        assert [each for _, each in store.oldest_decisions()][:1] == [waiting]

    def test_numbers_are_never_given_twice(self, site: StoreSite, store: Store) -> None:
        store.commit([publish("v1", "p", run_id="r4"), Commit(run_id="r4", unpublished=[("a", "p")])])
        newest, ((number, _),) = store.newest_change(), store.oldest_versions()
        store.accept(make_run("r5"), b"", [])
        store.remove(Removal(runs=["r1", "r2", "r4"], versions=[("a", "p", "v1")]))
        while events := store.removed_events():
            store.remove(Removal(events=[seq for seq, _, _ in events]))
        store.close()
        store = site.open()
        store.open_writer("again")
        assert store.newest_change() == newest
        store.commit([publish("v2", "p", run_id="r5")])
        assert [(run, body) for _, run, body in store.changes(newest)] == [("r5", b"v2")]
        assert store.oldest_versions()[-1][0] > number

    def test_pages_begin_with_the_oldest(self, site: StoreSite, store: Store) -> None:
        store.commit([publish(f"v{number}", "p", run_id="r3") for number in range(5)])
        store.tick(Ticking(decided=[Decided(trigger="daily", key=f"t{number}", body=b"s") for number in range(5)]))
        store.commit([Commit(run_id="r3", audit=[make_audit(f"a{number}") for number in range(5)])])
        reader = site.open()
        runs, versions = reader.oldest_runs(limit=2), reader.oldest_versions(limit=2)
        assert [run.id for _, run in runs + reader.oldest_runs(runs[-1][0])] == ["r1", "r2", "r3", "r4"]
        assert [each.ref.version for _, each in versions + reader.oldest_versions(versions[-1][0], 1)] == ["v0", "v1", "v2"]
        decisions, audits = reader.oldest_decisions(limit=4), reader.oldest_audits(limit=4)
        assert [each.key for _, each in decisions + reader.oldest_decisions(decisions[-1][0])] == [f"t{n}" for n in range(5)]
        assert [each.action for _, each in audits + reader.oldest_audits(audits[-1][0])] == [f"a{n}" for n in range(5)]
        assert [number for number, _ in audits] == sorted(number for number, _ in reader.audits())[:4]
        store.remove(Removal(audits=[number for number, _ in audits[:3]], decisions=[decisions[0][0]]))
        assert [each.action for _, each in reader.audits()] == ["a4", "a3"]
        assert [each.key for _, each in reader.decisions()] == ["t4", "t3", "t2", "t1"]
        store.remove(Removal(audits=[audits[3][0] + more for more in range(9)]))
        assert [each.action for _, each in reader.audits()] == ["a4"], "the newest stays"

    def test_the_oldest_open_run_is_known(self, store: Store) -> None:
        first = store.oldest_open()
        assert first is not None
        assert first.id == "r3"
        store.commit([Commit(run_id="r3", run=make_run("r3", "cancelled")), Commit(run_id="r2", run=make_run("r2", "open"))])
        assert store.oldest_open() == make_run("r2", "open")

    def test_a_decision_that_is_not_kept_was_still_made(self, site: StoreSite, store: Store) -> None:
        store.tick(Ticking(decided=[Decided(trigger="inbox", key=key, body=b"s") for key in ("f1", "f2", "f3")]))
        (first, _), (second, _), _ = store.oldest_decisions()
        store.remove(Removal(decisions=[first, second], known=[("inbox", "f1")]))
        reader = site.open()
        assert [reader.was_decided("inbox", key) for key in ("f1", "f2", "f3", "f4")] == [True, False, True, False]
        assert reader.decision("inbox", "f1") is None

    def test_versions_of_the_project_go_but_for_the_newest(self, store: Store) -> None:
        for number in (1, 2, 3):
            store.keep_project(ProjectVersion(f"f{number}", Instant(number)), b"body")
        store.remove(Removal(projects=["f1", "f3"]))
        assert [each.fingerprint for each in store.projects()] == ["f3", "f2"]
        assert store.project("f1") is None

    def test_the_code_of_a_version_is_kept_with_it(self, site: StoreSite, store: Store) -> None:
        one, two = Manuscript(b"1", {"a": b"A", "b": b"B"}), Manuscript(b"2", {"b": b"B", "c": b"C" * 100_000})
        store.keep_project(ProjectVersion("f1", Instant(1)), b"", one)
        store.keep_project(ProjectVersion("f2", Instant(2)), b"", two)
        store.keep_project(ProjectVersion("f3", Instant(3)), b"")
        reader = site.open()
        assert [reader.manuscript(name) for name in ("f1", "f2", "f3", "f4")] == [one, two, None, None]
        assert [each.code for each in reader.projects()] == ["", two.digest, one.digest]
        store.keep_project(ProjectVersion("f1", Instant(4)), b"", one)
        assert [each.fingerprint for each in store.projects()] == ["f1", "f3", "f2"]
        assert store.manuscript("f1") == one

    def test_what_versions_share_of_their_code_stays_while_one_of_them_is_there(self, site: StoreSite, store: Store) -> None:
        one, two = Manuscript(b"1", {"a": b"A", "b": b"B"}), Manuscript(b"2", {"b": b"B"})
        for name, code in (("f1", one), ("f2", two), ("f3", None)):
            store.keep_project(ProjectVersion(name, Instant(1)), b"", code)
        store.remove(Removal(projects=["f1"]))
        assert [site.open().manuscript(name) for name in ("f1", "f2")] == [None, two]
        store.remove(Removal(projects=["f2"]))
        store.keep_project(ProjectVersion("f4", Instant(2)), b"", two)
        assert site.open().manuscript("f4") == two

    def test_tokens_and_starts_go(self, store: Store) -> None:
        store.change_access(AccessChange(tokens=[make_token("d1", "ada"), make_token("d2", "ada")]))
        store.commit([Commit(run_id="r3", starts=[Start("api", "", Instant(at), Instant(at + 10)) for at in (1, 2, 3)])])
        store.remove(Removal(tokens=["d1"], starts=Instant(12)))
        assert [each.digest for each in store.tokens()] == ["d2"]
        assert [each.at for each in store.starts()] == [3]

    def test_waste_is_known_until_it_is_discarded(self, site: StoreSite, store: Store) -> None:
        wasted = [Waste(make_ref("a", "p", f"v{at}"), Instant(at)) for at in (3, 1, 2)]
        store.remove(Removal(wasted=wasted, looked=7))
        reader = site.open()
        assert [waste for _, waste in reader.wastes(Instant(2))] == [wasted[1], wasted[2]]
        assert len(reader.wastes(Instant(9), limit=2)) == 2
        store.remove(Removal(discarded=[reader.wastes(Instant(1))[0][0]]))
        assert [waste.at for _, waste in reader.wastes(Instant(9))] == [2, 3]
        assert reader.looked() == 7

    def test_a_version_is_removed_with_its_waste_or_not_at_all(self, store: Store) -> None:
        store.commit([publish("v1", "p", run_id="r3"), publish("v2", "p", run_id="r3")])
        with pytest.raises(Exception, match=r".+"):
            store.remove(Removal(versions=[("a", "p", "v1")], wasted=[Waste(object(), Instant(1))]))  # type: ignore[arg-type]
        assert store.version("a", "p", "v1") == make_version("a", "p", "v1")

    def test_nobody_removes_without_the_writers_place(self, site: StoreSite, store: Store) -> None:
        site.vacate()
        younger = site.open()
        younger.open_writer("a younger one")
        for handle, code in ((store, "store-fenced"), (site.open(), "store-closed")):
            with pytest.raises(LegatoError) as raised:
                handle.remove(Removal(runs=["r1"]))
            assert isinstance(raised.value, Unreachable)
            assert raised.value.code == code
        assert younger.run("r1") is not None
