"""The stream of changes: resumed from any number without gap or duplicate, while everything is being written."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from http_site import Door, open_door

from legato.service.access import Actor
from legato.surfaces.http import streaming
from legato.surfaces.http.gate import API

Event = dict[str, str]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@contextmanager
def following(door: Door, after: int | None, secret: str = "", last: str = "") -> Iterator[Iterator[Event]]:
    """The events of a stream, one by one."""
    client = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    headers = {"Host": door.host, "Authorization": f"Bearer {secret or door.secrets['viewer']}"}
    try:
        target = f"{API}/changes" + ("" if after is None else f"?after={after}")
        client.request("GET", target, headers=headers | ({"Last-Event-ID": last} if last else {}))
        response = client.getresponse()
        assert response.status == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response)
    finally:
        client.close()


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    event: Event = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if line == b"\n":
            if "data" in event:
                yield event
            event = {}
        else:
            event[name] = value


def recorded(door: Door) -> list[tuple[int, str]]:
    store = door.service.workspace.open_reader()
    try:
        return [(number, run) for number, run, _ in store.changes(0, 1_000_000)]
    finally:
        store.close()


def submit(door: Door) -> str:
    run: str = door.post("/runs", {"selection": "prices", "force": True})["run"]
    return run


def take(events: Iterator[Event], until: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while not found or found[-1]["number"] < until:
        event = next(events)
        if event["event"] == "change":
            found.append(json.loads(event["data"]))
            assert found[-1]["number"] == int(event["id"])
    return found


def settled(door: Door) -> int:
    """The number of the last change, once nothing runs any more."""
    until = time.monotonic() + 60
    while any(each["state"] in ("running", "open", "interrupted") for each in door.get("/runs")["runs"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    return recorded(door)[-1][0] if recorded(door) else 0


def test_streams_that_break_off_anywhere_see_each_change_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 1_000)  # one that was broken off counts until the server has noticed
    submit(door)
    found: list[list[int]] = []
    writing = threading.Event()

    def follow(pieces: int) -> None:
        after, seen = 0, list[int]()
        while not writing.is_set() or after < target[0]:
            with following(door, after) as events:
                for number, event in zip(range(pieces), events, strict=False):
                    if event["event"] == "change":
                        after = int(event["id"])
                        seen.append(after)
                    if writing.is_set() and after >= target[0]:
                        break
                    del number
        found.append(seen)

    target = [1 << 60]
    threads = [threading.Thread(target=follow, args=(pieces,)) for pieces in (3, 7, 1_000)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        submit(door)
    target[0] = settled(door)
    writing.set()
    submit(door)  # who has seen all by now, and waits for more, is woken
    for thread in threads:
        thread.join(120)
    everything = [number for number, _ in recorded(door) if number <= target[0]]
    assert len(found) == 3
    assert all([number for number in seen if number <= target[0]] == everything for seen in found)


def test_a_stream_goes_on_from_the_last_event_that_was_seen(door: Door) -> None:
    submit(door)
    newest = settled(door)  # a run alone makes three changes
    with following(door, None, last=str(newest - 3)) as events:
        assert [each["number"] for each in take(events, newest)] == [newest - 2, newest - 1, newest]


def test_a_stream_without_a_number_begins_now(door: Door) -> None:
    before = settled(door)
    with following(door, None) as events:
        first = next(events)
        assert (first["event"], first["id"]) == ("ready", str(before))
        run = submit(door)
        assert take(events, before + 1)[0]["run"] == run


def test_a_number_from_another_store_is_refused(door: Door) -> None:
    assert door.ask("GET", "/changes", "viewer", after=1 << 40).code == "changes-ahead"


def test_a_stream_shows_runs_of_the_own_domains_alone(door: Door) -> None:
    secret = door.admit("sally", {"sales": "viewer"})
    before = settled(door)
    with following(door, before, secret) as events, following(door, before) as all_events:
        assert next(events)["event"] == "ready"
        submit(door)
        assert take(all_events, settled(door))
    feed = streaming._Feed(door.site, Actor(name="sally", roles={"sales": "viewer"}), before)
    assert feed.read() == b""
    assert feed.more


def test_nobody_has_too_many_streams(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 2)
    secret = door.admit("sam", {"": "viewer"})
    with following(door, 0, secret) as first, following(door, 0, secret) as second:
        next(first), next(second)
        assert door.ask("GET", "/changes", secret=secret).code == "too-many"
        assert door.ask("GET", "/me", secret=secret).status == 200


def test_a_stream_ends_after_a_while(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "ENDS_AFTER_S", 0.1)
    with following(door, settled(door)) as events:
        assert [event["event"] for event in events] == ["ready"]
