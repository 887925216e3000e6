"""The folders in which files may arrive: listed when they change, for nothing but the names in them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import NamedTuple

from legato.declare.pattern import folder_of, matches
from legato.terms.instant import Instant

TRUST_US = 2_500_000
"""So long after a folder changed it is listed once more: some systems count times of change in steps of 2 seconds, so that what
comes right after a listing leaves no trace."""
LIST_AGAIN_US = 60_000_000
"""A folder is listed again after this time even if it says that it is unchanged: some that are mounted never say otherwise."""
MOST_FOLDERS = 10_000
"""How many folders are watched at most."""

_UNTOLD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What stands in no name that is taken: it could not be stored, or would not be what a screen shows."""


class Found(NamedTuple):
    """A file that a pattern means: its path as patterns are written, where it is, and the folder that it must not leave, if it
    is a link."""

    path: str
    place: str
    within: str


class _Pattern:
    """A pattern, cut into the folder below which its files lie and the parts of the path from there."""

    def __init__(self, text: str) -> None:
        self.text, self.folder = text, folder_of(text)
        self.parts = text[len(self.folder) :].strip("/").split("/")

    def begin(self) -> frozenset[int]:
        """The parts that may come next in the pattern's own folder."""
        return self._closed({0})

    def enter(self, parts: frozenset[int], name: str) -> frozenset[int]:
        """The parts that may come next in a folder of this name; none: no file of the pattern is in it."""
        found = set()
        for part in parts:
            if self.parts[part] == "**":
                found |= set() if name.startswith(".") else {part}
            elif part + 1 < len(self.parts) and matches(self.parts[part], name):
                found.add(part + 1)
        return self._closed(found)

    def _closed(self, parts: set[int]) -> frozenset[int]:
        """With those behind each `**`, which may stand for nothing."""
        return frozenset(parts | {part + 1 for part in parts if self.parts[part] == "**"})


_Wanted = dict[_Pattern, frozenset[int]]


class _Listing:
    """What was in a folder: its files by name with their inodes, and its folders. `since` is when it was first seen like this."""

    __slots__ = ("changed", "files", "folders", "listed", "refused", "since", "wanted")

    def __init__(self, changed: tuple[int, int, int], wanted: _Wanted, since: Instant, listed: Instant) -> None:
        self.changed, self.wanted, self.since, self.listed = changed, wanted, since, listed
        self.files: dict[str, int] = {}
        self.folders: list[str] = []
        self.refused = 0

    def holds(self, changed: tuple[int, int, int], wanted: _Wanted, now: Instant) -> bool:
        """Whether it still says what is in the folder."""
        overtaken = self.listed - self.since < TRUST_US <= now - self.since
        same = self.changed == changed and self.wanted == wanted
        return same and not overtaken and now - self.listed < LIST_AGAIN_US


class Folders:
    """All folders in which files of some patterns may lie. Links to folders are not followed, but for patterns' own."""

    def __init__(self, root: Path, patterns: Iterable[str]) -> None:
        self._root = os.fspath(root)
        self._patterns = [_Pattern(each) for each in dict.fromkeys(patterns)]
        self._own = {each.folder for each in self._patterns}
        self._listings: dict[str, _Listing] = {}
        self._failed: dict[str, str] = {}
        self._left_out = 0

    @property
    def troubles(self) -> dict[str, str]:
        """By folder, why it, or something in it, is not watched."""
        found = dict(self._failed)
        for path, listing in self._listings.items():
            if listing.refused:
                found[path] = f"{listing.refused} names in it are no text that can be shown"
        if self._left_out:
            found[""] = f"{self._left_out} folders are not watched: {MOST_FOLDERS:,} are at most"
        return found

    def look(self, now: Instant) -> tuple[list[str], list[Found]]:
        """What is not there any more since the last call, and what is new; a file with another one's name is both."""
        before, self._listings, self._failed, self._left_out = self._listings, {}, {}, 0
        gone: list[str] = []
        new: list[Found] = []
        wanted = self._begin()
        waiting = [(_depth(path), path) for path in wanted]
        heapify(waiting)
        # From above to below: a folder that patterns reach by several ways is listed once, for all of them.
        while waiting:
            _, path = heappop(waiting)
            listing = self._list(path, wanted[path], before.get(path), now)
            if listing is None:
                continue
            self._listings[path] = listing
            for child in self._enter(path, listing, wanted):
                heappush(waiting, (_depth(child), child))
        for path, listing in before.items():
            gone += [_join(path, name) for name in _missing(listing, self._listings.get(path))]
        for path, listing in self._listings.items():
            new += [self._found(path, name) for name in sorted(_missing(listing, before.get(path)))]
        return gone, new

    def _begin(self) -> dict[str, _Wanted]:
        wanted: dict[str, _Wanted] = {}
        for each in self._patterns:
            wanted.setdefault(each.folder, {})[each] = each.begin()
        return wanted

    def _enter(self, path: str, listing: _Listing, wanted: dict[str, _Wanted]) -> Iterator[str]:
        """The folders in this one that patterns lead to; each is told once, whatever leads there."""
        for name in listing.folders:
            child = _join(path, name)
            parts = {each: found for each, now in listing.wanted.items() if (found := each.enter(now, name))}
            if not parts:
                continue
            known = child in wanted
            if not known and len(wanted) >= MOST_FOLDERS:
                self._left_out += 1
                continue
            into = wanted.setdefault(child, {})
            for each, found in parts.items():
                into[each] = into.get(each, frozenset()) | found
            if not known:
                yield child

    def _list(self, path: str, wanted: _Wanted, before: _Listing | None, now: Instant) -> _Listing | None:
        """What is in a folder, from before where that holds; None if it cannot be looked into."""
        place, own = self._place(path), path in self._own
        try:
            found = os.stat(place, follow_symlinks=own)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(20, "it is no folder")
            changed = (found.st_dev, found.st_ino, found.st_mtime_ns)
            if before is not None and before.holds(changed, wanted, now):
                return before
            since = before.since if before is not None and before.changed == changed else now
            listing = _Listing(changed, wanted, since, now)
            known = before.files if before is not None and before.wanted == wanted else {}
            self._read(path, own, listing, known)
        except OSError as error:
            self._failed[path or "."] = error.strerror or type(error).__name__
            return None
        return listing

    def _read(self, path: str, own: bool, listing: _Listing, known: Mapping[str, int]) -> None:
        """Reads the names in a folder; those that are known with the same inode are not judged again."""
        folder = os.open(self._place(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if own else os.O_NOFOLLOW))
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    inode = entry.inode()
                    if known.get(entry.name) == inode:
                        listing.files[entry.name] = inode
                    else:
                        self._take(path, entry, listing)
        finally:
            os.close(folder)
        listing.folders.sort()

    def _take(self, path: str, entry: os.DirEntry[str], listing: _Listing) -> None:
        if _UNTOLD.search(entry.name):
            listing.refused += 1
        elif entry.is_dir(follow_symlinks=False):
            listing.folders.append(entry.name)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            shown = _join(path, entry.name)
            if any(matches(each.text, shown) for each in listing.wanted):
                listing.files[entry.name] = entry.inode()

    def _found(self, path: str, name: str) -> Found:
        shown = _join(path, name)
        within = next(each.folder for each in self._listings[path].wanted if matches(each.text, shown))
        return Found(shown, self._place(shown), self._place(within))

    def _place(self, path: str) -> str:
        return os.path.join(self._root, path) if path else self._root


def _missing(listing: _Listing, other: _Listing | None) -> Iterator[str]:
    """The names of files that the other listing has not, or not for the same file."""
    if listing is other:
        return iter(())
    there = other.files if other is not None else {}
    return (name for name, inode in listing.files.items() if there.get(name) != inode)


def _join(path: str, name: str) -> str:
    return name if not path else f"{path.rstrip('/')}/{name}"


def _depth(path: str) -> int:
    return 0 if path in ("", "/") else path.strip("/").count("/") + 1
