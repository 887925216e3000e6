"""What a worker needs before it can make attempts, and how a process that lacks it gets it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from legato.declare.body import Code
from legato.declare.manuscript import Manuscript, Script
from legato.declare.node import Project
from legato.ports.storage import Storage
from legato.terms.codec import unpack


@dataclass(frozen=True, slots=True)
class Kit:
    """A loaded project, ready to work on. `open_storages` is called in each worker, after the fork.

    `storage` names the one for nodes that name none; `root` is the project's folder, below which files are the user's; `source`
    is a fingerprint of the files that were loaded, `script` what they said.
    """

    project: Project
    code: Code
    open_storages: Callable[[], Mapping[str, Storage]]
    storage: str
    root: Path
    source: str = ""
    script: Script | None = None


@dataclass(frozen=True, slots=True)
class Preload:
    """Where workers get their kit: already loaded in this process, or loaded again in a fresh interpreter.

    `loader` is `module:function`; called with `arguments` it gives the `Kit`. Empty means that there is no second way. A
    `manuscript` (packed) is its last argument: what is loaded then is the code of that, not of the files.
    """

    kit: Kit | None = None
    loader: str = ""
    arguments: tuple[str, ...] = ()
    manuscript: bytes = b""


class WorkerSettings(Struct, frozen=True):
    """What all workers of an executor share. `session` is the folder below `logs` that holds a file for each worker.

    `lock` is the file that says whether workers of an earlier conductor are left; empty if nobody asks.
    """

    logs: str
    session: str
    log_limit_bytes: int = 16 * 2**20
    inline_limit_bytes: int = 64 * 2**10
    lock: str = ""


def load_kit(loader: str, arguments: tuple[str, ...], manuscript: bytes = b"") -> Kit:
    """The kit that the loader makes."""
    module, _, function = loader.partition(":")
    given: tuple[Any, ...] = (*arguments, unpack(manuscript, Manuscript)) if manuscript else arguments
    return cast(Kit, getattr(import_module(module), function)(*given))


def lend(manuscript: bytes) -> int:
    """A descriptor from which other processes can read the manuscript; -1 if there is none."""
    if not manuscript:
        return -1
    descriptor = os.memfd_create("legato-manuscript")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(manuscript)
    return descriptor


def borrow(descriptor: int) -> bytes:
    """What was lent; empty if nothing was. The descriptor is no program's of user code."""
    if descriptor < 0:
        return b""
    os.set_inheritable(descriptor, False)
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
