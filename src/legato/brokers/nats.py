"""Messages of NATS JetStream, by a durable consumer for each topic, which is a subject of some stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from typing import Any, TypeVar

from legato.ports.broker import Incoming
from legato.terms.codec import fingerprint
from legato.terms.errors import LegatoError, Unreachable

T = TypeVar("T")

ANSWER_S = 5.0
AGAIN_AFTER_S = 30.0
"""What nobody acknowledged for so long is given again."""
_FETCH, _HELD = 100, 1_000
"""How many messages are asked for at once, and how many may lie here."""
_LOOK_EVERY_S = 1.0


class NatsBroker:
    """Gives what comes on subjects. All that talks to the server does so in a loop of its own, in a thread of its own."""

    def __init__(
        self, url: str, group: str, user: str = "", password: str = "", *, again_after_s: float = AGAIN_AFTER_S
    ) -> None:  # fmt: skip
        import nats as _  # noqa: F401 - where it is not installed, that is said here

        self._url, self._group, self._again_after_s = url, group, again_after_s
        self._login = {"user": user, "password": password} if user else {"token": password} if password else {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self._closed = False
        self._held: asyncio.Queue[Incoming] = asyncio.Queue(_HELD)
        self._messages: dict[str, Any] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._nats: Any = None
        self._fault: Exception | None = None
        """What ended the asking for messages of some topic."""
        try:
            self._wait(self._connect())
        except LegatoError:
            self.close()
            raise

    def listen(self, topics: Sequence[str]) -> None:
        """Listen to these subjects from now on."""
        self._wait(self._listen(topics))

    def take(self, most: int, wait_s: float) -> list[Incoming]:
        """What came, oldest first."""
        return self._wait(self._take(most, wait_s), ANSWER_S + wait_s)

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Never give these again; the server has said so when this returns."""
        self._wait(self._acknowledge(messages))

    def close(self) -> None:
        """Let go; what is held comes again soon."""
        if self._closed:
            return
        self._closed = True
        with suppress(LegatoError):
            self._wait(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, doing: Coroutine[Any, Any, T], most_s: float = ANSWER_S) -> T:
        """What comes of something that is done in the loop."""
        future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return future.result(most_s)
        except NotInTime:
            future.cancel()
            raise self._unreachable(f"no answer within {most_s:g} s") from None
        except LegatoError:
            raise
        except Exception as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _unreachable(self, why: str) -> Unreachable:
        what = "the broker of messages does not answer"
        return Unreachable("broker", what, where=self._url, why=why, next="look at [broker] in legato.toml")

    # -- in the loop --

    async def _connect(self) -> None:
        import nats

        async def hush(error: Exception) -> None:
            """Whoever waits hears of it."""

        # Without reconnecting: whoever owns this adapter makes a new one, and says so.
        self._nats = await nats.connect(
            self._url, allow_reconnect=False, connect_timeout=3, error_cb=hush, name=f"legato {self._group}", **self._login
        )

    async def _listen(self, topics: Sequence[str]) -> None:
        for topic in set(self._pumps) - set(topics):
            self._pumps.pop(topic).cancel()
        for topic in topics:
            if topic not in self._pumps:
                subscription = await self._subscribe(topic, new=True)
                self._pumps[topic] = self._loop.create_task(self._pump(topic, subscription))

    async def _subscribe(self, topic: str, *, new: bool) -> Any:
        """The subscription; None where no stream has the subject yet."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
        from nats.js.errors import NotFoundError

        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.NEW if new else DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._again_after_s,
        )  # fmt: skip
        durable = f"legato-{fingerprint(self._group, topic)[:16]}"
        try:
            return await self._nats.jetstream().pull_subscribe(topic, durable=durable, config=config)
        except NotFoundError:
            return None

    async def _pump(self, topic: str, subscription: Any) -> None:
        try:
            await self._ask_on(topic, subscription)
        except Exception as error:
            self._fault = error

    async def _ask_on(self, topic: str, subscription: Any) -> None:
        """Ask for messages of a topic, again and again, as long as there is room for them."""
        while subscription is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            subscription = await self._subscribe(topic, new=False)
        while True:
            try:
                found = await subscription.fetch(_FETCH, timeout=ANSWER_S)
            except TimeoutError:
                self._require_open()
                continue
            for message in found:
                await self._held.put(self._incoming(topic, message))

    def _incoming(self, topic: str, message: Any) -> Incoming:
        about = message.metadata
        # The number of a message in a stream begins anew when the stream is made anew; together with its time it does not.
        id = f"{about.stream}/{about.sequence.stream}/{round(about.timestamp.timestamp() * 1e6)}"
        self._messages[message.reply] = message
        key = (message.headers or {}).get("Key", "")
        return Incoming(topic=topic, id=id, body=message.data, key=key, receipt=message.reply)

    async def _take(self, most: int, wait_s: float) -> list[Incoming]:
        self._require_open()
        if self._fault is not None and self._held.empty():
            raise self._fault
        found: list[Incoming] = []
        with suppress(TimeoutError):
            found.append(await asyncio.wait_for(self._held.get(), wait_s))
        while len(found) < most and not self._held.empty():
            found.append(self._held.get_nowait())
        return found

    async def _acknowledge(self, messages: Sequence[Incoming]) -> None:
        self._require_open()
        waiting = [self._messages.pop(each.receipt) for each in messages if each.receipt in self._messages]
        await asyncio.gather(*(message.ack_sync(ANSWER_S) for message in waiting))

    async def _leave(self) -> None:
        for pump in self._pumps.values():
            pump.cancel()
        await asyncio.gather(*self._pumps.values(), return_exceptions=True)
        if self._nats is not None and not self._nats.is_closed:
            with suppress(Exception):
                await asyncio.gather(*(message.nak() for message in self._messages.values()))
                await self._nats.flush(1)
            await self._nats.close()

    def _require_open(self) -> None:
        if self._nats is None or not self._nats.is_connected:
            raise self._unreachable("the connection ended")
