"""What one attempt tells, on its way out: gathered for a moment, thinned where it is too much, sent before the attempt's end.

A loop may tell its progress a million times: only the newest is sent. Of a series the first thousand values are sent, of the next
thousand every second, of the next two thousand every fourth, and so on; and the last.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from legato.terms.attempt import Fact, Image, Noted, Order, Ref
from legato.terms.codec import pack
from legato.terms.errors import UsageError
from legato.terms.fact import Markdown, Metric, Progress, Table
from legato.terms.instant import Instant
from legato.worker.mask import Mask

if TYPE_CHECKING:  # whatever tells nothing needs none of them
    from legato.ports.clock import Clock
    from legato.worker.excerpt import Excerpt
    from legato.worker.picture import Picture

Number = int | float

KEPT_WHOLE = 1_000
"""Values of one name that are all kept."""
MOST_NAMES = 1_000
"""Different metrics that one attempt may tell."""
MOST_SHOWN = 1_000
"""Tables, texts and images that one attempt may tell."""
TABLE_BYTES = 256 * 2**10
"""How much of a table is kept: its rows are cut where they would take more."""
SEND_EVERY_S, SEND_SHARE = 0.25, 0.01
"""How often facts are sent at most: this often, and from then on after every hundredth part of the time told so far. So a day's
progress is a thousand events, and a bar still never lags by more than one of its hundred parts."""
_MOST_WAITING = 1_000
_MOST_WAITING_BYTES = 64 * 2**10


class _Series:
    """Values of one name: how many were told, and the newest if it was left out."""

    __slots__ = ("count", "left_out", "name", "stride", "unit")

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self.count, self.stride = 0, 1
        self.left_out: tuple[Metric, int] | None = None


class Teller:
    """Takes what an attempt tells, from any of its threads, and hands it on in reports. `keep` stores a file, under a name.

    With `has_keys` each fact gets one, and what the order says is on record is not sent again: for flows. Time is the system's,
    unless there is a clock.
    """

    # Most attempts tell nothing: what can wait is set when it is needed.
    _progress: tuple[Number, Number | None, str] | None = None
    _waiting_bytes = _shown = 0
    _began = _due = 0.0
    _has_told = _is_closed = False

    def __init__(
        self, order: Order, mask: Mask, keep: Callable[[str, Path], Ref], send: Callable[[Noted], None], *, has_keys: bool,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._order, self._mask, self._keep, self._send = order, mask, keep, send
        self._known = frozenset(order.noted) if has_keys else None
        self._clock = clock
        self._lock = threading.RLock()
        self._series: dict[tuple[str, str], _Series] = {}
        self._equal: dict[bytes, int] = {}
        self._waiting: list[tuple[Fact, int]] = []

    # -- what user code tells --

    def progress(self, done: Number, total: Number | None, message: str) -> None:
        """The newest progress takes the place of the one before."""
        with self._lock:
            self._has_told, self._progress = True, (done, total, message)

    def metric(self, name: str, value: Number, unit: str) -> None:
        """One value of a series."""
        with self._lock:
            series = self._series.get((name, unit)) or self._begin(name, unit)
            series.count += 1
            if series.count > KEPT_WHOLE * series.stride:
                series.stride *= 2
            key = 0 if self._known is None else self._key("metric", series.name, value, series.unit)
            metric = Metric(series.name, value, series.unit, series.count, self._now())
            if series.count % series.stride:
                series.left_out = metric, key
            else:
                series.left_out = None
                self._add(metric, key, 0)

    def table(self, name: str, table: Excerpt) -> None:
        """The first rows of a table, as many as have room."""
        from legato.worker.excerpt import clip

        hide = self.cover()
        columns = tuple(clip(hide(column)) for column in table.columns)
        room = TABLE_BYTES - sum(map(len, columns))
        body, kept = bytearray(), 0
        for row in table.rows:
            line = msgspec.msgpack.encode([clip(hide(cell)) if isinstance(cell, str) else cell for cell in row])
            if len(body) + len(line) > room:
                break
            body += line
            kept += 1
        if room < 0 or (table.rows and not kept):
            raise UsageError(
                "fact-size", f"the rows of the table {name!r} are too large to be told",
                why=f"a table may take {TABLE_BYTES:,} bytes", next="leave out columns, or return it as an asset",
            )  # fmt: skip
        rows = _ARRAY32 + kept.to_bytes(4, "big") + body
        self._show(Table(hide(name), columns, rows, kept, table.total), len(rows), columns, rows, table.total)

    def markdown(self, name: str, text: str) -> None:
        """A text."""
        hide = self.cover()
        text = hide(text)
        self._show(Markdown(hide(name), text), len(text), text)

    def image(self, name: str, picture: Picture) -> None:
        """A picture, stored before anybody hears of it."""
        hide = self.cover()
        name, body = hide(name), picture.body
        if picture.kind == "svg":
            body = hide(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        with self._lock:
            key = self._key_to_show("image", name, picture.kind, blake2b(body, digest_size=16).digest())
            if key is None:
                return
            number = self._shown
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="legato-") as folder:
            path = Path(folder, _file_name(name) + picture.suffix)
            path.write_bytes(body)
            kept = self._keep(f"{self._order.run}-{self._order.token}-i{number}", path)
        with self._lock:
            self._add(Image(name, picture.kind, kept), key, 0)

    def cover(self) -> Callable[[str], str]:
        """What hides secrets in a text, for a moment."""
        return self._mask.cover()

    # -- what becomes of it --

    def send_due(self) -> None:
        """Send what waits, unless something was sent a moment ago."""
        if (self._waiting or self._progress is not None) and self._lapse() >= self._due:
            self.send()

    def send(self) -> None:
        """Send what waits."""
        with self._lock:  # also around the sending itself: what is told first arrives first
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            progress, self._progress = self._progress, None
            if progress is not None:
                done, total, message = progress
                waiting.append((Progress(done, total, self.cover()(message), self._now()), 0))
            if not waiting or self._is_closed:
                return
            now = self._lapse()
            self._began = self._began or now
            self._due = now + max(SEND_EVERY_S, SEND_SHARE * (now - self._began))
            facts, keys = zip(*waiting, strict=True)
            order = self._order
            self._send(Noted(order.run, order.step, order.token, facts, () if self._known is None else keys))

    def close(self) -> None:
        """Send all that was told. What threads that go on tell from now on is lost."""
        if not self._has_told:  # else another thread may just be sending it
            self._is_closed = True
            return
        with self._lock:
            for series in self._series.values():
                if series.left_out is not None:
                    self._add(*series.left_out, 0)
            self.send()
            self._is_closed = True

    # -- one fact --

    def _begin(self, name: str, unit: str) -> _Series:
        if len(self._series) >= MOST_NAMES:
            raise UsageError(
                "fact-many", f"{name!r} would be one metric too many", why=f"a step may tell {MOST_NAMES:,} different ones",
                next="use one name for values that belong together: they become a series",
            )  # fmt: skip
        hide = self.cover()
        series = self._series[name, unit] = _Series(hide(name), hide(unit))
        self._has_told = True
        return series

    def _show(self, fact: Table | Markdown, size: int, *content: object) -> None:
        with self._lock:
            key = self._key_to_show(type(fact).__name__, fact.name, *content)
            if key is not None:
                self._add(fact, key, size)

    def _key_to_show(self, *content: object) -> int | None:
        """The key of what is to be shown (0 where keys mean nothing); None if it is on record, or nobody listens any more."""
        key = 0 if self._known is None else self._key(*content)
        if self._is_closed or (self._known is not None and key in self._known):
            return None
        if self._shown >= MOST_SHOWN:
            raise UsageError(
                "fact-many", f"a step may tell {MOST_SHOWN:,} tables, texts and images, and it has",
                why="each of them is kept for good", next="tell fewer; for numbers there is lg.metric",
            )  # fmt: skip
        self._shown += 1
        self._has_told = True
        return key

    def _key(self, *content: object) -> int:
        """Tells facts apart by what they say, and equal ones by their number, in whatever order they are told."""
        short = blake2b(pack(content), digest_size=8).digest()
        number = self._equal[short] = self._equal.get(short, 0) + 1
        digest = blake2b(short, digest_size=8, salt=number.to_bytes(8, "little")).digest()
        return (int.from_bytes(digest, "little") >> 1) | 1

    def _add(self, fact: Fact, key: int, size: int) -> None:
        if self._known is not None and key in self._known:
            return
        self._waiting.append((fact, key))
        self._waiting_bytes += size
        if len(self._waiting) >= _MOST_WAITING or self._waiting_bytes >= _MOST_WAITING_BYTES:
            self.send()

    def _now(self) -> Instant:
        return Instant(time.time_ns() // 1_000) if self._clock is None else self._clock.now()

    def _lapse(self) -> float:
        """Seconds since some moment, whatever is done to the system's clock."""
        return time.monotonic() if self._clock is None else self._clock.now() / 1e6


_ARRAY32 = b"\xdd"


def _file_name(name: str) -> str:
    """A name that is none of a folder's own, nor leads elsewhere."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80].strip("_") or "image"
