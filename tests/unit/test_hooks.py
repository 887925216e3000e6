"""Calls of webhooks: let in when they are signed, by who has the secret, lately; each under an id that cannot be changed."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from legato.declare.moment import Webhook
from legato.service.hooks import TOLERANCE_S, Call, require_key, require_signed
from legato.terms.errors import Forbidden, LegatoError
from legato.terms.instant import Instant

SECRET, BODY, NOW_S = "a secret", b'{"id": "evt_1", "order": 7}', 1_700_000_000
NOW = Instant(NOW_S * 1_000_000)


def mac(content: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, sha256).digest()


def standard(id: str = "msg_1", at_s: int = NOW_S, body: bytes = BODY, key: bytes = SECRET.encode()) -> dict[str, str]:
    made = b64encode(mac(f"{id}.{at_s}.".encode() + body, key)).decode()
    return {"webhook-id": id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{made}"}


def stripe(at_s: int = NOW_S, body: bytes = BODY) -> dict[str, str]:
    return {"stripe-signature": f"t={at_s},v0=x,v1={mac(f'{at_s}.'.encode() + body).hex()}"}


def github(body: bytes = BODY) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={mac(body).hex()}"}


def id_of(signed: Any, headers: dict[str, str], body: bytes = BODY, secret: str = SECRET) -> str:
    return require_signed(Webhook(name="orders", secret="X", signed=signed), secret, Call(headers, body, NOW))


def test_who_has_the_secret_is_let_in_and_the_id_is_signed() -> None:
    assert id_of("standard", standard()) == "msg_1"
    assert id_of("stripe", stripe()) == "evt_1"
    assert id_of("github", github()) == sha256(BODY).hexdigest()


def test_the_example_of_the_standard_is_let_in() -> None:
    """The test vector that its own libraries have."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    call = Call(headers, body, Instant(1_614_265_330_000_000))
    assert require_signed(Webhook(name="o", secret="X"), secret, call) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_one_good_signature_among_several_is_enough() -> None:
    headers = standard()
    headers["webhook-signature"] = f"v1,AAAA v2,{headers['webhook-signature'][3:]} {headers['webhook-signature']}"
    assert id_of("standard", headers) == "msg_1"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\xe9"},
        {"webhook-signature": standard()["webhook-signature"].replace("v1", "v2")},
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 201},
        {"webhook-id": "a b"},
        {"webhook-timestamp": str(NOW_S + 1)},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "\u0661"},
        standard(key=b"another"),
        standard(body=b"{}"),
    ],
)
def test_what_is_not_signed_as_it_came_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as raised:
        id_of("standard", {**standard(), **change})
    assert raised.value.code == "webhook-signature"
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("signed", "headers"),
    [
        ("github", {}),
        ("github", {"x-hub-signature-256": "sha1=" + mac(BODY).hex()}),
        ("github", github(b"{}")),
        ("stripe", {}),
        ("stripe", {"stripe-signature": "v1=" + mac(BODY).hex()}),
        ("stripe", {"stripe-signature": stripe()["stripe-signature"].replace("v1", "v0")}),
        ("stripe", stripe(body=b"{}")),
        ("stripe", github()),
        ("github", standard()),
    ],
)
def test_other_senders_signatures_are_judged_alike(signed: str, headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="not signed"):
        id_of(signed, headers)


def test_an_old_call_is_refused_also_one_from_the_future() -> None:
    for at_s in (NOW_S - TOLERANCE_S, NOW_S + TOLERANCE_S):
        assert id_of("standard", standard(at_s=at_s)) == "msg_1"
        assert id_of("stripe", stripe(at_s)) == "evt_1"
    for at_s in (NOW_S - TOLERANCE_S - 1, NOW_S + TOLERANCE_S + 1, 0):
        for signed, headers in (("standard", standard(at_s=at_s)), ("stripe", stripe(at_s))):
            with pytest.raises(Forbidden) as raised:
                id_of(signed, headers)
            assert "ago" in raised.value.why


def test_an_event_without_an_id_is_known_by_what_is_signed() -> None:
    for body in (b"[1]", b"{}", b'{"id": 5}', b'{"id": "two words"}', json.dumps({"id": "x" * 201}).encode()):
        assert id_of("stripe", stripe(body=body), body) == sha256(f"{NOW_S}.".encode() + body).hexdigest()


def test_a_secret_that_is_no_base64_is_said_and_not_told() -> None:
    with pytest.raises(LegatoError) as raised:
        id_of("standard", standard(), secret="whsec_!!!")
    assert raised.value.code == "secret-missing"
    assert "!!!" not in str(raised.value)


@pytest.mark.parametrize("signed", ["standard", "github", "stripe"])
@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_a_secret_without_a_key_is_none(signed: Any, secret: str) -> None:
    """Anybody could sign with it."""
    with pytest.raises(LegatoError, match="X is empty"):
        require_key(Webhook(name="orders", secret="X", signed=signed), secret)


def test_a_secret_with_a_key_is_one() -> None:
    for secret in ("x", "whsec_MfKQ"):
        require_key(Webhook(name="orders", secret="X"), secret)
    require_key(Webhook(name="orders", secret="X", signed="stripe"), "whsec_!!!")  # there it is the text itself
    with pytest.raises(LegatoError, match="cannot be read"):
        require_key(Webhook(name="orders", secret="X"), "whsec_!!!")
