"""Files that arrive: complete ones that patterns mean, each told with the digest of its bytes, which are read once."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from legato.declare.moment import File, moments
from legato.declare.node import Project
from legato.service.folders import Folders, Found
from legato.terms.instant import Instant
from legato.triggers.inputs import FileArrived

SETTLING_US = 300_000
"""A file is complete when two looks at least so far apart find it the same."""
MOST_BYTES = 16 * 1024 * 1024
"""How much is read in one look."""
SLICE_BYTES = 4 * 1024 * 1024
"""How much of one file is read before others have their turn."""
FILE_BYTES = 32 * 1024
"""What it costs to open a file, in bytes that could have been read meanwhile."""
MOST_COMING, MOST_TOLD = 1_000, 200
"""How many files are asked in one look how they are: of those that are still to be told, and of those that were."""
MOST_TROUBLES = 100

_CHUNK = 1024 * 1024


class Mark(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @staticmethod
    def of(found: os.stat_result) -> Mark:
        """The mark of a file that was asked how it is."""
        return Mark(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _File:
    """One file. It is like its `mark` `since` then; `place` is where its bytes are, `read` how many the hasher has had."""

    __slots__ = ("found", "gone", "hasher", "mark", "place", "read", "since")

    def __init__(self, found: Found) -> None:
        self.found, self.place, self.gone = found, found.place, False
        self.take(None, Instant(0))

    def take(self, mark: Mark | None, now: Instant) -> None:
        """It is like this from now on; what was read of it is void."""
        self.mark, self.since, self.read = mark, now, 0
        self.hasher: Any = None


class Watch:
    """Watches for the local files that some patterns mean, those of the project's folder below `root`.

    Files are *coming* until they stay the same, then *ready* to be read, then *told*. One that is told and becomes another is
    coming again; one that stays as it is, is not read again. Patterns with a scheme lie elsewhere, and are not watched.
    """

    def __init__(self, root: Path, patterns: Iterable[str]) -> None:
        self._folders = Folders(root, (each for each in patterns if "://" not in each))
        self._files: dict[str, _File] = {}
        self._coming: deque[_File] = deque()
        self._ready: deque[_File] = deque()
        self._told: deque[_File] = deque()
        self._troubles: dict[str, str] = {}

    @property
    def wait_s(self) -> float | None:
        """When another look is worthwhile: at once while there is more to read, soon while files are coming; None: any time."""
        return 0.0 if self._ready else SETTLING_US / 1e6 if self._coming else None

    @property
    def troubles(self) -> dict[str, str]:
        """By path, why a folder or file is not watched, or cannot be read."""
        return {**self._folders.troubles, **self._troubles}

    def look(self, now: Instant) -> list[FileArrived]:
        """The files that are complete, and have not been told as they are. It takes little time, however large they are: what
        is left is for the next look. `now` never goes back."""
        gone, new = self._folders.look(now)
        for path in gone:
            self._files.pop(path).gone = True
            self._troubles.pop(path, None)
        for found in new:
            self._files[found.path] = file = _File(found)
            self._coming.append(file)
        self._ask_coming(now)
        self._ask_told(now)
        return list(self._read(now))

    def _ask_coming(self, now: Instant) -> None:
        for file in _some(self._coming, MOST_COMING):
            mark = self._mark(file)
            if mark is not None and mark == file.mark and now - file.since >= SETTLING_US:
                self._ready.append(file)
                continue
            if mark is None or mark != file.mark:
                file.take(mark, now)
            self._coming.append(file)

    def _ask_told(self, now: Instant) -> None:
        """A folder does not tell when a file in it is written over: each file is asked, a part of them in each look."""
        for file in _some(self._told, MOST_TOLD):
            mark = self._mark(file)
            if mark == file.mark:
                self._told.append(file)
            else:
                file.take(mark, now)
                self._coming.append(file)

    def _mark(self, file: _File) -> Mark | None:
        """How a file is now; None where it is none that can be taken."""
        try:
            found = os.lstat(file.found.place)
            if stat.S_ISLNK(found.st_mode):
                file.place = _target(file.found)
                found = os.lstat(file.place)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is no file")
        except OSError as error:
            self._refuse(file, error)
            return None
        return Mark.of(found)

    def _read(self, now: Instant) -> Iterator[FileArrived]:
        left = MOST_BYTES
        while self._ready and left > 0:
            file = self._ready.popleft()
            if file.gone:
                continue
            before = file.read
            same = self._read_slice(file, min(SLICE_BYTES, left))
            left -= FILE_BYTES + file.read - before
            if not same:
                file.take(None, now)
                self._coming.append(file)
            elif file.mark is not None and file.read == file.mark.size:
                self._troubles.pop(file.found.path, None)
                yield FileArrived(file.found.path, file.hasher.hexdigest(), file.read)
                file.hasher = None
                self._told.append(file)
            else:
                self._ready.append(file)

    def _read_slice(self, file: _File, most: int) -> bool:
        """Reads on in a file; False if it is not what it was."""
        try:
            descriptor = os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._refuse(file, error)
            return False
        try:
            return self._hash(file, descriptor, most)
        except OSError as error:
            self._refuse(file, error)
            return False
        finally:
            os.close(descriptor)

    def _hash(self, file: _File, descriptor: int, most: int) -> bool:
        if file.mark is None or Mark.of(os.fstat(descriptor)) != file.mark:
            return False
        if file.hasher is None:
            file.hasher = blake2b(digest_size=32)
        until = min(file.mark.size, file.read + most)
        while file.read < until:
            chunk = os.pread(descriptor, min(_CHUNK, until - file.read), file.read)
            if not chunk:
                return False
            file.hasher.update(chunk)
            file.read += len(chunk)
        return Mark.of(os.fstat(descriptor)) == file.mark

    def _refuse(self, file: _File, error: OSError) -> None:
        if len(self._troubles) < MOST_TROUBLES:
            self._troubles[file.found.path] = error.strerror or type(error).__name__


def patterns_of(project: Project) -> list[str]:
    """The patterns of files that the project's triggers wait for, each once."""
    triggers = (node.trigger for node in project.nodes.values() if node.trigger is not None)
    return list(dict.fromkeys(leaf.pattern for each in triggers for leaf in moments(each) if isinstance(leaf, File)))


def _target(link: Found) -> str:
    """The file that a link leads to; OSError if it leads out of its folder."""
    place, within = os.path.realpath(link.place), os.path.realpath(link.within)
    if os.path.commonpath((within, place)) != within:
        raise OSError(errno.ELOOP, "it is a link that leads out of its folder")
    return place


def _some(files: deque[_File], most: int) -> Iterator[_File]:
    """So many of the files at most, from the front, taken out; those that are gone are dropped."""
    for _ in range(min(most, len(files))):
        file = files.popleft()
        if not file.gone:
            yield file
