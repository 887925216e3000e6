"""The composition root: from a project's folder to everything that works on it. The only place that knows all adapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from legato.plan.graph import Graph
from legato.plan.validate import faults
from legato.runtime.clock import SystemClock
from legato.service.workspace import Workspace
from legato.terms.attempt import Done, Order, Raised
from legato.terms.errors import InvalidProject, LegatoError, Unreachable
from legato.worker.config import Config, read_config
from legato.worker.loading import Loaded, load_project
from legato.worker.preload import Kit, Preload
from legato.worker.threads import limit_threads

if TYPE_CHECKING:
    from threading import Event

    from legato.declare.snapshot import Snapshot
    from legato.ports.broker import Broker
    from legato.ports.bucket import Bucket
    from legato.ports.executor import Executor
    from legato.ports.storage import Storage
    from legato.ports.store import Holder, Store
    from legato.runtime.edition import Observe
    from legato.service.archive import Household
    from legato.service.cleaning import Room
    from legato.service.keyring import Keyring
    from legato.service.mirror import Mirror
    from legato.service.premises import Premises
    from legato.service.reloading import Reloader
    from legato.service.serving import Service, Tell
    from legato.worker.outside import Broker as BrokerWanted
    from legato.worker.outside import Bucket as BucketWanted

T = TypeVar("T")


def open_workspace(folder: Path | None = None, *, executor: str | None = None, workers: int | None = None) -> Workspace:
    """The project that `folder` (or the working directory) is in, loaded and ready; `InvalidProject` names all its faults."""
    config, _ = read_config(folder or Path.cwd())
    count = workers or config.workers or os.cpu_count() or 1
    limit_threads(count)
    loaded = load_project(config.root, faults)
    kit = _kit(loaded)
    return Workspace(
        root=config.root,
        state=config.home,
        project=loaded.project,
        take_snapshot=lambda: _take_snapshot(loaded),
        graph=Graph(loaded.project),
        clock=SystemClock(),
        storages=_storages(config, unpickle=False),
        open_reader=lambda: _open_reader(config),
        open_writer=lambda holder: _open_writer(config, holder),
        open_executor=lambda session: _executor(config, kit, executor or config.executor, count, session),
        observe=_observer(kit),
        workers=1 if (executor or config.executor) == "inline" else count,
        find_holder=lambda: find_holder(config),
        keep=config.keep,
    )


def _take_snapshot(loaded: Loaded) -> Snapshot:
    from legato.declare.snapshot import take

    return take(loaded.project, loaded.code, loaded.source)


@contextmanager
def open_published(folder: Path) -> Iterator[tuple[Store, Mapping[str, Storage]]]:
    """The store and the storages of the project that `folder` is in, for reading; nothing of its code is imported."""
    config = require_config(folder)
    store = _open_reader(config)
    try:
        yield store, _storages(config, unpickle=False)
    finally:
        store.close()


def require_config(folder: Path) -> Config:
    """The configuration of the project that a folder is in; `InvalidProject` has all that is wrong with it."""
    config, faults_found = read_config(folder)
    if faults_found:
        raise InvalidProject(faults_found)
    return config


def find_holder(config: Config) -> Holder | None:
    """Who has the project's store open for writing, if anybody."""
    from legato.stores.lock import find_holder as find

    return find(config.home / "state.db")


@contextmanager
def hold_service(config: Config, command: str) -> Iterator[None]:
    """Be the only service of a project while the block runs; `Unreachable` (`store-locked`) names the one that is up.

    The conductor has a lock of its own, but it comes and goes: this one is the supervisor's, from its first moment to its last.
    """
    from legato.stores.lock import WriterLock

    config.home.mkdir(mode=0o700, exist_ok=True)
    lock = WriterLock(str(config.home / "service"), command)
    try:
        yield
    finally:
        lock.release()


def open_mirror(folder: Path) -> Mirror:
    """The project in a folder as its running service tells it; nothing of its code is imported."""
    from legato.service.mirror import Mirror

    config, _ = read_config(folder)
    return Mirror(config.home, SystemClock(), lambda: _open_reader(config), lambda snapshot: _without_code(config, snapshot))


def trace(folder: Path, tell: Tell, stop: Event) -> None:
    """Send the project's traces to the collector that the environment names; nothing of its code is imported."""
    from legato.collectors.otlp import collector_of
    from legato.service.spans import Tracer

    config = require_config(folder)
    collector = collector_of(os.environ, config.name)
    if collector is not None:
        Tracer(lambda: _open_reader(config), collector, config.home / "traced", tell).run(stop)


def listen(folder: Path, tell: Tell, stop: Event) -> None:
    """Hear what comes from the project's broker and buckets, each in a thread; nothing of its code is imported."""
    from threading import Thread

    from legato.service.asks import Ask
    from legato.service.desk import ask
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


_LISTENER_ENDS_S = 5.0
"""How long what listens may take to let go of a broker."""


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


def open_reloader(
    folder: Path, *, workers: int | None = None, load_limit_s: float | None = None, settling_s: float = 0.0
) -> Reloader:
    """The newest code of the project that a folder is in, loaded by code hosts and loaded again when its files change.

    Takes the project's workers' lock; `Unreachable` (`workers-left`) if workers of an earlier conductor stay.
    """
    from legato.executors.host import LOAD_LIMIT_S, HostedExecutor
    from legato.runtime.watch import SourceWatch
    from legato.service.reloading import Reloader
    from legato.worker.lock import WorkersLock
    from legato.worker.modules import Own

    config, _ = read_config(folder)
    count, clock = workers or config.workers or os.cpu_count() or 1, SystemClock()
    limit_threads(count)
    own = Own(config.root)
    own.name(config.modules)
    watch = SourceWatch(own.folders, (config.file,), settling_s)
    logs, preload = _log_folder(config, ""), Preload(None, "legato.wiring:load_kit", (str(config.root),))
    lock = WorkersLock(str(config.home / "workers.lock"))
    lock.wait()

    def open_host() -> HostedExecutor:
        limit_s = LOAD_LIMIT_S if load_limit_s is None else load_limit_s
        return HostedExecutor(preload, count, logs, root=config.root, session=str(clock.now()), lock=lock, load_limit_s=limit_s)

    return Reloader(open_host, lambda snapshot: _without_code(config, snapshot), watch, release=lock.release)


@contextmanager
def open_service(
    folder: Path, command: str, tell: Tell, *, workers: int | None = None, settling_s: float = 0.0
) -> Iterator[Service]:
    """The conductor's part of a project's service; nothing of its code is imported.

    Files that changed are loaded again when they have stayed as they are for `settling_s`.
    """
    from legato.service.serving import Service

    config = require_config(folder)
    reloader = open_reloader(config.root, workers=workers, settling_s=settling_s)
    try:
        store = _open_writer(config, command)
    except BaseException:
        reloader.close()
        raise
    try:
        yield Service(reloader, store, config.home, SystemClock(), tell)
    finally:
        store.close()


def _without_code(config: Config, snapshot: Snapshot) -> Workspace:
    """The workspace of a snapshot; its code is in other processes."""
    with suppress(LegatoError):  # the settings are broken by now: then those stay that it was loaded with
        config = read_config(config.root)[0]
    return Workspace(
        root=config.root, state=config.home, project=snapshot.project, take_snapshot=lambda: snapshot,
        graph=Graph(snapshot.project), clock=SystemClock(), storages=_storages(config, unpickle=False),
        open_reader=lambda: _open_reader(config), open_writer=lambda holder: _open_writer(config, holder),
        open_executor=_no_code, observe=None, workers=config.workers or os.cpu_count() or 1,
        find_holder=lambda: find_holder(config), keep=config.keep,
    )  # fmt: skip


def _no_code(*_: object) -> NoReturn:
    raise AssertionError("there is no user code in this process")


def open_room(folder: Path) -> Room:
    """Where the project that a folder is in keeps things; nothing of its code is imported."""
    from legato.service.cleaning import Room

    config = require_config(folder)
    return Room(
        keep=config.keep, logs=config.home / "logs", clock=SystemClock(), storages=_storages(config, unpickle=False),
        open_reader=lambda: _open_reader(config), open_writer=lambda holder: _open_writer(config, holder),
    )  # fmt: skip


def open_household(folder: Path) -> Household:
    """All that the project keeps that a folder is in, for an archive; nothing of its code is imported."""
    from importlib.metadata import version

    from legato.service.archive import Household
    from legato.stores.sqlite import SqliteStore

    config = require_config(folder)

    def copy_store(target: Path) -> None:
        store = SqliteStore(config.home / "state.db", read_only=True)
        try:
            store.copy_to(target)
        finally:
            store.close()

    def adopt_store(path: Path) -> Store:
        store = SqliteStore(path)
        store.open_writer("legato restore")
        return store

    return Household(
        name=config.name, state=config.home, legato=version("legato"), clock=SystemClock(),
        storages=_storages(config, unpickle=False), copy_store=copy_store,
        open_store=lambda path: SqliteStore(path, read_only=True), adopt_store=adopt_store,
        find_holder=lambda: find_holder(config),
    )  # fmt: skip


def open_keyring(folder: Path) -> Keyring:
    """Who may come in to the project that a folder is in; nothing of its code is imported."""
    from legato.service.keyring import Keyring

    config, _ = read_config(folder)
    return Keyring(
        config.home, SystemClock(), lambda: _open_reader(config), lambda holder: _open_writer(config, holder)
    )  # fmt: skip


def open_premises(folder: Path) -> Premises:
    """What the project in a folder stands on, for `doctor`: there also where the project itself cannot be loaded."""
    from legato.service.premises import Premises

    config, _ = read_config(folder)
    project, fault = None, None
    try:
        project = load_project(folder, faults).project
    except LegatoError as error:
        fault = error
    return Premises(
        root=config.root, state=config.home, storages=_storages(config, unpickle=False), project=project, fault=fault,
        open_reader=lambda: _open_reader(config), open_writer=lambda holder: _open_writer(config, holder),
        find_holder=lambda: find_holder(config),
    )  # fmt: skip


def load_kit(folder: str) -> Kit:
    """The kit of the project in a folder, for a worker that starts as a fresh interpreter."""
    return _kit(load_project(Path(folder), faults))


def _kit(loaded: Loaded) -> Kit:
    config = loaded.config
    return Kit(
        loaded.project, loaded.code, lambda: _storages(config, unpickle=True), config.storage, config.root, loaded.source
    )  # fmt: skip


def _storages(config: Config, *, unpickle: bool) -> Mapping[str, Storage]:
    """The built-in storages, and those that the project names."""
    from legato.storages.files import FileStorage

    data = config.home / "data"
    storages: dict[str, Storage] = {"files": FileStorage(data, unpickle=unpickle)}
    for name, settings in config.storages.items():
        root = config.root / str(settings.get("path", data / name))
        storages[name] = FileStorage(root, name, durable=bool(settings.get("durable", True)), unpickle=unpickle)
    return storages


def _open_reader(config: Config) -> Store:
    from legato.stores.sqlite import SqliteStore

    store = SqliteStore(config.home / "state.db", read_only=True)
    try:
        store.timings()
    except BaseException:
        store.close()
        raise
    return store


def _open_writer(config: Config, holder: str) -> Store:
    from legato.stores.sqlite import SqliteStore

    store = SqliteStore(config.home / "state.db")
    store.open_writer(holder)
    return store


def _executor(config: Config, kit: Kit, kind: str, workers: int, session: str) -> Executor:
    logs = _log_folder(config, session)
    lock = config.home / "workers.lock"
    if kind == "inline":
        from legato.executors.inline import InlineExecutor

        return InlineExecutor(kit, logs, session, lock=lock)
    from legato.executors.process import ProcessExecutor

    preload = Preload(kit, "legato.wiring:load_kit", (str(config.root),))
    return ProcessExecutor(preload, workers, logs, session=session, lock=lock)


def _log_folder(config: Config, session: str) -> Path:
    """The folder of all logs, with that of a session in it."""
    logs = config.home / "logs"
    try:
        for path in (config.home, logs, logs / session):  # `parents=True` would make those above with any mode
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unreachable(
            "store-write", "the project's state cannot be written, so nothing can run", where=str(error.filename),
            why=error.strerror or str(error), next="make the disk writable or free space on it (`df -h`), then run again",
        ) from error  # fmt: skip
    return logs


def _observer(kit: Kit) -> Observe:
    """Asks sources in this process, by the same harness that makes attempts."""
    harness: list[Callable[[Order], object]] = []

    def observe(name: str, key: str) -> str | None:
        from legato.runtime.inquiry import refusal, token_of

        if not harness:
            from legato.worker.harness import Harness

            harness.append(Harness(kit).make)
        report = harness[0](Order("observe", 0, 0, name, key))
        if isinstance(report, Raised):
            raise refusal(kit.project.nodes[name], report)
        assert isinstance(report, Done)
        return token_of(report.value)

    return observe
