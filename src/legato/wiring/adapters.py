"""Adapters made from a project's configuration: stores, storages, and the folder of its logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from legato.terms.errors import InvalidProject, Unreachable
from legato.worker.config import Config, read_config

if TYPE_CHECKING:
    from legato.ports.storage import Storage
    from legato.ports.store import Holder, Store

SERVICE = "service"
"""The lock of a project's service, in its state."""


def require_config(folder: Path) -> Config:
    """The configuration of the project that a folder is in; `InvalidProject` has all that is wrong with it."""
    config, faults_found = read_config(folder)
    if faults_found:
        raise InvalidProject(faults_found)
    return config


def open_reader(config: Config) -> Store:
    """The project's store, for reading."""
    from legato.stores.sqlite import SqliteStore

    store = SqliteStore(config.home / "state.db", read_only=True)
    try:
        store.timings()
    except BaseException:
        store.close()
        raise
    return store


def open_writer(config: Config, holder: str) -> Store:
    """The project's store, for writing: `holder` has the writer's place until it is closed."""
    from legato.stores.sqlite import SqliteStore

    store = SqliteStore(config.home / "state.db")
    store.open_writer(holder)
    return store


def find_holder(config: Config) -> Holder | None:
    """Who has the project's store open for writing, if anybody."""
    from legato.stores.lock import find_holder as find

    return find(config.home / "state.db")


def find_service(config: Config) -> Holder | None:
    """The service of the project that is up, if one is."""
    from legato.stores.lock import find_holder as find

    return find(config.home / SERVICE)


def storages_of(config: Config, *, unpickle: bool) -> Mapping[str, Storage]:
    """The built-in storages, and those that the project names."""
    from legato.storages.files import FileStorage

    data = config.home / "data"
    storages: dict[str, Storage] = {"files": FileStorage(data, unpickle=unpickle)}
    for name, settings in config.storages.items():
        root = config.root / str(settings.get("path", data / name))
        storages[name] = FileStorage(root, name, durable=bool(settings.get("durable", True)), unpickle=unpickle)
    return storages


def log_folder(config: Config, session: str) -> Path:
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
