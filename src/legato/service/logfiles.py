"""The files in which the output of attempts stands: one a worker, in a folder for each session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from legato.terms.instant import Instant

HOST_LOG = "host.log"
"""What a code host says while it loads a project."""
_MOST_LIVE = 3
"""So many sessions, the newest, may have a host that still writes, however long ago it wrote last."""


def old_logs(folder: Path, until: Instant) -> Iterator[tuple[Path, ...]]:
    """Session by session, the files that nothing was written to since that instant."""
    try:
        sessions = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for place, session in enumerate(sessions, 1):
        may_live = place > len(sessions) - _MOST_LIVE
        found: list[Path] = []
        with suppress(FileNotFoundError), os.scandir(folder / session) as entries:
            for entry in entries:
                is_old = entry.is_file(follow_symlinks=False) and _written(entry) <= until
                if is_old and not (may_live and entry.name == HOST_LOG):
                    found.append(Path(entry.path))
        yield tuple(found)


def _written(entry: os.DirEntry[str]) -> Instant:
    return Instant(entry.stat(follow_symlinks=False).st_mtime_ns // 1000)
