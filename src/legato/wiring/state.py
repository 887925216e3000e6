"""What works on what a project keeps; nothing of its code is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from legato.plan.graph import Graph
from legato.runtime.clock import SystemClock
from legato.service.workspace import Workspace, may_be_served
from legato.terms.errors import LegatoError, Unreachable
from legato.wiring.adapters import find_holder, find_service, open_reader, open_writer, require_config, storages_of
from legato.worker.config import Config, read_config

if TYPE_CHECKING:
    from legato.declare.snapshot import Snapshot
    from legato.ports.storage import Storage
    from legato.ports.store import Store
    from legato.service.archive import Household
    from legato.service.cleaning import Room
    from legato.service.keyring import Keyring
    from legato.service.mirror import Mirror


@contextmanager
def open_published(folder: Path) -> Iterator[tuple[Store, Mapping[str, Storage]]]:
    """The store and the storages of the project that `folder` is in, for reading; nothing of its code is imported."""
    config = require_config(folder)
    store = open_reader(config)
    try:
        yield store, storages_of(config, unpickle=False)
    finally:
        store.close()


def open_mirror(folder: Path) -> Mirror:
    """The project in a folder as its running service tells it; nothing of its code is imported."""
    from legato.service.mirror import Mirror

    config, _ = read_config(folder)
    return Mirror(config.home, SystemClock(), lambda: open_reader(config), lambda snapshot: workspace_of(config, snapshot))


def open_in_force(folder: Path) -> Workspace | None:
    """The project that a folder is in as its running service has it in force; None where none tells. Nothing of its code is
    imported."""
    config, _ = read_config(folder)
    if not may_be_served(config.home):
        return None
    with suppress(LegatoError):
        return open_mirror(folder).workspace()
    return None


def open_room(folder: Path) -> Room:
    """Where the project that a folder is in keeps things; nothing of its code is imported."""
    from legato.service.cleaning import Room

    config = require_config(folder)
    return Room(
        keep=config.keep, logs=config.home / "logs", clock=SystemClock(), storages=storages_of(config, unpickle=False),
        open_reader=lambda: open_reader(config), open_writer=lambda holder: open_writer(config, holder),
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
        store.forget_code()  # whoever wrote the archive might have put some there
        return store

    return Household(
        name=config.name, state=config.home, legato=version("legato"), clock=SystemClock(),
        storages=storages_of(config, unpickle=False), copy_store=copy_store,
        open_store=lambda path: SqliteStore(path, read_only=True), adopt_store=adopt_store,
        find_holder=lambda: find_holder(config),
    )  # fmt: skip


def open_keyring(folder: Path) -> Keyring:
    """Who may come in to the project that a folder is in; nothing of its code is imported."""
    from legato.service.keyring import Keyring

    config, _ = read_config(folder)
    return Keyring(
        config.home, SystemClock(), lambda: open_reader(config), lambda holder: open_writer(config, holder),
        lambda: find_service(config),
    )  # fmt: skip


def workspace_of(config: Config, snapshot: Snapshot) -> Workspace:
    """The workspace of a snapshot; its code is in other processes."""
    with suppress(LegatoError):  # the settings are broken by now: then those stay that it was loaded with
        config = read_config(config.root)[0]
    return Workspace(
        root=config.root, state=config.home, project=snapshot.project, take_snapshot=lambda: snapshot,
        graph=Graph(snapshot.project), clock=SystemClock(), storages=storages_of(config, unpickle=False),
        open_reader=lambda: open_reader(config), open_writer=lambda holder: open_writer(config, holder),
        open_executor=_no_code, observe=None, workers=config.workers or os.cpu_count() or 1,
        find_holder=lambda: find_holder(config), keep=config.keep,
    )  # fmt: skip


def _no_code(*_: object) -> NoReturn:
    raise Unreachable(
        "service-none", "the service has ended meanwhile", why="this command asked it, and has none of the project's code",
        next="the same command again",
    )  # fmt: skip
