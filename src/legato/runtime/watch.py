"""Notices when a project's source files change, by looking at their times and sizes: cheap, and true on every file system."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

LOOK_EVERY_S = 0.25
_MOST_S = 0.9
"""How long at most between two looks: a saved change is seen within a second."""
_SHARE = 0.004
"""The part of a core that looking may cost."""
_MOST_ENTRIES = 1_000
"""A folder with more entries than this, and no source among them, is data."""
_NOT_OURS = frozenset(("node_modules", "__pycache__", "site-packages"))

_Mark = tuple[int, int, int]


class SourceWatch:
    """Watches the Python files below folders, and single files. `has_changed` says so once for each change.

    With `settling_s` it says so when they have stayed as they are for so long: files that are copied one after the other make one
    change.
    """

    def __init__(self, folders: Sequence[Path], files: Sequence[Path] = (), settling_s: float = 0.0) -> None:
        self._roots = [str(folder) for folder in folders]
        self._single = [str(file) for file in files]
        self._folders: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {}
        self._marks = self._look()
        self._due = time.monotonic() + LOOK_EVERY_S
        self._settling_s = settling_s
        self._since: float | None = None

    def has_changed(self) -> bool:
        """Whether any file was written, added or removed, and has settled since; looks when it is time."""
        now = time.monotonic()
        if now >= self._due and self.look():
            self._since = now
        if self._since is None or now < self._since + self._settling_s:
            return False
        self._since = None
        return True

    def look(self) -> bool:
        """Look now."""
        started = time.monotonic()
        marks = self._look()
        cost_s = time.monotonic() - started
        self._due = started + min(_MOST_S, max(LOOK_EVERY_S, cost_s / _SHARE))
        changed, self._marks = marks != self._marks, marks
        return changed

    def _look(self) -> dict[str, _Mark]:
        known, self._folders = self._folders, {}
        files = list(self._single)
        waiting = list(self._roots)
        while waiting:
            folder = waiting.pop()
            if folder in self._folders:
                continue
            try:
                stamp = os.stat(folder).st_mtime_ns
                found = known.get(folder)
                if found is None or found[0] != stamp:
                    found = (stamp, *_sources(folder))
            except OSError:  # it is gone, or closed to us
                continue
            self._folders[folder] = found
            files += found[1]
            waiting += found[2]
        return {file: mark for file in files if (mark := _mark(file)) is not None}


def _sources(folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The Python files in a folder, and the folders in it that may have some."""
    files, folders, count = [], [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if entry.name.endswith(".py"):
                files.append(entry.path)
            elif entry.name[0] != "." and entry.name not in _NOT_OURS and entry.is_dir() and not _is_environment(entry.path):
                folders.append(entry.path)
    if count > _MOST_ENTRIES and not files:
        return (), ()
    return tuple(sorted(files)), tuple(sorted(folders))


def _is_environment(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _mark(file: str) -> _Mark | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
