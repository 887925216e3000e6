"""Lists of runs: a page is of what the actor may see, and says truly how to go on."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from legato.ports.store import Run
from legato.stores.memory import MemoryStore
from legato.surfaces.client import Client
from legato.surfaces.http import paging
from legato.surfaces.http.paging import fill_page
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
