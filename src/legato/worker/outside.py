"""Reads what `legato.toml` says of the world outside: the broker of messages, and the buckets in which files arrive."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from legato.terms.errors import LegatoError
from legato.terms.instant import parse_duration

BrokerKind = Literal["nats", "redis"]
Complain = Callable[[str, str, str, str], None]
"""Told of a fault: its code, what is wrong, what to write, and the key that it stands at."""

LEAST_EVERY_S = 1.0
_SCHEMES: dict[str, tuple[str, ...]] = {"nats": ("nats", "tls"), "redis": ("redis", "rediss")}
_BUCKET = re.compile(r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker of messages. `secret` is the reference of its password, or of its token where there is no `user`. Services of
    one `group` share the messages; its default is the project's name."""

    kind: BrokerKind
    url: str
    user: str = ""
    secret: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket of an object store, looked into every so often. `access` and `secret` are the references of its keys; without
    them, what its provider's own environment variables say counts."""

    endpoint: str = ""
    region: str = ""
    access: str = ""
    secret: str = ""
    every_s: float = 10.0


def read_broker(settings: Any, complain: Complain) -> Broker | None:
    """The broker that is configured; None, and what is wrong with it, where it is none."""
    if settings is None:
        return None
    texts = _texts(settings, ("kind", "url", "user", "secret", "group"), "broker", complain)
    if texts is None:
        return None
    kind, url = texts.get("kind", ""), texts.get("url", "")
    if kind not in get_args(BrokerKind):
        complain("config-value", f"a broker of the kind {kind!r} is unknown", "write nats or redis", "broker")
        return None
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES[kind] or not parts.hostname:
        complain("config-value", f"url = {url!r} leads to no broker", f'write for example url = "{kind}://localhost"', "url")
        return None
    if parts.password is not None or parts.username is not None:
        what = "the broker's url holds a login, and secrets have no place in a file"
        complain("config-value", what, 'write user = "legato" and secret = "BROKER_SECRET", a name in the environment', "url")
        return None
    return Broker(**texts)  # type: ignore[arg-type]  # its kind was looked at


def read_buckets(settings: Any, complain: Complain) -> dict[str, Bucket]:
    """The buckets that are configured, by their names, without those that make no sense."""
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        complain("config-value", "buckets must be a table", 'write [buckets."s3://landing"]', "buckets")
        return {}
    found = {name: _bucket(name, each, complain) for name, each in settings.items()}
    return {name: each for name, each in found.items() if each is not None}


def _bucket(name: str, settings: Any, complain: Complain) -> Bucket | None:
    if not _BUCKET.match(name):
        complain("config-value", f"{name!r} is no bucket", 'write [buckets."s3://landing"]; also gs:// and az://', name)
        return None
    texts = _texts(settings, ("endpoint", "region", "access", "secret", "every"), f"bucket {name}", complain)
    if texts is None:
        return None
    try:
        every_s = parse_duration(texts.pop("every", "10s"))
    except LegatoError as error:
        complain("config-value", f"bucket {name}: {error.what}", error.next, "every")
        return None
    if not LEAST_EVERY_S <= every_s < float("inf"):
        complain("config-value", f"bucket {name}: it cannot be looked into that often", "write every = 1s or more", "every")
        return None
    if bool(texts.get("access")) != bool(texts.get("secret")):
        complain("config-value", f"bucket {name}: access and secret go together", "name both, or none", name)
        return None
    return Bucket(**texts, every_s=every_s)


def _texts(settings: Any, known: tuple[str, ...], what: str, complain: Complain) -> dict[str, str] | None:
    """The settings of a table, all of which are texts."""
    if not isinstance(settings, dict):
        complain("config-value", f"{what} must be a table", f"its keys are {', '.join(known)}", what.split()[0])
        return None
    for key, value in settings.items():
        if key not in known or not isinstance(value, str):
            complain("config-value", f"{what}: `{key}` is no setting, or no text", f"its keys are {', '.join(known)}", key)
            return None
    return dict(settings)
