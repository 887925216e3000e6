"""Webhooks at the door: who signs comes in, and is answered when it is recorded; all else is refused and leaves no trace."""

from __future__ import annotations

import hmac
import json
import logging
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from below import contents_below
from http_site import Answer, Door, open_door
from service_site import Triggered

from legato.surfaces.http import tries
from legato.surfaces.http.gate import MOST_BODY, MOST_DEPTH

PIPELINE = """
import legato as lg

@lg.flow(on=lg.webhook("orders", secret=lg.secret("ORDERS_SECRET")))
def take(payload: dict, id: str = "") -> None:
    assert payload == {"order": 7}

@lg.flow(on=lg.webhook("github/push", secret=lg.secret("ORDERS_SECRET"), signed="github"))
def pushed() -> None: ...

@lg.flow(on=lg.webhook("by.hand"), domain="sales")
def by_hand() -> None: ...

@lg.flow(on=lg.webhook("unset", secret=lg.secret("NOT_SET")) | lg.webhook("empty", secret=lg.secret("SET_EMPTY")))
def unset() -> None: ...

@lg.flow(on=lg.webhook("keyless", secret=lg.secret("SET_KEYLESS")) | lg.webhook("garbled", secret=lg.secret("SET_GARBLED")))
def keyless() -> None: ...
"""
SECRET, BODY = "kept by nobody 47", b'{"order": 7}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def door(folder: Path) -> Iterator[Door]:
    patch = pytest.MonkeyPatch()
    patch.setenv("ORDERS_SECRET", SECRET)
    patch.setenv("SET_EMPTY", "")
    patch.setenv("SET_KEYLESS", "whsec_")
    patch.setenv("SET_GARBLED", "whsec_!!!")
    patch.setattr(tries, "MOST", 10_000)
    with open_door(folder, PIPELINE, Triggered) as opened:
        yield opened
    patch.undo()


def signed(door: Door, id: str, body: bytes = BODY, *, ago_s: int = 0, secret: str = SECRET) -> dict[str, str]:
    stamp = door.site.clock.now() // 1_000_000 - ago_s
    made = hmac.new(secret.encode(), f"{id}.{stamp}.".encode() + body, sha256).digest()
    return {"webhook-id": id, "webhook-timestamp": str(stamp), "webhook-signature": f"v1,{b64encode(made).decode()}"}


def call(door: Door, headers: dict[str, str] | None = None, body: bytes = BODY, name: str = "orders") -> Answer:
    return door.send("POST", f"/hooks/{name}", headers, body)


def decisions(door: Door, trigger: str = "take") -> list[Any]:
    with door.site.reading() as store:
        return [each for _, each in store.decisions(trigger, limit=1_000)]


def test_a_signed_call_is_recorded_and_becomes_one_run_however_often_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    with open_door(tmp_path, PIPELINE, Triggered) as door:
        call_again_and_again(door)


def call_again_and_again(door: Door) -> None:
    headers = signed(door, "c1")
    first, again = call(door, headers), call(door, headers)
    assert (first.status, again.status) == (202, 202)
    verdict = {"trigger": "take", "outcome": "fired", "why": ""}
    assert first.json() == {"tick": "webhook:orders:c1", "new": True, "decided": [verdict]}
    assert again.json() == {**first.json(), "new": False}
    assert call(door, signed(door, "c1", b'{"order": 8}'), b'{"order": 8}').json()["new"] is False
    assert [each.key for each in decisions(door)] == ["webhook:orders:c1"]
    until = time.monotonic() + 60
    while not any(each["state"] == "succeeded" for each in door.get("/runs")["runs"]):
        assert time.monotonic() < until, [(e.run, e.waits, e.note) for e in decisions(door)]
    assert len(door.get("/runs")["runs"]) == 1
    while list((door.site.state / "payloads").iterdir()):
        assert time.monotonic() < until


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_call_that_is_not_wholly_signed_is_refused(door: Door, header: str) -> None:
    before, whole = len(decisions(door)), signed(door, "refused")
    without = {name: value for name, value in whole.items() if name != header}
    assert call(door, without).code == "webhook-signature"
    assert call(door, {**whole, header: "x" + whole[header]}).code == "webhook-signature"
    assert call(door, whole, b'{"order": 8}').code == "webhook-signature"
    assert call(door, signed(door, "refused", ago_s=400)).code == "webhook-signature"
    assert call(door, signed(door, "refused", ago_s=-400)).code == "webhook-signature"
    assert call(door, signed(door, "refused", secret="another")).code == "webhook-signature"
    assert call(door, {"Authorization": f"Bearer {door.secrets['admin']}"}).code == "webhook-signature"
    assert len(decisions(door)) == before


def test_many_wrong_signatures_learn_no_more_and_shut_nobody_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST", 3)
    monkeypatch.setattr(door.site, "tries", tries.Tries())
    wrong = [call(door, signed(door, "guess", secret=f"guess {number}")) for number in range(5)]
    assert [each.code for each in wrong] == ["webhook-signature"] * 3 + ["too-many"] * 2
    assert (wrong[-1].status, b"signature is missing" in wrong[-1].body) == (429, False)
    assert call(door, signed(door, "right")).status == 202
    assert call(door, {}, name="github/push").code == "webhook-signature", "each webhook is counted by itself"


def test_another_senders_way_of_signing_is_taken_where_it_is_declared(door: Door) -> None:
    headers = {"X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), BODY, sha256).hexdigest()}", "X-GitHub-Delivery": "1"}
    first = call(door, headers, name="github/push")
    again = call(door, {**headers, "X-GitHub-Delivery": "2"}, name="github/push")
    assert (first.status, first.json()["new"], again.json()["new"]) == (202, True, False)
    assert call(door, headers).code == "webhook-signature"


def test_a_webhook_without_a_secret_takes_a_token_of_who_may_submit(door: Door) -> None:
    assert call(door, name="by.hand").code == "login-needed"
    assert call(door, {"Authorization": "Bearer legato_guess"}, name="by.hand").code == "login-needed"
    assert call(door, {"Cookie": f"legato_session={door.secrets['admin']}"}, name="by.hand").code == "login-needed"
    assert call(door, {"Authorization": f"Bearer {door.secrets['viewer']}"}, name="by.hand").code == "access-denied"
    others = door.admit("olga", {"other": "admin"})
    assert call(door, {"Authorization": f"Bearer {others}"}, name="by.hand").code == "access-denied"
    mine = {"Authorization": f"Bearer {door.secrets['operator']}"}
    assert [call(door, mine, name="by.hand").json()["new"] for _ in range(2)] == [True, True]
    assert [call(door, {**mine, "webhook-id": "c9"}, name="by.hand").json()["new"] for _ in range(2)] == [True, False]
    assert call(door, {**mine, "webhook-id": "x" * 300}, name="by.hand").code == "webhook-signature"


@pytest.mark.parametrize("name", ["unset", "empty", "keyless", "garbled"])
def test_a_webhook_whose_secret_is_not_there_lets_nobody_in(door: Door, name: str, caplog: pytest.LogCaptureFixture) -> None:
    for secret in ("", "anything"):
        answer = call(door, signed(door, "c1", secret=secret), name=name)
        assert (answer.status, answer.code) == (503, "webhook-secret")
        assert b"SET" not in answer.body
        assert b"whsec" not in answer.body
    assert f"webhook {name}" in caplog.text


TRICKS = (
    "", "nobody", "orders/", "orders/x", "ORDERS", "orders.json", "%6frders", "../api/v1/me", "orders%00", "orders//", "a" * 500,
    "./orders", "orders%2f..%2fby.hand", "/orders", "..", "orders;x",
)  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_a_webhook_is_called_by_its_very_name(door: Door, name: str) -> None:
    before = len(decisions(door))
    answer = call(door, signed(door, "trick"), name=name)
    assert answer.status in (400, 401, 403, 404), (name, answer.body)
    assert len(decisions(door)) == before


def test_only_posts_are_calls(door: Door) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        answer = door.send(method, "/hooks/orders", {"X-Legato": "1", **signed(door, "c2")})
        assert answer.status == 401


def test_a_call_from_a_page_or_under_another_host_is_refused(door: Door) -> None:
    for more in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert call(door, {**signed(door, "page"), **more}).code == "request-foreign"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'"' + b"x" * MOST_BODY + b'"', "request-large"),
        (b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), "request-large"),
        (b"\xff\xfe", "request"),
    ],
)
def test_a_call_is_json_not_too_large_and_not_too_deep(door: Door, body: bytes, code: str) -> None:
    assert call(door, signed(door, "large", body), body).code == code
    assert call(door, {**signed(door, "form"), "Content-Type": "application/x-www-form-urlencoded"}).code == "request-type"


@pytest.mark.parametrize("body", [b"not json", b"{", b'{"order": 7} 8', b"NaN"])
def test_a_call_that_is_no_json_is_refused_and_leaves_nothing(door: Door, body: bytes) -> None:
    before = len(decisions(door))
    answer = call(door, signed(door, "text", body), body)
    assert (answer.status, answer.code, answer.json()["what"]) == (400, "request", "what is sent here is JSON")
    assert len(decisions(door)) == before


def test_a_payload_that_the_flow_cannot_take_is_no_run_and_why_is_said_in_one_line(door: Door) -> None:
    body = b"[7]"
    assert call(door, signed(door, "misfit", body), body).status == 202
    until = time.monotonic() + 60
    while (found := next(each for each in decisions(door) if each.key == "webhook:orders:misfit")).waits:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (found.run, found.note) == (
        "", "[7] is no value of `payload`, dict: Expected `object`, got `array` [flow-parameters]",
    )  # fmt: skip


def test_no_secret_is_anywhere(door: Door, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        call(door, signed(door, "quiet"))
        call(door, signed(door, "quiet", secret="another"))
    assert SECRET not in caplog.text
    places = [path for path, body in contents_below(folder) if SECRET.encode() in body]
    assert places == []


def test_a_call_counts_once_also_after_the_service_was_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    found = []
    for _ in range(2):
        with open_door(tmp_path, PIPELINE, Triggered) as door:
            answer = call(door, signed(door, "c1"))
            found.append((answer.status, answer.json()["new"], len(decisions(door))))
    assert found == [(202, True, 1), (202, False, 1)]
    assert json.loads(BODY) == {"order": 7}
