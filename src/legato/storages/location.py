"""Where a slot's value stands: names written so that none can leave the root or meet another."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import PurePosixPath

from legato.ports.storage import Slot

MAX_PART = 180
"""Longest file name that is written out: a file system takes 255 bytes, and suffixes come on top."""

_UNSAFE = re.compile(r"^\.|[^A-Za-z0-9_.=-]")
_EMPTY = "_"


def part(text: str) -> str:
    """One part of a path for a name: other names give other parts, whatever they hold.

    Safe characters stay, case and all; others, and a leading dot, become `%XX` of their UTF-8 bytes; nothing becomes `_`.
    A part that would be too long keeps its head and ends in `~` and a hash of the whole.
    """
    if not text:
        return _EMPTY
    if text == _EMPTY:
        return "%5F"
    safe = _UNSAFE.sub(_percent, text)
    if len(safe) <= MAX_PART:
        return safe
    tail = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{safe[: MAX_PART - len(tail) - 1]}~{tail}"


def folder_of(slot: Slot) -> str:
    """The folder of an asset partition, relative to the root."""
    return f"{part(slot.asset)}/{part(slot.partition)}"


def parts_of(location: str) -> tuple[str, ...]:
    """The parts of a location below a root: asset, partition, version, perhaps a file; () if it leads anywhere else."""
    parts = tuple(location.split("/"))
    inside = len(parts) in (3, 4) and all(piece not in ("", ".", "..") for piece in parts)
    return parts if inside and "\0" not in location and not PurePosixPath(location).is_absolute() else ()


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
