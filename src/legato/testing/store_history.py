"""Any history of writes, failures and reopenings leaves a store as it leaves a model: subclass `StoreHistory`.

class MyHistory(StoreHistory):
    open_site = MySite
    open_model = MemoryStore

TestMyHistory = MyHistory.TestCase
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from legato.ports.store import Commit, RunState, Start, Store, VersionState
from legato.terms.instant import Instant
from legato.testing.store_records import StoreSite, make_cached, make_head, make_run, make_trouble, make_version

_KEYS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "p", "q"]))
_NAMES = st.sampled_from(["v1", "v2", "v3"])
_VERSION_STATES: st.SearchStrategy[VersionState] = st.sampled_from(["published", "quarantined", "discarded"])
_RUN_STATES: st.SearchStrategy[RunState] = st.sampled_from(["open", "succeeded", "failed"])


@st.composite
def _commits(draw: st.DrawFn, runs: list[str]) -> Commit:
    run_id = draw(st.sampled_from(runs))
    return Commit(
        run_id=run_id,
        events=draw(st.lists(st.binary(max_size=20), max_size=4)),
        versions=[
            make_version(*key, name, state)
            for key, name, state in draw(st.lists(st.tuples(_KEYS, _NAMES, _VERSION_STATES), max_size=3))
        ],
        heads=[make_head(*key, name) for key, name in draw(st.lists(st.tuples(_KEYS, _NAMES), max_size=2))],
        unpublished=draw(st.lists(_KEYS, max_size=1)),
        troubles=[make_trouble(*key, text) for key, text in draw(st.lists(st.tuples(_KEYS, _NAMES), max_size=2))],
        settled=draw(st.lists(_KEYS, max_size=1)),
        timings=draw(st.dictionaries(_NAMES, st.tuples(st.integers(1, 9), st.just(0.25)), max_size=2)),
        starts=[
            Start(name, "", Instant(at), Instant(at + 5))
            for name, at in draw(st.lists(st.tuples(_NAMES, st.integers(0, 20)), max_size=2))
        ],
        cached=[make_cached(key, run_id, key.encode()) for key in draw(st.lists(_NAMES, max_size=2))],
        uncached=draw(st.integers(0, 3)) == 0,
        run=make_run(run_id, draw(_RUN_STATES)) if draw(st.booleans()) else None,
    )


class StoreHistory(RuleBasedStateMachine):
    """Any sequence of writes and reopenings leaves the store as it leaves the model. Subclass it with two factories."""

    open_model: Callable[[], Store]
    open_site: Callable[[], StoreSite]
    runs: list[str]

    @initialize()
    def begin(self) -> None:
        self.runs = []
        self.site, self.model = type(self).open_site(), type(self).open_model()
        self.store = self.site.open()
        self.store.open_writer("a history")
        self.model.open_writer("a history")
        self.accept([b"first"])

    @rule(events=st.lists(st.binary(max_size=20), max_size=3))
    def accept(self, events: list[bytes]) -> None:
        run = make_run(f"r{len(self.runs)}")
        self.runs.append(run.id)
        for store in (self.store, self.model):
            store.accept(run, run.id.encode(), events)

    @rule(choose=st.data())
    def commit(self, choose: st.DataObject) -> None:
        group = choose.draw(st.lists(_commits(self.runs), max_size=3))
        for store in (self.store, self.model):
            store.commit(group)

    @rule(keys=st.lists(_NAMES, max_size=3))
    def add_keys(self, keys: list[str]) -> None:
        for store in (self.store, self.model):
            store.add_dynamic_keys("set", keys)

    @rule()
    def fail(self) -> None:
        broken: Any = Commit(run_id=self.runs[0], heads=[make_head("a", "p", "torn")], events=[b"torn", None])  # type: ignore[list-item]
        for store in (self.store, self.model):
            with pytest.raises(Exception, match=r".+"):
                store.commit([broken])
            store.open_writer("after a failure")

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        if clean:
            self.store.close()
        else:
            self.site.vacate()
        self.store = self.site.open()
        self.store.open_writer("reopened")

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "store"):
            return
        for store in (self.store, self.site.open()):
            assert _everything(store, self.runs) == _everything(self.model, self.runs)

    def teardown(self) -> None:
        close = getattr(getattr(self, "site", None), "close", None)
        if close is not None:
            close()


def _everything(store: Store, runs: list[str]) -> dict[str, Any]:
    return {
        "runs": [store.runs(), store.runs(limit=2, state="open"), [store.run(run_id) for run_id in runs]],
        "plans": [store.plan(run_id) for run_id in runs],
        "events": [list(store.events(run_id)) for run_id in runs],
        "heads": store.heads(["a", "b", "c"]),
        "versions": [store.versions("a"), store.versions("b", "p", limit=2), store.version("a", "p", "v1")],
        "assets": store.assets(),
        "troubles": [store.troubles(), store.troubles(["b"])],
        "timings": store.timings(),
        "starts": sorted(store.starts(), key=lambda each: (each.pool, each.at)),
        "cached": [store.cached(key) for key in ("v1", "v2", "v3")],
        "keys": store.dynamic_keys("set"),
    }
