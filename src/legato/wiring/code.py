"""What works with the project's code in its own process: a workspace, what `doctor` looks at, and the kit of a worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from legato.plan.graph import Graph
from legato.plan.validate import faults
from legato.runtime.clock import SystemClock
from legato.service.workspace import Workspace
from legato.terms.attempt import Done, Order, Raised
from legato.terms.errors import LegatoError
from legato.wiring.adapters import find_holder, log_folder, open_reader, open_writer, storages_of
from legato.worker.config import Config, read_config
from legato.worker.loading import Loaded, load_project
from legato.worker.preload import Kit, Preload
from legato.worker.threads import limit_threads

if TYPE_CHECKING:
    from legato.declare.snapshot import Snapshot
    from legato.ports.executor import Executor
    from legato.runtime.edition import Observe
    from legato.service.premises import Premises


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
        storages=storages_of(config, unpickle=False),
        open_reader=lambda: open_reader(config),
        open_writer=lambda holder: open_writer(config, holder),
        open_executor=lambda session: _executor(config, kit, executor or config.executor, count, session),
        observe=_observer(kit),
        workers=1 if (executor or config.executor) == "inline" else count,
        find_holder=lambda: find_holder(config),
        keep=config.keep,
    )


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
        root=config.root, state=config.home, storages=storages_of(config, unpickle=False), project=project, fault=fault,
        open_reader=lambda: open_reader(config), open_writer=lambda holder: open_writer(config, holder),
        find_holder=lambda: find_holder(config),
    )  # fmt: skip


def load_kit(folder: str) -> Kit:
    """The kit of the project in a folder, for a worker that starts as a fresh interpreter."""
    return _kit(load_project(Path(folder), faults))


def _kit(loaded: Loaded) -> Kit:
    config = loaded.config
    return Kit(
        loaded.project, loaded.code, lambda: storages_of(config, unpickle=True), config.storage, config.root, loaded.source
    )  # fmt: skip


def _take_snapshot(loaded: Loaded) -> Snapshot:
    from legato.declare.snapshot import take

    return take(loaded.project, loaded.code, loaded.source)


def _executor(config: Config, kit: Kit, kind: str, workers: int, session: str) -> Executor:
    logs = log_folder(config, session)
    lock = config.home / "workers.lock"
    if kind == "inline":
        from legato.executors.inline import InlineExecutor

        return InlineExecutor(kit, logs, session, lock=lock)
    from legato.executors.process import ProcessExecutor

    preload = Preload(kit, "legato.wiring.code:load_kit", (str(config.root),))
    return ProcessExecutor(preload, workers, logs, session=session, lock=lock)


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
