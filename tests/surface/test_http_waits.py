"""What flows wait for, answered over the API: approvals, signals, and who may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from http_site import Door
from service_site import serving

PIPELINE = """
import legato as lg


@lg.flow
def ask_first() -> str:
    return "yes" if lg.approval("publish?") else "no"


@lg.flow
def ask_boss() -> bool:
    return lg.approval("really?", who="boss")


@lg.flow
def listen() -> int:
    return lg.signal("rows")
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with serving(tmp_path_factory.mktemp("flows"), PIPELINE) as service:
        opened = Door(service)
        try:
            yield opened
        finally:
            opened.close()


def until(look: Any) -> Any:
    ends = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    return found


def begin(door: Door, flow: str) -> tuple[str, dict[str, Any]]:
    run = door.post("/runs", {"selection": flow}, "operator")["run"]
    return run, until(lambda: door.get("/waits", of=run))[0]


def ended(door: Door, run: str) -> str:
    return str(until(lambda: (state := door.get(f"/runs/{run}")["state"]) not in ("running", "interrupted", "open") and state))


def test_an_approval_is_given_once(door: Door) -> None:
    run, wait = begin(door, "ask_first")
    assert (wait["kind"], wait["name"]) == ("approval", "publish?")
    target = f"/runs/{run}/waits/{wait['step']}"
    assert door.ask("POST", target, "viewer", body={"value": True}).code == "access-denied"
    door.post(target, {"value": True, "reason": "looked at it"}, "operator")
    assert ended(door, run) == "succeeded"
    assert door.ask("POST", target, "operator", body={"value": False}).code == "wait-none"
    told = door.get("/audit", "admin", limit=1)[0]
    assert (told["actor"], told["action"], told["object"]) == ("operator", "answer", run)


def test_an_approval_is_for_whom_it_asks(door: Door) -> None:
    run, wait = begin(door, "ask_boss")
    target = f"/runs/{run}/waits/{wait['step']}"
    assert door.ask("POST", target, "admin", body={"value": True}).code == "approval-who"
    boss = door.admit("boss", {"": "operator"})
    assert door.ask("POST", target, secret=boss, body={"value": True}).status == 200
    assert ended(door, run) == "succeeded"


def test_a_signal_reaches_its_run_once(door: Door) -> None:
    run, _ = begin(door, "listen")
    for _ in range(2):
        answer = door.ask("POST", f"/runs/{run}/signals", "operator", body={"name": "rows", "value": 12, "key": "s1"})
    assert ended(door, run) == "succeeded"
    assert answer.status in (200, 400)
    assert door.ask("POST", f"/runs/{run}/signals", "operator", body={"name": "rows"}).code == "run-ended"
    big = {"name": "rows", "value": "x" * 70_000}
    other, _ = begin(door, "listen")
    assert door.ask("POST", f"/runs/{other}/signals", "operator", body=big).code == "signal-size"
    door.post(f"/runs/{other}/cancel", {"reason": "done with it"}, "operator")
    assert ended(door, other) == "cancelled"
