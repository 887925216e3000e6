"""What a service hears from beyond its machine, and tells there: brokers, buckets, a collector; no code is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from legato.runtime.clock import SystemClock
from legato.terms.errors import LegatoError
from legato.terms.instant import after
from legato.wiring.adapters import open_reader, require_config
from legato.wiring.state import open_mirror

if TYPE_CHECKING:
    from threading import Event

    from legato.ports.broker import Broker
    from legato.ports.bucket import Bucket
    from legato.service.serving import Tell
    from legato.worker.outside import Broker as BrokerWanted
    from legato.worker.outside import Bucket as BucketWanted

T = TypeVar("T")
_LISTENER_ENDS_S = 5.0
"""How long what listens may take to let go of a broker."""
_SERVICE_IS_OLDER_S = 60.0
"""What sends traces is started by its service, and at the latest so long after it."""


def trace(folder: Path, tell: Tell, stop: Event) -> None:
    """Send the project's traces to the collector that the environment names; nothing of its code is imported."""
    from legato.collectors.otlp import collector_of
    from legato.service.spans import Tracer

    config = require_config(folder)
    collector = collector_of(os.environ, config.name)
    if collector is not None:
        since = after(SystemClock().now(), -_SERVICE_IS_OLDER_S)  # what it accepts may be over before this looks
        Tracer(lambda: open_reader(config), collector, config.home / "traced", tell, since).run(stop)


def listen(folder: Path, tell: Tell, stop: Event) -> None:
    """Hear what comes from the project's broker and buckets, each in a thread; nothing of its code is imported."""
    from threading import Thread

    from legato.service.asks import Ask
    from legato.service.guest import ask
    from legato.service.listening import Listener
    from legato.service.objects import watch_bucket

    config = require_config(folder)
    mirror = open_mirror(folder)

    def answer(question: Ask, kind: type[T]) -> T:
        return ask(config.home, question, kind)

    works: list[Callable[[], None]] = [
        partial(watch_bucket, name, each.every_s, partial(_open_bucket, name, each), mirror.workspace, answer, tell, stop)
        for name, each in config.buckets.items()
    ]
    if (broker := config.broker) is not None:
        opened = partial(_open_broker, broker, broker.group or config.name)
        works.append(Listener(opened, mirror.workspace, answer, tell, stop).run)
    failed: list[Exception] = []

    def guard(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)
            stop.set()

    threads = [Thread(target=guard, args=(work,), daemon=True) for work in works]
    for each in threads:
        each.start()
    stop.wait()
    for each in threads:
        each.join(_LISTENER_ENDS_S)
    if failed:
        raise failed[0]


def _open_broker(wanted: BrokerWanted, group: str) -> Broker:
    from legato.declare.resource import Secret

    login = (wanted.user, Secret(wanted.secret).reveal() if wanted.secret else "")
    with _telling_extra(wanted.kind):
        if wanted.kind == "nats":
            from legato.brokers.nats import NatsBroker

            return NatsBroker(wanted.url, group, *login)
        from legato.brokers.redis import RedisBroker

        return RedisBroker(wanted.url, group, *login)


def _open_bucket(name: str, wanted: BucketWanted) -> Bucket:
    from legato.buckets.store import open_bucket
    from legato.declare.resource import Secret

    access, secret = (Secret(each).reveal() if each else "" for each in (wanted.access, wanted.secret))
    with _telling_extra("objects"):
        return open_bucket(name, endpoint=wanted.endpoint, region=wanted.region, access=access, secret=secret)


@contextmanager
def _telling_extra(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        what = "what legato.toml names needs a library that is not installed"
        raise LegatoError("extra-missing", what, next=f"pip install 'legato[{extra}]'") from error
