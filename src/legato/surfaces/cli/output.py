"""Text for people: colour where a terminal wants it, tables, folded lists. And JSON, one value a line."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from legato.surfaces.shape import encode
from legato.terms.instant import Instant, to_datetime

COLOURS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36}
OF_STATUS = {
    "fresh": "green", "succeeded": "green", "published": "green", "stale": "yellow", "missing": "yellow", "skipped": "yellow",
    "cancelled": "yellow", "paused": "yellow", "quarantined": "red", "failed": "red", "open": "cyan", "running": "cyan",
}  # fmt: skip
"""The colour of a status, an outcome or a version's state."""

MIN_CELL = 32
"""The narrowest column that text is wrapped in."""
PLAIN_WIDTH = 100
"""How wide text is wrapped where there is no terminal to ask."""


class Screen:
    """A stream that people read."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.in_colour = self.is_terminal and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        """Cells in a line."""
        return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if self.is_terminal else PLAIN_WIDTH

    def say(self, text: str = "") -> None:
        """Write a line."""
        self.stream.write(text + "\n")

    def paint(self, text: str, *colours: str) -> str:
        """The text in these colours, if the stream shows any."""
        if not self.in_colour or not colours or not text:
            return text
        return f"\x1b[{';'.join(str(COLOURS[each]) for each in colours)}m{text}\x1b[0m"

    def status(self, word: str) -> str:
        """A status in its colour."""
        return self.paint(word, *filter(None, [OF_STATUS.get(word)]))

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), indent: str = ""
    ) -> None:
        """Rows in aligned columns below dim headings; columns named in `right` are numbers. Empty columns are left out, and so is
        a table without rows."""
        cells = [list(row) for row in rows]
        kept = [at for at in range(len(columns)) if any(row[at] for row in cells)]
        if not kept:
            return
        widths = {at: max(cells_of(text) for text in (columns[at], *(row[at] for row in cells))) for at in kept}
        numbers = {at for at in kept if columns[at] in set(right)}
        for number, row in enumerate([list(columns), *cells]):
            *firsts, last = [pad(row[at], widths[at], right=at in numbers) for at in kept]
            head = indent + "".join(f"{text}  " for text in firsts)
            self.say(self.paint((head + last).rstrip(), "dim") if number == 0 else self._fit(head, last.rstrip()))

    def _fit(self, head: str, last: str) -> str:
        """A row whose last cell is wrapped, or stands below, where a terminal is too narrow; what is piped stays one line."""
        room = self.width - cells_of(head)
        if not self.is_terminal or cells_of(last) <= room:
            return (head + last).rstrip()
        return self.hang(head, last) if room >= MIN_CELL else f"{head.rstrip()}\n{self.hang(' ' * 6, last)}"

    def hang(self, head: str, text: str) -> str:
        """Text behind a head, its further lines below its first."""
        margin = " " * cells_of(head)
        lines = [piece for line in text.split("\n") for piece in wrap(line, self.width - len(margin))]
        return f"\n{margin}".join([head + lines[0], *lines[1:]])


def write_json(value: Any) -> None:
    """Print a value as one line of JSON, at once: records as objects, instants as ISO 8601 in UTC."""
    sys.stdout.write(encode(value).decode() + "\n")
    sys.stdout.flush()


def cells_of(text: str) -> int:
    """How many terminal cells the text takes: colour none, wide characters two."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    shown = without_colour(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in shown)


def without_colour(text: str) -> str:
    """The text without the sequences that colour it."""
    if "\x1b" not in text:
        return text
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled with blanks to so many cells."""
    blanks = " " * (width - cells_of(text))
    return blanks + text if right else text + blanks


def clip(text: str, width: int) -> str:
    """The text, uncoloured, cut to so many cells, with … where something is missing."""
    if cells_of(text) <= width:
        return text
    while text and cells_of(text) > width - 1:
        text = text[: max(0, min(len(text) - 1, width - 1))]
    return text + "…"


def readable(text: str) -> str:
    """The text in one line, without what would move the cursor or change colours."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def bar(share: float, width: int) -> tuple[str, str]:
    """A bar of so many cells: the part that is done, and the rest."""
    full = min(width, max(0, round(share * width)))
    return "━" * full, "─" * (width - full)


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells, at its blanks; words and paths are never cut."""
    if cells_of(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and cells_of(line) + 1 + cells_of(word) > max(20, width):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 step`, `1,475 steps`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def when(instant: Instant | None) -> str:
    """A time as people here read it: local, to the second; empty if there is none."""
    return "" if instant is None else f"{to_datetime(instant).astimezone():%Y-%m-%d %H:%M:%S}"


def size_in_words(size_bytes: float) -> str:
    """A number of bytes for people: `812 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def point_at_nothing() -> None:
    """Send what is still to be printed nowhere, since nobody reads any more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
