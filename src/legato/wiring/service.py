"""The conductor's part of a project's service: the code is in other processes, its code hosts and their workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from legato.runtime.clock import SystemClock
from legato.terms.codec import pack
from legato.wiring.adapters import SERVICE, log_folder, open_writer, require_config
from legato.wiring.state import workspace_of
from legato.worker.config import Config, read_config
from legato.worker.preload import Preload
from legato.worker.threads import limit_threads

if TYPE_CHECKING:
    from legato.declare.manuscript import Manuscript
    from legato.service.reloading import Reloader
    from legato.service.serving import Service, Tell


@contextmanager
def hold_service(config: Config, command: str, url: str = "") -> Iterator[None]:
    """Be the only service of a project while the block runs; `Unreachable` (`store-locked`) names the one that is up.

    The conductor has a lock of its own, but it comes and goes: this one is the supervisor's, from its first moment to its last.
    Who looks at it (`find_service`) sees at which `url` the API is.
    """
    from legato.stores.lock import WriterLock

    config.home.mkdir(mode=0o700, exist_ok=True)
    lock = WriterLock(str(config.home / SERVICE), command, url)
    try:
        yield
    finally:
        lock.release()


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
    logs = log_folder(config, "")
    lock = WorkersLock(str(config.home / "workers.lock"))
    lock.wait()

    def open_host(manuscript: Manuscript | None) -> HostedExecutor:
        limit_s = LOAD_LIMIT_S if load_limit_s is None else load_limit_s
        code = b"" if manuscript is None else pack(manuscript)
        preload = Preload(None, "legato.wiring.code:load_kit", (str(config.root),), code)
        return HostedExecutor(preload, count, logs, root=config.root, session=str(clock.now()), lock=lock, load_limit_s=limit_s)

    return Reloader(open_host, lambda snapshot: workspace_of(config, snapshot), watch, release=lock.release)


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
        store = open_writer(config, command)
    except BaseException:
        reloader.close()
        raise
    try:
        yield Service(reloader, store, config.home, SystemClock(), tell)
    finally:
        store.close()
