"""What is read of runs once is followed from there: nothing is read twice, nothing is missed, and not all is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from legato.kernel import events as ev
from legato.kernel.state import READY, SUCCEEDED
from legato.plan.records import Handling, Plan, Reason, Step
from legato.ports.store import Commit
from legato.service.logbook import Logbook
from legato.service.readings import Reading, Readings
from legato.stores.memory import MemoryStore
from legato.terms.codec import pack
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.testing.store_records import make_run

STEPS = 5
NOON = Instant(1_700_000_000_000_000)


class Counting(MemoryStore):
    """A store that counts the events that it gives."""

    given = 0

    def events(self, run_id: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        for each in super().events(run_id, after):
            self.given += 1
            yield each


@pytest.fixture
def store() -> Counting:
    opened = Counting()
    opened.open_writer("test")
    steps = [Step("task", f"k{number}", True, Reason("requested")) for number in range(STEPS)]
    for name in ("one", "two", "three"):
        plan = Plan(request="", project="p", steps=list(steps), handling={"task": Handling()})
        opened.accept(make_run(name), pack(plan), [])
    return opened


def succeed(store: MemoryStore, run: str, step: int) -> None:
    started, done = ev.AttemptsStarted(NOON, (step,), step + 1), ev.StepSucceeded(NOON, step, step + 1, 0.1)
    store.commit([Commit(run_id=run, events=[ev.encode(started), ev.encode(done)])])


def test_a_run_is_read_on_from_where_it_was(store: Counting) -> None:
    readings = Readings()
    for step in range(STEPS):
        succeed(store, "one", step)
        succeed(store, "two", 0 if step == 0 else step)
        store.given = 0
        with readings.of(store, Reading, "one") as (found,):
            assert [code == SUCCEEDED for code in found.state.status] == [each <= step for each in range(STEPS)]
        with readings.of(store, Reading, "one") as (again,):
            assert again is found
        assert store.given == 2
    with readings.of(store, Logbook, "one") as (book,):
        assert sorted(book.attempts) == [1, 2, 3, 4, 5]


def test_several_runs_stand_still_together(store: Counting) -> None:
    succeed(store, "two", 3)
    with Readings().of(store, Reading, "two", "one", "two") as (two, one, same):
        assert two is same
        assert (two.state.status[3], one.state.status[3]) == (SUCCEEDED, READY)


def test_what_was_read_longest_ago_is_forgotten(store: Counting) -> None:
    succeed(store, "one", 0)
    readings = Readings(most_steps=2 * STEPS)
    for run, given in (("one", 2), ("two", 0), ("one", 0), ("three", 0), ("one", 0), ("two", 0), ("three", 0), ("one", 2)):
        store.given = 0
        with readings.of(store, Reading, run):
            assert store.given == given, run


def test_the_last_one_is_remembered_however_large(store: Counting) -> None:
    succeed(store, "one", 0)
    readings = Readings(most_steps=1)
    for _ in range(2):
        with readings.of(store, Reading, "one"):
            pass
    assert store.given == 2


def test_a_damaged_run_is_refused_each_time(store: Counting) -> None:
    readings = Readings()
    with readings.of(store, Reading, "one"):
        pass
    store.commit([Commit(run_id="one", events=[b"\xc1"])])
    for _ in range(2):
        with pytest.raises(LegatoError, match="cannot be read"), readings.of(store, Reading, "one"):
            pass
    with readings.of(store, Reading, "two"):
        pass


def test_threads_that_ask_for_the_same_runs_in_any_order_all_get_them(store: Counting) -> None:
    readings, seen = Readings(), []

    def ask(*runs: str) -> None:
        for _ in range(50):
            with readings.of(store, Reading, *runs) as found:
                seen.append(len(found))

    threads = [Thread(target=ask, args=runs) for runs in (("one", "two"), ("two", "one"), ("three", "one", "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 150
