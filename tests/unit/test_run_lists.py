"""Lists of runs: of what the actor may see, or of one state; a page says truly how to go on."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from legato.kernel.standing import Standing
from legato.ports.store import Holder, Run
from legato.service.backfilling import list_backfills
from legato.service.reporting import list_runs
from legato.stores.memory import MemoryStore
from legato.surfaces.client import Client
from legato.surfaces.http import paging
from legato.surfaces.http.paging import fill_page
from legato.terms.errors import UsageError
from legato.testing.store_records import make_run


def store_of(runs: list[Run]) -> MemoryStore:
    """A store that accepted these, in this order."""
    store = MemoryStore()
    store.open_writer("test")
    for run in runs:
        store.accept(run, b"", [])
    return store


class Asked:
    """Somebody with a role in `sales` alone asks for a list; `looked_at` counts what each request read."""

    def __init__(self, runs: list[Run]) -> None:
        self.store, self.looked_at = store_of(runs), 0

    def read(self, size: int, behind: str | None) -> list[Run]:
        found = self.store.runs(limit=size, before=behind)
        self.looked_at += len(found)
        return found

    def page(self, limit: int, before: str = "") -> tuple[list[str], str]:
        self.looked_at = 0
        found, older = fill_page(self.read, lambda *domains: set(domains) <= {"sales"}, before=before, limit=limit)
        return [run.id for run in found], older

    def pages(self, limit: int) -> list[list[str]]:
        found, before = [], ""
        for _ in count():
            page, before = self.page(limit, before)
            found.append(page)
            if not before:
                break
        return found


def run_of(number: int, domain: str) -> Run:
    return make_run(f"r{number}", "succeeded", domains=(domain,))


def test_a_run_behind_many_that_one_may_not_see_is_found() -> None:
    asked = Asked([run_of(0, "sales"), *(run_of(number, "ops") for number in range(1, 60))])
    assert asked.page(1) == (["r0"], "")


def test_a_page_ends_where_there_are_no_more_and_not_before() -> None:
    asked = Asked([run_of(number, "sales" if number % 3 == 0 else "ops") for number in range(13)])
    assert asked.pages(2) == [["r12", "r9"], ["r6", "r3"], ["r0"]]
    assert asked.pages(5) == [["r12", "r9", "r6", "r3", "r0"]]


def test_one_request_looks_through_a_part_of_a_long_history_and_says_where_to_go_on() -> None:
    most = paging._MOST_LOOKED_AT
    asked = Asked([run_of(0, "sales"), *(run_of(number, "ops") for number in range(1, 2 * most))])
    found, older = asked.page(1)
    assert found == []
    assert most <= asked.looked_at < most + paging._A_PAGE
    assert older == f"r{2 * most - asked.looked_at}"
    assert asked.pages(1) == [[], ["r0"]]


def test_the_client_goes_on_over_a_page_that_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    run: dict[str, Any] = {
        "id": "r0",
        "request": "",
        "actor": "",
        "state": "failed",
        "at": "",
        "ended": None,
        "seconds": None,
        "steps": 0,
        "counts": {},
    }
    pages = {"": {"runs": [], "older": "r5"}, "r5": {"runs": [], "older": "r3"}, "r3": {"runs": [run], "older": ""}}
    monkeypatch.setattr(Client, "get", lambda client, path, *, before, **more: pages[before])
    assert [each.id for each in Client("http://shop.example", "token").runs()] == ["r0"]


# -- of one state --

FILLED = Standing(1, 0, 0, 0, 1)


def project_at_work(command: str | None) -> Any:
    """As much of a project as lists of runs look at: who is at work."""
    return SimpleNamespace(find_holder=lambda: None if command is None else Holder(1, command, "now"))


def open_runs(paused: int, others: int, **more: Any) -> MemoryStore:
    """A store of paused runs, and of newer ones that are open and not."""
    old = [make_run(f"p{number}", paused=True, **more) for number in range(paused)]
    return store_of([*old, *(make_run(f"r{number}", **more) for number in range(others))])


def test_a_paused_run_is_found_behind_newer_ones_that_run() -> None:
    store, served = open_runs(2, 300), project_at_work("legato up")
    assert [line.id for line in list_runs(served, store, limit=1, state="paused")] == ["p1"]
    assert [line.id for line in list_runs(served, store, limit=9, state="paused")] == ["p1", "p0"]
    assert [line.id for line in list_runs(served, store, limit=9, state="paused", before="p1")] == ["p0"]
    assert [line.id for line in list_runs(served, store, limit=2, state="running")] == ["r299", "r298"]
    assert list_runs(served, store, limit=1, state="interrupted") == []


def test_an_interrupted_run_is_found_behind_the_one_that_runs() -> None:
    store, alone = open_runs(0, 3), project_at_work("legato run")
    assert [line.id for line in list_runs(alone, store, limit=1, state="interrupted")] == ["r1"]
    assert [line.id for line in list_runs(alone, store, limit=3, state="interrupted")] == ["r1", "r0"]
    assert [line.id for line in list_runs(alone, store, limit=1, state="running")] == ["r2"]
    assert [line.id for line in list_runs(alone, store, limit=2, state="open")] == ["r2", "r1"]


def test_a_paused_backfill_is_found_behind_newer_ones() -> None:
    store, served = open_runs(1, 300, backfill=FILLED), project_at_work("legato up")
    assert [line.id for line in list_backfills(served, store, limit=1, state="paused")] == ["p0"]
    assert [line.id for line in list_backfills(served, store, limit=2)] == ["r299", "r298"]


def test_a_state_that_no_run_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        list_runs(project_at_work(None), open_runs(1, 1), limit=1, state="bogus")
    assert refused.value.code == "run-state"
    assert refused.value.why == (
        "they are open, running, paused, interrupted, succeeded, failed, cancelled, rolled_back, partly_undone"
    )
