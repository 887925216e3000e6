"""Messages of Redis streams, by a consumer group. An entry's field `payload` is the message's body, its field `key` the key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from legato.ports.broker import Incoming
from legato.terms.errors import Unreachable

ANSWER_S = 5.0
"""How long a command may take beyond the time that it waits."""
_CONSUMER = "legato"
"""There is one conductor, so one consumer: what it was given and did not acknowledge, its successor is given again."""


_Entry = tuple[bytes, bytes, dict[bytes, bytes] | None]


class RedisBroker:
    """Gives a consumer group what comes on streams; a topic is a stream's name."""

    def __init__(self, url: str, group: str, user: str = "", password: str = "") -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # A command that is tried again by itself could drop what the first try was given: it would count as given.
        self._redis: Any = Redis.from_url(
            url, username=user or None, password=password or None, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0), health_check_interval=0, protocol=2,
        )  # fmt: skip
        self._url, self._group = url, group
        self._topics: list[str] = []
        self._given: dict[str, str] = {}
        """By topic, how far its messages have been given again that nobody acknowledged; a topic leaves when all have."""

    def listen(self, topics: Sequence[str]) -> None:
        """Listen to these streams from now on. One that is not there is made, empty."""
        with self._told():
            for topic in topics:
                self._join(topic, "$" if self._redis.exists(topic) else "0")
        self._given.update(dict.fromkeys(set(topics) - set(self._topics), "0"))
        self._topics = list(topics)

    def take(self, most: int, wait_s: float) -> list[Incoming]:
        """What was given to a former listener and not acknowledged; then what is new."""
        if not self._topics:
            return []
        with self._told():
            again = [each for topic in self._topics if topic in self._given for each in self._again(topic, most)]
            return again or self._new(most, wait_s)

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Never give these again."""
        by_topic: dict[str, list[str]] = {}
        for each in messages:
            by_topic.setdefault(each.topic, []).append(each.receipt)
        with self._told():
            for topic, receipts in by_topic.items():
                self._redis.xack(topic, self._group, *receipts)

    def close(self) -> None:
        """Let go."""
        with suppress(Exception):
            self._redis.close()

    def _join(self, topic: str, start: str) -> None:
        from redis.exceptions import ResponseError

        try:
            self._redis.xgroup_create(topic, self._group, start, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _again(self, topic: str, most: int) -> list[Incoming]:
        entries = self._read({topic: self._given[topic]}, most, None)
        if entries:
            self._given[topic] = _text(entries[-1][1])
        else:
            del self._given[topic]
        return self._there(entries)

    def _new(self, most: int, wait_s: float) -> list[Incoming]:
        wait_ms = max(1, round(min(wait_s, ANSWER_S / 2) * 1000))
        return self._there(self._read(dict.fromkeys(self._topics, ">"), most, wait_ms))

    def _there(self, entries: list[_Entry]) -> list[Incoming]:
        """The messages; an entry that somebody has deleted since it was given is none, and done with."""
        for topic, id, fields in entries:
            if not fields:
                self._redis.xack(topic, self._group, id)
        return [_incoming(_text(topic), _text(id), fields) for topic, id, fields in entries if fields]

    def _read(self, starts: dict[str, str], most: int, wait_ms: int | None) -> list[_Entry]:
        from redis.exceptions import ResponseError

        try:
            answer = self._redis.xreadgroup(self._group, _CONSUMER, starts, count=most, block=wait_ms)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            for topic in self._topics:  # somebody has removed a stream: all that is in a new one came after it
                self._join(topic, "0")
            return []
        return [(topic, id, fields) for topic, entries in answer or () for id, fields in entries]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells an error of the connection as one of ours."""
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            raise unreachable(self._url, error) from error


def _incoming(topic: str, id: str, fields: dict[bytes, bytes]) -> Incoming:
    body = fields.get(b"payload")
    if body is None:
        body = msgspec.json.encode({_text(name): _text(value) for name, value in fields.items()})
    return Incoming(topic=topic, id=id, body=body, key=_text(fields.get(b"key", b"")), receipt=id)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def unreachable(url: str, error: BaseException) -> Unreachable:
    """The broker does not answer, or not as it should."""
    why = str(error) or type(error).__name__
    return Unreachable(
        "broker", "the broker of messages does not answer", where=url, why=why, next="look at [broker] in legato.toml"
    )
