"""What lies in the folder of a project at work, where files and folders come and go meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def paths_below(folder: Path) -> Iterator[Path]:
    """Every folder and file below this one; what is gone before it was looked at is left out."""
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(above, name)


def contents_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below this one with what is in it."""
    for path in paths_below(folder):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path, path.read_bytes()
