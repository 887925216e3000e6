"""Webhooks at the door: which there are, and whether a call is signed by who has the secret. Nothing of the secret is kept."""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from legato.declare.moment import Webhook, moments
from legato.declare.node import Project
from legato.terms.errors import Forbidden, LegatoError
from legato.terms.instant import Instant

TOLERANCE_S = 300
"""How far the sender's clock may be from ours, and how long a call may be under way."""

_ID = re.compile(r"[\x21-\x7e]{1,200}\Z")
_STAMP = re.compile(r"[0-9]{1,12}\Z")
_PREFIX = "whsec_"


class Hook(NamedTuple):
    """A webhook, with the domains of all that listens to it."""

    moment: Webhook
    domains: tuple[str, ...]


class Call(NamedTuple):
    """A call: its headers by their names in small letters, its body, and when it came."""

    headers: Mapping[str, str]
    body: bytes
    at: Instant


def hooks_of(project: Project) -> dict[str, Hook]:
    """The webhooks that a project listens to, by name."""
    found: dict[str, Hook] = {}
    for node in project.nodes.values():
        for each in moments(node.trigger) if node.trigger is not None else ():
            if isinstance(each, Webhook):
                before = found.get(each.name)
                domains = {*(before.domains if before else ()), node.domain}
                found[each.name] = Hook(each, tuple(sorted(domains)))
    return found


def require_key(hook: Webhook, secret: str) -> None:
    """Refuse (`secret-missing`) a secret by which nobody, or just anybody, could sign."""
    if not secret.removeprefix(_PREFIX):
        raise LegatoError("secret-missing", f"the secret {hook.secret} is empty")
    if hook.signed == "standard":
        _key_of(secret)


def require_signed(hook: Webhook, secret: str, call: Call) -> str:
    """The id of a call that is signed with the secret, under which it counts once; else `Forbidden` (`webhook-signature`).

    What is signed has the id in it, so a call that was listened to cannot be sent again under another.
    """
    return _READERS[hook.signed](secret, call)


def id_given(call: Call) -> str:
    """The id that a caller with a token has given the call; empty if none."""
    given = call.headers.get("webhook-id", "")
    if given and not _ID.match(given):
        raise _unsigned("its webhook-id is no text of at most 200 characters")
    return given


def _standard(secret: str, call: Call) -> str:
    """As standardwebhooks.com says: the id, the time and the body are signed."""
    stamp, id = call.headers.get("webhook-timestamp", ""), id_given(call)
    if not id or not _STAMP.match(stamp):
        raise _unsigned("it has no webhook-id, or no webhook-timestamp")
    made = b64encode(_mac(_key_of(secret), f"{id}.{stamp}.".encode() + call.body)).decode()
    given = [each.removeprefix("v1,") for each in call.headers.get("webhook-signature", "").split(" ") if each.startswith("v1,")]
    _require_match(made, given)
    _require_fresh(stamp, call.at)
    return id


def _github(secret: str, call: Call) -> str:
    """The body alone is signed, so it is its own id: sent again, it counts once."""
    kind, _, given = call.headers.get("x-hub-signature-256", "").partition("=")
    _require_match(_mac(secret.encode(), call.body).hex(), [given] if kind == "sha256" else [])
    return sha256(call.body).hexdigest()


def _stripe(secret: str, call: Call) -> str:
    """The time and the body are signed. The id is that of the event in the body, which stays the same when it is sent again."""
    parts = [part.partition("=") for part in call.headers.get("stripe-signature", "").split(",")]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    if not _STAMP.match(stamp):
        raise _unsigned("its stripe-signature has no time")
    made = _mac(secret.encode(), f"{stamp}.".encode() + call.body).hex()
    _require_match(made, [value for name, _, value in parts if name == "v1"])
    _require_fresh(stamp, call.at)
    event = json.loads(call.body) if call.body else None
    id = event.get("id") if isinstance(event, dict) else None
    return id if isinstance(id, str) and _ID.match(id) else sha256(f"{stamp}.".encode() + call.body).hexdigest()


_READERS: dict[str, Callable[[str, Call], str]] = {"standard": _standard, "github": _github, "stripe": _stripe}


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, sha256).digest()


def _key_of(secret: str) -> bytes:
    """The bytes of a secret: those that stand behind `whsec_` in base64, or the text itself."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(_PREFIX), validate=True)
    except NotBase64:
        why = f"behind {_PREFIX} stands no base64"
        raise LegatoError("secret-missing", "the secret of a webhook cannot be read", why=why) from None


def _require_match(made: str, given: list[str]) -> None:
    """Every signature that came is compared, in a time that tells nothing of the right one."""
    if not sum([hmac.compare_digest(made.encode(), each.encode()) for each in given]):
        raise _unsigned("its signature is missing, or of another secret or body")


def _require_fresh(stamp: str, now: Instant) -> None:
    if abs(int(stamp) - now // 1_000_000) > TOLERANCE_S:
        raise _unsigned(f"it was signed more than {TOLERANCE_S} s ago, or the two clocks are so far apart")


def _unsigned(why: str) -> Forbidden:
    return Forbidden("webhook-signature", "this call is not signed as the webhook asks for", why=why, next="see docs/triggers.md")
