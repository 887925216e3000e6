"""Backfills over HTTP: asked for, foreseen, watched, paused and resumed, each by who may."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from http_site import Door, open_door

from legato.surfaces.client import Client
from legato.terms.errors import Forbidden, LegatoError, NotFound

DAYS = """\
import os
import time
import legato as lg

days = lg.daily("2013-01-01", end="2014-01-01")


@lg.asset(partitions=days, domain="air")
def flights(day: lg.Partition) -> list:
    time.sleep(0.5 if os.path.exists("slow") else 0)
    return [day.key]


@lg.asset(partitions=days, domain="air")
def fares(day: lg.Partition) -> list:
    return [day.key]


@lg.asset(partitions=days)
def fragile(day: lg.Partition) -> list:
    if day.key == "2013-01-02" and not os.path.exists("mended"):
        raise ValueError("broken")
    return [day.key]


@lg.asset(partitions=days)
def sales(day: lg.Partition) -> list:
    return [day.key]
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("days") / "project", DAYS) as opened:
        yield opened


def client(door: Door, role: str = "operator") -> Client:
    return Client(f"http://{door.host}", door.secrets[role])


def until(api: Client, run: str, *states: str) -> dict[str, int]:
    """Wait for the run to be in one of these states; its numbers always add up meanwhile."""
    end = time.monotonic() + 60
    while True:
        told = api.standing(run)
        numbers = told.standing
        assert numbers.requested == numbers.done + numbers.failed + numbers.cancelled + numbers.pending
        if told.state in states:
            return {name: getattr(numbers, name) for name in numbers.__struct_fields__}
        assert time.monotonic() < end, told
        time.sleep(0.01)


def test_a_backfill_is_foreseen_asked_for_paused_and_resumed(door: Door) -> None:
    api = client(door)
    before = api.foresee_backfill("flights", "2013-01", "2013-03", order="newest", at_once=1)
    assert (before.requested, before.first, before.last, before.unknown) == (90, "flights@2013-03-31", "flights@2013-01-01", 90)
    slow = door.service.workspace.root / "slow"
    slow.touch()
    made = api.backfill("flights", "2013-01", "2013-03", order="newest", at_once=1, key="spring")
    assert (made.new, made.steps) == (True, 90)
    again = api.backfill("flights", "2013-01", "2013-03", order="newest", at_once=1, key="spring")
    assert (again.run, again.new) == (made.run, False)
    with pytest.raises(LegatoError, match="another request was made with the key 'spring'") as refused:
        api.backfill("flights", "2013-04", "2013-05", key="spring")
    assert refused.value.code == "request-other"
    other = {"selection": "fares", "from": "2013-01", "to": "2013-03", "key": "spring"}
    assert door.ask("POST", "/backfills", "operator", body=other).status == 409
    api.pause_run(made.run, "too hot")
    stood = until(api, made.run, "paused")
    assert stood["pending"] > 0
    slow.unlink()
    time.sleep(0.6)
    ended = until(api, made.run, "paused")["done"] - stood["done"]
    assert ended <= 1  # what was under way, and nothing else began
    assert api.run(made.run).state == "paused"
    api.resume(made.run)
    assert until(api, made.run, "succeeded") == {"requested": 90, "done": 90, "failed": 0, "cancelled": 0, "pending": 0}
    after = api.foresee_backfill("flights", "2013-01", "2013-04")
    assert (after.requested, after.fresh, after.unknown) == (30, 90, 0)
    assert after.size_bytes > 0
    audit = {(line["action"], line["object"], line["detail"]) for line in door.get("/audit", "admin", limit=20)}
    assert ("pause", made.run, "too hot") in audit
    assert ("resume", made.run, "") in audit
    assert ("submit", "backfill flights --from 2013-01 --to 2013-03 --newest-first --at-once 1", "") in audit


def test_backfills_are_paged(door: Door) -> None:
    api = client(door)
    runs = [api.backfill("sales", "2013-01-01", "2013-01-02", again=True).run for _ in range(3)]
    for run in runs:
        until(api, run, "succeeded")
    ended = door.post("/runs", {"selection": "sales@2013-06-01"}, "operator")["run"]
    found, before = [], ""
    while True:
        page = api.get("/backfills", limit=2, before=before)
        found += [each["id"] for each in page["backfills"]]
        before = page["older"]
        if not before:
            break
    assert found[:3] == runs[::-1]
    assert ended not in found
    assert len(set(found)) == len(found)
    with pytest.raises(NotFound, match="is no backfill"):
        api.standing(ended)


def test_what_failed_alone_is_made_again(door: Door) -> None:
    api = client(door)
    run = api.backfill("fragile", "2013-01-01", "2013-01-03").run
    assert until(api, run, "failed") == {"requested": 3, "done": 2, "failed": 1, "cancelled": 0, "pending": 0}
    (door.service.workspace.root / "mended").touch()
    api.resume(run, failed_only=True)
    assert until(api, run, "succeeded")["done"] == 3
    audit = [(line["action"], line["detail"]) for line in door.get("/audit", "admin", limit=1)]
    assert audit == [("resume", "failed only")]


def test_who_may(door: Door) -> None:
    """A viewer may look ahead; who holds a role in one domain fills that one, and sees its runs alone."""
    viewer = client(door, "viewer")
    assert viewer.foresee_backfill("sales", "2013-07").requested > 0
    with pytest.raises(Forbidden):
        viewer.backfill("sales", "2013-07")
    air = Client(f"http://{door.host}", door.admit("amelia", {"air": "operator"}))
    with pytest.raises(Forbidden):
        air.backfill("sales", "2013-08", "2013-08-01")
    with pytest.raises(Forbidden):
        air.foresee_backfill("sales", "2013-08", "2013-08-01")
    mine = air.backfill("fares", "2013-08-01", "2013-08-02").run
    until(air, mine, "succeeded")
    listed = air.get("/backfills")["backfills"]
    assert mine in {each["id"] for each in listed}
    assert all(each["domains"] == ["air"] for each in listed)
    with pytest.raises(Forbidden):
        client(door, "viewer").pause_run(mine)


@pytest.mark.parametrize(
    "more", [{"order": "random"}, {"at_once": 0}, {"at_once": "many"}, {"since": "2013"}, {"from": "x" * 41}, {"from": "soon"}]
)
def test_bad_requests_are_refused(door: Door, more: dict[str, object]) -> None:
    for path in ("/backfills", "/backfills/preview"):
        assert door.ask("POST", path, "operator", body={"selection": "sales", **more}).status == 400


def test_a_run_that_has_ended_is_not_paused(door: Door) -> None:
    api = client(door)
    run = api.backfill("sales", "2013-09-01", "2013-09-01").run
    until(api, run, "succeeded")
    with pytest.raises(LegatoError) as refused:
        api.pause_run(run)
    assert refused.value.code == "run-ended"


def test_somebody_of_one_domain_finds_their_runs_behind_those_of_others(door: Door) -> None:
    api = client(door)
    submitted = api.submit("fares@2013-10-01", force=True).run
    filled = api.backfill("fares", "2013-10-02", "2013-10-03").run
    others = [api.submit("sales@2013-10-01", force=True).run for _ in range(22)]
    others += [api.backfill("sales", "2013-10-02", "2013-10-02", again=True).run for _ in range(22)]
    air = Client(f"http://{door.host}", door.admit("anton", {"air": "viewer"}))
    assert [each["id"] for each in air.get("/runs", limit=1)["runs"]] == [filled]
    assert [each["id"] for each in air.get("/backfills", limit=1)["backfills"]] == [filled]
    seen = [each.id for each in air.runs()]
    assert seen[:2] == [filled, submitted]
    assert not {*others} & {*seen}


def test_a_state_that_no_run_has_is_refused(door: Door) -> None:
    answer = door.ask("GET", "/runs", "viewer", state="bogus")
    assert (answer.status, answer.code) == (400, "run-state")
    assert "paused" in answer.json()["why"]
