"""What a worker needs before it can make attempts, and how a process that lacks it gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from msgspec import Struct

from legato.declare.body import Code
from legato.declare.node import Project
from legato.ports.storage import Storage


@dataclass(frozen=True, slots=True)
class Kit:
    """A loaded project, ready to work on. `open_storages` is called in each worker, after the fork.

    `storage` names the one for nodes that name none; `root` is the project's folder, below which files are the user's; `source`
    is a fingerprint of the files that were loaded.
    """

    project: Project
    code: Code
    open_storages: Callable[[], Mapping[str, Storage]]
    storage: str
    root: Path
    source: str = ""


@dataclass(frozen=True, slots=True)
class Preload:
    """Where workers get their kit: already loaded in this process, or loaded again in a fresh interpreter.

    `loader` is `module:function`; called with `arguments` it gives the `Kit`. Empty means that there is no second way.
    """

    kit: Kit | None = None
    loader: str = ""
    arguments: tuple[str, ...] = ()


class WorkerSettings(Struct, frozen=True):
    """What all workers of an executor share. `session` is the folder below `logs` that holds a file for each worker.

    `lock` is the file that says whether workers of an earlier conductor are left; empty if nobody asks.
    """

    logs: str
    session: str
    log_limit_bytes: int = 16 * 2**20
    inline_limit_bytes: int = 64 * 2**10
    lock: str = ""


def load_kit(loader: str, arguments: tuple[str, ...]) -> Kit:
    """The kit that the loader makes."""
    module, _, function = loader.partition(":")
    return cast(Kit, getattr(import_module(module), function)(*arguments))
