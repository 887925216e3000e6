"""What works with the project's code in its own process: a workspace, what `doctor` looks at, and the kit of a worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from legato.declare.manuscript import Manuscript, read, write
from legato.plan.graph import Graph
from legato.plan.validate import faults
from legato.runtime.clock import SystemClock
from legato.service.former import former_project, not_kept
from legato.service.workspace import Workspace
from legato.terms.attempt import Done, Order, Raised
from legato.terms.codec import pack
from legato.terms.errors import InvalidProject, LegatoError
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

LOADER = "legato.wiring.code:load_kit"
"""Loads a kit in a fresh interpreter."""


def open_workspace(folder: Path | None = None, *, executor: str | None = None, workers: int | None = None) -> Workspace:
    """The project that `folder` (or the working directory) is in, loaded and ready; `InvalidProject` names all its faults."""
    config, _ = read_config(folder or Path.cwd())
    count = workers or config.workers or os.cpu_count() or 1
    limit_threads(count)
    return _workspace(load_project(config.root, faults), None, executor, count)


def open_workspace_of(
    folder: Path | None, fingerprint: str, *, executor: str | None = None, workers: int | None = None
) -> Workspace:
    """The project that `folder` is in as it was at this version; from its files, if they are of that version, or else from the
    code that is kept of it. A `LegatoError` (`code-not-kept` and others) where that cannot be had."""
    config, _ = read_config(folder or Path.cwd())
    store = open_reader(config)
    try:
        manuscript = store.manuscript(fingerprint)
    finally:
        store.close()
    if manuscript is None:
        return _unchanged(folder, fingerprint, executor, workers)
    count = workers or config.workers or os.cpu_count() or 1
    limit_threads(count)
    with former_project(fingerprint) as require:
        loaded = load_project(config.root, faults, read(manuscript))
        require(loaded.project)
    return _workspace(loaded, manuscript, executor, count)


def open_last(folder: Path | None) -> Workspace | None:
    """The project that `folder` is in as it was in force last, from the code that is kept of it; None if that cannot be had."""
    config, _ = read_config(folder or Path.cwd())
    with suppress(LegatoError):
        store = open_reader(config)
        try:
            found = store.projects(limit=1)
        finally:
            store.close()
        if found:
            return open_workspace_of(folder, found[0].fingerprint)
    return None


def _unchanged(folder: Path | None, fingerprint: str, executor: str | None, workers: int | None) -> Workspace:
    """The project as it is now, which is the version whose code nobody kept."""
    with suppress(InvalidProject):
        workspace = open_workspace(folder, executor=executor, workers=workers)
        if workspace.project.fingerprint == fingerprint:
            return workspace
    raise not_kept(fingerprint)


def _workspace(loaded: Loaded, manuscript: Manuscript | None, executor: str | None, workers: int) -> Workspace:
    config, kit, chosen = loaded.config, _kit(loaded), executor or loaded.config.executor
    preload = Preload(kit, LOADER, (str(config.root),), b"" if manuscript is None else pack(manuscript))
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
        open_executor=lambda session: _executor(config, preload, chosen, workers, session),
        observe=_observer(kit),
        workers=1 if chosen == "inline" else workers,
        find_holder=lambda: find_holder(config),
        keep=config.keep,
        take_manuscript=lambda: write(loaded.script),
        is_former=manuscript is not None,
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


def load_kit(folder: str, manuscript: Manuscript | None = None) -> Kit:
    """The kit of the project in a folder, for a worker that starts as a fresh interpreter; with a manuscript, of that code."""
    return _kit(load_project(Path(folder), faults, None if manuscript is None else read(manuscript)))


def _kit(loaded: Loaded) -> Kit:
    config = loaded.config
    return Kit(
        loaded.project, loaded.code, lambda: storages_of(config, unpickle=True), config.storage, config.root, loaded.source,
        loaded.script,
    )  # fmt: skip


def _take_snapshot(loaded: Loaded) -> Snapshot:
    from legato.declare.snapshot import take

    return take(loaded.project, loaded.code, loaded.source)


def _executor(config: Config, preload: Preload, kind: str, workers: int, session: str) -> Executor:
    logs = log_folder(config, session)
    lock = config.home / "workers.lock"
    if kind == "inline":
        from legato.executors.inline import InlineExecutor

        assert preload.kit is not None
        return InlineExecutor(preload.kit, logs, session, lock=lock)
    from legato.executors.process import ProcessExecutor

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
